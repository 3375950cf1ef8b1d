//! The list of named inputs, walked once for the key and once for the explanation.

use super::cache_key::CacheKey;
use super::explanation::Explanation;
use super::hasher::LengthPrefixedHasher;
use super::input::Input;
use super::seen::Seen;
use super::semantics::Semantics;
use super::value::{Fingerprint, fingerprint_of};

/// Everything that one target depends on, in a fixed order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    entries: Vec<Input>,
    /// Of files: the place in the entries, and how the file was. In no key.
    seen: Vec<(usize, Seen)>,
}

impl Inputs {
    pub fn new() -> Inputs {
        let mut inputs = Inputs::default();
        inputs.value(
            "imgmake",
            "semantics",
            &Semantics::Targets.version().to_le_bytes(),
        );
        inputs
    }

    /// A setting, by its fingerprint.
    pub fn add(
        &mut self,
        kind: &'static str,
        name: impl Into<String>,
        value: &(impl Fingerprint + ?Sized),
    ) {
        self.hashed(kind, name, fingerprint_of(value));
    }

    /// An input whose value is short: a setting, a variable.
    pub fn value(&mut self, kind: &'static str, name: impl Into<String>, value: &[u8]) {
        self.hashed(kind, name, *blake3::hash(value).as_bytes());
    }

    /// A list of strings; `["a b"]` and `["a", "b"]` differ.
    pub fn list<S: AsRef<str>>(
        &mut self,
        kind: &'static str,
        name: impl Into<String>,
        values: impl IntoIterator<Item = S>,
    ) {
        let mut hasher = LengthPrefixedHasher::new();
        for value in values {
            hasher.bytes(value.as_ref().as_bytes());
        }
        self.hashed(kind, name, hasher.finish());
    }

    /// An input that was hashed elsewhere.
    pub fn hashed(&mut self, kind: &'static str, name: impl Into<String>, hash: [u8; 32]) {
        self.entries.push(Input {
            kind,
            name: name.into(),
            hash,
        });
    }

    /// Makes room for files that are about to come.
    pub fn reserve(&mut self, files: usize) {
        self.entries.reserve(files);
        self.seen.reserve(files);
    }

    /// A file, with the metadata that it had when it was read, and that of what its link leads to.
    pub fn file(
        &mut self,
        name: impl Into<String>,
        hash: [u8; 32],
        seen: impl IntoIterator<Item = Seen>,
    ) {
        let at = self.entries.len();
        self.seen.extend(seen.into_iter().map(|seen| (at, seen)));
        self.hashed("file", name, hash);
    }

    /// A file that somebody wrote or replaced since, where the key is the same: it may have held
    /// something else in between.
    pub fn touched_since(&self, before: &Inputs) -> Option<&str> {
        let pairs = self.seen.iter().zip(&before.seen);
        let mut touched = pairs.filter(|((_, now), (_, before))| !now.is_as(before));
        touched
            .next()
            .map(|((at, _), _)| self.entries[*at].name.as_str())
    }

    /// Goes on with what somebody else found.
    pub fn extend(&mut self, more: Inputs) {
        let offset = self.entries.len();
        let seen = more.seen.into_iter();
        self.seen.extend(seen.map(|(at, seen)| (at + offset, seen)));
        self.entries.extend(more.entries);
    }

    pub fn entries(&self) -> &[Input] {
        &self.entries
    }

    pub fn key(&self) -> CacheKey {
        // Three lengths, a kind, a path, a hash.
        let mut hasher = LengthPrefixedHasher::with_capacity(self.entries.len() * 100);
        for Input { kind, name, hash } in &self.entries {
            hasher.text(kind).text(name).bytes(hash);
        }
        CacheKey(hasher.finish())
    }

    pub fn explanation(&self) -> Explanation {
        Explanation::of(&self.entries)
    }
}
