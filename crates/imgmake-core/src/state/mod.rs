//! What was made from what, kept in `.imgmake/` beside the manifest.
//!
//! A checkout may hold anything under these names, so a file counts only with a MAC under
//! the user's key, derived for the project's path: else it is ignored, told of, and made anew.
//!
//! ```text
//! log      append-only records: attempts, outcomes, pins (see `log`)
//! stat     (device, inode, size, times) → content hash (see `files::StatCache`)
//! seen     name → hash of many files, with how each of them was (see `files::Sightings`)
//! manifest.cache   the decoded manifest, as its owner encoded it
//! run-…    held by each run that works, with what it works at (see `lock`)
//! lock     held by whoever writes here, for so long
//! ```
//!
//! Knows keys, explanations and what targets make ([`Output`]). Knows no graph, store or terminal.

mod ancestors;
mod claim;
mod directory;
mod lock;
mod log;
mod output;
mod reading;
mod records;
#[cfg(test)]
mod tests;
mod turn;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::error::{CoreError, Result};
use crate::files::{Sightings, StatCache};
use crate::fingerprint::CacheKey;
use imgmake_guard::mac::MacKey;

pub use claim::{Claim, Compare};
pub use directory::{DIRECTORY, Sealed};
pub use lock::{Lock, Wait};
pub use output::{FileKind, Output};
pub use reading::Ahead;
pub use records::{AttemptStatus, Outcome, TargetRecord};

use directory::Directory;
use log::{End, Found, Log};
use reading::{Reading, SIGHTINGS, load_sightings, project_key};
use records::{Inner, Known, Record};
use turn::Turns;

/// The project's memory. Many threads may read and record at once.
pub struct State {
    directory: Option<Arc<Directory>>,
    key: MacKey,
    inner: Mutex<Inner>,
    ignored: Option<Ignored>,
    pub stats: Arc<StatCache>,
    /// The file that `stats` are read from, when somebody needs them.
    stats_inode: Option<u64>,
    /// Whether that file was none of ours.
    has_foreign_stats: Arc<AtomicBool>,
    pub sightings: Sightings,
    /// The file that `sightings` were read from.
    sightings_inode: Option<u64>,
    /// When this run began, by the clock that stamps files in the project.
    begun: Option<i64>,
}

/// What of the state was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// A file without a MAC of the key: all of it.
    Foreign,
    /// Ours, of an older format: all of it.
    Older,
    /// What follows the sound records of the log.
    DamagedEnd,
}

const MANIFEST: &str = "manifest.cache";
const STATS: &str = "stat";

impl State {
    /// Reads what is there and writes nothing, for `plan`, `why` and `check`.
    ///
    /// # Errors
    /// A newer imgmake wrote it.
    pub fn read(project: &Path, key: &MacKey) -> Result<State> {
        Ok(match Directory::open(project) {
            Ok(Some(directory)) => State::load(directory, project, key, None)?.0,
            Ok(None) => State::empty(key, None),
            Err(_) => State::empty(key, Some(Ignored::Foreign)),
        })
    }

    /// Reads and goes on recording. The caller shows that it holds the lock.
    ///
    /// # Errors
    /// The directory cannot be written; a newer imgmake wrote what is there.
    pub fn open(project: &Path, key: &MacKey, lock: &Lock) -> Result<State> {
        State::open_read(project, key, lock, None)
    }

