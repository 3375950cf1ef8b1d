//! Blocks become a file: plain bytes → diff id, compressed, digested and written in their order.
//!
//! A layer of several blocks is made by several threads at once: one makes the diff id, rayon's pool compresses,
//! one makes the digest and writes. What comes out does not depend on it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

// Not the standard library's: every compressing thread takes blocks from one queue.
use crossbeam_channel::{Receiver, Sender, unbounded};
use sha2::{Digest as _, Sha256};

use super::blocks::{Block, LayerBlocks, Output};
use super::compress::{Compression, Encoder};
use super::cut::MOST;
use super::record::Layer;
use crate::error::{Context, OciError, Result};
use crate::image::{Descriptor, Digest};

/// Plain blocks at once, each with a compressed one: 30 MiB at most.
const MOST_BLOCKS: usize = 10;

/// Takes blocks, gives a layer.
pub(super) struct Assembly {
    compression: Compression,
    blocks: Option<Arc<LayerBlocks>>,
    work: Work,
    spare: Option<Vec<u8>>,
}

/// Who does it.
enum Work {
    /// The caller: before there is more than one block, or on a thread of the pool, which must not wait for it.
    Here(Box<Here>),
    Threads(Threads),
    /// A thread has failed, and said so.
    Failed,
}

impl Assembly {
    pub fn new(out: Output, compression: Compression) -> Result<Assembly> {
        compression.check()?;
        Ok(Assembly {
            compression,
            blocks: out.blocks,
            work: Work::Here(Box::new(Here {
                diff_id: Sha256::new(),
                out: HashedFile::new(out.file, compression),
                encoder: Encoder::new(compression),
                output: Vec::new(),
                made: Vec::new(),
            })),
            spare: None,
        })
    }

    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// A block to fill, of [`MOST`] bytes.
    pub fn spare(&mut self) -> Result<Vec<u8>> {
        if let Some(spare) = self.spare.take() {
            return Ok(spare);
        }
        match &mut self.work {
            Work::Threads(threads) => match threads.spare() {
                Some(block) => Ok(block),
                None => Err(self.failure()),
            },
            _ => Ok(new_block()),
        }
    }

    /// Takes the first `filled` bytes of a block. All but the last are as long as [`block_length`](super::cut::block_length) says.
    pub fn submit(&mut self, block: Vec<u8>, filled: usize) -> Result<()> {
        self.begin_threads(filled)?;
        match &mut self.work {
            Work::Here(here) => {
                here.add(&block[..filled])?;
                self.spare = Some(block);
                Ok(())
            }
            Work::Threads(threads) => match threads.submit(block, filled) {
                true => Ok(()),
                false => Err(self.failure()),
            },
            Work::Failed => Err(failed_before()),
        }
    }

    pub fn finish(mut self) -> Result<Layer> {
        let finished = match std::mem::replace(&mut self.work, Work::Failed) {
            Work::Here(here) => here.finish()?,
            Work::Threads(threads) => threads.finish()?,
            Work::Failed => return Err(failed_before()),
        };
        let diff_id = Digest::from_sha256(finished.diff_id);
        let digest = finished.written.digest.unwrap_or_else(|| diff_id.clone());
        let media_type = self.compression.media_type();
        let descriptor = Descriptor::new(media_type, digest, finished.written.size);
        if let Some(blocks) = &self.blocks {
            blocks.set(finished.written.made);
        }
        Ok(Layer::new(diff_id, descriptor))
    }

    /// At the first of several blocks; a lone one is not worth them.
    fn begin_threads(&mut self, filled: usize) -> Result<()> {
        let Work::Here(here) = &mut self.work else {
            return Ok(());
        };
        let is_begun = here.out.size > 0;
        let is_lone = filled < MOST / 2;
        if is_begun || is_lone {
            return Ok(());
        }
        if let Some(blocks) = &self.blocks
            && self.compression != Compression::None
        {
            here.encoder = Encoder::reusing(self.compression, blocks.known())?;
        }
        if rayon::current_thread_index().is_some() {
            return Ok(());
        }
        match std::mem::replace(&mut self.work, Work::Failed) {
            Work::Here(here) => self.work = Work::Threads(Threads::begin(*here)?),
            other => self.work = other,
        }
        Ok(())
    }

