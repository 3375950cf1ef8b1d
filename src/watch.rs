//! Watches files: kernel notices → debounced lists of changed paths.
//!
//! Knows paths alone, no manifest and no target. Directories are watched, not
//! files: editors replace files, and a watch on the old one would go blind.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use notify::{EventKind, RecursiveMode, Watcher as _};

pub struct Watcher {
    notices: Receiver<notify::Result<notify::Event>>,
    // Kept alive: dropping it ends the notices.
    _watcher: notify::RecommendedWatcher,
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
    /// Nothing within the time.
    Nothing,
}

impl Watcher {
    /// Watches directories with everything below them. A change is told once
    /// nothing more has come for `debounce`, at the latest after `longest`.
    ///
    /// # Errors
    /// A directory cannot be watched, mostly because the user's limit of inotify
    /// watches is reached.
    pub fn new(
        directories: &[PathBuf],
        debounce: Duration,
        longest: Duration,
    ) -> notify::Result<Watcher> {
        let (sender, notices) = channel();
        let mut watcher = notify::recommended_watcher(move |notice| drop(sender.send(notice)))?;
        for directory in topmost(directories) {
            watcher.watch(&directory, RecursiveMode::Recursive)?;
        }
        Ok(Watcher {
            notices,
            _watcher: watcher,
            debounce,
            longest,
        })
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
                Ok(notice) => {
                    if gather(notice, counts, &mut changed).is_none() {
                        return Change::Unknown;
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Change::Nothing,
                Err(RecvTimeoutError::Disconnected) => return Change::Unknown,
            }
        }
        let first = Instant::now();
        while first.elapsed() < self.longest {
            match self.notices.recv_timeout(self.debounce) {
                Ok(notice) => {
                    if gather(notice, counts, &mut changed).is_none() {
                        return Change::Unknown;
                    }
                }
                Err(_) => break,
            }
        }
        Change::Paths(changed.into_iter().collect())
    }
}

/// Adds what a notice says; `None` when notices were lost.
fn gather(
    notice: notify::Result<notify::Event>,
    counts: &dyn Fn(&Path) -> bool,
    changed: &mut BTreeSet<PathBuf>,
) -> Option<()> {
    let event = notice.ok()?;
    if event.need_rescan() {
        return None;
    }
    // Our own reading arrives as `Access`.
    if matches!(event.kind, EventKind::Access(_)) {
        return Some(());
    }
    changed.extend(event.paths.into_iter().filter(|path| counts(path)));
    Some(())
}

/// Directories that no other of them contains.
fn topmost(directories: &[PathBuf]) -> Vec<PathBuf> {
    let all: BTreeSet<&PathBuf> = directories.iter().filter(|d| d.is_dir()).collect();
    let mut top: Vec<PathBuf> = Vec::new();
    for directory in all {
        if !top.iter().any(|parent| directory.starts_with(parent)) {
            top.push(directory.clone());
        }
    }
    top
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn watcher(directory: &Path) -> Watcher {
        Watcher::new(
            &[directory.to_path_buf()],
            Duration::from_millis(50),
            Duration::from_secs(1),
        )
        .unwrap()
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
        assert!(
            paths
                .iter()
                .any(|path| path.starts_with(directory.path().join("a"))),
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
    }

    #[test]
    fn a_directory_within_another_is_watched_once() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        assert_eq!(
            topmost(&[inner, directory.path().to_path_buf()]),
            [directory.path()]
        );
    }
}
