//! What an image is made of, as facts for its provenance: each thing from elsewhere with the digest of what was
//! read. Logins and queries of addresses are in none of them.

use std::collections::{BTreeMap, BTreeSet};

use imgmake_oci::image::{Digest, Platform};

/// What goes into one build from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Material {
    /// An image of a registry, for one platform: what the name stood for, which may be an index.
    Base {
        name: String,
        digest: Digest,
        platform: String,
    },
    /// An image that another target made, or one of a layout.
    Built { name: String, digest: Digest },
    /// A file of ADD.
    Url { address: String, digest: Digest },
    /// A repository of ADD.
    Git {
        address: String,
        subdirectory: String,
        commit: String,
    },
    /// As seen from the context.
    Dockerfile { path: String, digest: Digest },
    /// What is read of a directory: blake3 over the paths, types, modes and contents. The path is as seen from
    /// the context, which is empty itself.
    Directory { path: String, hash: [u8; 32] },
}

/// What the image of one platform is made of, and by what it was made so.
#[derive(Clone, Debug)]
pub struct Materials {
    pub platform: Platform,
    pub materials: BTreeSet<Material>,
    /// Build arguments that instructions take.
    pub args: BTreeMap<String, String>,
    /// SOURCE_DATE_EPOCH, wherever it comes from.
    pub epoch: Option<i64>,
}
