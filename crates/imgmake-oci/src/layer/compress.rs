//! A block of plain bytes, compressed: gzip members or a zstd frame of its own, which depend on these bytes and the
//! level alone, never on what stands before them or on the number of threads.
//! In gzip, what is incompressible within a block is stored, in a member of its own; zstd sees it by itself.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use super::blocks::{Block, KnownBlocks};
use super::incompressible;
use crate::error::{Context, OciError, Result};
use crate::image::media_type;

/// Raised when a block is compressed differently.
const BLOCKS_FORM: u8 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Compression {
    None,
    /// 0 to 12, as libdeflate counts.
    Gzip {
        level: u8,
    },
    /// -7 to 22.
    Zstd {
        level: i8,
    },
}

impl Compression {
    /// OCI's media type of a layer so compressed.
    pub fn media_type(self) -> &'static str {
        match self {
            Compression::None => media_type::OCI_LAYER,
            Compression::Gzip { .. } => media_type::OCI_LAYER_GZIP,
            Compression::Zstd { .. } => media_type::OCI_LAYER_ZSTD,
        }
    }

    /// # Errors
    /// A level that does not exist.
    pub(super) fn check(self) -> Result<()> {
        match self {
            Compression::Gzip { level: 13.. } => Err(bad_level("gzip", self, "0 to 12")),
            Compression::Zstd { level: ..-7 | 23.. } => Err(bad_level("zstd", self, "-7 to 22")),
            _ => Ok(()),
        }
    }
}

fn bad_level(name: &str, compression: Compression, levels: &str) -> OciError {
    let level = match compression {
        Compression::None => 0,
        Compression::Gzip { level } => i32::from(level),
        Compression::Zstd { level } => i32::from(level),
    };
    OciError::invalid(
        format!("{name} level {level}"),
        format!("expected {levels}"),
    )
}

/// Turns blocks into what stands for them in a layer.
pub(super) struct Encoder {
    pub compression: Compression,
    /// `None`: blocks of other layers are not looked at, and these are not noted.
    reuse: Option<Reuse>,
}

struct Reuse {
    key: [u8; 32],
    known: Arc<KnownBlocks>,
}

impl Encoder {
    pub fn new(compression: Compression) -> Encoder {
        Encoder {
            compression,
            reuse: None,
        }
    }

    pub fn reusing(compression: Compression, known: Arc<KnownBlocks>) -> Result<Encoder> {
        let reuse = Reuse {
            key: key_of(compression)?,
            known,
        };
        Ok(Encoder {
            compression,
            reuse: Some(reuse),
        })
    }

    /// Replaces `output` with the compressed block: as it was compressed before, or now.
    pub fn encode(&self, block: &[u8], output: &mut Vec<u8>) -> Result<Option<Block>> {
        let Some(reuse) = &self.reuse else {
            compress_block(self.compression, block, output)?;
            return Ok(None);
        };
        let key = *blake3::keyed_hash(&reuse.key, block).as_bytes();
        if let Some(block) = reuse.known.read(&key, output) {
            return Ok(Some(block));
        }
        compress_block(self.compression, block, output)?;
        let too_long = || OciError::limit("a compressed block", "4 GiB");
        Ok(Some(Block {
            key,
            length: u32::try_from(output.len()).map_err(|_| too_long())?,
            sum: *blake3::hash(output).as_bytes(),
        }))
    }
}

