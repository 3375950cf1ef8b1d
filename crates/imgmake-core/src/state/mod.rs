//! What was made from what, kept in `.imgmake/` beside the manifest.
//!
//! A checkout may hold anything under these names, so a file counts only with a MAC under
//! the user's key, derived for the project's path: else it is ignored, told of, and made anew.
//!
//! ```text
//! log      append-only records: attempts, outcomes, pins (see `log`)
//! stat     (device, inode, size, times) → content hash (see `files::StatCache`)
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
#[cfg(test)]
mod tests;
mod turn;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{CoreError, Result};
use crate::files::StatCache;
use crate::fingerprint::{CacheKey, Explanation, Inputs};
use imgmake_guard::mac::MacKey;

pub use claim::{Claim, Compare};
pub use directory::{DIRECTORY, Sealed};
pub use lock::{Lock, Wait};
pub use output::{FileKind, Output};

use directory::Directory;
use log::{End, Found, Log};
use turn::Turns;

/// The result of the last finished attempt at a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub key: CacheKey,
    /// What dependents put into their keys: equal outputs give equal digests.
    pub digest: [u8; 32],
    pub outputs: Vec<Output>,
    /// Encoded; decoded only when somebody asks why.
    explanation: Vec<u8>,
}

impl Outcome {
    pub fn new(inputs: &Inputs, digest: [u8; 32], outputs: Vec<Output>) -> Outcome {
        let explanation = postcard::to_stdvec(&inputs.explanation())
            .expect("an explanation holds strings and hashes");
        Outcome {
            key: inputs.key(),
            digest,
            outputs,
            explanation,
        }
    }

    pub fn explanation(&self) -> Explanation {
        postcard::from_bytes(&self.explanation).unwrap_or_default()
    }
}

/// What is known about a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetRecord {
    pub outcome: Option<Outcome>,
    /// What happened after that outcome, if anything did.
    pub status: AttemptStatus,
}

/// What became of the last attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptStatus {
    #[default]
    Finished,
    /// It started and nothing more is known: the run was killed.
    Interrupted,
    Failed,
    /// It was made, but from inputs that moved meanwhile.
    InputsChanged,
    /// It was made from inputs that somebody wrote meanwhile, though they hold what they held.
    InputsTouched,
}

#[derive(Serialize, Deserialize)]
enum Record<'a> {
    Attempt {
        target: &'a str,
        status: AttemptStatus,
    },
    Finished {
        target: &'a str,
        key: CacheKey,
        digest: [u8; 32],
        outputs: Vec<Output>,
        #[serde(borrow)]
        explanation: &'a [u8],
    },
    Pin {
        name: &'a str,
        value: &'a str,
    },
    Took {
        target: &'a str,
        millis: u64,
    },
}