    /// Of the thread that is gone.
    fn failure(&mut self) -> OciError {
        match std::mem::replace(&mut self.work, Work::Failed) {
            Work::Threads(threads) => match threads.finish() {
                Err(error) => error,
                Ok(_) => failed_before(),
            },
            _ => failed_before(),
        }
    }
}

fn failed_before() -> OciError {
    OciError::conflict("the layer is lost: a block of it could not be written", "")
}

fn new_block() -> Vec<u8> {
    vec![0; MOST]
}

struct Finished {
    diff_id: [u8; 32],
    written: Written,
}

/// Everything on one thread.
struct Here {
    diff_id: Sha256,
    out: HashedFile,
    encoder: Encoder,
    output: Vec<u8>,
    made: Vec<Block>,
}

impl Here {
    fn add(&mut self, block: &[u8]) -> Result<()> {
        self.diff_id.update(block);
        if self.encoder.compression == Compression::None {
            return self.out.write(block);
        }
        self.made
            .extend(self.encoder.encode(block, &mut self.output)?);
        self.out.write(&self.output)
    }

    fn finish(mut self) -> Result<Finished> {
        if self.out.size == 0 {
            // Never reached by a tar, which ends in zeros; an empty file is no gzip.
            self.add(&[])?;
        }
        Ok(Finished {
            diff_id: self.diff_id.finalize().into(),
            written: self.out.finish(self.made)?,
        })
    }
}

/// What became of the blocks: the file, and the blocks in it.
struct Written {
    /// `None` if nothing was compressed: then it is the diff id.
    digest: Option<Digest>,
    size: u64,
    made: Vec<Block>,
}

/// A plain block on its way.
struct Plain {
    number: u64,
    block: Vec<u8>,
    filled: usize,
}

struct Encoded {
    plain: Plain,
    /// `None`: it is written as it is.
    output: Result<Option<(Vec<u8>, Option<Block>)>>,
}

struct Threads {
    /// Until all is handed in.
    plain: Option<Sender<Plain>>,
    spare: Receiver<Vec<u8>>,
    /// Blocks that there are by now, and that there may be.
    blocks: usize,
    most: usize,
    next: u64,
    hashing: Option<JoinHandle<[u8; 32]>>,
    writing: Option<JoinHandle<Result<Written>>>,
}

/// Nothing is written any more once a layer is given up.
impl Drop for Threads {
    fn drop(&mut self) {
        drop(self.plain.take());
        drop(self.hashing.take().map(JoinHandle::join));
        drop(self.writing.take().map(JoinHandle::join));
    }
}

impl Threads {
    fn begin(here: Here) -> Result<Threads> {
        let Here {
            diff_id,
            out,
            encoder,
            ..
        } = here;
        let (plain, to_hash) = unbounded();
        let (encoded, to_write) = unbounded();
        let (spare, to_fill) = unbounded();
        let outputs = Arc::new(Mutex::new(Vec::new()));
        let pool = Pool {
            encoder: Arc::new(encoder),
            outputs: Arc::clone(&outputs),
            encoded,
        };
        let writing = Writing {
            out,
            to_write,
            spare,
            outputs,
        };
        Ok(Threads {
            plain: Some(plain),
            spare: to_fill,
            // The caller's, twice: one that is handed in and the next.
            blocks: 2,
            most: (rayon::current_num_threads() + 4).min(MOST_BLOCKS),
            next: 0,
            hashing: Some(thread("diff-id", move || hash(diff_id, &to_hash, &pool))?),
            writing: Some(thread("layer", move || writing.run())?),
        })
    }

