//! dpkg's order: `[epoch:]upstream[-revision]` (Debian Policy 5.6.12).

use std::cmp::Ordering;

use super::digits::{compare_digits, split_while};

pub fn compare(a: &str, b: &str) -> Ordering {
    let ((epoch_a, a), (epoch_b, b)) = (epoch(a.trim()), epoch(b.trim()));
    let ((upstream_a, revision_a), (upstream_b, revision_b)) = (revision(a), revision(b));
    compare_digits(epoch_a, epoch_b)
        .then_with(|| compare_part(upstream_a, upstream_b))
        .then_with(|| compare_part(revision_a, revision_b))
}

fn epoch(version: &str) -> (&str, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) if epoch.bytes().all(|b| b.is_ascii_digit()) => (epoch, rest),
        _ => ("", version),
    }
}

fn revision(version: &str) -> (&str, &str) {
    version.rsplit_once('-').unwrap_or((version, ""))
}

/// Non-digits and digits in turn; a missing part is empty, and empty is zero.
fn compare_part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = split_while(a, |c| !c.is_ascii_digit());
        let (text_b, rest_b) = split_while(b, |c| !c.is_ascii_digit());
        let (digits_a, rest_a) = split_while(rest_a, |c| c.is_ascii_digit());
        let (digits_b, rest_b) = split_while(rest_b, |c| c.is_ascii_digit());
        let order = compare_text(text_a, text_b).then_with(|| compare_digits(digits_a, digits_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

/// `~` before the end, the end before letters, letters before the rest.
fn compare_text(a: &str, b: &str) -> Ordering {
    fn weight(c: Option<char>) -> u32 {
        match c {
            Some('~') => 0,
            None => 1,
            Some(c) if c.is_ascii_alphabetic() => c as u32 + 1,
            Some(c) => c as u32 + 256,
        }
    }
    let (mut a, mut b) = (a.chars(), b.chars());
    loop {
        let (x, y) = (a.next(), b.next());
        let order = weight(x).cmp(&weight(y));
        if order.is_ne() || (x.is_none() && y.is_none()) {
            return order;
        }
    }
}
