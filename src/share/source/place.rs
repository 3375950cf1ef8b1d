//! Where sources lie in the store: who uses one, who changes one, and when one goes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use imgmake_guard::confined::remove_tree;
use imgmake_guard::modes::{self, PRIVATE};
use imgmake_oci::image::Digest;
use imgmake_oci::store::{Store, is_still, size_on_disk};

/// How long a source stays that nobody asks for.
const UNUSED: Duration = Duration::from_secs(3 * 86_400);

/// The place of one source, for as long as somebody works with it.
pub struct Place {
    pub home: PathBuf,
    _used: File,
}

impl Place {
    /// Those that nobody has asked for go.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn of(digest: &Digest, store: &Store) -> Result<Place> {
        let sources = sources(store)?;
        modes::make_dirs(&sources, PRIVATE)?;
        remove_unused(&sources, UNUSED);
        let home = sources.join(digest.hex());
        modes::make_dirs(&home, PRIVATE)?;
        let used = File::open(&home)?;
        used.lock_shared()?;
        ensure!(
            is_still(&used, &home),
            "another run removed the source: run it again"
        );
        used.set_modified(SystemTime::now())?;
        Ok(Place { home, _used: used })
    }
}

/// Beside databases, which nobody else may write either: in a store that others can change, nothing of a source
/// would be proven.
fn sources(store: &Store) -> Result<PathBuf> {
    Ok(store.database()?.with_file_name("sources"))
}

/// Some sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    pub count: usize,
    pub bytes: u64,
}

/// What sources are in the store, and how much of the disk they take.
///
/// # Errors
/// The store has no place for them.
pub fn kept(store: &Store) -> Result<Sources> {
    let entries = fs::read_dir(sources(store)?)
        .into_iter()
        .flatten()
        .flatten();
    let mut kept = Sources::default();
    for entry in entries {
        kept.count += 1;
        kept.bytes += size_on_disk(&entry.path());
    }
    Ok(kept)
}

/// Removes sources that were not used for so long, and that nobody uses.
///
/// # Errors
/// The store has no place for them.
pub fn remove(store: &Store, unused_for: Duration) -> Result<Sources> {
    Ok(remove_unused(&sources(store)?, unused_for))
}

fn remove_unused(sources: &Path, unused_for: Duration) -> Sources {
    let now = SystemTime::now();
    let mut removed = Sources::default();
    for entry in fs::read_dir(sources).into_iter().flatten().flatten() {
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        if !changed.is_ok_and(|changed| changed + unused_for <= now) {
            continue;
        }
        let path = entry.path();
        let Ok(open) = File::open(&path) else {
            continue;
        };
        if open.try_lock().is_ok() && is_still(&open, &path) {
            let bytes = size_on_disk(&path);
            // What stays is tried again by every later run.
            if remove_tree(&path).is_ok() {
                removed.count += 1;
                removed.bytes += bytes;
            }
        }
    }
    removed
}

/// Kept by one process at a time while it changes what is in place.
pub struct Turn(File);

impl Turn {
    /// # Errors
    /// Nobody can be kept out.
    pub fn take(home: &Path) -> Result<Turn> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(home.join("turn"))?;
        file.lock()?;
        Ok(Turn(file))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Closing it would do the same.
        drop(self.0.unlock());
    }
}
