//! Runs of digits and letters, which most version orders compare.

use std::cmp::Ordering;

/// Orders two runs of decimal digits of any length, leading zeros aside.
pub(super) fn compare_digits(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Splits off the leading characters of one kind.
pub(super) fn split_while(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !keep(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// Alternating runs of digits and ASCII letters; everything else separates.
pub(super) fn runs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let first = rest.chars().next()?;
        let (run, after) = if first.is_ascii_digit() {
            split_while(rest, |c| c.is_ascii_digit())
        } else {
            split_while(rest, |c| c.is_ascii_alphabetic())
        };
        rest = after;
        Some(run)
    })
}

pub(super) fn is_number(run: &str) -> bool {
    run.starts_with(|c: char| c.is_ascii_digit())
}
