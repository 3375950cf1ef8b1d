//! The trait of whatever counts in a key, and plain values.
//!
//! An implementation takes its type apart field by field, `let Self { a, b } = self`, and never with `..`:
//! a new field does not compile until somebody decides whether it counts. What does not is `field: _`,
//! with the reason. Debug forms are never hashed: they are made for people and change with the compiler.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::hasher::LengthPrefixedHasher;

/// What counts of a value. Two values that are treated differently give different bytes.
pub trait Fingerprint {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher);
}

/// A value's fingerprint by itself.
pub fn fingerprint_of(value: &(impl Fingerprint + ?Sized)) -> [u8; 32] {
    let mut hasher = LengthPrefixedHasher::new();
    value.fingerprint(&mut hasher);
    hasher.finish()
}

impl LengthPrefixedHasher {
    pub fn add(&mut self, value: &(impl Fingerprint + ?Sized)) -> &mut LengthPrefixedHasher {
        value.fingerprint(self);
        self
    }

    /// As a slice of the same values.
    pub fn list<T: Fingerprint>(
        &mut self,
        values: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    ) -> &mut LengthPrefixedHasher {
        let values = values.into_iter();
        self.number(values.len() as u64);
        for value in values {
            self.add(&value);
        }
        self
    }
}

impl<T: Fingerprint + ?Sized> Fingerprint for &T {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        (**self).fingerprint(hasher);
    }
}

impl Fingerprint for str {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        hasher.text(self);
    }
}

impl Fingerprint for String {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        hasher.text(self);
    }
}

/// Bytes, where a list of numbers would be meant else.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a>(pub &'a [u8]);

impl Fingerprint for Bytes<'_> {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        let Self(bytes) = self;
        hasher.bytes(bytes);
    }
}

/// A hash that was made elsewhere.
impl Fingerprint for [u8; 32] {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        hasher.bytes(self);
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Fingerprint for $number {
            fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
                hasher.bytes(&self.to_le_bytes());
            }
        }
    )*};
}
numbers!(u32, u64, i8, i32, i64);

impl Fingerprint for bool {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        hasher.number(u64::from(*self));
    }
}

impl Fingerprint for Duration {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        hasher.bytes(&self.as_nanos().to_le_bytes());
    }
}

impl<T: Fingerprint> Fingerprint for Option<T> {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        match self {
            Some(value) => hasher.number(1).add(value),
            None => hasher.number(0),
        };
    }
}

impl<T: Fingerprint> Fingerprint for [T] {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        hasher.list(self);
    }
}

impl<T: Fingerprint> Fingerprint for Vec<T> {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        self.as_slice().fingerprint(hasher);
    }
}

impl<T: Fingerprint> Fingerprint for BTreeSet<T> {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        hasher.list(self);
    }
}

impl<K: Fingerprint, V: Fingerprint> Fingerprint for BTreeMap<K, V> {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        hasher.list(self);
    }
}

/// Several names with their values, or values that belong together.
impl<A: Fingerprint, B: Fingerprint> Fingerprint for (A, B) {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        let (first, second) = self;
        hasher.add(first).add(second);
    }
}
