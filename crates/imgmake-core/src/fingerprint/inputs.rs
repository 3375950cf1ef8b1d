//! The list of named inputs, walked once for the key and once for the explanation.

use super::cache_key::CacheKey;
use super::explanation::Explanation;
use super::hasher::LengthPrefixedHasher;
use super::input::Input;
use super::semantics::Semantics;
use super::value::{Fingerprint, fingerprint_of};

/// Everything that one target depends on, in a fixed order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    entries: Vec<Input>,
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

    /// Goes on with what somebody else found.
    pub fn extend(&mut self, more: Inputs) {
        self.entries.extend(more.entries);
    }

    pub fn entries(&self) -> &[Input] {
        &self.entries
    }

    pub fn key(&self) -> CacheKey {
        let mut hasher = LengthPrefixedHasher::new();
        for Input { kind, name, hash } in &self.entries {
            hasher.text(kind).text(name).bytes(hash);
        }
        CacheKey(hasher.finish())
    }

    pub fn explanation(&self) -> Explanation {
        Explanation::of(&self.entries)
    }
}
