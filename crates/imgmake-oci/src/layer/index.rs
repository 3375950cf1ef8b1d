//! The entries of a layer with their content hashes.

use std::io::Read;

use crate::error::{Context, OciError, Result};
use sha2::Digest as _;

use crate::image::Digest;
use imgmake_event::Cancel;

use super::entry::{Entry, EntryKind};
use super::reader::LayerReader;

/// Changes with the encoding: older ones are then made anew.
const MAGIC: &[u8] = b"imgmake layer index 1\n";

/// The entries of a layer, sorted by path, with content hashes: enough to resolve destinations and to key COPY --from without unpacking.
/// Whiteouts are entries like others.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Index {
    pub entries: Vec<IndexEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct IndexEntry {
    pub entry: Entry,
    /// blake3 of a regular file's bytes.
    pub content: Option<[u8; 32]>,
}

impl Index {
    /// Sorts; of several entries with one path the last counts, as when unpacked.
    pub fn new(mut entries: Vec<IndexEntry>) -> Index {
        entries.sort_by(|a, b| a.entry.path.cmp(&b.entry.path));
        entries.dedup_by(|later, earlier| {
            let same = later.entry.path == earlier.entry.path;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        Index { entries }
    }

    /// Reads a whole layer tar stream (already plain), to its very end.
    pub fn read(tar: impl Read) -> Result<Index> {
        Index::read_until(tar, &Cancel::default())
    }

    /// As [`read`](Self::read), until somebody cancels.
    pub fn read_until(tar: impl Read, cancel: &Cancel) -> Result<Index> {
        let mut reader = LayerReader::new(tar).stopped_by(cancel);
        let mut entries = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        while let Some(entry) = reader.next_entry()? {
            let content = match entry.kind {
                EntryKind::File { .. } => Some(hash(&mut reader, &mut buffer)?),
                _ => None,
            };
            entries.push(IndexEntry { entry, content });
        }
        reader.drain()?;
        Ok(Index::new(entries))
    }

    /// As [`read`](Self::read), with the SHA-256 of all that was read: the diff id.
    pub fn read_hashing(tar: impl Read, cancel: &Cancel) -> Result<(Index, Digest)> {
        let mut hashing = Hashing {
            inner: tar,
            hash: sha2::Sha256::new(),
        };
        let index = Index::read_until(&mut hashing, cancel)?;
        Ok((index, Digest::from_sha256(hashing.hash.finalize().into())))
    }

    /// The entry at exactly this path.
    pub fn get(&self, path: &[u8]) -> Option<&IndexEntry> {
        let at = self
            .entries
            .binary_search_by(|e| e.entry.path.as_slice().cmp(path))
            .ok()?;
        Some(&self.entries[at])
    }

    pub fn encode(&self) -> Vec<u8> {
        let bytes = MAGIC.to_vec();
        postcard::to_extend(self, bytes).expect("an index holds nothing that postcard refuses")
    }

    pub fn decode(bytes: &[u8]) -> Result<Index> {
        let body = bytes
            .strip_prefix(MAGIC)
            .ok_or_else(|| OciError::invalid("index of a layer", "it may be of another version"))?;
        let (index, rest): (Index, _) =
            postcard::take_from_bytes(body).context("invalid index of a layer")?;
        match rest.is_empty() {
            true => Ok(index),
            false => Err(OciError::invalid("index of a layer", "it is too long")),
        }
    }
}

struct Hashing<R> {
    inner: R,
    hash: sha2::Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

fn hash(content: &mut impl Read, buffer: &mut [u8]) -> Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    loop {
        match content.read(buffer) {
            Ok(0) => return Ok(*hasher.finalize().as_bytes()),
            Ok(read) => drop(hasher.update(&buffer[..read])),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}
