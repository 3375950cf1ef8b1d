//! Python's order before PEP 440, as `packaging` had it up to version 21 for versions that the
//! PEP does not know (setuptools' `parse_version`).

use std::cmp::Ordering;

use super::digits::split_while;

pub fn compare(a: &str, b: &str) -> Ordering {
    parts(a).cmp(&parts(b))
}

/// Numbers of any length as texts of eight digits or more, words that are before the release
/// as `*word`, and `*final` at the end.
fn parts(version: &str) -> Vec<String> {
    let version = version.trim().to_lowercase();
    let mut parts: Vec<String> = Vec::new();
    for part in components(&version).chain(["*final".to_string()]) {
        if part.starts_with('*') {
            // A dash before a pre-release says nothing.
            if part.as_str() < "*final" {
                while parts.last().is_some_and(|last| last == "*final-") {
                    parts.pop();
                }
            }
            // Neither do zeros at the end of a series.
            while parts.last().is_some_and(|last| last == "00000000") {
                parts.pop();
            }
        }
        parts.push(part);
    }
    parts
}

fn components(version: &str) -> impl Iterator<Item = String> {
    let mut rest = version;
    std::iter::from_fn(move || {
        while let Some(first) = rest.chars().next() {
            let (part, after) = match first {
                '0'..='9' => split_while(rest, |c| c.is_ascii_digit()),
                'a'..='z' => split_while(rest, |c| c.is_ascii_lowercase()),
                '.' | '-' => rest.split_at(1),
                _ => split_while(rest, |c| {
                    !c.is_ascii_digit() && !c.is_ascii_lowercase() && c != '.' && c != '-'
                }),
            };
            rest = after;
            let word = match part {
                "pre" | "preview" | "rc" => "c",
                "dev" => "@",
                "-" => "final-",
                "." => continue,
                part => part,
            };
            return Some(match first {
                '0'..='9' => format!("{word:0>8}"),
                _ => format!("*{word}"),
            });
        }
        None
    })
}
