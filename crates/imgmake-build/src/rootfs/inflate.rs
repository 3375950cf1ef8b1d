//! Reads a layer into a tree: one thread inflates, one hashes, one makes files; the diff ID is checked at the end.

use std::io::{self, Read};
use std::sync::mpsc;

use sha2::Digest as _;

use super::arriving::{ArrivingBlob, Blob};
use super::tree::Tree;
use crate::error::{BuildError, Context, Result};
use imgmake_event::{Cancel, Cancelled};
use imgmake_oci::image::Digest;
use imgmake_oci::layer::{Content, EntryKind, IndexEntry, Layer, LayerReader, decompress};
use imgmake_oci::store::Store;

/// Makes files in this thread; checks the diff id. Puts what the layer's index holds into `listed`.
pub(super) fn read_layer(
    store: &Store,
    layer: &Layer,
    blob: &Blob,
    tree: &mut Tree<'_>,
    listed: Option<&mut Vec<IndexEntry>>,
    cancel: &Cancel,
) -> Result<()> {
    if let Blob::Arriving(path) = blob {
        let blob = ArrivingBlob::open(path, layer.descriptor.size, cancel)?;
        return read_unpacking(blob, layer, tree, listed, cancel);
    }
    let blob = cancel.reader(store.raw_blob(layer.digest())?);
    let read = read_unpacking(blob, layer, tree, listed, cancel);
    if cancel.is_cancelled() {
        return read;
    }
    store.blame(layer.digest(), read)
}

fn read_unpacking(
    blob: impl Read + Send,
    layer: &Layer,
    tree: &mut Tree<'_>,
    mut listed: Option<&mut Vec<IndexEntry>>,
    cancel: &Cancel,
) -> Result<()> {
    let (inflated, unhashed) = mpsc::sync_channel::<io::Result<Vec<u8>>>(4);
    let (hashed, receive) = mpsc::sync_channel::<io::Result<Vec<u8>>>(8);
    let (recycle, reuse) = mpsc::sync_channel::<Vec<u8>>(14);
    std::thread::scope(|scope| {
        let inflater = scope.spawn(move || inflate(blob, &inflated, &reuse));
        let hasher = scope.spawn(move || hash(&unhashed, &hashed));
        let stream = Blocks {
            receive,
            recycle,
            block: Vec::new(),
            at: 0,
        };
        let mut reader = LayerReader::new(stream).stopped_by(cancel);
        let mut unpack = || -> Result<()> {
            while let Some(entry) = reader.next_entry()? {
                let action = || format!("cannot make `{}`", entry.display());
                let Some(listed) = &mut listed else {
                    tree.add(&entry, &mut reader).with_context(action)?;
                    continue;
                };
                let mut content = Hashed::new(&mut reader, cancel);
                tree.add(&entry, &mut content).with_context(action)?;
                let content = match entry.kind {
                    EntryKind::File { .. } => Some(content.hash()?),
                    _ => None,
                };
                listed.push(IndexEntry { entry, content });
            }
            tree.finish()
        };
        let unpacked = unpack();
        if unpacked.is_err() {
            // The inflater then finds nobody to send to.
            drop(reader);
            drop(inflater.join());
            return unpacked;
        }
        // What follows the end of the archive still counts for the digest.
        let mut rest = cancel.reader(reader.into_inner());
        io::copy(&mut rest, &mut io::sink())?;
        drop(rest);
        inflater.join().expect("inflating does not panic")?;
        let diff_id = hasher.join().expect("hashing does not panic");
        if diff_id != layer.diff_id {
            return Err(BuildError::mismatch(
                "its content",
                diff_id,
                format!("the image says {}", &layer.diff_id),
            ));
        }
        Ok(())
    })
}

fn inflate(
    blob: impl Read + Send,
    send: &mpsc::SyncSender<io::Result<Vec<u8>>>,
    reuse: &mpsc::Receiver<Vec<u8>>,
) -> Result<()> {
    const BLOCK: usize = 256 << 10;
    let mut plain = match decompress(blob) {
        Ok(plain) => plain,
        Err(error) => {
            let error = BuildError::from(error);
            let copy = match error.is_cancelled() {
                true => Cancelled.into(),
                false => io::Error::other(format!("{error:#}")),
            };
            drop(send.send(Err(copy)));
            return Err(error);
        }
    };
    loop {
        let mut block = reuse.try_recv().unwrap_or_default();
        block.resize(BLOCK, 0);
        let mut filled = 0;
        while filled < BLOCK {
            match plain.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let copy = match Cancelled::ended(&error) {
                        true => Cancelled.into(),
                        false => io::Error::new(error.kind(), error.to_string()),
                    };
                    drop(send.send(Err(error)));
                    return Err(copy.into());
                }
            }
        }
        block.truncate(filled);
        let ended = filled < BLOCK;
        if filled > 0 && send.send(Ok(block)).is_err() {
            return Err(BuildError::internal("unpacking stopped"));
        }
        if ended {
            return Ok(());
        }
    }
}

/// Of all blocks, each of which goes on once it is hashed.
fn hash(
    unhashed: &mpsc::Receiver<io::Result<Vec<u8>>>,
    hashed: &mpsc::SyncSender<io::Result<Vec<u8>>>,
) -> Digest {
    let mut hash = sha2::Sha256::new();
    for block in unhashed {
        if let Ok(block) = &block {
            hash.update(block);
        }
        if hashed.send(block).is_err() {
            break;
        }
    }
    Digest::from_sha256(hash.finalize().into())
}

/// A file's content on its way.
struct Hashed<R> {
    inner: R,
    hash: blake3::Hasher,
    cancel: Cancel,
}

impl<R: Read> Hashed<R> {
    fn new(inner: R, cancel: &Cancel) -> Hashed<R> {
        Hashed {
            inner,
            hash: blake3::Hasher::new(),
            cancel: cancel.clone(),
        }
    }

    /// Of the whole content, whatever of it has been read.
    fn hash(mut self) -> Result<[u8; 32]> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(*self.hash.finalize().as_bytes())
    }
}

impl<R: Content> Content for Hashed<R> {
    /// A hole is as good as its zeros, which the hash is made of.
    fn skip_hole(&mut self) -> io::Result<u64> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        let hole = self.inner.skip_hole()?;
        let mut left = hole;
        while left > 0 {
            self.cancel.check()?;
            let now = left.min(ZEROS.len() as u64);
            self.hash.update(&ZEROS[..now as usize]);
            left -= now;
        }
        Ok(hole)
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

/// What the inflating thread sends, as a stream.
struct Blocks {
    receive: mpsc::Receiver<io::Result<Vec<u8>>>,
    recycle: mpsc::SyncSender<Vec<u8>>,
    block: Vec<u8>,
    at: usize,
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() {
            let Ok(next) = self.receive.recv() else {
                return Ok(0);
            };
            let used = std::mem::replace(&mut self.block, next?);
            drop(self.recycle.try_send(used));
            self.at = 0;
        }
        let length = buffer.len().min(self.block.len() - self.at);
        buffer[..length].copy_from_slice(&self.block[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}