    /// The same of what was read ahead, where nobody has written since.
    ///
    /// # Errors
    /// As for [`State::open`].
    pub fn open_read(
        project: &Path,
        key: &MacKey,
        lock: &Lock,
        ahead: Option<Ahead>,
    ) -> Result<State> {
        debug_assert!(lock.is_of(&project.join(DIRECTORY)));
        let unwritable = |source| CoreError::StateDirectory {
            project: project.to_path_buf(),
            source,
        };
        let directory = Directory::open_or_make(project).map_err(unwritable)?;
        let turns = Turns::of(&directory).map_err(unwritable)?;
        let turn = turns.take().map_err(unwritable)?;
        let (mut state, end) = State::load(directory, project, key, ahead)?;
        state.begun = lock.made();
        let directory = state.directory.as_deref().expect("it was just given");
        if matches!(state.ignored, Some(Ignored::Foreign | Ignored::Older)) {
            // Nothing else replaces them where there is nothing to remember.
            directory.remove_foreign(&[STATS, SIGHTINGS, MANIFEST], &state.key);
        }
        if state.ignored == Some(Ignored::Older) {
            // Beside the new log it would count as one of the new format.
            for name in [STATS, SIGHTINGS] {
                directory.remove_if_there(name).map_err(unwritable)?;
            }
        }
        directory.remove_unfinished(&[log::NAME, STATS, SIGHTINGS], MANIFEST);
        let inner = state.inner.get_mut().expect("nobody else has it yet");
        let goes_on = |end: End| Log::append_at(directory, &state.key, end);
        // Nobody else's log is replaced while he writes there.
        let kept = end.filter(|end| end.length <= inner.worth_keeping() || !lock.is_alone());
        // One that cannot be written, such as for a second name that it has, is replaced.
        let log = match kept.and_then(|end| goes_on(end).ok()) {
            Some(log) => Ok(log),
            None => inner.compact(directory, &state.key),
        };
        inner.log = Some(log.map_err(unwritable)?);
        drop(turn);
        Ok(state)
    }

    fn empty(key: &MacKey, ignored: Option<Ignored>) -> State {
        State {
            directory: None,
            key: key.clone(),
            inner: Mutex::new(Inner::default()),
            ignored,
            stats: Arc::default(),
            stats_inode: None,
            has_foreign_stats: Arc::default(),
            sightings: Sightings::default(),
            sightings_inode: None,
            begun: None,
        }
    }

    /// What lies there, and where the log goes on, if it is ours.
    fn load(
        directory: Directory,
        project: &Path,
        key: &MacKey,
        ahead: Option<Ahead>,
    ) -> Result<(State, Option<End>)> {
        let key = project_key(project, key);
        // Asked for before it is read: of one that is replaced meanwhile the other's entries are added.
        let stats_inode = directory.inode(STATS);
        let ahead = ahead.and_then(|ahead| ahead.of_now(&directory, &key));
        let read = ahead.unwrap_or_else(|| Reading::of(&directory, &key));
        let sightings_inode = read.sightings_inode();
        let Reading {
            mut inner,
            found,
            sightings,
            has_foreign_sightings,
            ..
        } = read;
        let (end, ignored) = match found {
            Found::Foreign => (None, Some(Ignored::Foreign)),
            Found::Older => (None, Some(Ignored::Older)),
            Found::Newer { format } => {
                return Err(CoreError::NewerState {
                    project: project.to_path_buf(),
                    found: format,
                    known: log::FORMAT,
                });
            }
            Found::Absent => (None, None),
            Found::Ours { end, damaged, past } => {
                inner.goes_on_after(past);
                (Some(end), damaged.then_some(Ignored::DamagedEnd))
            }
        };
        let is_older = ignored == Some(Ignored::Older);
        let ignored = match has_foreign_sightings && !is_older {
            true => Some(Ignored::Foreign),
            false => ignored,
        };
        let directory = Arc::new(directory);
        let has_foreign_stats = Arc::new(AtomicBool::new(false));
        // A log of another format says that its neighbors are of that one, too.
        let (stats, sightings) = match is_older {
            true => (StatCache::new(), Sightings::default()),
            false => {
                let stats = stats_when_needed(&directory, &key, &has_foreign_stats);
                (stats, sightings)
            }
        };
        let state = State {
            directory: Some(directory),
            key,
            inner: Mutex::new(inner),
            ignored,
            stats: Arc::new(stats),
            stats_inode,
            has_foreign_stats,
            sightings,
            sightings_inode,
            begun: None,
        };
        Ok((state, end))
    }

