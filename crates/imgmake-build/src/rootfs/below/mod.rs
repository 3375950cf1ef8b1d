//! What an image held before a command ran. A change is what tells the image something
//! new: overlay copies up a file that was merely opened for writing, and a command may
//! write again what was there; such things are in no layer, so that every way of
//! isolation records the same one.
//!
//! | module | the image is |
//! |---|---|
//! | `stacked` | in the trees below the overlay that took the changes |
//! | `recalled` | in nobody's tree any more: what a snapshot and the layers' indexes say |

mod recalled;
mod stacked;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use anyhow::Result;
use rustix::fs::{FileType, Mode, OFlags, Stat};

use self::recalled::Recalled;
use self::stacked::Stacked;
use super::Marks;
use super::diff::xattrs_of;
use super::snapshot::Snapshot;

/// One directory of the image.
pub(super) enum Below<'a> {
    Stacked(Stacked),
    Recalled(Recalled<'a>),
}

/// What a layer records of an inode, but for what takes reading to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inode {
    /// Kind and permissions.
    pub mode: u32,
    pub owner: (u32, u32),
    pub modified: (i64, i64),
    pub size: u64,
    pub device: u64,
}

impl Inode {
    pub(super) fn of(stat: &Stat) -> Inode {
        Inode {
            mode: stat.st_mode,
            owner: (stat.st_uid, stat.st_gid),
            modified: (
                stat.st_mtime,
                i64::try_from(stat.st_mtime_nsec).unwrap_or(0),
            ),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            device: stat.st_rdev,
        }
    }

    fn kind(self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }
}

/// Something that the image has.
pub(super) trait Original {
    /// Nobody has touched it, whatever it is.
    fn is_untouched(&self, now: &Stat) -> bool;
    fn inode(&self) -> Inode;
    fn xattrs(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>>;
    /// Of a symlink.
    fn target(&self) -> Result<Vec<u8>>;
    fn has_content_of(&self, file: File) -> Result<bool>;
}

pub(super) struct Seen<'a>(Box<dyn Original + 'a>);

impl<'a> Below<'a> {
    /// Trees, top first, with overlay's marks.
    pub(super) fn stacked(lowers: &[PathBuf], marks: Marks) -> Below<'a> {
        Below::Stacked(Stacked::new(lowers, marks))
    }

    pub(super) fn recalled(snapshot: &'a Snapshot) -> Below<'a> {
        Below::Recalled(Recalled::root(snapshot))
    }

    pub(super) fn get(&self, name: &[u8]) -> Result<Option<Seen<'a>>> {
        Ok(match self {
            Below::Stacked(directory) => directory.get(name)?.map(|seen| Seen(Box::new(seen))),
            Below::Recalled(directory) => directory.get(name).map(|seen| Seen(Box::new(seen))),
        })
    }

    /// A subdirectory; empty when the image has none of that name.
    pub(super) fn enter(&self, name: &[u8]) -> Result<Below<'a>> {
        Ok(match self {
            Below::Stacked(directory) => Below::Stacked(directory.enter(name)?),
            Below::Recalled(directory) => Below::Recalled(directory.enter(name)),
        })
    }

    /// Every name that the image has here.
    pub(super) fn names(&self) -> Result<BTreeSet<Vec<u8>>> {
        match self {
            Below::Stacked(directory) => directory.names(),
            Below::Recalled(directory) => Ok(directory.names()),
        }
    }
}

impl Seen<'_> {
    pub(super) fn is_directory(&self) -> bool {
        self.0.inode().kind() == FileType::Directory
    }

    /// Whether something has everything that a layer would record of it already.
    pub(super) fn is_like(
        &self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        now: &Stat,
    ) -> Result<bool> {
        if self.0.is_untouched(now) {
            return Ok(true);
        }
        let (then, inode) = (self.0.inode(), Inode::of(now));
        if (then.mode, then.owner, then.modified) != (inode.mode, inode.owner, inode.modified) {
            return Ok(false);
        }
        let has_its_xattrs = || Ok(self.0.xattrs()? == xattrs_of(open(directory, name)?)?);
        if inode.kind() == FileType::Directory {
            return has_its_xattrs();
        }
        // With a second name, which may be new, it is one of a group of links.
        if now.st_nlink > 1 || then.device != inode.device {
            return Ok(false);
        }
        match inode.kind() {
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(directory, name, Vec::new())?;
                Ok(self.0.target()? == target.as_bytes())
            }
            FileType::RegularFile => Ok(then.size == inode.size
                && has_its_xattrs()?
                && self.0.has_content_of(open(directory, name)?.into())?),
            _ => Ok(true),
        }
    }
}

fn open(directory: impl AsFd, name: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?)
}
