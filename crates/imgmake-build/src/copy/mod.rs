//! The copy engine: COPY and ADD as a plan (which entries, with which bytes), and the plan as a layer.
//!
//! `tree` (what can be read) → `plan` (what goes where) → `write` (one pass into the store). A plan is
//! metadata only, so that its key is known before a byte is copied. Knows layers and the store; no
//! Dockerfile, no registry, no sandbox.

use std::path::Path;

use anyhow::Result;

use imgmake_oci::layer::{Compression, Entry, LayerBlob};
use imgmake_oci::store::Store;

mod archive;
pub mod mode;
pub mod owner;
pub mod plan;
pub mod select;
pub mod tree;
pub mod write;

pub use plan::{Content, FreshFile, Plan, Planned, Planner, Rules};
pub use tree::{LayerTree, Node, Tree};

/// A plan whose sources lie in one tree, for the helper process that may read it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct CopyRequest {
    pub compression: Compression,
    /// Sorted by path; `Content::Source` is relative to the tree's root, links resolved.
    pub entries: Vec<(Entry, Content)>,
}

impl CopyRequest {
    pub fn new(plan: &Plan, compression: Compression) -> CopyRequest {
        let entries = plan
            .entries
            .values()
            .map(|p| (p.entry.clone(), p.content.clone()))
            .collect();
        CopyRequest {
            compression,
            entries,
        }
    }
}

/// Reads below `root` (never leaving it), writes a layer into the store.
///
/// # Errors
/// A source that cannot be read or changes while it is read.
pub fn copy_tree(root: &Path, request: &CopyRequest, store: &Store) -> Result<LayerBlob> {
    let mut plan = Plan::default();
    for (entry, content) in &request.entries {
        plan.entries.insert(
            entry.path.clone(),
            Planned {
                entry: entry.clone(),
                content: content.clone(),
                hash: None,
                kept: false,
            },
        );
    }
    let mut contents = write::Beneath::new(root)?;
    write::write_layer(
        &plan,
        &mut contents,
        request.compression,
        store,
        store.cancel(),
    )
}