/// Under this key plain bytes are hashed: another level, or an imgmake that compresses otherwise, finds nothing.
/// How this one compresses is told by a sample.
fn key_of(compression: Compression) -> Result<[u8; 32]> {
    static KEYS: Mutex<BTreeMap<(u8, i8), [u8; 32]>> = Mutex::new(BTreeMap::new());
    let named = match compression {
        Compression::None => (0, 0),
        Compression::Gzip { level } => (1, level.cast_signed()),
        Compression::Zstd { level } => (2, level),
    };
    let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(key) = keys.get(&named) {
        return Ok(*key);
    }
    let mut output = Vec::new();
    compress_block(compression, &sample(), &mut output)?;
    let mut hash = blake3::Hasher::new_derive_key("imgmake 2026-12-01 compressed blocks");
    hash.update(&[BLOCKS_FORM, named.0, named.1.cast_unsigned()]);
    hash.update(&zstd::zstd_safe::version_number().to_le_bytes());
    hash.update(&output);
    let key = *hash.finalize().as_bytes();
    keys.insert(named, key);
    Ok(key)
}

/// Words, numbers and noise.
fn sample() -> Vec<u8> {
    let mut sample = Vec::new();
    let mut noise = blake3::Hasher::new().finalize_xof();
    let mut eight = [0; 8];
    for number in 0_u32..6_000 {
        noise.fill(&mut eight);
        let word = &b"the quick brown fox jumps over"[usize::from(eight[0] % 24)..][..6];
        sample.extend_from_slice(word);
        sample.extend_from_slice((number * u32::from(eight[1])).to_string().as_bytes());
    }
    let words = sample.len().next_multiple_of(incompressible::PIECE);
    sample.resize(words + incompressible::PIECE, 0);
    noise.fill(&mut sample[words..]);
    sample
}

thread_local! {
    /// Kept between blocks: making one takes longer than a small block.
    static GZIP: RefCell<BTreeMap<u8, libdeflater::Compressor>> = const { RefCell::new(BTreeMap::new()) };
    static ZSTD: RefCell<Option<(i8, zstd::bulk::Compressor<'static>)>> = const { RefCell::new(None) };
}

/// Replaces `output` with the compressed block.
fn compress_block(compression: Compression, block: &[u8], output: &mut Vec<u8>) -> Result<()> {
    match compression {
        Compression::None => {
            output.clear();
            output.extend_from_slice(block);
            Ok(())
        }
        Compression::Gzip { level } => gzip_block(level, block, output),
        Compression::Zstd { level } => zstd_block(level, block, output),
    }
}

fn gzip_block(level: u8, block: &[u8], output: &mut Vec<u8>) -> Result<()> {
    output.clear();
    if level == 0 {
        return gzip_member(0, block, output);
    }
    for (range, as_it_is) in incompressible::runs(block) {
        gzip_member(if as_it_is { 0 } else { level }, &block[range], output)?;
    }
    match output.is_empty() {
        true => gzip_member(level, block, output),
        false => Ok(()),
    }
}

fn gzip_member(level: u8, bytes: &[u8], output: &mut Vec<u8>) -> Result<()> {
    GZIP.with_borrow_mut(|made| {
        let compressor = match made.entry(level) {
            Entry::Occupied(made) => made.into_mut(),
            Entry::Vacant(place) => {
                let level = libdeflater::CompressionLvl::new(i32::from(level))
                    .map_err(|_| bad_level("gzip", Compression::Gzip { level }, "0 to 12"))?;
                place.insert(libdeflater::Compressor::new(level))
            }
        };
        let start = output.len();
        output.resize(start + compressor.gzip_compress_bound(bytes.len()), 0);
        let written = compressor
            .gzip_compress(bytes, &mut output[start..])
            .map_err(|error| std::io::Error::other(error.to_string()))
            .context("cannot compress a block")?;
        output.truncate(start + written);
        Ok(())
    })
}

fn zstd_block(level: i8, block: &[u8], output: &mut Vec<u8>) -> Result<()> {
    ZSTD.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|(l, _)| *l != level) {
            *slot = Some((level, zstd::bulk::Compressor::new(i32::from(level))?));
        }
        let (_, compressor) = slot.as_mut().expect("just filled");
        output.clear();
        output.reserve(zstd::zstd_safe::compress_bound(block.len()));
        compressor
            .compress_to_buffer(block, output)
            .context("cannot compress a block")?;
        Ok(())
    })
}
