//! Files of a context are opened, and small ones read, by a thread of their own, while the layer is written of those
//! before them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::contents::Contents;
use super::entries::{Content, Plan};
use crate::error::{Context, Result};
use crate::files::context::ContextTree;
use crate::files::tree::show;
use imgmake_oci::layer::EntryKind;

/// Fewer files are not worth a thread.
const FEW: usize = 32;
/// Longer files are opened only.
const SMALL: u64 = 256 << 10;
/// Files and bytes that are handed over at once, and so many batches wait: 4 MiB.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 512 << 10;
const BATCHES: usize = 4;

/// Files of a context, in the order in which the layer of a plan takes them.
pub struct ReadAhead {
    tree: Arc<ContextTree>,
    batches: Option<Receiver<Batch>>,
    now: Batch,
}

#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    files: VecDeque<Ahead>,
}

struct Ahead {
    path: Vec<u8>,
    found: io::Result<Found>,
}

enum Found {
    /// Where it lies among the bytes.
    Bytes(std::ops::Range<usize>),
    Opened(File),
}

impl ReadAhead {
    /// Begins to read.
    pub fn new(tree: Arc<ContextTree>, plan: &Plan) -> ReadAhead {
        let wanted: Vec<(Vec<u8>, u64)> = plan
            .entries
            .values()
            .filter_map(|planned| match (&planned.content, &planned.entry.kind) {
                (Content::Source(path), EntryKind::File { size }) => Some((path.clone(), *size)),
                _ => None,
            })
            .collect();
        let (full, batches) = sync_channel(BATCHES);
        let is_worth_it = wanted.len() >= FEW && rayon::current_num_threads() > 1;
        let reader = Reader {
            tree: Arc::clone(&tree),
            full,
            batch: Batch::default(),
        };
        let thread = std::thread::Builder::new().name("read-ahead".into());
        // Without it files are read when they are asked for.
        let is_begun = is_worth_it && thread.spawn(move || reader.run(wanted)).is_ok();
        ReadAhead {
            tree,
            batches: is_begun.then_some(batches),
            now: Batch::default(),
        }
    }

    /// What was read ahead of a file, if it is the next one.
    fn next(&mut self, source: &[u8]) -> Option<io::Result<Found>> {
        if self.now.files.is_empty()
            && let Some(batches) = &self.batches
        {
            match batches.recv() {
                Ok(batch) => self.now = batch,
                Err(_) => self.batches = None,
            }
        }
        let is_next = self
            .now
            .files
            .front()
            .is_some_and(|next| next.path == source);
        let next = is_next.then(|| self.now.files.pop_front()).flatten();
        next.map(|next| next.found)
    }
}

impl Contents for ReadAhead {
    fn open(&mut self, source: &[u8]) -> Result<Box<dyn Read + Send + '_>> {
        let found = match self.next(source) {
            Some(found) => found,
            None => self.tree.open_file(source).map(Found::Opened),
        };
        match found.with_context(|| format!("cannot read `{}`", show(source)))? {
            Found::Opened(file) => Ok(Box::new(file)),
            Found::Bytes(range) => Ok(Box::new(&self.now.bytes[range])),
        }
    }
}

struct Reader {
    tree: Arc<ContextTree>,
    full: SyncSender<Batch>,
    batch: Batch,
}

impl Reader {
    /// To the end, or until nobody wants more.
    fn run(mut self, wanted: Vec<(Vec<u8>, u64)>) {
        for (path, size) in wanted {
            let found = self.read(&path, size);
            self.batch.files.push_back(Ahead { path, found });
            let is_full = size > SMALL
                || self.batch.files.len() >= BATCH
                || self.batch.bytes.len() >= BATCH_BYTES;
            if is_full && self.full.send(std::mem::take(&mut self.batch)).is_err() {
                return;
            }
        }
        let _ = self.full.send(self.batch);
    }

    /// As many bytes as are expected and one more: then it is not what was planned, which the writer says.
    fn read(&mut self, path: &[u8], size: u64) -> io::Result<Found> {
        let file = self.tree.open_file(path)?;
        if size > SMALL {
            return Ok(Found::Opened(file));
        }
        let start = self.batch.bytes.len();
        file.take(size + 1).read_to_end(&mut self.batch.bytes)?;
        Ok(Found::Bytes(start..self.batch.bytes.len()))
    }
}
