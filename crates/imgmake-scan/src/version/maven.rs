//! Maven's order (POM reference, "Version Order Specification").

use std::cmp::Ordering;

use super::digits::compare_digits;

pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (tokens(a), tokens(b));
    (0..a.len().max(b.len()))
        .map(|i| compare_at(a.get(i), b.get(i)))
        .find(|o| o.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// One token and what stood before it; a change between digits and letters
/// counts as a hyphen.
#[derive(Clone, Debug, PartialEq)]
struct Token {
    hyphen: bool,
    text: String,
}

impl Token {
    fn is_number(&self) -> bool {
        self.text.bytes().all(|b| b.is_ascii_digit()) && !self.text.is_empty()
    }

    /// What may be left out at the end: `1.0` is `1`, `1.ga` is `1`.
    fn is_null(&self) -> bool {
        matches!(self.text.as_str(), "" | "final" | "ga" | "release")
            || self.text.bytes().all(|b| b == b'0')
    }
}

fn tokens(version: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut hyphen = false;
    let mut text = String::new();
    for c in version.trim().to_ascii_lowercase().chars() {
        if matches!(c, '.' | '-' | '_') {
            push(&mut found, hyphen, &mut text, false);
            hyphen = c != '.';
            continue;
        }
        let turns = text
            .chars()
            .last()
            .is_some_and(|last| last.is_ascii_digit() != c.is_ascii_digit());
        if turns {
            push(&mut found, hyphen, &mut text, c.is_ascii_digit());
            hyphen = true;
        }
        text.push(c);
    }
    push(&mut found, hyphen, &mut text, false);
    trim(found)
}

fn push(found: &mut Vec<Token>, hyphen: bool, text: &mut String, digit_follows: bool) {
    let text = std::mem::take(text);
    let text = match (text.as_str(), digit_follows) {
        ("", _) => "0".to_string(),
        ("a", true) => "alpha".to_string(),
        ("b", true) => "beta".to_string(),
        ("m", true) => "milestone".to_string(),
        _ => text,
    };
    found.push(Token { hyphen, text });
}

/// Drops null tokens at the end and before each hyphen.
fn trim(tokens: Vec<Token>) -> Vec<Token> {
    let mut kept: Vec<Token> = Vec::with_capacity(tokens.len());
    for token in tokens {
        if token.hyphen {
            drop_nulls(&mut kept);
        }
        kept.push(token);
    }
    drop_nulls(&mut kept);
    kept
}

fn drop_nulls(tokens: &mut Vec<Token>) {
    while tokens.len() > 1 && tokens.last().is_some_and(Token::is_null) {
        tokens.pop();
    }
}

fn compare_at(a: Option<&Token>, b: Option<&Token>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => compare_tokens(a, b),
        (Some(a), None) => compare_tokens(a, &padding(a)),
        (None, Some(b)) => compare_tokens(&padding(b), b),
        (None, None) => Ordering::Equal,
    }
}

/// The null that stands opposite a token of the longer version.
fn padding(of: &Token) -> Token {
    Token {
        hyphen: of.hyphen,
        text: if of.is_number() { "0" } else { "" }.to_string(),
    }
}

fn compare_tokens(a: &Token, b: &Token) -> Ordering {
    match (a.is_number(), b.is_number()) {
        // `1-1` is before `1.1`.
        (true, true) => b
            .hyphen
            .cmp(&a.hyphen)
            .then_with(|| compare_digits(&a.text, &b.text)),
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => qualifier(&a.text).cmp(&qualifier(&b.text)),
    }
}

fn qualifier(word: &str) -> (u8, &str) {
    match word {
        "alpha" => (0, ""),
        "beta" => (1, ""),
        "milestone" => (2, ""),
        "rc" | "cr" => (3, ""),
        "snapshot" => (4, ""),
        "" | "final" | "ga" | "release" => (5, ""),
        "sp" => (6, ""),
        other => (7, other),
    }
}
