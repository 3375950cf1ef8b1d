//! Python's order (PEP 440, "Summary of permitted suffixes and relative ordering").

use std::cmp::Ordering;
use std::sync::LazyLock;

use regex::Regex;

use super::digits::compare_digits;
use super::pep440_legacy;

/// PEP 440, appendix B, without the named groups nobody reads.
static SHAPE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?x)^v?
        (?:(?<epoch>[0-9]+)!)?
        (?<release>[0-9]+(?:\.[0-9]+)*)
        (?:[-_.]?(?<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?<pre_n>[0-9]*))?
        (?<post>-(?<post_n1>[0-9]+)|[-_.]?(?:post|rev|r)[-_.]?(?<post_n2>[0-9]*))?
        (?<dev>[-_.]?dev[-_.]?(?<dev_n>[0-9]*))?
        (?:\+(?<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?$",
    )
    .expect("the pattern is well formed")
});

/// Versions from before PEP 440 have an order among themselves. Between one of them and a
/// version of today nobody knows: `2004d` may be before or after `1.0`.
pub fn compare(a: &str, b: &str) -> Option<Ordering> {
    match (Version::parse(a), Version::parse(b)) {
        (Some(a), Some(b)) => Some(a.order(&b)),
        (None, None) => Some(pep440_legacy::compare(a, b)),
        _ => None,
    }
}

struct Version {
    epoch: String,
    release: Vec<String>,
    pre: Option<(u8, String)>,
    post: Option<String>,
    dev: Option<String>,
    local: Option<String>,
}

impl Version {
    fn parse(text: &str) -> Option<Version> {
        let text = text.trim().to_ascii_lowercase();
        let found = SHAPE.captures(&text)?;
        let group = |name: &str| found.name(name).map(|m| m.as_str().to_string());
        let mut release: Vec<String> = group("release")?.split('.').map(String::from).collect();
        while release.len() > 1 && release.last().is_some_and(|n| n.bytes().all(|b| b == b'0')) {
            release.pop();
        }
        let pre = group("pre").map(|word| {
            let stage = match word.as_str() {
                "a" | "alpha" => 0,
                "b" | "beta" => 1,
                _ => 2,
            };
            (stage, group("pre_n").unwrap_or_default())
        });
        Some(Version {
            epoch: group("epoch").unwrap_or_default(),
            release,
            pre,
            post: group("post").map(|_| {
                group("post_n1")
                    .or_else(|| group("post_n2"))
                    .unwrap_or_default()
            }),
            dev: group("dev").map(|_| group("dev_n").unwrap_or_default()),
            local: group("local"),
        })
    }

    fn order(&self, other: &Version) -> Ordering {
        compare_digits(&self.epoch, &other.epoch)
            .then_with(|| compare_release(&self.release, &other.release))
            .then_with(|| self.pre_rank().cmp(&other.pre_rank()))
            .then_with(|| match (&self.pre, &other.pre) {
                (Some((_, a)), Some((_, b))) => compare_digits(a, b),
                _ => Ordering::Equal,
            })
            .then_with(|| compare_option(self.post.as_deref(), other.post.as_deref()))
            // No dev release is later than any.
            .then_with(|| match (&self.dev, &other.dev) {
                (Some(a), Some(b)) => compare_digits(a, b),
                (a, b) => b.is_some().cmp(&a.is_some()),
            })
            .then_with(|| compare_local(self.local.as_deref(), other.local.as_deref()))
    }

    /// `1.dev1` is before `1a1`, which is before `1`.
    fn pre_rank(&self) -> u8 {
        match (&self.pre, &self.post, &self.dev) {
            (None, None, Some(_)) => 0,
            (Some((stage, _)), _, _) => 1 + stage,
            (None, _, _) => 9,
        }
    }
}

fn compare_release(a: &[String], b: &[String]) -> Ordering {
    let at = |v: &[String], i: usize| v.get(i).cloned().unwrap_or_default();
    (0..a.len().max(b.len()))
        .map(|i| compare_digits(&at(a, i), &at(b, i)))
        .find(|o| o.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn compare_option(a: Option<&str>, b: Option<&str>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => compare_digits(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

/// Numbers are later than words, more segments later than fewer.
fn compare_local(a: Option<&str>, b: Option<&str>) -> Ordering {
    let (Some(a), Some(b)) = (a, b) else {
        return a.is_some().cmp(&b.is_some());
    };
    let numeric = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (mut a, mut b) = (a.split(['-', '_', '.']), b.split(['-', '_', '.']));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(x), Some(y)) => match (numeric(x), numeric(y)) {
                (true, true) => compare_digits(x, y),
                (x_number, y_number) => x_number.cmp(&y_number).then_with(|| x.cmp(y)),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}
