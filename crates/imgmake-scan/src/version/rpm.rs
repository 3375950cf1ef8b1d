//! rpm's order: `[epoch:]version[-release]`, each by `rpmvercmp` with `~` and `^`.

use std::cmp::Ordering;

use super::digits::{compare_digits, split_while};

pub fn compare(a: &str, b: &str) -> Ordering {
    let ((epoch_a, version_a, release_a), (epoch_b, version_b, release_b)) =
        (split(a.trim()), split(b.trim()));
    compare_digits(epoch_a, epoch_b)
        .then_with(|| compare_part(version_a, version_b))
        .then_with(|| match (release_a, release_b) {
            (Some(a), Some(b)) => compare_part(a, b),
            // Advisories that name no release speak of all of them.
            _ => Ordering::Equal,
        })
}

fn split(text: &str) -> (&str, &str, Option<&str>) {
    let (epoch, rest) = match text.split_once(':') {
        Some((epoch, rest)) if epoch.bytes().all(|b| b.is_ascii_digit()) => (epoch, rest),
        _ => ("", text),
    };
    match rest.rsplit_once('-') {
        Some((version, release)) => (epoch, version, Some(release)),
        None => (epoch, rest, None),
    }
}

fn compare_part(mut a: &str, mut b: &str) -> Ordering {
    let separates = |c: char| !c.is_ascii_alphanumeric() && c != '~' && c != '^';
    loop {
        a = a.trim_start_matches(separates);
        b = b.trim_start_matches(separates);
        match (a.strip_prefix('~'), b.strip_prefix('~')) {
            (Some(x), Some(y)) => {
                (a, b) = (x, y);
                continue;
            }
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
        match (a.strip_prefix('^'), b.strip_prefix('^')) {
            (Some(x), Some(y)) => {
                (a, b) = (x, y);
                continue;
            }
            // `1^` is after `1` but before `1.1`.
            (Some(_), None) if b.is_empty() => return Ordering::Greater,
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) if a.is_empty() => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
        if a.is_empty() || b.is_empty() {
            return a.len().min(1).cmp(&b.len().min(1));
        }
        let order = compare_run(&mut a, &mut b);
        if order.is_ne() {
            return order;
        }
    }
}

/// One run of digits or letters; a number is later than letters.
fn compare_run(a: &mut &str, b: &mut &str) -> Ordering {
    let numeric = a.starts_with(|c: char| c.is_ascii_digit());
    let kind = |c: char| {
        if numeric {
            c.is_ascii_digit()
        } else {
            c.is_ascii_alphabetic()
        }
    };
    let ((run_a, rest_a), (run_b, rest_b)) = (split_while(a, kind), split_while(b, kind));
    (*a, *b) = (rest_a, rest_b);
    match (run_b.is_empty(), numeric) {
        (true, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, true) => compare_digits(run_a, run_b),
        (false, false) => run_a.cmp(run_b),
    }
}
