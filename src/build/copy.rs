//! SKELETON: the copy engine, used in the parent for contexts and in the helper process for COPY --from.
use crate::layer::{Compression, LayerBlob};
use crate::store::Store;
use anyhow::Result;
use std::path::Path;
/// Serialisable description of one COPY; see build/copy (owned by the build room).
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct CopyRequest {
    pub compression: Compression,
}
/// Reads below `root` (never leaving it), writes a layer into the store.
pub fn copy_tree(root: &Path, request: &CopyRequest, store: &Store) -> Result<LayerBlob> {
    todo!()
}
