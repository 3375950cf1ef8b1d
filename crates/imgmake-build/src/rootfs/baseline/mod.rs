//! What an image held before a command ran. A change is what tells the image something
//! new: overlay copies up a file that was merely opened for writing, and a command may
//! write again what was there; such things are in no layer, so that every way of
//! isolation records the same one.
//!
//! | module | the image is |
//! |---|---|
//! | `overlay` | in the trees below the overlay that took the changes |
//! | `snapshot` | in nobody's tree any more: what a snapshot and the layers' indexes say |

mod overlay;
mod snapshot;

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{FileType, Mode, OFlags, Stat};

use self::overlay::OverlayLowers;
use self::snapshot::SnapshotBaseline;
use super::Marks;
use super::attributes::xattrs_of;
use super::inode::{Inode, Original};
use super::snapshot::Snapshot;
use crate::error::Result;

/// One directory of the image.
pub(super) enum Baseline<'a> {
    Overlay(OverlayLowers),
    Snapshot(SnapshotBaseline<'a>),
}

pub(super) struct Seen<'a>(Box<dyn Original + 'a>);

impl<'a> Baseline<'a> {
    /// Trees, top first, with overlay's marks.
    pub(super) fn of_overlay(lowers: &[PathBuf], marks: Marks) -> Baseline<'a> {
        Baseline::Overlay(OverlayLowers::new(lowers, marks))
    }

    pub(super) fn of_snapshot(snapshot: &'a Snapshot) -> Baseline<'a> {
        Baseline::Snapshot(SnapshotBaseline::root(snapshot))
    }

    pub(super) fn get(&self, name: &[u8]) -> Result<Option<Seen<'a>>> {
        Ok(match self {
            Baseline::Overlay(directory) => directory.get(name)?.map(|seen| Seen(Box::new(seen))),
            Baseline::Snapshot(directory) => directory.get(name).map(|seen| Seen(Box::new(seen))),
        })
    }

    /// A subdirectory; empty when the image has none of that name.
    pub(super) fn enter(&self, name: &[u8]) -> Result<Baseline<'a>> {
        Ok(match self {
            Baseline::Overlay(directory) => Baseline::Overlay(directory.enter(name)?),
            Baseline::Snapshot(directory) => Baseline::Snapshot(directory.enter(name)),
        })
    }

    /// Every name that the image has here.
    pub(super) fn names(&self) -> Result<BTreeSet<Vec<u8>>> {
        match self {
            Baseline::Overlay(directory) => directory.names(),
            Baseline::Snapshot(directory) => Ok(directory.names()),
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
