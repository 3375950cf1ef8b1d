//! Watches files: kernel notices → debounced lists of changed paths.
//!
//! Knows paths alone, no manifest and no target. Directories are watched, not
//! files: editors replace files, and a watch on the old one would go blind.
//!
//! ```text
//! wanted      what somebody wants to hear of
//! watches     the directories that the kernel watches
//! ```

#[cfg(test)]
mod tests;
mod wanted;
mod watches;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

pub use wanted::Wanted;
use wanted::is_entered;
pub use watches::Unwatchable;
use watches::{Depth, Watches};

/// Where to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Directories with everything below them.
    pub trees: BTreeSet<PathBuf>,
    /// Directories alone.
    pub flat: BTreeSet<PathBuf>,
    /// Files that lie elsewhere, and the links under which they are known.
    pub behind: BTreeMap<PathBuf, PathBuf>,
    /// The directories above a name are watched up to here: one of them may be exchanged.
    pub within: Option<PathBuf>,
}

impl Places {
    /// A file by its name: the directory that it is in, or would be in, and those above it that may
    /// come, go or be exchanged.
    pub fn names(&mut self, path: &Path) {
        let Some(parent) = path.parent() else {
            return;
        };
        let parent = as_told(parent);
        for above in parent.ancestors() {
            self.flat.insert(above.to_path_buf());
            let is_inside = |within: &PathBuf| above != within && above.starts_with(within);
            let goes_on = self.within.as_ref().is_some_and(is_inside) || !above.is_dir();
            if !goes_on {
                break;
            }
        }
    }

    /// Each directory once, but for those within a tree that nobody enters there. One that is not there
    /// may come.
    fn depths(&self, wanted: &dyn Wanted) -> BTreeMap<PathBuf, Depth> {
        let mut depths = BTreeMap::new();
        let mut top: Vec<&PathBuf> = Vec::new();
        let is_below = |path: &Path, top: &[&PathBuf]| {
            top.iter()
                .any(|tree| path.starts_with(tree) && is_entered(tree, path, wanted))
        };
        for tree in &self.trees {
            if !is_below(tree, &top) {
                top.push(tree);
                depths.insert(tree.clone(), Depth::Tree);
            }
        }
        for flat in &self.flat {
            if !is_below(flat, &top) {
                depths.insert(flat.clone(), Depth::Directory);
            }
        }
        depths
    }
}

/// As the notices name it: the real name of what is there, with the rest that is not.
pub fn as_told(path: &Path) -> PathBuf {
    let there = path
        .ancestors()
        .find_map(|above| Some((above, above.canonicalize().ok()?)));
    let Some((above, real)) = there else {
        return path.to_path_buf();
    };
    match path.strip_prefix(above) {
        // With an empty word joined to it, it would end with a slash.
        Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
        _ => real,
    }
}

pub struct Watcher {
    watches: RefCell<Watches>,
    bell: Arc<Bell>,
    /// Directories may have come of which the kernel did not tell.
    is_behind: Cell<bool>,
    debounce: Duration,
    longest: Duration,
}

/// Wakes whoever waits.
struct Bell {
    counter: OwnedFd,
    /// For a run, not only to look around.
    is_for_run: AtomicBool,
}

impl Bell {
    fn ring(&self) {
        // Full, it has been rung enough.
        let _ = rustix::io::write(&self.counter, &1u64.to_ne_bytes());
    }

