//! Hashes of many files by name, each with its [`Evidence`], so that unchanged files cost one look each.
//!
//! Unlike the memory of hashes of single files it also knows which files there were. It is believed where a
//! directory's times move with its names, on a file system of this machine whose clock is known:
//!
//! - what changed up to a tick before anybody looked is not evidence: it may have changed once more in that tick.
//!   When somebody looked is the earlier of this machine's time and that of a file made when the run began, by
//!   the clock that stamps the project's files;
//! - times that can be set (mtime) count, and so does the one that cannot (ctime), with device and inode: files
//!   that were copied, restored or exchanged are other files.
//!
//! Saved, it is a list of records, sorted by name and read where they lie.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use rustix::fs::{Mode, OFlags};

use super::evidence::{Evidence, holds, mentions};
use super::signature::now;
use imgmake_event::Cancel;

/// What files count and how they are hashed is a matter of the program: another version's records say nothing.
const WRITER: &[u8] = concat!("imgmake ", env!("CARGO_PKG_VERSION"), "\n").as_bytes();
/// Records that no run used are dropped once they outnumber the others by so many.
const SPARE: usize = 4096;
const HASHES: usize = 64;

/// Where and when evidence is gathered.
#[derive(Debug)]
struct Ground {
    /// Of the project: paths start there.
    directory: OwnedFd,
    device: u64,
    /// When the run began, by the clock of the project's files.
    begun: i64,
}

#[derive(Default)]
pub struct Sightings {
    records: Vec<u8>,
    /// Where each record begins, in the order of their names.
    places: Vec<u32>,
    used: Vec<AtomicBool>,
    learnt: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
    ground: Option<Ground>,
    /// Names that somebody knows to have moved.
    moved: BTreeSet<Vec<u8>>,
}

impl Sightings {
    /// What [`Sightings::records_with`] gave; `None` when it cannot be that.
    /// Those of another version are none.
    pub fn from_records(records: Vec<u8>) -> Option<Sightings> {
        if !records.starts_with(WRITER) {
            let is_of_another = records.starts_with(b"imgmake ");
            return is_of_another.then(Sightings::default);
        }
        let mut places = Vec::new();
        let mut before: Option<&[u8]> = None;
        let mut at = WRITER.len();
        while at < records.len() {
            let record = Record::at(&records, at)?;
            if before.is_some_and(|before| before >= record.name) {
                return None;
            }
            before = Some(record.name);
            places.push(u32::try_from(at).ok()?);
            at += record.bytes.len();
        }
        let used = places.iter().map(|_| AtomicBool::new(false)).collect();
        Some(Sightings {
            records,
            places,
            used,
            ..Sightings::default()
        })
    }

