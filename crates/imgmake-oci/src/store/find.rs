//! Images of the store by what people write: a name, a digest or its beginning, a pattern.

use std::fs;

use super::Store;
use crate::image::{Descriptor, Digest, Reference};

/// Fewer digits could be a name, or mean many.
const SHORTEST: usize = 6;

impl Store {
    /// The names that are meant, with their images: one name, all names of a digest, or those that a
    /// pattern with `*` matches.
    pub fn matching(&self, text: &str) -> Vec<(String, Descriptor)> {
        let mut images = self.images();
        if text.contains('*') {
            images.retain(|(name, _)| {
                let familiar = name.parse::<Reference>().map(|name| name.familiar());
                fits(text, name) || familiar.is_ok_and(|name| fits(text, &name))
            });
            return images;
        }
        let by_name = |name: &str| name == text || is_same(name, text);
        if images.iter().any(|(name, _)| by_name(name)) {
            images.retain(|(name, _)| by_name(name));
            return images;
        }
        match beginning(text) {
            Some(hex) => images.retain(|(_, image)| image.digest.hex().starts_with(hex)),
            None => images.clear(),
        }
        images
    }

    /// The blobs whose digest begins like this, at most `most`: of images that have no name.
    pub fn beginning_with(&self, text: &str, most: usize) -> Vec<Digest> {
        let Some(hex) = beginning(text) else {
            return Vec::new();
        };
        let folder = self.root().join("blobs/sha256");
        let entries = fs::read_dir(folder).into_iter().flatten();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let found = names.filter(|name| name.starts_with(hex));
        found
            .filter_map(|name| format!("sha256:{name}").parse().ok())
            .take(most)
            .collect()
    }
}

/// `app` and `docker.io/library/app:latest` are one name.
fn is_same(one: &str, other: &str) -> bool {
    let (Ok(one), Ok(other)) = (one.parse::<Reference>(), other.parse::<Reference>()) else {
        return false;
    };
    other.digest.is_none()
        && one.name() == other.name()
        && one.tag_or_latest() == other.tag_or_latest()
}

/// The hexadecimal digits of a digest or of its beginning.
fn beginning(text: &str) -> Option<&str> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    ((SHORTEST..=64).contains(&hex.len()) && hex.bytes().all(is_hex)).then_some(hex)
}

/// `*` is any text.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(middle) = last.replace(part) {
            let Some((_, after)) = rest.split_once(middle) else {
                return false;
            };
            rest = after;
        }
    }
    last.map_or(rest.is_empty(), |last: &str| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, text, does) in [
            ("*", "a/b:1", true),
            ("a/*", "a/b/c:1", true),
            ("a/*:1", "a/b:1", true),
            ("a/*:1", "a/b:12", false),
            ("*b*c", "abxc", true),
            ("*b*b", "ab", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(fits(pattern, text), does, "{pattern} {text}");
        }
    }

    #[test]
    fn a_beginning_has_six_hexadecimal_digits_or_more() {
        assert_eq!(beginning("sha256:0123ab"), Some("0123ab"));
        assert_eq!(beginning("0123abcd"), Some("0123abcd"));
        for text in ["0123a", "0123aG", "0123AB", ""] {
            assert_eq!(beginning(text), None, "{text}");
        }
    }
}
