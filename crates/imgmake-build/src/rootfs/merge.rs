//! One directory that holds what several layers give together, for places where overlay
//! does not work or cannot take so many layers; and copies of directories.
//!
//! A step takes the directory away, changes it in place and leaves it behind under the
//! name of what it is then: so one tree goes with a stage from step to step, and nothing
//! is copied. Who needs an earlier state makes it from the layers again, which costs
//! about as much as a copy. Readers hold a shared lock; a tree that is being read is
//! not taken.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, XattrFlags};
use rustix::io::Errno;

use super::Devices;
use super::attributes::{chmod, chown, chown_at, times, xattrs_of};
use super::data::copy_data;
use super::diff::modified;
use super::fork_lock;
use super::kept_layers::{Trees, chain_name, keep_tree, make_tree_directory};
use crate::error::{Context, Result};
use imgmake_event::Cancel;
use imgmake_guard::confined::{
    Descent, check_length, names, open_beneath, open_directory, remove_unfinished,
};
use imgmake_oci::layer::{Layer, join, split};

/// A merged tree that nobody takes away or changes while this lives.
pub struct Merged {
    path: PathBuf,
    _lock: File,
}

impl Merged {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The merged tree of `layers` (bottom first), to read from.
///
/// # Errors
/// As unpacking.
pub fn merged_directory(trees: &Trees, layers: &[Layer], cancel: &Cancel) -> Result<Merged> {
    let kept = kept_at(trees, layers);
    loop {
        if let Some(lock) = lock(&kept, FlockOperation::LockShared)? {
            return Ok(Merged {
                path: kept.join("fs"),
                _lock: lock,
            });
        }
        let temporary = trees.store().temporary_dir()?;
        let tree = temporary.join("tree");
        let merged = make(trees, layers, &tree, cancel).and_then(|()| keep_tree(&tree, &kept));
        drop(remove_unfinished(&temporary, cancel));
        merged?;
    }
}

/// Brings the merged tree of `layers` to `tree`, whose parent exists: to be changed, and
/// then kept under another name, or removed.
///
/// # Errors
/// As unpacking.
pub fn take_merged(trees: &Trees, layers: &[Layer], tree: &Path, cancel: &Cancel) -> Result<()> {
    // What is there of it already: a COPY has put more layers on what the last RUN left.
    for length in (1..=layers.len()).rev() {
        let kept = kept_at(trees, &layers[..length]);
        let lock = lock(&kept, FlockOperation::NonBlockingLockExclusive)?;
        if lock.is_some() && fs::rename(&kept, tree).is_ok() {
            return trees.merge_into(&layers[length..], &tree.join("fs"), cancel);
        }
    }
    make(trees, layers, tree, cancel)
}

/// Makes a step's directory the merged tree of these layers. `tree` holds `fs`.
///
/// # Errors
/// The store cannot be written.
pub fn keep_merged(trees: &Trees, layers: &[Layer], tree: &Path) -> Result<()> {
    keep_tree(tree, &kept_at(trees, layers))
}

fn kept_at(trees: &Trees, layers: &[Layer]) -> PathBuf {
    trees
        .store()
        .tree_path(trees.id_map(), &chain_name("merged", layers))
}

fn make(trees: &Trees, layers: &[Layer], tree: &Path, cancel: &Cancel) -> Result<()> {
    make_tree_directory(tree)?;
    trees.merge_into(layers, &tree.join("fs"), cancel)
}

/// `None` if it is not there, or somebody else has it and this is not to wait.
fn lock(tree: &Path, operation: FlockOperation) -> Result<Option<File>> {
    loop {
        let directory = match File::open(tree) {
            Ok(directory) => directory,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            // Taken for absent, it would be made again and again.
            Err(error) => {
                return Err(error).with_context(|| format!("cannot open `{}`", tree.display()));
            }
        };
        match rustix::fs::flock(&directory, operation) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(Errno::INTR) => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot lock `{}`", tree.display()));
            }
        }
        // Taken away between the two calls, the name may stand for another tree, or for none.
        let locked = directory.metadata()?;
        let same = |now: fs::Metadata| (now.dev(), now.ino()) == (locked.dev(), locked.ino());
        if fs::metadata(tree).is_ok_and(same) {
            return Ok(Some(directory));
        }
    }
}

