//! Block-parallel compression: plain bytes in blocks of 1 MiB, each a gzip member
//! or zstd frame of its own, compressed on rayon's pool and written in order. So
//! the bytes depend on the input and the level, never on the number of threads.
//! In gzip, what is incompressible within a block is stored, in a member of its own; zstd sees it by itself.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::Write as _;

use crate::error::{Context, OciError, Result};
// Not the standard library's: every compressing thread takes blocks from one queue.
use crossbeam_channel::{Receiver, Sender, unbounded};
use sha2::{Digest as _, Sha256};

use super::incompressible;
use crate::image::{Digest, media_type};

pub(super) const BLOCK: usize = 1 << 20;
/// Each holds a plain and a compressed block: 16 MiB at most.
const MOST_IN_FLIGHT: usize = 8;

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

    fn check(self) -> Result<()> {
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

/// What has left the compressor.
pub(super) struct Compressed {
    /// `None` if nothing was compressed: then it is the diff id.
    pub digest: Option<Digest>,
    pub size: u64,
}

/// Takes blocks, writes a compressed file.
pub(super) struct Compressor {
    compression: Compression,
    out: HashedFile,
    results: (Sender<Done>, Receiver<Done>),
    /// Handed in, not yet written.
    in_flight: usize,
    next_in: u64,
    next_out: u64,
    early: BTreeMap<u64, Vec<u8>>,
    spare_blocks: Vec<Vec<u8>>,
    spare_outputs: Vec<Vec<u8>>,
}

struct Done {
    number: u64,
    block: Vec<u8>,
    output: Result<Vec<u8>>,
}

impl Compressor {
    pub fn new(out: File, compression: Compression) -> Result<Compressor> {
        compression.check()?;
        Ok(Compressor {
            compression,
            out: HashedFile {
                file: out,
                hash: (compression != Compression::None).then(Sha256::new),
                size: 0,
            },
            results: unbounded(),
            in_flight: 0,
            next_in: 0,
            next_out: 0,
            early: BTreeMap::new(),
            spare_blocks: Vec::new(),
            spare_outputs: Vec::new(),
        })
    }

    /// Takes the first `filled` bytes of a block; gives one to fill next, of [`BLOCK`] bytes.
    pub fn submit(&mut self, block: Vec<u8>, filled: usize) -> Result<Vec<u8>> {
        if self.compression == Compression::None {
            self.out.write(&block[..filled])?;
            return Ok(block);
        }
        // A pool thread must not wait for the pool; nor is a lone last block worth a thread.
        if rayon::current_thread_index().is_some() || (self.in_flight == 0 && filled < BLOCK) {
            let mut output = self.spare_outputs.pop().unwrap_or_default();
            compress_block(self.compression, &block[..filled], &mut output)?;
            self.out.write(&output)?;
            self.spare_outputs.push(output);
            return Ok(block);
        }
        self.spawn(block, filled);
        let most = (rayon::current_num_threads() + 2).min(MOST_IN_FLIGHT);
        self.write_finished(most)?;
        Ok(self.spare_blocks.pop().unwrap_or_else(new_block))
    }

    pub fn finish(mut self) -> Result<Compressed> {
        self.write_finished(1)?;
        if self.out.size == 0 {
            // Never reached by a tar, which ends in zeros; an empty file is no gzip.
            self.submit(new_block(), 0)?;
        }
        self.out.file.flush().context("cannot write the layer")?;
        Ok(Compressed {
            digest: self
                .out
                .hash
                .map(|hash| Digest::from_sha256(hash.finalize().into())),
            size: self.out.size,
        })
    }

    fn spawn(&mut self, block: Vec<u8>, filled: usize) {
        let (number, compression) = (self.next_in, self.compression);
        let mut buffer = self.spare_outputs.pop().unwrap_or_default();
        let sender = self.results.0.clone();
        self.next_in += 1;
        self.in_flight += 1;
        rayon::spawn(move || {
            let result = compress_block(compression, &block[..filled], &mut buffer);
            // Nobody listens when the writer was given up.
            let _ = sender.send(Done {
                number,
                block,
                output: result.map(|()| buffer),
            });
        });
    }

    /// Writes what is ready; waits until fewer than `most` are in flight.
    fn write_finished(&mut self, most: usize) -> Result<()> {
        loop {
            let done = if self.in_flight >= most {
                self.results.1.recv().expect("a sender is kept here")
            } else if let Ok(done) = self.results.1.try_recv() {
                done
            } else {
                return Ok(());
            };
            self.spare_blocks.push(done.block);
            self.early.insert(done.number, done.output?);
            while let Some(output) = self.early.remove(&self.next_out) {
                self.out.write(&output)?;
                self.spare_outputs.push(output);
                self.next_out += 1;
                self.in_flight -= 1;
            }
        }
    }
}

pub(super) fn new_block() -> Vec<u8> {
    vec![0; BLOCK]
}

struct HashedFile {
    file: File,
    hash: Option<Sha256>,
    size: u64,
}

impl HashedFile {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        self.size += bytes.len() as u64;
        self.file.write_all(bytes).context("cannot write the layer")
    }
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
