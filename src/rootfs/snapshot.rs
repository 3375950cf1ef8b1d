//! How a directory was before a command ran in it, where no overlay gathers the changes.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::Result;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

use crate::layer::join;

/// Enough to know a change: the kernel moves an inode's ctime with every one.
#[derive(PartialEq, Eq)]
struct Stamp {
    inode: u64,
    changed: (i64, u64),
}

impl Stamp {
    fn of(stat: &Stat) -> Stamp {
        Stamp {
            inode: stat.st_ino,
            changed: (stat.st_ctime, stat.st_ctime_nsec),
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
                continue;
            }
            stamps.insert(name, Stamp::of(&stat));
        }
        self.directories.insert(path, stamps);
        Ok(())
    }

    /// For what is no directory.
    pub(super) fn differs(&self, path: &[u8], now: &Stat) -> bool {
        let (directory, name) = crate::layer::split(path);
        let then = self.directories.get(directory).and_then(|d| d.get(name));
        then.is_none_or(|then| *then != Stamp::of(now))
    }
}
