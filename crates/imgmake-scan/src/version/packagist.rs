//! Composer's order: versions are made alike (`VersionParser::normalize` of
//! composer/semver), then compared as PHP's `version_compare` does.

use std::cmp::Ordering;
use std::sync::LazyLock;

use regex::Regex;

use super::digits::{compare_digits, is_number, runs};

static CLASSICAL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?x)^v?(?<numbers>[0-9]{1,5}(?:\.[0-9]+){0,3})
        (?:[._-]?(?:(?<word>stable|beta|b|rc|alpha|a|patch|pl|p)(?<number>(?:[.-]?[0-9]+)*))?(?<dev>[.-]?dev)?)?$",
    )
    .expect("the pattern is well formed")
});
static DATED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?x)^v?(?<numbers>[0-9]{4}(?:[.:-]?[0-9]{2}){1,6}(?:[.:-]?[0-9]{1,3}){0,2})
        (?:[._-]?(?:(?<word>stable|beta|b|rc|alpha|a|patch|pl|p)(?<number>(?:[.-]?[0-9]+)*))?(?<dev>[.-]?dev)?)?$",
    )
    .expect("the pattern is well formed")
});

/// None for branches and for what Composer takes for no version.
pub fn compare(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (parts(a)?, parts(b)?);
    let order = (0..a.len().max(b.len()))
        .map(|i| compare_part(a.get(i), b.get(i)))
        .find(|o| o.is_ne());
    Some(order.unwrap_or(Ordering::Equal))
}

fn parts(version: &str) -> Option<Vec<String>> {
    let version = version.trim().to_ascii_lowercase();
    // Build metadata says nothing of the order, a stability after `@` is a wish.
    let version = match version.split_once('+') {
        Some((version, metadata)) if !metadata.is_empty() => version,
        _ => &version,
    };
    let version = version
        .rsplit_once('@')
        .map_or(version, |(version, _)| version);
    let (found, length) = match CLASSICAL.captures(version) {
        Some(found) => (found, 4),
        None => (DATED.captures(version)?, 0),
    };
    let mut parts: Vec<String> = runs(&found["numbers"]).map(String::from).collect();
    while parts.len() < length {
        parts.push("0".to_string());
    }
    match found.name("word").map(|word| word.as_str()) {
        None => {}
        // What follows the word is not looked at any more.
        Some("stable") => return Some(parts),
        Some(word) => {
            parts.push(word.to_string());
            let number = found.name("number").map_or("", |number| number.as_str());
            parts.extend(runs(number).map(String::from));
        }
    }
    if found.name("dev").is_some() {
        parts.push("dev".to_string());
    }
    Some(parts)
}

fn compare_part(a: Option<&String>, b: Option<&String>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if is_number(a) && is_number(b) => compare_digits(a, b),
        // More numbers are later, whatever they are; of words it depends.
        (None, Some(b)) if is_number(b) => Ordering::Less,
        (Some(a), None) if is_number(a) => Ordering::Greater,
        _ => rank(a).cmp(&rank(b)),
    }
}

/// `dev < alpha < beta < RC < the release itself or a number < patch level`.
fn rank(part: Option<&String>) -> u8 {
    match part.map(String::as_str) {
        Some("dev") => 1,
        Some("a" | "alpha") => 2,
        Some("b" | "beta") => 3,
        Some("rc") => 4,
        Some("p" | "pl" | "patch") => 6,
        None | Some(_) => 5,
    }
}
