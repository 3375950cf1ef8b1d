//! The one hasher of keys.

use super::semantics::Semantics;

/// blake3 over values with their lengths: no two different lists of values give the same bytes.
#[derive(Default)]
pub struct LengthPrefixedHasher {
    /// Small values are gathered: blake3 is several times faster over long input.
    gathered: Vec<u8>,
    /// What came before them; most lists are short and need none.
    hasher: Option<Box<blake3::Hasher>>,
}

const GATHERED: usize = 16 << 10;

impl LengthPrefixedHasher {
    pub fn new() -> LengthPrefixedHasher {
        LengthPrefixedHasher::default()
    }

    /// For about so many bytes.
    pub fn with_capacity(bytes: usize) -> LengthPrefixedHasher {
        LengthPrefixedHasher {
            gathered: Vec::with_capacity(bytes.min(2 * GATHERED)),
            hasher: None,
        }
    }

    /// For a key of its own kind, made anew when the version of `semantics` is raised.
    pub fn of(semantics: Semantics, kind: &str) -> LengthPrefixedHasher {
        let mut hasher = LengthPrefixedHasher::new();
        hasher.number(semantics.version()).text(kind);
        hasher
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut LengthPrefixedHasher {
        self.gathered
            .extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() > GATHERED {
            self.hasher.get_or_insert_default().update(&self.gathered);
            self.gathered.clear();
        }
        self
    }

    pub fn text(&mut self, text: &str) -> &mut LengthPrefixedHasher {
        self.bytes(text.as_bytes())
    }

    pub fn number(&mut self, number: u64) -> &mut LengthPrefixedHasher {
        self.bytes(&number.to_le_bytes())
    }

    pub fn finish(&self) -> [u8; 32] {
        let hash = match &self.hasher {
            None => blake3::hash(&self.gathered),
            Some(before) => before.clone().update(&self.gathered).finalize(),
        };
        *hash.as_bytes()
    }

    pub fn hex(&self) -> String {
        hex::encode(self.finish())
    }
}