    /// Whether it was rung for a run.
    fn answer(&self) -> bool {
        let _ = rustix::io::read(&self.counter, &mut [0; 8]);
        self.is_for_run.swap(false, Ordering::Relaxed)
    }
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

/// What one look shows.
enum Look {
    Paths(BTreeSet<PathBuf>),
    Unknown,
    /// Somebody wants a run.
    Asked,
    /// Somebody wants whoever waits to look around.
    Woken,
    Nothing,
}

impl Watcher {
    /// # Errors
    /// The kernel has no notices left to give.
    pub fn new() -> Result<Watcher, Unwatchable> {
        let watches = Watches::new()?;
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let counter = eventfd(0, flags).map_err(|error| Unwatchable {
            error: error.into(),
            directory: None,
        })?;
        Ok(Watcher {
            watches: RefCell::new(watches),
            bell: Arc::new(Bell {
                counter,
                is_for_run: AtomicBool::new(false),
            }),
            is_behind: Cell::new(false),
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
    pub fn observe(&self, places: &Places, wanted: &dyn Wanted) -> Result<(), Unwatchable> {
        let is_behind = self.is_behind.get();
        self.watches
            .borrow_mut()
            .observe(places.depths(wanted), is_behind, wanted)?;
        self.is_behind.set(false);
        Ok(())
    }

    /// Directories may be entered now that were not before: the next `observe` looks at each.
    pub fn look_again(&self) {
        self.is_behind.set(true);
    }

    /// For who wants a run.
    pub fn asker(&self) -> impl Fn() + Send + 'static {
        let bell = Arc::clone(&self.bell);
        move || {
            bell.is_for_run.store(true, Ordering::Relaxed);
            bell.ring();
        }
    }

    /// For who wants the one who waits to look around.
    pub fn waker(&self) -> impl Fn() + Send + 'static {
        let bell = Arc::clone(&self.bell);
        move || bell.ring()
    }

    /// Waits up to `patience` for something to change that counts.
    pub fn wait(&self, patience: Duration, wanted: &dyn Wanted) -> Change {
        let mut changed = BTreeSet::new();
        let begun = Instant::now();
        while changed.is_empty() {
            let Some(left) = patience.checked_sub(begun.elapsed()) else {
                return Change::Nothing;
            };
            match self.listen(left, wanted) {
                Look::Asked => return Change::Asked,
                Look::Woken | Look::Nothing => return Change::Nothing,
                Look::Unknown => return Change::Unknown,
                Look::Paths(paths) => changed = paths,
            }
        }
        let first = Instant::now();
        let mut last = first;
        while first.elapsed() < self.longest {
            let Some(left) = self.debounce.checked_sub(last.elapsed()) else {
                break;
            };
            match self.listen(left, wanted) {
                // Only what counts is waited for.
                Look::Paths(paths) if paths.is_empty() => {}
                Look::Paths(paths) => {
                    changed.extend(paths);
                    last = Instant::now();
                }
                Look::Unknown => return Change::Unknown,
                // It is about to be done anyway.
                Look::Asked => {}
                Look::Woken | Look::Nothing => break,
            }
        }
        Change::Paths(changed.into_iter().collect())
    }

    fn listen(&self, patience: Duration, wanted: &dyn Wanted) -> Look {
        let mut watches = self.watches.borrow_mut();
        let timeout = Timespec {
            tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: patience.subsec_nanos().into(),
        };
        let kernel = watches.kernel();
        let mut sources = [
            PollFd::new(&kernel, PollFlags::IN),
            PollFd::from_borrowed_fd(self.bell.counter.as_fd(), PollFlags::IN),
        ];
        // Interrupted, it is a look too early.
        let ready = poll(&mut sources, Some(&timeout)).unwrap_or(0);
        let has_notices = ready > 0 && !sources[0].revents().is_empty();
        let has_rung = ready > 0 && !sources[1].revents().is_empty();
        if has_notices {
            let mut notices = watches.read(wanted);
            if notices.is_incomplete {
                self.is_behind.set(true);
                return Look::Unknown;
            }
            notices.paths.retain(|path| wanted.counts(path));
            // In the middle of noise, a person is heard too.
            if !notices.paths.is_empty() || !has_rung {
                return Look::Paths(notices.paths);
            }
        }
        match has_rung {
            true if self.bell.answer() => Look::Asked,
            true => Look::Woken,
            false => Look::Nothing,
        }
    }
}
