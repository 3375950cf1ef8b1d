//! Shell patterns in `${name#pattern}` and its relatives: `*`, `?` and `\` escapes, no brackets.

use regex::{NoExpand, Regex};

use crate::error::WordProblem;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Shortest,
    Longest,
}

pub fn trim_start(value: &str, pattern: &str, extent: Extent) -> Result<String, WordProblem> {
    let regex = compile(pattern, extent, "^")?;
    Ok(match regex.find(value) {
        Some(found) => value[found.end()..].to_owned(),
        None => value.to_owned(),
    })
}

/// A regular expression finds the leftmost match; backwards, that is the shortest or longest ending.
pub fn trim_end(value: &str, pattern: &str, extent: Extent) -> Result<String, WordProblem> {
    let backwards: String = value.chars().rev().collect();
    let trimmed = trim_start(&backwards, &reversed(pattern), extent)?;
    Ok(trimmed.chars().rev().collect())
}

pub fn replace(value: &str, pattern: &str, with: &str, all: bool) -> Result<String, WordProblem> {
    let regex = compile(pattern, Extent::Longest, "")?;
    let limit = if all { 0 } else { 1 };
    Ok(regex.replacen(value, limit, NoExpand(with)).into_owned())
}

fn compile(pattern: &str, extent: Extent, anchor: &str) -> Result<Regex, WordProblem> {
    let mut regex = anchor.to_owned();
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '*' if extent == Extent::Longest => regex.push_str(".*"),
            '*' => regex.push_str(".*?"),
            '?' => regex.push('.'),
            // `}` and `/` had to be escaped for the sake of `${…}`; the pattern does not see it.
            '\\' if matches!(rest.peek(), Some('}' | '/')) => {}
            '\\' => match rest.next() {
                Some(c @ ('*' | '?' | '\\')) => regex.push_str(&regex::escape(&c.to_string())),
                other => {
                    let escaped = other.map_or(String::new(), String::from);
                    let pattern = pattern.to_owned();
                    return Err(WordProblem::InvalidEscape { escaped, pattern });
                }
            },
            c => regex.push_str(&regex::escape(&c.to_string())),
        }
    }
    Regex::new(&regex).map_err(|_| WordProblem::PatternTooLarge {
        pattern: pattern.to_owned(),
    })
}

/// Back to front, escapes kept together: `a\*c` becomes `c\*a`.
fn reversed(pattern: &str) -> String {
    let mut pieces = Vec::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match (c, c == '\\') {
            (_, true) => {
                let mut piece = String::from(c);
                piece.extend(rest.next());
                pieces.push(piece);
            }
            _ => pieces.push(c.to_string()),
        }
    }
    pieces.into_iter().rev().collect()
}
