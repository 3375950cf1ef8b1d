//! How a directory was before a command ran in it, where no overlay gathers the changes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, FileType, Stat};

use super::inode::Inode;
use crate::error::Result;
use imgmake_guard::confined::{Descent, check_length, names, open_directory};
use imgmake_oci::layer::{View, join};

/// One name of the tree.
pub(super) struct StatRecord {
    pub inode: Inode,
    number: u64,
    /// The kernel moves an inode's ctime with every change.
    changed: (i64, u64),
}

impl StatRecord {
    fn of(stat: &Stat) -> StatRecord {
        StatRecord {
            inode: Inode::of(stat),
            number: stat.st_ino,
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    pub(super) fn is_still(&self, now: &Stat) -> bool {
        (self.number, self.changed) == (now.st_ino, (now.st_ctime, now.st_ctime_nsec))
    }
}

pub struct Snapshot {
    /// By directory, then by name.
    directories: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, StatRecord>>,
    image: View,
}

impl Snapshot {
    /// Of a tree that holds what `image` says.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn of(root: &Path, image: View) -> Result<Snapshot> {
        let mut walk = Descent::new(open_directory(root)?);
        let mut snapshot = Snapshot {
            directories: BTreeMap::new(),
            image,
        };
        snapshot.read(&mut walk, Vec::new())?;
        snapshot.wait_for_mtime_tick();
        Ok(snapshot)
    }

    fn read(&mut self, walk: &mut Descent, path: Vec<u8>) -> Result<()> {
        let mut found = BTreeMap::new();
        for name in names(walk.here())? {
            let stat = rustix::fs::statat(walk.here(), &*name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let path = join(&path, &name);
                check_length(&path)?;
                walk.enter(&name)?;
                self.read(walk, path)?;
                walk.leave()?;
            }
            found.insert(name, StatRecord::of(&stat));
        }
        self.directories.insert(path, found);
        Ok(())
    }

    /// Before Linux 6.13 the clock of ctimes stands still for up to 10 ms: a change within
    /// that time of the last one could not be seen.
    fn wait_for_mtime_tick(&self) {
        const TICK: Duration = Duration::from_millis(10);
        let stamps = self.directories.values().flat_map(BTreeMap::values);
        let Some((seconds, nanos)) = stamps.map(|then| then.changed).max() else {
            return;
        };
        let last = Duration::new(
            u64::try_from(seconds).unwrap_or(0),
            u32::try_from(nanos).unwrap_or(0),
        );
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let since = now.saturating_sub(last);
        std::thread::sleep(TICK.saturating_sub(since));
    }

    pub(super) fn directory(&self, path: &[u8]) -> Option<&BTreeMap<Vec<u8>, StatRecord>> {
        self.directories.get(path)
    }

    pub(super) fn image(&self) -> &View {
        &self.image
    }
}