    /// What was not used of what is there, as far as anybody needed it.
    pub fn ignored(&self) -> Option<Ignored> {
        let foreign_stats = self.has_foreign_stats.load(Ordering::Relaxed);
        self.ignored.or(foreign_stats.then_some(Ignored::Foreign))
    }

    pub fn record(&self, target: &str) -> TargetRecord {
        self.inner().record(target)
    }

    /// The key alone, without copying an explanation.
    pub fn recorded_key(&self, target: &str) -> Option<(CacheKey, AttemptStatus)> {
        let inner = self.inner();
        let known = inner.targets.get(target)?;
        Some((known.outcome.as_ref()?.key, known.status))
    }

    /// What became of the last attempt.
    pub fn status(&self, target: &str) -> AttemptStatus {
        let inner = self.inner();
        inner
            .targets
            .get(target)
            .map_or_else(AttemptStatus::default, |known| known.status)
    }

    /// The digest and outputs of the last outcome.
    pub fn recorded(&self, target: &str) -> Option<([u8; 32], Vec<Output>)> {
        let inner = self.inner();
        let outcome = inner.targets.get(target)?.outcome.as_ref()?;
        Some((outcome.digest, outcome.outputs.clone()))
    }

    /// From here on, until [`State::finished`], the target counts as stale.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn started(&self, target: &str) -> Result<()> {
        self.attempt(target, AttemptStatus::Interrupted)
    }

    /// How an attempt ended that did not finish.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn attempt(&self, target: &str, status: AttemptStatus) -> Result<()> {
        let mut inner = self.inner();
        inner.append(&Record::Attempt { target, status })?;
        inner.entry(target).status = status;
        Ok(())
    }

    /// # Errors
    /// The log cannot be written.
    pub fn finished(&self, target: &str, outcome: Outcome) -> Result<()> {
        let mut inner = self.inner();
        inner.append(&outcome.record(target))?;
        let known = Known {
            outcome: Some(outcome.into()),
            status: AttemptStatus::Finished,
        };
        inner.targets.insert(target.to_string(), known);
        Ok(())
    }

    /// How long the work at a target took the last time.
    pub fn took(&self, target: &str) -> Option<Duration> {
        self.inner()
            .took
            .get(target)
            .copied()
            .map(Duration::from_millis)
    }

    pub fn set_took(&self, target: &str, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut inner = self.inner();
        // One that is lost costs a worse order.
        drop(inner.append(&Record::Took { target, millis }));
        inner.took.insert(target.to_string(), millis);
    }

    /// What a FROM tag or an ADD URL was resolved to.
    pub fn pin(&self, name: &str) -> Option<String> {
        self.inner().pins.get(name).cloned()
    }

    /// All of them, by name.
    pub fn pins(&self) -> BTreeMap<String, String> {
        self.inner().pins.clone()
    }

    /// Remembered for this run even where it cannot be written down.
    pub fn set_pin(&self, name: &str, value: &str) {
        let mut inner = self.inner();
        if inner.pins.get(name).is_some_and(|known| known == value) {
            return;
        }
        // A pin that is lost is resolved again: worth a slower run, not a failed one.
        drop(inner.append(&Record::Pin { name, value }));
        inner.pins.insert(name.to_string(), value.to_string());
    }

    /// Every file is read and hashed again by whoever asks for its hash, whatever `lstat` says of it.
    /// What was saved of files that nobody asks for stays.
    pub fn forget_hashes(&mut self) {
        self.stats = Arc::default();
        self.stats_inode = None;
        self.sightings.forget();
        self.sightings_inode = None;
    }

    /// Looks at files of the project whose state this is: of one that keeps its state beside it, since
    /// nobody else knows what its clock says.
    pub fn look_at_files(&mut self, project: &Path) {
        self.sightings.look_in(project, self.begun);
    }

    /// Writes what was learnt of files.
    pub fn save_stats(&self) {
        // Only speed is lost when this fails.
        if let Some(directory) = &self.directory {
            let (stats, sightings) = (&self.stats, &self.sightings);
            drop(save_stats(stats, directory, &self.key, self.stats_inode));
            let read_from = self.sightings_inode;
            drop(save_sightings(sightings, directory, &self.key, read_from));
        }
    }

    /// Does something that two runs of a project must not do at once, and that is short.
    ///
    /// # Errors
    /// Nobody can be kept out.
    pub fn in_turn<T>(&self, work: impl FnOnce() -> T) -> std::io::Result<T> {
        let Some(directory) = &self.directory else {
            return Ok(work());
        };
        let turns = Turns::of(directory)?;
        let _turn = turns.take()?;
        Ok(work())
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no thread panics while recording")
    }
}

