//! PHP's order (`version_compare`), which Composer follows.

use std::cmp::Ordering;

use super::digits::{compare_digits, is_number, runs};

pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (parts(a), parts(b));
    (0..a.len().max(b.len()))
        .map(|i| compare_part(a.get(i), b.get(i)))
        .find(|o| o.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Composer pads to four numbers, so zeros at the end of the numbers say nothing.
fn parts(version: &str) -> Vec<String> {
    let version = version.trim().to_ascii_lowercase();
    let version = version.strip_prefix('v').unwrap_or(&version);
    let found: Vec<String> = runs(version).map(String::from).collect();
    let word = found
        .iter()
        .position(|s| !is_number(s))
        .unwrap_or(found.len());
    let (numbers, words) = found.split_at(word);
    let zero = |s: &String| s.bytes().all(|b| b == b'0');
    let end = numbers.iter().rposition(|s| !zero(s)).map_or(0, |i| i + 1);
    [&numbers[..end], words].concat()
}

fn compare_part(a: Option<&String>, b: Option<&String>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if is_number(a) && is_number(b) => compare_digits(a, b),
        _ => rank(a).cmp(&rank(b)),
    }
}

/// `dev < alpha < beta < RC < the release itself < a number < patch level`.
fn rank(part: Option<&String>) -> u8 {
    match part.map(String::as_str) {
        None | Some("stable") => 5,
        Some("dev") => 1,
        Some("a" | "alpha") => 2,
        Some("b" | "beta") => 3,
        Some("rc" | "c") => 4,
        Some(number) if is_number(number) => 6,
        Some("p" | "pl" | "patch") => 7,
        Some(_) => 0,
    }
}