    /// `None` when nobody gives any back.
    fn spare(&mut self) -> Option<Vec<u8>> {
        if let Ok(block) = self.spare.try_recv() {
            return Some(block);
        }
        if self.blocks < self.most {
            self.blocks += 1;
            return Some(new_block());
        }
        self.spare.recv().ok()
    }

    /// `false` when nobody takes it.
    fn submit(&mut self, block: Vec<u8>, filled: usize) -> bool {
        let number = self.next;
        self.next += 1;
        let plain = Plain {
            number,
            block,
            filled,
        };
        let to = self.plain.as_ref();
        to.is_some_and(|to| to.send(plain).is_ok())
    }

    fn finish(mut self) -> Result<Finished> {
        drop(self.plain.take());
        let diff_id = joined(self.hashing.take());
        let written = joined(self.writing.take())?;
        Ok(Finished { diff_id, written })
    }
}

fn thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    let builder = std::thread::Builder::new().name(name.to_string());
    builder.spawn(work).context("cannot start a thread")
}

fn joined<T>(thread: Option<JoinHandle<T>>) -> T {
    match thread.expect("a thread is joined once").join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// The diff id of all that comes, which is handed on.
fn hash(mut diff_id: Sha256, blocks: &Receiver<Plain>, pool: &Pool) -> [u8; 32] {
    for plain in blocks {
        diff_id.update(&plain.block[..plain.filled]);
        pool.take(plain);
    }
    diff_id.finalize().into()
}

/// The threads that compress.
struct Pool {
    encoder: Arc<Encoder>,
    outputs: Arc<Mutex<Vec<Vec<u8>>>>,
    encoded: Sender<Encoded>,
}

impl Pool {
    fn take(&self, plain: Plain) {
        let encoded = self.encoded.clone();
        if self.encoder.compression == Compression::None {
            // Nobody listens when the writing has failed.
            let _ = encoded.send(Encoded {
                plain,
                output: Ok(None),
            });
            return;
        }
        let encoder = Arc::clone(&self.encoder);
        let mut outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut output = outputs.pop().unwrap_or_default();
        drop(outputs);
        rayon::spawn(move || {
            let block = encoder.encode(&plain.block[..plain.filled], &mut output);
            let _ = encoded.send(Encoded {
                plain,
                output: block.map(|block| Some((output, block))),
            });
        });
    }
}

struct Writing {
    out: HashedFile,
    to_write: Receiver<Encoded>,
    spare: Sender<Vec<u8>>,
    outputs: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Writing {
    fn run(mut self) -> Result<Written> {
        let mut early = BTreeMap::new();
        let mut made = Vec::new();
        let mut next = 0;
        while let Ok(encoded) = self.to_write.recv() {
            early.insert(encoded.plain.number, encoded);
            while let Some(Encoded { plain, output }) = early.remove(&next) {
                match output? {
                    None => self.out.write(&plain.block[..plain.filled])?,
                    Some((output, block)) => {
                        self.out.write(&output)?;
                        made.extend(block);
                        let mut outputs =
                            self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
                        outputs.push(output);
                    }
                }
                // Nobody listens when all is handed in.
                let _ = self.spare.send(plain.block);
                next += 1;
            }
        }
        match early.is_empty() {
            true => self.out.finish(made),
            false => Err(failed_before()),
        }
    }
}

struct HashedFile {
    file: File,
    hash: Option<Sha256>,
    size: u64,
}

impl HashedFile {
    fn new(file: File, compression: Compression) -> HashedFile {
        HashedFile {
            file,
            hash: (compression != Compression::None).then(Sha256::new),
            size: 0,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        self.size += bytes.len() as u64;
        self.file.write_all(bytes).context("cannot write the layer")
    }

    fn finish(mut self, made: Vec<Block>) -> Result<Written> {
        self.file.flush().context("cannot write the layer")?;
        let digest = self
            .hash
            .map(|hash| Digest::from_sha256(hash.finalize().into()));
        Ok(Written {
            digest,
            size: self.size,
            made,
        })
    }
}