/// The project's memory. Many threads may read and record at once.
pub struct State {
    directory: Option<Directory>,
    key: MacKey,
    inner: Mutex<Inner>,
    ignored: Option<Ignored>,
    pub stats: Arc<StatCache>,
    /// The file that `stats` were read from.
    stats_inode: Option<u64>,
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

#[derive(Default)]
struct Inner {
    targets: BTreeMap<String, TargetRecord>,
    pins: BTreeMap<String, String>,
    /// How long the work at a target took the last time, in milliseconds.
    took: BTreeMap<String, u64>,
    /// `None` when this process may only read.
    log: Option<Log>,
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
            Ok(Some(directory)) => State::load(directory, project, key)?.0,
            Ok(None) => State::empty(key, None),
            Err(_) => State::empty(key, Some(Ignored::Foreign)),
        })
    }

    /// Reads and goes on recording. The caller shows that it holds the lock.
    ///
    /// # Errors
    /// The directory cannot be written; a newer imgmake wrote what is there.
    pub fn open(project: &Path, key: &MacKey, lock: &Lock) -> Result<State> {
        debug_assert!(lock.is_of(&project.join(DIRECTORY)));
        let unwritable = |source| CoreError::StateDirectory {
            project: project.to_path_buf(),
            source,
        };
        let directory = Directory::open_or_make(project).map_err(unwritable)?;
        let turns = Turns::of(&directory).map_err(unwritable)?;
        let turn = turns.take().map_err(unwritable)?;
        let (mut state, end) = State::load(directory, project, key)?;
        let directory = state.directory.as_ref().expect("it was just given");
        if matches!(state.ignored, Some(Ignored::Foreign | Ignored::Older)) {
            // Nothing else replaces them where there is nothing to remember.
            directory.remove_foreign(&[STATS, MANIFEST], &state.key);
        }
        if state.ignored == Some(Ignored::Older) {
            // Beside the new log it would count as one of the new format.
            directory.remove_if_there(STATS).map_err(unwritable)?;
        }
        directory.remove_unfinished(&[log::NAME, STATS], MANIFEST);
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
        }
    }

    /// The log and the stat cache, read side by side; where the log goes on, if it is ours.
    fn load(directory: Directory, project: &Path, key: &MacKey) -> Result<(State, Option<End>)> {
        let key = project_key(project, key);
        // Asked for before it is read: of one that is replaced meanwhile the other's entries are added.
        let stats_inode = directory.inode(STATS);
        let ((inner, found), (stats, foreign_stats)) = std::thread::scope(|scope| {
            let stats = scope.spawn(|| load_stats(&directory, &key));
            let inner = Inner::load(&directory, &key);
            let stats = stats.join().expect("reading a cache does not panic");
            (inner, stats)
        });
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
            Found::Ours { end, damaged } => (Some(end), damaged.then_some(Ignored::DamagedEnd)),
        };
        let is_older = ignored == Some(Ignored::Older);
        let ignored = match foreign_stats && !is_older {
            true => Some(Ignored::Foreign),
            false => ignored,
        };
        // A log of another format says that its neighbors are of that one, too.
        let stats = match is_older {
            true => StatCache::new(),
            false => stats,
        };
        let state = State {
            directory: Some(directory),
            key,
            inner: Mutex::new(inner),
            ignored,
            stats: Arc::new(stats),
            stats_inode,
        };
        Ok((state, end))
    }

    /// What was not used of what is there.
    pub fn ignored(&self) -> Option<Ignored> {
        self.ignored
    }

    pub fn record(&self, target: &str) -> TargetRecord {
        self.inner()
            .targets
            .get(target)
            .cloned()
            .unwrap_or_default()
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
        let known = TargetRecord {
            outcome: Some(outcome),
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
    }

    /// Writes the stat cache, if it learnt anything.
    pub fn save_stats(&self) {
        // Only speed is lost when this fails.
        if let Some(directory) = &self.directory {
            drop(save_stats(
                &self.stats,
                directory,
                &self.key,
                self.stats_inode,
            ));
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

/// A file of one project is none of another's.
fn project_key(project: &Path, key: &MacKey) -> MacKey {
    key.derive("project", project.as_os_str().as_encoded_bytes())
}

impl Outcome {
    fn record<'a>(&'a self, target: &'a str) -> Record<'a> {
        Record::Finished {
            target,
            key: self.key,
            digest: self.digest,
            outputs: self.outputs.clone(),
            explanation: &self.explanation,
        }
    }
}

impl Inner {
    /// What the log tells, and what kind of log it is.
    fn load(directory: &Directory, key: &MacKey) -> (Inner, Found) {
        let mut inner = Inner::default();
        let found = log::read(directory, key, |payload| {
            let record = postcard::from_bytes::<Record<'_>>(payload);
            record.map(|record| inner.apply(record)).is_ok()
        });
        (inner, found)
    }

    fn apply(&mut self, record: Record<'_>) {
        match record {
            Record::Attempt { target, status } => self.entry(target).status = status,
            Record::Finished {
                target,
                key,
                digest,
                outputs,
                explanation,
            } => {
                *self.entry(target) = TargetRecord {
                    outcome: Some(Outcome {
                        key,
                        digest,
                        outputs,
                        explanation: explanation.to_vec(),
                    }),
                    status: AttemptStatus::Finished,
                };
            }
            Record::Pin { name, value } => {
                self.pins.insert(name.to_string(), value.to_string());
            }
            Record::Took { target, millis } => {
                self.took.insert(target.to_string(), millis);
            }
        }
    }

    fn entry(&mut self, target: &str) -> &mut TargetRecord {
        if !self.targets.contains_key(target) {
            self.targets
                .insert(target.to_string(), TargetRecord::default());
        }
        self.targets.get_mut(target).expect("it was just put there")
    }

    fn append(&mut self, record: &Record<'_>) -> Result<()> {
        let Some(log) = &mut self.log else {
            return Ok(());
        };
        let payload = postcard::to_stdvec(record).expect("records hold strings and numbers");
        log.append(&payload).map_err(CoreError::StateLog)
    }

    /// The length up to which the log is left as it is: twice what is live.
    fn worth_keeping(&self) -> u64 {
        let live: usize = self
            .targets
            .values()
            .filter_map(|known| known.outcome.as_ref())
            .map(|outcome| outcome.explanation.len() + 400)
            .sum();
        2 * live as u64 + (256 << 10)
    }

    /// Writes only what is live into a new log that replaces the old one.
    fn compact(&self, directory: &Directory, key: &MacKey) -> std::io::Result<Log> {
        Log::rewrite(directory, key, |log| {
            let encode =
                |record: &Record<'_>| postcard::to_stdvec(record).expect("records hold strings");
            for (name, value) in &self.pins {
                log.append(&encode(&Record::Pin { name, value }))?;
            }
            for (target, millis) in &self.took {
                let millis = *millis;
                log.append(&encode(&Record::Took { target, millis }))?;
            }
            for (target, known) in &self.targets {
                if let Some(outcome) = &known.outcome {
                    log.append(&encode(&outcome.record(target)))?;
                }
                if known.status != AttemptStatus::Finished {
                    let status = known.status;
                    log.append(&encode(&Record::Attempt { target, status }))?;
                }
            }
            Ok(())
        })
    }
}
