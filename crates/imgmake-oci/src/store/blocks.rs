//! Which compressed blocks the blobs of our own layers consist of, so that a layer that is much like an earlier one
//! is made of its blocks.
//!
//! One table a blob, a record like others: written whole, sealed, and never taken from a checkout or a registry. It
//! says nothing that a blob could not be without: a table that is damaged, gone, or without its blob costs time.
//! A table goes with its blob.

use std::cmp::Reverse;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use tempfile::NamedTempFile;

use super::Store;
use super::usage::entries;
use crate::error::{Context, Result};
use crate::image::Digest;
use crate::layer::{Block, KnownBlocks, LayerBlocks, MOST_BLOCKS, Output};

const FOLDER: &str = "blocks";
/// So many tables are read: those of the blobs that were used last.
const MOST_TABLES: usize = 256;
/// No table is longer: a block takes 69 bytes.
const LONGEST: u64 = MOST_BLOCKS as u64 * 80;

/// A layer on its way into the store.
pub struct LayerFile {
    file: NamedTempFile,
    blocks: Arc<LayerBlocks>,
}

impl LayerFile {
    /// Where it lies until it is adopted.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    pub(super) fn into_parts(self) -> (NamedTempFile, Vec<Block>) {
        let blocks = self.blocks.take();
        (self.file, blocks)
    }
}

impl Store {
    /// A temporary file for a layer, and what it is written with. Once written, [`Store::adopt_layer`] files it.
    ///
    /// # Errors
    /// The file system is full or read-only.
    pub fn layer_file(&self) -> Result<(LayerFile, Output)> {
        let (file, handle) = self.temporary_file()?;
        let store = self.clone();
        let blocks = Arc::new(LayerBlocks::new(move || store.known_blocks()));
        let output = Output::reusing(handle, Arc::clone(&blocks));
        Ok((LayerFile { file, blocks }, output))
    }

    /// A temporary file, and a handle to write it with.
    ///
    /// # Errors
    /// The file system is full or read-only.
    pub fn temporary_file(&self) -> Result<(NamedTempFile, File)> {
        let file = self.process_dir()?.file()?;
        let handle = file.reopen().with_context(|| self.cannot_write())?;
        Ok((file, handle))
    }

    /// Of a blob that was written just now. A small layer has no table: it is made in no time.
    pub(super) fn put_blocks(&self, blob: &Digest, blocks: &[Block]) -> Result<()> {
        if !(2..=MOST_BLOCKS).contains(&blocks.len()) {
            return Ok(());
        }
        if let Some(known) = self.inner.blocks.get() {
            known.add(self.blob_path(blob), blocks);
        }
        let table = postcard::to_stdvec(blocks).expect("a table is plain data");
        self.put_record(FOLDER, blob.hex(), &table)
    }

    /// Blocks of the layers that were made or used last.
    pub(super) fn known_blocks(&self) -> Arc<KnownBlocks> {
        let read = || {
            let known = KnownBlocks::default();
            let mut tables: Vec<_> = entries(&self.root().join(FOLDER))
                .into_iter()
                .filter(|table| table.bytes <= LONGEST)
                .filter_map(|table| {
                    let name = table.path.file_name()?.to_str()?.to_string();
                    let blob = self.root().join("blobs/sha256").join(&name);
                    let used = fs::metadata(blob).and_then(|meta| meta.modified());
                    Some((Reverse(used.ok()?.max(table.used)), name))
                })
                .collect();
            tables.sort();
            for (_, name) in tables.into_iter().take(MOST_TABLES) {
                let Some(blocks) = self.block_table(&name) else {
                    continue;
                };
                if known.count() + blocks.len() > MOST_BLOCKS {
                    break;
                }
                known.add(self.root().join("blobs/sha256").join(&name), &blocks);
            }
            Arc::new(known)
        };
        Arc::clone(self.inner.blocks.get_or_init(read))
    }

    pub(super) fn block_table(&self, name: &str) -> Option<Vec<Block>> {
        let table = self.record(FOLDER, name)?;
        let (blocks, rest) = postcard::take_from_bytes(&table).ok()?;
        rest.is_empty().then_some(blocks)
    }

    /// Gives the bytes that became free.
    pub(super) fn remove_blocks_of(&self, blob: &Path) -> u64 {
        let is_blob = blob.parent() == Some(&self.root().join("blobs/sha256"));
        match blob.file_name() {
            Some(name) if is_blob => remove(&self.root().join(FOLDER).join(name)),
            _ => 0,
        }
    }

    /// Of blobs that were removed by others. Gives the bytes that became free.
    pub(super) fn remove_blocks_without_blob(&self) -> u64 {
        let tables = entries(&self.root().join(FOLDER)).into_iter();
        let blobs = self.root().join("blobs/sha256");
        let is_left = |table: &Path| {
            let name = table.file_name();
            name.is_some_and(|name| !blobs.join(name).exists())
        };
        let left = tables.filter(|table| is_left(&table.path));
        left.map(|table| remove(&table.path)).sum()
    }
}

/// What stays of a table harms nobody.
fn remove(table: &Path) -> u64 {
    let bytes = fs::symlink_metadata(table).map_or(0, |meta| meta.len());
    fs::remove_file(table).map_or(0, |()| bytes)
}
