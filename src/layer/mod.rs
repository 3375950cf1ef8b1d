//! SKELETON: signatures that other rooms rely on.
use crate::image::Digest;
use anyhow::Result;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};

/// Seconds and nanoseconds since the epoch.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Timestamp {
    pub seconds: i64,
    pub nanos: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum EntryKind {
    Directory,
    File {
        size: u64,
    },
    Symlink {
        target: Vec<u8>,
    },
    /// `target` is a path of the same form as `Entry::path`.
    HardLink {
        target: Vec<u8>,
    },
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
    Fifo,
}

/// One entry. `path` is relative, cleaned: no leading or trailing `/`, no `.` or `..`; empty = the root itself. Bytes, not UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    pub path: Vec<u8>,
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky: 0o7777.
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime: Timestamp,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Compression {
    None,
    Gzip { level: u8 },
    Zstd { level: i8 },
}
impl Compression {
    pub fn media_type(self) -> &'static str {
        todo!()
    }
}

/// A finished layer, as stored.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LayerBlob {
    pub diff_id: Digest,
    pub digest: Digest,
    pub size: u64,
    pub media_type: String,
}

/// Writes one layer: tar -> diff id -> block-parallel compression -> digest -> file, in one pass; also gathers the [`Index`].
pub struct LayerWriter {
    _p: (),
}
impl LayerWriter {
    pub fn new(out: File, compression: Compression) -> Result<LayerWriter> {
        todo!()
    }
    /// `content` must give exactly the size of a `File` entry (anything else is an error: the file changed while read); ignored for other kinds.
    pub fn append(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<()> {
        todo!()
    }
    pub fn finish(self) -> Result<(LayerBlob, Index)> {
        todo!()
    }
}

/// Reads any tar (ustar, GNU, PAX), never trusting it.
pub struct LayerReader<R: Read> {
    _r: R,
}
impl<R: Read> LayerReader<R> {
    pub fn new(tar: R) -> LayerReader<R> {
        todo!()
    }
    /// The next entry; its content is then read from `self` (`impl Read`) until it is exhausted; what is left unread is skipped.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        todo!()
    }
}
impl<R: Read> Read for LayerReader<R> {
    fn read(&mut self, _b: &mut [u8]) -> std::io::Result<usize> {
        todo!()
    }
}

/// Plain bytes of a gzip (multi-member), zstd, bzip2, xz or plain stream, known by its first bytes.
pub fn decompress<'a>(input: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>> {
    todo!()
}

/// The entries of a layer, sorted by path, with content hashes: enough to resolve destinations and to key COPY --from without unpacking.
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
    /// Reads a whole layer tar stream (already plain).
    pub fn read(tar: impl Read) -> Result<Index> {
        todo!()
    }
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
    pub fn decode(bytes: &[u8]) -> Result<Index> {
        todo!()
    }
}

/// The merged tree that layers give, bottom first, whiteouts and opaque directories applied; metadata only.
#[derive(Clone, Default)]
pub struct View {
    _p: (),
}
impl View {
    pub fn new(layers: &[std::sync::Arc<Index>]) -> View {
        todo!()
    }
    /// Puts one more layer on top.
    pub fn push(&mut self, layer: &Index) {
        todo!()
    }
    /// Without following links. A hard link is answered as the file that it names (path kept).
    pub fn get(&self, path: &[u8]) -> Option<&IndexEntry> {
        todo!()
    }
    /// Follows every symlink on the way, absolute ones from the root, never leaving it; the last component too if `last`.
    /// Components that do not exist are taken as they are (as in a path about to be created). Errors on loops (> 255).
    pub fn resolve(&self, path: &[u8], last: FollowLast) -> Result<Vec<u8>> {
        todo!()
    }
    /// Names of direct children, sorted.
    pub fn children(&self, path: &[u8]) -> Vec<Vec<u8>> {
        todo!()
    }
    /// Every entry at or under `path`, sorted by path.
    pub fn walk<'a>(&'a self, path: &[u8]) -> Box<dyn Iterator<Item = &'a IndexEntry> + 'a> {
        todo!()
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowLast {
    Yes,
    No,
}
