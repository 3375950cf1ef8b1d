//! Layers: their blobs, their indexes, and which blob is which diff id.

use std::io::{self, Read};
use std::sync::Arc;

use crate::error::{Context, OciError, Result};
use sha2::Digest as _;

use super::Store;
use super::blocks::LayerFile;
use crate::image::Digest;
use crate::layer::{Compression, Index, Layer, decompress};

impl Store {
    /// Files a finished layer: blob, blocks, index, and the record that finds it again.
    ///
    /// # Errors
    /// The file system is full or read-only.
    pub fn adopt_layer(&self, file: LayerFile, layer: &Layer, index: &Index) -> Result<()> {
        let (file, blocks) = file.into_parts();
        let placed = self.place(file, &self.blob_path(layer.digest()))?;
        // Its digest was taken of what was written.
        self.is_sound(layer.digest(), &placed);
        self.put_blocks(layer.digest(), &blocks)?;
        self.put_index(&layer.diff_id, index)?;
        self.record_layer(layer)
    }

    /// Remembers that a blob of the store is this layer, for [`Store::layer`].
    ///
    /// # Errors
    /// The file system is full or read-only.
    pub fn record_layer(&self, layer: &Layer) -> Result<()> {
        let record = postcard::to_stdvec(layer).expect("a layer record is plain data");
        self.put_record(
            "layers",
            &layer_record(&layer.diff_id, &layer.descriptor.media_type),
            &record,
        )
    }

    /// The blob that holds a layer in some compression, when the store made or saw one.
    pub fn layer(&self, diff_id: &Digest, compression: Compression) -> Option<Layer> {
        let name = layer_record(diff_id, compression.media_type());
        let bytes = self.record("layers", &name)?;
        let layer: Layer = postcard::from_bytes(&bytes).ok()?;
        Store::mark_used(&self.record_path("layers", &name));
        self.holds(&layer.descriptor).then_some(layer)
    }

    /// The index of a layer, made from its blob when there is none yet.
    ///
    /// # Errors
    /// The blob is not in the store, is no layer, or unpacks to another diff id.
    pub fn index(&self, layer: &Layer) -> Result<Arc<Index>> {
        if let Some(index) = self.indexes().get(&layer.diff_id) {
            return Ok(Arc::clone(index));
        }
        let kept = self
            .record("indexes", layer.diff_id.hex())
            .and_then(|bytes| Index::decode(&bytes).ok());
        Store::mark_used(&self.record_path("indexes", layer.diff_id.hex()));
        let index = match kept {
            Some(index) => index,
            None => {
                let index = self.read_index(layer)?;
                self.put_index(&layer.diff_id, &index)?;
                index
            }
        };
        let index = Arc::new(index);
        self.indexes()
            .insert(layer.diff_id.clone(), Arc::clone(&index));
        Ok(index)
    }

    /// Files an index that somebody made while reading the layer for other reasons.
    ///
    /// # Errors
    /// The file system is full or read-only.
    pub fn put_index(&self, diff_id: &Digest, index: &Index) -> Result<()> {
        self.put_record("indexes", diff_id.hex(), &index.encode())
    }

    pub fn has_index(&self, diff_id: &Digest) -> bool {
        self.has_record("indexes", diff_id.hex())
            && Store::mark_used(&self.record_path("indexes", diff_id.hex()))
    }

    fn indexes(&self) -> std::sync::MutexGuard<'_, std::collections::HashMap<Digest, Arc<Index>>> {
        self.inner
            .indexes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn read_index(&self, layer: &Layer) -> Result<Index> {
        let action = || format!("cannot read layer {}", layer.digest());
        let (index, found) = self.with_blob(layer.digest(), |blob| -> Result<_> {
            let mut tar = Hashing {
                inner: decompress(self.cancel.reader(blob)).with_context(action)?,
                hash: sha2::Sha256::new(),
            };
            let index = Index::read_until(&mut tar, &self.cancel).with_context(action)?;
            // What follows the end-of-archive blocks belongs to the diff id as well.
            io::copy(&mut tar, &mut io::sink()).with_context(action)?;
            Ok((index, Digest::from_sha256(tar.hash.finalize().into())))
        })?;
        if layer.diff_id.algorithm() == "sha256" && found != layer.diff_id {
            let what = format!("the content of layer {}", layer.digest());
            let expected = format!("{}, as the image's config says", layer.diff_id);
            return Err(OciError::mismatch(what, found, expected));
        }
        Ok(index)
    }
}

fn layer_record(diff_id: &Digest, media_type: &str) -> String {
    let form = media_type.rsplit(['+', '.']).next().unwrap_or("tar");
    format!("{}.{form}", diff_id.hex())
}

struct Hashing<R> {
    inner: R,
    hash: sha2::Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hash.update(&buffer[..n]);
        Ok(n)
    }
}
