//! Watches files: kernel notices → debounced lists of changed paths.
//!
//! Knows paths alone, no manifest and no target. Directories are watched, not
//! files: editors replace files, and a watch on the old one would go blind.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use notify::{ErrorKind, EventKind, RecursiveMode, Watcher as _};

/// Where to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Directories with everything below them.
    pub trees: BTreeSet<PathBuf>,
    /// Directories alone.
    pub flat: BTreeSet<PathBuf>,
    /// Files that lie elsewhere, and the links under which they are known.
    pub behind: BTreeMap<PathBuf, PathBuf>,
}

impl Places {
    /// A file by its name: the directory that it is in, or would be in.
    pub fn names(&mut self, path: &Path) {
        let above = path.ancestors().skip(1);
        let directory = above
            .into_iter()
            .find_map(|above| above.canonicalize().ok());
        self.flat.extend(directory);
    }

    /// Each directory once.
    fn modes(&self) -> BTreeMap<PathBuf, RecursiveMode> {
        let mut modes = BTreeMap::new();
        let mut top: Vec<&PathBuf> = Vec::new();
        for tree in self.trees.iter().filter(|tree| tree.is_dir()) {
            if !top.iter().any(|parent| tree.starts_with(parent)) {
                top.push(tree);
                modes.insert(tree.clone(), RecursiveMode::Recursive);
            }
        }
        for flat in self.flat.iter().filter(|flat| flat.is_dir()) {
            if !top.iter().any(|parent| flat.starts_with(parent)) {
                modes.insert(flat.clone(), RecursiveMode::NonRecursive);
            }
        }
        modes
    }
}

enum Notice {
    Files(notify::Result<notify::Event>),
    /// Somebody wants a run.
    Asked,
    /// Somebody wants whoever waits to look around.
    Woken,
}

pub struct Watcher {
    notices: Receiver<Notice>,
    sender: Sender<Notice>,
    watcher: notify::RecommendedWatcher,
    watched: BTreeMap<PathBuf, RecursiveMode>,
    debounce: Duration,
    longest: Duration,
}

/// What became of waiting.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// These paths changed, sorted; never empty.
    Paths(Vec<PathBuf>),
    /// The kernel lost count: anything may have changed.
    Unknown,
    /// Nothing changed, and somebody wants a run all the same.
    Asked,
    /// Nothing within the time.
    Nothing,
}

impl Watcher {
    /// # Errors
    /// The kernel has no notices left to give.
    pub fn new() -> notify::Result<Watcher> {
        let (sender, notices) = channel();
        let tell = sender.clone();
        let handler = move |notice| drop(tell.send(Notice::Files(notice)));
        // Each directory has one name, the real one: where links lead is among the places.
        let config = notify::Config::default().with_follow_symlinks(false);
        let watcher = notify::RecommendedWatcher::new(handler, config)?;
        Ok(Watcher {
            notices,
            sender,
            watcher,
            watched: BTreeMap::new(),
            debounce: Duration::ZERO,
            longest: Duration::ZERO,
        })
    }

    /// A change is told once nothing more has come for `debounce`, at the latest after `longest`.
    pub fn pace(&mut self, debounce: Duration, longest: Duration) {
        (self.debounce, self.longest) = (debounce, longest);
    }

    /// Watches these from now on, and no others; what is watched already goes on.
    ///
    /// # Errors
    /// A directory cannot be watched, mostly because the user's limit of inotify
    /// watches is reached.
    pub fn observe(&mut self, places: &Places) -> notify::Result<()> {
        let wanted = places.modes();
        let is_wanted = |path: &PathBuf, mode: &RecursiveMode| wanted.get(path) == Some(mode);
        let gone: Vec<PathBuf> = self
            .watched
            .iter()
            .filter(|(path, mode)| !is_wanted(path, mode))
            .map(|(path, _)| path.clone())
            .collect();
        for path in gone {
            self.watched.remove(&path);
            // It went with its directory.
            drop(self.watcher.unwatch(&path));
        }
        for (path, mode) in wanted {
            if self.watched.contains_key(&path) {
                continue;
            }
            match self.watcher.watch(&path, mode) {
                Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => {}
                watched => {
                    watched?;
                    self.watched.insert(path, mode);
                }
            }
        }
        Ok(())
    }

