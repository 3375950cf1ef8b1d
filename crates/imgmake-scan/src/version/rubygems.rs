//! RubyGems' order (`Gem::Version#<=>`).

use std::cmp::Ordering;

use super::digits::{compare_digits, is_number, runs};

pub fn compare(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (segments(a)?, segments(b)?);
    Some(
        (0..a.len().max(b.len()))
            .map(|i| compare_segment(a.get(i), b.get(i)))
            .find(|o| o.is_ne())
            .unwrap_or(Ordering::Equal),
    )
}

/// `1.2-x` is `1.2.pre.x`; zeros at the end and before the first word go.
fn segments(version: &str) -> Option<Vec<String>> {
    let version = version.trim().replace('-', ".pre.");
    let found: Vec<String> = runs(&version).map(String::from).collect();
    if !found.first().is_some_and(|s| is_number(s)) {
        return None;
    }
    let word = found.iter().position(|s| !is_number(s));
    let (numbers, words) = found.split_at(word.unwrap_or(found.len()));
    Some([trimmed(numbers), trimmed(words)].concat())
}

fn trimmed(segments: &[String]) -> &[String] {
    let zero = |s: &String| s.bytes().all(|b| b == b'0');
    let end = segments.iter().rposition(|s| !zero(s)).map_or(0, |i| i + 1);
    &segments[..end]
}

/// A word is before a number; what is missing is zero.
fn compare_segment(a: Option<&String>, b: Option<&String>) -> Ordering {
    let (a, b) = (a.map_or("0", String::as_str), b.map_or("0", String::as_str));
    match (is_number(a), is_number(b)) {
        (true, true) => compare_digits(a, b),
        (false, false) => a.cmp(b),
        (a_number, b_number) => a_number.cmp(&b_number),
    }
}
