//! Compressed blocks of layers that were written before: the same plain bytes need not be compressed again.
//!
//! A block is believed for what it was noted to be, so whoever notes blocks answers for them; the bytes are those
//! that were noted, or none, whatever became of the blob.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::cut::MOST;

/// So many are known at once: 32 GiB of plain bytes, 4 MiB of memory.
pub const MOST_BLOCKS: usize = 32 << 10;
/// No block is longer when compressed: what does not get shorter is stored, with little around it.
const LONGEST: usize = MOST + MOST / 8;

/// A block of a layer, in the order of the layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Of the plain bytes and of how they were compressed.
    pub key: [u8; 32],
    /// Of the compressed bytes.
    pub length: u32,
    /// Their blake3.
    pub sum: [u8; 32],
}

/// Where compressed blocks are to be had.
#[derive(Debug, Default)]
pub struct KnownBlocks {
    places: Mutex<HashMap<[u8; 32], Place>>,
}

#[derive(Clone, Debug)]
struct Place {
    blob: Arc<PathBuf>,
    offset: u64,
    length: u32,
    sum: [u8; 32],
}

impl KnownBlocks {
    /// The blocks that a blob consists of. When there are too many, those that were known before are forgotten.
    pub fn add(&self, blob: PathBuf, blocks: &[Block]) {
        let blob = Arc::new(blob);
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() + blocks.len() > MOST_BLOCKS {
            places.clear();
        }
        let mut offset = 0;
        for block in blocks.iter().take(MOST_BLOCKS) {
            let place = Place {
                blob: Arc::clone(&blob),
                offset,
                length: block.length,
                sum: block.sum,
            };
            places.insert(block.key, place);
            offset += u64::from(block.length);
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.len()
    }

    /// Fills `output` with the compressed bytes of a block, if they are still there.
    pub(super) fn read(&self, key: &[u8; 32], output: &mut Vec<u8>) -> Option<Block> {
        let place = {
            let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            places.get(key)?.clone()
        };
        let length = place.length as usize;
        if length > LONGEST {
            return None;
        }
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&*place.blob)
            .ok()?;
        output.clear();
        output.resize(length, 0);
        file.read_exact_at(output, place.offset).ok()?;
        (*blake3::hash(output).as_bytes() == place.sum).then_some(Block {
            key: *key,
            length: place.length,
            sum: place.sum,
        })
    }
}

type Load = Box<dyn Fn() -> Arc<KnownBlocks> + Send + Sync>;

/// The blocks of one layer: those that it can be made of, and those that it was made of.
pub struct LayerBlocks {
    load: Load,
    made: Mutex<Vec<Block>>,
}

impl LayerBlocks {
    /// `load` is called once the layer turns out to have several.
    pub fn new(load: impl Fn() -> Arc<KnownBlocks> + Send + Sync + 'static) -> LayerBlocks {
        LayerBlocks {
            load: Box::new(load),
            made: Mutex::default(),
        }
    }

    /// Of a finished layer; none of one that was too small to be cut.
    pub fn take(&self) -> Vec<Block> {
        std::mem::take(&mut self.made.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn known(&self) -> Arc<KnownBlocks> {
        (self.load)()
    }

    pub(super) fn set(&self, made: Vec<Block>) {
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = made;
    }
}

/// The file that a layer is written to.
pub struct Output {
    pub(super) file: File,
    pub(super) blocks: Option<Arc<LayerBlocks>>,
}

impl Output {
    /// With blocks of earlier layers, where it has the same.
    pub fn reusing(file: File, blocks: Arc<LayerBlocks>) -> Output {
        Output {
            file,
            blocks: Some(blocks),
        }
    }
}

impl From<File> for Output {
    fn from(file: File) -> Output {
        Output { file, blocks: None }
    }
}