/// The encoded manifest, when it was filed under this key.
pub fn cached_manifest(project: &Path, key: &MacKey) -> Sealed {
    match Directory::open(project) {
        Ok(Some(directory)) => directory.sealed(MANIFEST, &project_key(project, key)),
        Ok(None) => Sealed::Absent,
        Err(_) => Sealed::Foreign,
    }
}

/// Files an encoded manifest. Only where `.imgmake/` exists: reading commands make nothing.
pub fn cache_manifest(project: &Path, key: &MacKey, content: &[u8]) {
    if let Ok(Some(directory)) = Directory::open(project) {
        // Only speed is lost when this fails.
        drop(directory.seal(MANIFEST, &project_key(project, key), content));
    }
}

/// What was saved under this key; and whether something else is there, which is ignored.
fn load_stats(directory: &Directory, key: &MacKey) -> (StatCache, bool) {
    let saved = match directory.sealed(STATS, key) {
        Sealed::Absent => return (StatCache::new(), false),
        Sealed::Ours(records) => StatCache::from_records(records),
        Sealed::Foreign => None,
    };
    let is_foreign = saved.is_none();
    (saved.unwrap_or_default(), is_foreign)
}

/// `read_from` is the file that they were read from: what another run has put in its place counts, too.
fn save_stats(
    stats: &StatCache,
    directory: &Directory,
    key: &MacKey,
    read_from: Option<u64>,
) -> std::io::Result<()> {
    if !stats.has_learnt() {
        return Ok(());
    }
    let turns = Turns::of(directory)?;
    let _turn = turns.take()?;
    let others = match directory.inode(STATS) == read_from {
        true => StatCache::new(),
        false => load_stats(directory, key).0,
    };
    directory.seal(STATS, key, &stats.records_with(&others))
}

/// What is read of them is read when the first hash is asked for.
fn stats_when_needed(
    directory: &Arc<Directory>,
    key: &MacKey,
    is_foreign: &Arc<AtomicBool>,
) -> StatCache {
    let (directory, key) = (Arc::clone(directory), key.clone());
    let is_foreign = Arc::clone(is_foreign);
    StatCache::loaded_when_needed(move || match directory.sealed(STATS, &key) {
        Sealed::Absent => Vec::new(),
        Sealed::Ours(records) => records,
        Sealed::Foreign => {
            is_foreign.store(true, Ordering::Relaxed);
            Vec::new()
        }
    })
}

fn save_sightings(
    sightings: &Sightings,
    directory: &Directory,
    key: &MacKey,
    read_from: Option<u64>,
) -> std::io::Result<()> {
    if !sightings.has_learnt() {
        return Ok(());
    }
    let turns = Turns::of(directory)?;
    let _turn = turns.take()?;
    let others = match directory.inode(SIGHTINGS) == read_from {
        true => Sightings::default(),
        false => load_sightings(directory, key).0,
    };
    directory.seal(SIGHTINGS, key, &sightings.records_with(&others))
}
