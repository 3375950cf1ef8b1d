//! What a COPY or ADD puts where: the entries of a layer, where their bytes come from, and the rules that made them.

use std::collections::{BTreeMap, BTreeSet};

use crate::files::patterns::Patterns;
use imgmake_core::files::Signature;
use imgmake_oci::layer::{Chmod, Entry, Timestamp};

/// Flags of the instruction, all resolved.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// `--chown`; without it contexts give 0:0 and stages keep what they have.
    pub owner: Option<(u64, u64)>,
    pub chmod: Option<Chmod>,
    pub exclude: Patterns,
    /// The one time of everything that this copy makes anew.
    pub now: Timestamp,
    /// Latest time that a kept time may show (SOURCE_DATE_EPOCH).
    pub clamp: Option<i64>,
}

/// Where an entry's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    None,
    /// A path in the source tree.
    Source(Vec<u8>),
    Bytes(Vec<u8>),
    /// A file outside the tree: a download in the store.
    File(std::path::PathBuf),
    /// The n-th entry of an archive, which is itself one of the others.
    Archive {
        archive: usize,
        number: u64,
    },
}

#[derive(Clone, Debug)]
pub struct Planned {
    pub entry: Entry,
    pub content: Content,
    /// blake3 of the bytes where it is known.
    pub hash: Option<[u8; 32]>,
    /// A directory of the layers below, named again as it was.
    pub kept: bool,
    /// Of a file of a context, as it was when it was planned.
    pub stat: Option<Signature>,
}

/// What a finished plan holds, sorted by path.
#[derive(Debug, Default)]
pub struct Plan {
    pub entries: BTreeMap<Vec<u8>, Planned>,
    /// Archives that `Content::Archive` counts.
    pub archives: Vec<Content>,
    /// Whether anything is there that the layers below do not have.
    pub changes: bool,
    /// What people should know of how it came about.
    pub warnings: BTreeSet<String>,
}

/// A file given by its bytes or by a path outside of every tree.
pub struct FreshFile {
    pub content: Content,
    pub size: u64,
    pub hash: [u8; 32],
    pub mode: u32,
    pub mtime: Option<Timestamp>,
}

impl FreshFile {
    pub fn of(bytes: &[u8], mode: u32) -> FreshFile {
        FreshFile {
            content: Content::Bytes(bytes.to_vec()),
            size: bytes.len() as u64,
            hash: *blake3::hash(bytes).as_bytes(),
            mode,
            mtime: None,
        }
    }
}
