//! A tree as a mount of RUN shows it.

use std::sync::Arc;

use super::worker::TreeSource;
use crate::files::context::ContextTree;
use crate::files::hash::FileHashes;
use crate::files::tree::Tree;

/// A tree that a mount shows.
pub struct Mounted {
    pub tree: Arc<dyn Tree + Send>,
    pub source: TreeSource,
    /// The same where it is a directory on this machine, for content hashes.
    pub context: Option<Arc<ContextTree>>,
    pub hashes: FileHashes,
}
