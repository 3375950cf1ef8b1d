//! SKELETON: signatures that other rooms rely on.
use crate::image::{Descriptor, Digest};
use crate::layer::{Compression, Index, LayerBlob};
use anyhow::Result;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The user's content-addressed store. Cheap to clone; safe to use from many threads and many processes at once.
#[derive(Clone)]
pub struct Store {
    root: Arc<PathBuf>,
}
impl Store {
    /// Opens or creates it; takes the shared lock (gc takes it exclusively); refuses a store owned by another user.
    pub fn open(root: &Path) -> Result<Store> {
        todo!()
    }
    /// The same store, in a helper process that runs inside namespaces: no lock, no ownership check.
    pub fn attach(root: &Path) -> Store {
        todo!()
    }
    pub fn root(&self) -> &Path {
        &self.root
    }
    pub fn has(&self, digest: &Digest) -> bool {
        todo!()
    }
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        todo!()
    }
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        todo!()
    }
    pub fn read_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        todo!()
    }
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Digest> {
        todo!()
    }
    /// A temporary file under the store's `tmp/`, hashed (sha256) while written; commit renames it into place.
    pub fn blob_writer(&self) -> Result<BlobWriter> {
        todo!()
    }
    /// Begins a layer; finish with `finish_layer`, which files blob, index and the diff id -> blob record.
    pub fn layer_file(&self) -> Result<(tempfile::NamedTempFile, File)> {
        todo!()
    }
    pub fn adopt_layer(
        &self,
        file: tempfile::NamedTempFile,
        layer: &LayerBlob,
        index: &Index,
    ) -> Result<()> {
        todo!()
    }
    /// The index of a layer, made from its blob when there is none yet (verifies the diff id); kept on disk and in memory.
    pub fn index(&self, layer: &LayerBlob) -> Result<Arc<Index>> {
        todo!()
    }
    /// Step records: step key (blake3 hex) -> small postcard value.
    pub fn step(&self, key: &str) -> Option<Vec<u8>> {
        todo!()
    }
    pub fn put_step(&self, key: &str, record: &[u8]) -> Result<()> {
        todo!()
    }
    /// Images kept by name (`repo:tag`), for push-only from the store and for `imgmake inspect`.
    pub fn tag(&self, name: &str, manifest: &Descriptor) -> Result<()> {
        todo!()
    }
    pub fn tagged(&self, name: &str) -> Option<Descriptor> {
        todo!()
    }
    /// Directory of an unpacked layer for one id map (`root`, `rootless-<hash>`, `single`), e.g. `trees/root/<diffid hex>`.
    pub fn tree_path(&self, id_map: &str, diff_id: &Digest) -> PathBuf {
        todo!()
    }
    /// A directory for cache mounts: `cache/<id_map>/<id hash>`.
    pub fn cache_mount_path(&self, id_map: &str, id: &str) -> PathBuf {
        todo!()
    }
    /// A fresh temporary directory on the store's own file system, `tmp/<pid>-<n>`; stale ones of dead processes are swept.
    pub fn temporary_dir(&self) -> Result<PathBuf> {
        todo!()
    }
}
pub struct BlobWriter {
    _p: (),
}
impl BlobWriter {
    /// Verifies digest and size when given, then renames into place. A blob that is there already is fine.
    pub fn commit(self, expected: Option<&Descriptor>) -> Result<(Digest, u64)> {
        todo!()
    }
}
impl Write for BlobWriter {
    fn write(&mut self, _b: &[u8]) -> std::io::Result<usize> {
        todo!()
    }
    fn flush(&mut self) -> std::io::Result<()> {
        todo!()
    }
}
