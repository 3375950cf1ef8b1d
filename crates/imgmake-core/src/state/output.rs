//! What targets make, as the state remembers it.

use imgmake_oci::image::{Digest, Reference};
use serde::{Deserialize, Serialize};

use crate::manifest::LoadInto;

/// One thing that a target made, with what is needed to see later that it is
/// still there and still the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// An image in the store.
    Image {
        media_type: String,
        digest: Digest,
        size: u64,
        /// Blobs that were in the store when it was made: digest and size.
        blobs: Vec<(Digest, u64)>,
        /// Where layers that were never pulled can be had.
        sources: Vec<Reference>,
        tags: Vec<String>,
    },
    /// An archive, layout or report: `signature` covers names, sizes, times and inodes.
    File {
        what: FileKind,
        path: String,
        signature: [u8; 32],
    },
    /// An output of a `run` target: `hash` covers the contents of the whole tree.
    Tree { path: String, hash: [u8; 32] },
    /// A tag that was published.
    Pushed {
        reference: Reference,
        digest: Digest,
    },
    /// A digest that a gate let pass.
    Passed { digest: Digest },
    /// In a daemon's own store: names, and the ids that it gave them.
    Loaded {
        daemon: LoadInto,
        ids: Vec<(String, String)>,
    },
    /// From this moment on the outcome of a gate holds no longer: seconds since 1970.
    ValidUntil { seconds: i64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileKind {
    Tar,
    Layout,
    Report,
    Digests,
    Export,
}