/// Copies a tree with everything that a layer can record; blocks are shared where
/// the file system can. Device nodes become what `devices` says.
///
/// # Errors
/// Something cannot be read or written.
pub fn copy_directory(from: &Path, to: &Path, devices: Devices, cancel: &Cancel) -> Result<()> {
    let open = |path: &Path| {
        open_directory(path).with_context(|| format!("cannot open `{}`", path.display()))
    };
    let root = open(to)?;
    let mut copier = Copier {
        devices,
        from: Descent::new(open(from)?),
        to: Descent::new(root.try_clone()?),
        root,
        links: std::collections::HashMap::new(),
        cancel,
    };
    let copied = copier.contents(b"");
    fork_lock::wait_for_children();
    copied.with_context(|| format!("cannot copy `{}`", from.display()))
}

struct Copier<'a> {
    devices: Devices,
    from: Descent,
    to: Descent,
    root: OwnedFd,
    /// Files with several names keep them: the first one's path in the copy.
    links: std::collections::HashMap<(u64, u64), Vec<u8>>,
    cancel: &'a Cancel,
}

impl Copier<'_> {
    /// Of the directories that the two walks are in.
    fn contents(&mut self, path: &[u8]) -> Result<()> {
        for name in names(self.from.here())? {
            self.cancel.check()?;
            let path = join(path, &name);
            check_length(&path)?;
            let stat = rustix::fs::statat(self.from.here(), &*name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                rustix::fs::mkdirat(self.to.here(), &*name, Mode::from(0o700))?;
                self.from.enter(&name)?;
                self.to.enter(&name)?;
                self.contents(&path)?;
                self.from.leave()?;
                self.to.leave()?;
                continue;
            }
            self.entry(&name, &path, &stat)
                .with_context(|| format!("at `{}`", String::from_utf8_lossy(&path)))?;
        }
        let (from, to) = (self.from.here(), self.to.here());
        let stat = rustix::fs::fstat(from)?;
        chown(to, (stat.st_uid, stat.st_gid))?;
        chmod(to, stat.st_mode & 0o7777)?;
        copy_xattrs(from, to)?;
        rustix::fs::futimens(to, &times(modified(&stat)))?;
        Ok(())
    }

    fn entry(&mut self, name: &[u8], path: &[u8], stat: &Stat) -> Result<()> {
        if self.is_linked(name, path, stat)? {
            return Ok(());
        }
        let (from, to) = (self.from.here(), self.to.here());
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => return copy_file((from, to), name, stat, self.cancel),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(&target, to, name)?;
            }
            FileType::Socket => return Ok(()),
            FileType::CharacterDevice | FileType::BlockDevice
                if self.devices == Devices::Placeholders =>
            {
                let (kind, device) = (FileType::RegularFile, 0);
                rustix::fs::mknodat(to, name, kind, Mode::from(0o600), device)?;
            }
            kind => {
                rustix::fs::mknodat(to, name, kind, mode, stat.st_rdev)?;
            }
        }
        chown_at(to, name, (stat.st_uid, stat.st_gid))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            rustix::fs::chmodat(to, name, mode, AtFlags::empty())?;
        }
        let times = times(modified(stat));
        rustix::fs::utimensat(to, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    fn is_linked(&mut self, name: &[u8], path: &[u8], stat: &Stat) -> Result<bool> {
        if stat.st_nlink < 2 {
            return Ok(false);
        }
        let identity = (stat.st_dev, stat.st_ino);
        if let Some(first) = self.links.get(&identity) {
            let (directory, first) = split(first);
            let directory = open_beneath(&self.root, directory)?;
            rustix::fs::linkat(directory, first, self.to.here(), name, AtFlags::empty())?;
            return Ok(true);
        }
        self.links.insert(identity, path.to_vec());
        Ok(false)
    }
}

fn copy_file(
    (from, to): (BorrowedFd<'_>, BorrowedFd<'_>),
    name: &[u8],
    stat: &Stat,
    cancel: &Cancel,
) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = rustix::fs::openat(from, name, flags, Mode::empty())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let target = rustix::fs::openat(to, name, flags, Mode::from(0o600))?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
        let (source, target) = (source.try_clone()?.into(), target.try_clone()?.into());
        copy_data(&source, &target, cancel)?;
    }
    chown(&target, (stat.st_uid, stat.st_gid))?;
    chmod(&target, stat.st_mode & 0o7777)?;
    copy_xattrs(&source, &target)?;
    rustix::fs::futimens(&target, &times(modified(stat)))?;
    Ok(())
}

fn copy_xattrs(from: impl AsFd, to: impl AsFd) -> Result<()> {
    for (name, value) in xattrs_of(from)? {
        rustix::fs::fsetxattr(&to, &*name, &value, XattrFlags::empty())?;
    }
    Ok(())
}