    /// For who wants a run.
    pub fn asker(&self) -> impl Fn() + Send + 'static {
        let sender = self.sender.clone();
        move || drop(sender.send(Notice::Asked))
    }

    /// For who wants the one who waits to look around.
    pub fn waker(&self) -> impl Fn() + Send + 'static {
        let sender = self.sender.clone();
        move || drop(sender.send(Notice::Woken))
    }

    /// Waits up to `patience` for something to change that `counts`.
    pub fn wait(&self, patience: Duration, counts: &dyn Fn(&Path) -> bool) -> Change {
        let mut changed = BTreeSet::new();
        let begun = Instant::now();
        while changed.is_empty() {
            let Some(left) = patience.checked_sub(begun.elapsed()) else {
                return Change::Nothing;
            };
            match self.notices.recv_timeout(left) {
                Ok(Notice::Asked) => return Change::Asked,
                Ok(Notice::Woken) => return Change::Nothing,
                Ok(Notice::Files(notice)) => {
                    if gather(notice, counts, &mut changed).is_none() {
                        return Change::Unknown;
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Change::Nothing,
                Err(RecvTimeoutError::Disconnected) => return Change::Unknown,
            }
        }
        let first = Instant::now();
        let mut last = first;
        while first.elapsed() < self.longest {
            let Some(left) = self.debounce.checked_sub(last.elapsed()) else {
                break;
            };
            match self.notices.recv_timeout(left) {
                Ok(Notice::Files(notice)) => match gather(notice, counts, &mut changed) {
                    None => return Change::Unknown,
                    // Only what counts is waited for.
                    Some(true) => last = Instant::now(),
                    Some(false) => {}
                },
                // It is about to be done anyway.
                Ok(Notice::Asked) => {}
                Ok(Notice::Woken) | Err(_) => break,
            }
        }
        Change::Paths(changed.into_iter().collect())
    }
}

/// Adds what a notice says, and says whether anything of it counts; `None` when notices were lost.
fn gather(
    notice: notify::Result<notify::Event>,
    counts: &dyn Fn(&Path) -> bool,
    changed: &mut BTreeSet<PathBuf>,
) -> Option<bool> {
    let event = notice.ok()?;
    if event.need_rescan() {
        return None;
    }
    // Our own reading arrives as `Access`.
    if matches!(event.kind, EventKind::Access(_)) {
        return Some(false);
    }
    let mut counting = event.paths;
    counting.retain(|path| counts(path));
    let any = !counting.is_empty();
    changed.extend(counting);
    Some(any)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn places(trees: &[&Path], flat: &[&Path]) -> Places {
        let owned = |paths: &[&Path]| paths.iter().map(|path| path.to_path_buf()).collect();
        Places {
            trees: owned(trees),
            flat: owned(flat),
            behind: BTreeMap::new(),
        }
    }

    fn watcher(directory: &Path) -> Watcher {
        let mut watcher = Watcher::new().unwrap();
        watcher.pace(Duration::from_millis(50), Duration::from_secs(1));
        watcher.observe(&places(&[directory], &[])).unwrap();
        watcher
    }

    #[test]
    fn a_changed_file_is_named_even_in_a_directory_made_a_moment_ago() {
        let directory = tempfile::tempdir().unwrap();
        let watcher = watcher(directory.path());
        std::fs::create_dir_all(directory.path().join("a/b")).unwrap();
        std::fs::write(directory.path().join("a/b/c"), "x").unwrap();
        let Change::Paths(paths) = watcher.wait(LONG, &|_| true) else {
            panic!()
        };
        let inside = directory.path().join("a");
        assert!(
            paths.iter().any(|path| path.starts_with(&inside)),
            "{paths:?}"
        );
    }

    #[test]
    fn what_does_not_count_wakes_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let watcher = watcher(directory.path());
        std::fs::write(directory.path().join("noise"), "x").unwrap();
        std::fs::read(directory.path().join("noise")).unwrap();
        assert_eq!(
            watcher.wait(Duration::from_millis(300), &|path| !path.ends_with("noise")),
            Change::Nothing
        );
        watcher.asker()();
        assert_eq!(watcher.wait(LONG, &|_| true), Change::Asked);
    }

    #[test]
    fn a_directory_within_another_is_watched_once_and_others_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let (inner, beside) = (
            directory.path().join("inner"),
            directory.path().join("beside"),
        );
        std::fs::create_dir(&inner).unwrap();
        std::fs::create_dir(&beside).unwrap();
        let modes = places(&[&inner, directory.path()], &[&inner]).modes();
        assert_eq!(modes.keys().collect::<Vec<_>>(), [directory.path()]);
        let mut watcher = watcher(directory.path());
        watcher.observe(&places(&[&inner], &[])).unwrap();
        std::fs::write(beside.join("f"), "x").unwrap();
        std::fs::write(inner.join("g"), "x").unwrap();
        let Change::Paths(paths) = watcher.wait(LONG, &|_| true) else {
            panic!()
        };
        assert!(
            paths.iter().all(|path| path.starts_with(&inner)),
            "{paths:?}"
        );
    }
}
