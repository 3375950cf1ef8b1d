//! Content hashes by stat signature, so that an unchanged file is not read again.
//!
//! An entry is trusted only if the file's ctime precedes the start of its own
//! hashing by more than one file-system tick: a write within the same tick as
//! the hashing would leave the signature as it was.
//!
//! Saved, it is an array of fixed records sorted by device and inode, searched
//! where it lies: loading 24,000 entries decodes none of them. It is loaded when somebody asks
//! for the first hash: where no file has changed, nobody does (see [`super::Sightings`]).

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};

use super::Signature;
use super::signature::now;
use imgmake_event::Cancel;

/// Signature, then hash.
const RECORD: usize = 40 + 32;
/// Entries that no run looked at are dropped once they outnumber the others.
const SPARE: usize = 4096;
/// So many records on each side of the last one are looked at first.
const NEAR: usize = 32;

thread_local! {
    static LAST: Cell<usize> = const { Cell::new(0) };
}

pub struct StatCache {
    saved: LazyLock<Saved, Load>,
    learnt: Mutex<HashMap<(u64, u64), [u8; RECORD]>>,
}

type Load = Box<dyn FnOnce() -> Saved + Send>;

/// What was known before.
struct Saved {
    records: Vec<u8>,
    /// Device and inode of each record: what a search touches stays small.
    places: Vec<(u64, u64)>,
    /// One bit for each record that was used.
    used: Vec<AtomicU64>,
}

impl Default for StatCache {
    fn default() -> StatCache {
        StatCache::new()
    }
}

impl StatCache {
    /// With nothing in it.
    pub fn new() -> StatCache {
        StatCache::of(Vec::new())
    }

    /// What [`StatCache::records_with`] gave; `None` when it cannot be that.
    pub fn from_records(records: Vec<u8>) -> Option<StatCache> {
        let is_whole = records.len().is_multiple_of(RECORD);
        is_whole.then(|| StatCache::of(records))
    }

    /// With the records that are loaded when the first of them is asked for. What cannot be such
    /// records is none.
    pub fn loaded_when_needed(load: impl FnOnce() -> Vec<u8> + Send + 'static) -> StatCache {
        let load = move || {
            let records = load();
            let is_whole = records.len().is_multiple_of(RECORD);
            Saved::of(if is_whole { records } else { Vec::new() })
        };
        StatCache {
            saved: LazyLock::new(Box::new(load)),
            learnt: Mutex::default(),
        }
    }

    fn of(records: Vec<u8>) -> StatCache {
        StatCache::loaded_when_needed(|| records)
    }

    /// blake3 of a regular file's bytes; `open` is asked for it only if it is not known.
    ///
    /// # Errors
    /// The file cannot be read, or somebody cancelled.
    pub fn hash_file(
        &self,
        signature: &Signature,
        open: impl FnOnce() -> io::Result<File>,
        cancel: &Cancel,
    ) -> io::Result<[u8; 32]> {
        cancel.check()?;
        if let Some(hash) = self.known(signature) {
            return Ok(hash);
        }
        let started = now();
        let mut file = open()?;
        let hash = hash_bytes(&mut file, signature.size, cancel)?;
        let after = Signature::of(&file.metadata()?);
        after.has_content()?;
        // What moved while it was read is hashed again by whoever asks next.
        if after == *signature && signature.would_move_after(started) {
            self.learn(signature, &hash);
        }
        Ok(hash)
    }

    /// Takes somebody's word for the hash of a file that nobody else writes; `false` if the file is so young that a
    /// write could leave the signature as it is.
    pub fn believe(&self, signature: &Signature, hash: &[u8; 32]) -> bool {
        let is_old_enough = signature.would_move_after(now());
        if is_old_enough {
            self.learn(signature, hash);
        }
        is_old_enough
    }

    fn learn(&self, signature: &Signature, hash: &[u8; 32]) {
        let mut record = [0; RECORD];
        record[..40].copy_from_slice(&signature.bytes());
        record[40..].copy_from_slice(hash);
        let place = (signature.device, signature.inode);
        self.learnt().insert(place, record);
    }