    /// Looks and learns in a project, where its file system can be believed. `begun` is the time of a file that
    /// was made there when the run began, `None` where nothing is made: then nothing is learnt.
    pub fn look_in(&mut self, project: &Path, begun: Option<i64>) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let ground = || -> io::Result<Option<Ground>> {
            let directory = rustix::fs::open(project, flags, Mode::empty())?;
            let device = rustix::fs::fstat(&directory)?.st_dev;
            let moves = moves_times_of_directories(directory.as_fd())?;
            Ok(moves.then_some(Ground {
                directory,
                device,
                begun: begun.unwrap_or(0),
            }))
        };
        // Without it everything is read.
        self.ground = ground().unwrap_or(None);
    }

    /// What rests on these names is not looked at: somebody knows that they have moved.
    pub fn expect_moved(&mut self, names: impl IntoIterator<Item = Vec<u8>>) {
        self.moved.extend(names);
    }

    /// Evidence for what is looked at from now on.
    pub fn evidence(&self) -> Option<Evidence> {
        let ground = self.ground.as_ref()?;
        Some(Evidence::new(ground.begun.min(now()), ground.device))
    }

    /// The hash of this name and context, if what it rests on is as it was.
    pub fn hash(&self, name: &[u8], context: &[u8; 32], cancel: &Cancel) -> Option<[u8; 32]> {
        let ground = self.ground.as_ref()?;
        if let Some(at) = self.position(name) {
            let record = self.record(at);
            if mentions(record.places, &self.moved) {
                return None;
            }
            if let Some(hash) = record.hash(context, ground.directory.as_fd(), cancel) {
                self.used[at].store(true, Ordering::Relaxed);
                return Some(hash);
            }
        }
        None
    }

    /// Remembers a hash by what it rests on.
    pub fn learn(&self, name: &[u8], context: &[u8; 32], hash: &[u8; 32], evidence: &Evidence) {
        let Some(places) = evidence.places() else {
            return;
        };
        let length = 8 + name.len() + HASHES + places.len();
        let (Ok(whole), Ok(named)) = (u32::try_from(length), u32::try_from(name.len())) else {
            return;
        };
        let mut record = Vec::with_capacity(length);
        record.extend_from_slice(&whole.to_le_bytes());
        record.extend_from_slice(&named.to_le_bytes());
        for part in [name, context, hash, places] {
            record.extend_from_slice(part);
        }
        self.learnt().insert(name.to_vec(), record);
    }

    /// Nothing is known, and what is learnt takes the place of what is saved.
    pub fn forget(&mut self) {
        let ground = self.ground.take();
        *self = Sightings {
            ground,
            ..Sightings::default()
        };
    }

    /// Whether there is more to be saved than was known.
    pub fn has_learnt(&self) -> bool {
        !self.learnt().is_empty()
    }

    /// What was known and what was learnt, to be saved, and what others have saved meanwhile.
    pub fn records_with(&self, others: &Sightings) -> Vec<u8> {
        let learnt = self.learnt();
        let all = |of: &Sightings| 0..of.places.len();
        let mut records: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
        for at in all(others) {
            let record = others.record(at);
            records.insert(record.name, record.bytes);
        }
        let (used, unused): (Vec<usize>, Vec<usize>) =
            all(self).partition(|at| self.used[*at].load(Ordering::Relaxed));
        let keeps_unused = unused.len() <= used.len() + learnt.len() + SPARE;
        for at in unused.into_iter().filter(|_| keeps_unused).chain(used) {
            let record = self.record(at);
            records.entry(record.name).or_insert(record.bytes);
        }
        for (name, record) in &*learnt {
            records.insert(name, record);
        }
        std::iter::once(WRITER)
            .chain(records.into_values())
            .collect::<Vec<_>>()
            .concat()
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        let named = |at: &u32| Record::at(&self.records, *at as usize).map(|record| record.name);
        let found = self
            .places
            .binary_search_by(|at| named(at).cmp(&Some(name)));
        found.ok()
    }

    fn record(&self, at: usize) -> Record<'_> {
        let record = Record::at(&self.records, self.places[at] as usize);
        record.expect("each was looked at when it was read")
    }

    fn learnt(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Vec<u8>>> {
        self.learnt.lock().expect("no thread panics while learning")
    }
}

/// Lengths of all and of the name, then name, context, hash and places.
struct Record<'a> {
    bytes: &'a [u8],
    name: &'a [u8],
    context: &'a [u8],
    hash: &'a [u8],
    places: &'a [u8],
}

impl Record<'_> {
    fn at(records: &[u8], at: usize) -> Option<Record<'_>> {
        let number = |at: usize| {
            let bytes = records.get(at..at + 4)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
        };
        let bytes = records.get(at..at.checked_add(number(at)?)?)?;
        let (name, rest) = bytes.get(8..)?.split_at_checked(number(at + 4)?)?;
        let (context, rest) = rest.split_at_checked(32)?;
        let (hash, places) = rest.split_at_checked(32)?;
        Some(Record {
            bytes,
            name,
            context,
            hash,
            places,
        })
    }

    fn hash(
        &self,
        context: &[u8; 32],
        directory: BorrowedFd<'_>,
        cancel: &Cancel,
    ) -> Option<[u8; 32]> {
        let is_same = self.context == context && holds(self.places, directory, cancel);
        let hash = self.hash.try_into().expect("a hash is 32 bytes");
        is_same.then_some(hash)
    }
}

/// Whether a directory there changes its times with its names: other machines' file systems answer from what
/// they remember, and those of some programs do not have such times.
fn moves_times_of_directories(directory: BorrowedFd<'_>) -> io::Result<bool> {
    const BCACHEFS: u64 = 0xca45_1a4e;
    const BTRFS: u64 = 0x9123_683e;
    const EXT: u64 = 0xef53;
    const F2FS: u64 = 0xf2f5_2010;
    const OVERLAY: u64 = 0x794c_7630;
    const TMPFS: u64 = 0x0102_1994;
    const XFS: u64 = 0x5846_5342;
    const ZFS: u64 = 0x2fc1_2fc1;
    let known = [BCACHEFS, BTRFS, EXT, F2FS, OVERLAY, TMPFS, XFS, ZFS];
    let kind = rustix::fs::fstatfs(directory)?.f_type;
    // The type of the field differs between machines; the numbers have 32 bits.
    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast)]
    let kind = kind as u64 & 0xffff_ffff;
    Ok(known.contains(&kind))
}
