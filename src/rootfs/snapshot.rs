//! How a directory was before a command ran in it, where no overlay gathers the changes.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::Result;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

use crate::layer::join;

/// Enough to know a change: the kernel moves an inode's ctime with every one.
struct Stamp {
    inode: u64,
    changed: (i64, i64),
    modified: (i64, i64),
    mode: u32,
    owner: (u32, u32),
}

impl Stamp {
    fn of(stat: &Stat) -> Stamp {
        let nanos = |n: u64| i64::try_from(n).unwrap_or(0);
        Stamp {
            inode: stat.st_ino,
            changed: (stat.st_ctime, nanos(stat.st_ctime_nsec)),
            modified: (stat.st_mtime, nanos(stat.st_mtime_nsec)),
            mode: stat.st_mode,
            owner: (stat.st_uid, stat.st_gid),
        }
    }
}

pub struct Snapshot {
    /// By directory, then by name.
    directories: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Stamp>>,
}

impl Snapshot {
    /// # Errors
    /// The directory cannot be read.
    pub fn of(root: &Path) -> Result<Snapshot> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(root, flags, Mode::empty())?;
        let mut snapshot = Snapshot {
            directories: BTreeMap::new(),
        };
        snapshot.read(&root, Vec::new())?;
        Ok(snapshot)
    }

    fn read(&mut self, directory: &OwnedFd, path: Vec<u8>) -> Result<()> {
        let mut stamps = BTreeMap::new();
        for name in super::diff::names(directory)? {
            let stat = rustix::fs::statat(directory, &*name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let child = rustix::fs::openat(directory, &*name, flags, Mode::empty())?;
                self.read(&child, join(&path, &name))?;
            }
            stamps.insert(name, Stamp::of(&stat));
        }
        self.directories.insert(path, stamps);
        Ok(())
    }

    pub(super) fn children(&self, directory: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        let names = self.directories.get(directory);
        names.into_iter().flat_map(|names| names.keys().cloned())
    }

    pub(super) fn differs(&self, path: &[u8], now: &Stat) -> bool {
        let (directory, name) = crate::layer::split(path);
        let then = self.directories.get(directory).and_then(|d| d.get(name));
        let Some(then) = then else {
            return true;
        };
        let now = Stamp::of(now);
        // Mount points come and go below a directory, and its time is put back.
        if FileType::from_raw_mode(now.mode) == FileType::Directory {
            return (then.inode, then.modified, then.mode, then.owner)
                != (now.inode, now.modified, now.mode, now.owner);
        }
        (then.inode, then.changed) != (now.inode, now.changed)
    }
}
