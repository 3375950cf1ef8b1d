//! Wildcards of COPY and ADD sources, as Go's `filepath.Match` reads them.
//!
//! `*` and `?` stop at `/`; `[a-c]` and `[^a]` are classes; `\` escapes. No `**`, no `{a,b}`, no `!` in classes.

use super::error::{Mistake, PatternProblem};

/// Whether a source is a pattern at all. A named file that is missing is an error, an unmatched pattern is not.
pub fn is_pattern(source: &str) -> bool {
    let mut characters = source.chars();
    while let Some(c) = characters.next() {
        match c {
            '*' | '?' | '[' => return true,
            '\\' => drop(characters.next()),
            _ => {}
        }
    }
    false
}

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wildcard {
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Literal(u8),
    /// Any number of bytes other than `/`.
    Star,
    /// One character other than `/`.
    One,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Wildcard {
    /// # Errors
    /// An open class, or a trailing `\`.
    pub fn new(pattern: &str) -> Result<Wildcard, Mistake> {
        let bad = || Mistake::pattern(pattern, PatternProblem::Open);
        let mut tokens = Vec::new();
        let mut rest = pattern.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '*' if tokens.last() == Some(&Token::Star) => {}
                '*' => tokens.push(Token::Star),
                '?' => tokens.push(Token::One),
                '[' => tokens.push(class(&mut rest).ok_or_else(bad)?),
                '\\' => literal(&mut tokens, rest.next().ok_or_else(bad)?),
                c => literal(&mut tokens, c),
            }
        }
        Ok(Wildcard { tokens })
    }

    /// Whether the whole name matches. Names need not be UTF-8: a byte that is no character counts as one.
    pub fn matches(&self, name: &[u8]) -> bool {
        let (mut token, mut at) = (0, 0);
        // Where the last `*` stands, and how far it has eaten: enough to backtrack in linear steps.
        let mut star: Option<(usize, usize)> = None;
        loop {
            if token == self.tokens.len() && at == name.len() {
                return true;
            }
            if self.tokens.get(token) == Some(&Token::Star) {
                star = Some((token, at));
                token += 1;
                continue;
            }
            if let Some(length) = self.tokens.get(token).and_then(|t| t.eats(&name[at..])) {
                token += 1;
                at += length;
                continue;
            }
            match star {
                Some((star_token, eaten)) if name.get(eaten).is_some_and(|b| *b != b'/') => {
                    star = Some((star_token, eaten + 1));
                    token = star_token + 1;
                    at = eaten + 1;
                }
                _ => return false,
            }
        }
    }
}

impl Token {
    /// How many bytes the token takes from the front.
    fn eats(&self, text: &[u8]) -> Option<usize> {
        match self {
            Token::Literal(byte) => (text.first() == Some(byte)).then_some(1),
            Token::Star => None,
            Token::One => first(text)
                .filter(|(c, _)| *c != '/')
                .map(|(_, length)| length),
            Token::Class { negated, ranges } => {
                let (c, length) = first(text)?;
                let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
                (inside != *negated).then_some(length)
            }
        }
    }
}

fn literal(tokens: &mut Vec<Token>, c: char) {
    let mut buffer = [0; 4];
    tokens.extend(c.encode_utf8(&mut buffer).bytes().map(Token::Literal));
}

fn first(text: &[u8]) -> Option<(char, usize)> {
    let window = &text[..text.len().min(4)];
    let valid = match std::str::from_utf8(window) {
        Ok(valid) => valid,
        Err(error) => std::str::from_utf8(&window[..error.valid_up_to()]).unwrap_or_default(),
    };
    match valid.chars().next() {
        Some(c) => Some((c, c.len_utf8())),
        None => (!text.is_empty()).then_some((char::REPLACEMENT_CHARACTER, 1)),
    }
}

/// The inside of `[…]`, up to and with `]`.
fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && rest.next_if_eq(&']').is_some() {
            return Some(Token::Class { negated, ranges });
        }
        let low = class_character(rest)?;
        let high = match rest.next_if_eq(&'-') {
            Some(_) => class_character(rest)?,
            None => low,
        };
        ranges.push((low, high));
    }
}

fn class_character(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match rest.next()? {
        '-' | ']' => None,
        '\\' => rest.next(),
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> Option<bool> {
        Some(Wildcard::new(pattern).ok()?.matches(name.as_bytes()))
    }

    /// The cases of Go's own test, in our order.
    #[test]
    fn patterns_match_as_go_does() {
        for (pattern, name, expected) in [
            ("abc", "abc", Some(true)),
            ("*", "abc", Some(true)),
            ("*c", "abc", Some(true)),
            ("a*", "a", Some(true)),
            ("a*", "ab/c", Some(false)),
            ("a*/b", "abc/b", Some(true)),
            ("a*/b", "a/c/b", Some(false)),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", Some(true)),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", Some(false)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
            ("ab[c]", "abc", Some(true)),
            ("ab[b-d]", "abc", Some(true)),
            ("ab[^c]", "abc", Some(false)),
            ("ab[^e-g]", "abc", Some(true)),
            ("a\\*b", "a*b", Some(true)),
            ("a\\*b", "ab", Some(false)),
            ("a?b", "a☺b", Some(true)),
            ("a[^a]b", "a☺b", Some(true)),
            ("a???b", "a☺b", Some(false)),
            ("[a-ζ]*", "α", Some(true)),
            ("*[a-ζ]", "A", Some(false)),
            ("a?b", "a/b", Some(false)),
            ("a*b", "a/b", Some(false)),
            ("[\\]a]", "]", Some(true)),
            ("[\\-x]", "-", Some(true)),
            ("[x\\-]", "z", Some(false)),
            ("[]a]", "]", None),
            ("[-]", "-", None),
            ("[x-]", "x", None),
            ("[a-b-c]", "a", None),
            ("[", "a", None),
            ("[^bc", "a", None),
            ("a[", "ab", None),
            ("*x", "xxx", Some(true)),
            ("a\\", "a", None),
            ("[!a]", "!", Some(true)),
            ("{a,b}", "a", Some(false)),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn escaped_wildcards_are_names() {
        assert!(is_pattern("src/*.c") && is_pattern("a[bc]") && is_pattern("a?"));
        assert!(!is_pattern("a\\*b") && !is_pattern("plain/{a}"));
    }

    proptest! {
        #[test]
        fn no_input_panics_or_hangs(pattern in "[a*?\\[\\]^\\\\/é-]{0,30}", name in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(wildcard) = Wildcard::new(&pattern) {
                let _ = wildcard.matches(&name);
            }
        }

        #[test]
        fn a_name_matches_itself(name in "[a-z0-9._/ -]{0,30}") {
            prop_assert_eq!(matches(&name, &name), Some(true));
        }
    }
}