    /// The hash of a file that was hashed before and has not moved since.
    pub fn known(&self, signature: &Signature) -> Option<[u8; 32]> {
        let wanted = signature.bytes();
        let place = (signature.device, signature.inode);
        if let Some(at) = self.saved.position(place) {
            let record = self.saved.record(at);
            if record[..40] == wanted {
                self.saved.use_it(at);
                return Some(record[40..].try_into().expect("a hash is 32 bytes"));
            }
        }
        let learnt = self.learnt();
        let record = learnt.get(&place).filter(|r| r[..40] == wanted)?;
        Some(record[40..].try_into().expect("a hash is 32 bytes"))
    }

    /// Whether there is more to be saved than was known.
    pub fn has_learnt(&self) -> bool {
        !self.learnt().is_empty()
    }

    /// What was known and what was learnt, to be saved, and what others have saved meanwhile.
    pub fn records_with(&self, others: &StatCache) -> Vec<u8> {
        let learnt = self.learnt();
        let mut records: Vec<&[u8]> = learnt.values().map(<[u8; RECORD]>::as_slice).collect();
        let saved = &self.saved;
        let old = (0..saved.places.len()).filter(|at| !learnt.contains_key(&saved.places[*at]));
        let (used, unused): (Vec<usize>, Vec<usize>) = old.partition(|at| saved.was_used(*at));
        records.extend(used.iter().map(|at| saved.record(*at)));
        if unused.len() <= records.len() + SPARE {
            records.extend(unused.iter().map(|at| saved.record(*at)));
        }
        let is_new = |record: &&[u8]| {
            let place = place_of(record);
            !learnt.contains_key(&place) && saved.position(place).is_none()
        };
        records.extend(others.saved.records.chunks_exact(RECORD).filter(is_new));
        records.sort_by_key(|record| place_of(record));
        records.concat()
    }

    fn learnt(&self) -> std::sync::MutexGuard<'_, HashMap<(u64, u64), [u8; RECORD]>> {
        self.learnt.lock().expect("no thread panics while learning")
    }
}

impl Saved {
    fn of(records: Vec<u8>) -> Saved {
        let words = (records.len() / RECORD).div_ceil(64);
        Saved {
            places: records.chunks_exact(RECORD).map(place_of).collect(),
            records,
            used: (0..words).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// First near the one that this thread found before: files of a directory mostly got their inodes in a row.
    fn position(&self, place: (u64, u64)) -> Option<usize> {
        let last = LAST.get().min(self.places.len());
        let near = last.saturating_sub(NEAR)..(last + NEAR).min(self.places.len());
        let is_near = match &self.places[near.clone()] {
            [first, .., last] => (first..=last).contains(&&place),
            _ => false,
        };
        let range = if is_near { near } else { 0..self.places.len() };
        let start = range.start;
        let at = start + self.places[range].binary_search(&place).ok()?;
        LAST.set(at);
        Some(at)
    }

    fn record(&self, at: usize) -> &[u8] {
        &self.records[at * RECORD..(at + 1) * RECORD]
    }

    fn use_it(&self, at: usize) {
        if !self.was_used(at) {
            self.used[at / 64].fetch_or(1 << (at % 64), Ordering::Relaxed);
        }
    }

    fn was_used(&self, at: usize) -> bool {
        self.used[at / 64].load(Ordering::Relaxed) & (1 << (at % 64)) != 0
    }
}

fn place_of(record: &[u8]) -> (u64, u64) {
    let number = |at: usize| u64::from_le_bytes(record[at..at + 8].try_into().expect("8 bytes"));
    (number(0), number(8))
}

/// By reads: mapped pages would count as memory of this process.
fn hash_bytes(file: &mut File, size: u64, cancel: &Cancel) -> io::Result<[u8; 32]> {
    const SMALL: u64 = 4 << 20;
    let mut hasher = blake3::Hasher::new();
    let length = if size < SMALL {
        size.clamp(1 << 10, 128 << 10)
    } else {
        2 << 20
    };
    let mut buffer = vec![0; length as usize];
    loop {
        cancel.check()?;
        let count = fill(file, &mut buffer)?;
        if count == 0 {
            return Ok(*hasher.finalize().as_bytes());
        }
        if size < SMALL {
            hasher.update(&buffer[..count]);
        } else {
            hasher.update_rayon(&buffer[..count]);
        }
    }
}

fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
