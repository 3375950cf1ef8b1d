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
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, XattrFlags};
use rustix::io::Errno;

use super::Devices;
use super::attributes::{chmod, chown, chown_at, times};
use super::data::copy_data;
use super::diff::{modified, names, xattrs_of};
use super::unpack::{Trees, chain_name, keep_tree, make_tree_directory};
use crate::event::Cancel;
use crate::layer::LayerBlob;

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
pub fn merged_directory(trees: &Trees, layers: &[LayerBlob], cancel: &Cancel) -> Result<Merged> {
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
        let made = make(trees, layers, &tree, cancel).and_then(|()| keep_tree(&tree, &kept));
        drop(fs::remove_dir_all(&temporary));
        made?;
    }
}

/// Brings the merged tree of `layers` to `tree`, whose parent exists: to be changed, and
/// then kept under another name, or removed.
///
/// # Errors
/// As unpacking.
pub fn take_merged(
    trees: &Trees,
    layers: &[LayerBlob],
    tree: &Path,
    cancel: &Cancel,
) -> Result<()> {
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
pub fn keep_merged(trees: &Trees, layers: &[LayerBlob], tree: &Path) -> Result<()> {
    keep_tree(tree, &kept_at(trees, layers))
}

fn kept_at(trees: &Trees, layers: &[LayerBlob]) -> PathBuf {
    trees
        .store()
        .tree_path(trees.id_map(), &chain_name("merged", layers))
}

fn make(trees: &Trees, layers: &[LayerBlob], tree: &Path, cancel: &Cancel) -> Result<()> {
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
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |path: &Path| {
        rustix::fs::open(path, flags, Mode::empty())
            .with_context(|| format!("cannot open `{}`", path.display()))
    };
    let mut copier = Copier {
        devices,
        links: std::collections::HashMap::new(),
        cancel,
    };
    copier
        .contents(&open(from)?, &open(to)?)
        .with_context(|| format!("cannot copy `{}`", from.display()))
}

struct Copier<'a> {
    devices: Devices,
    /// Files with several names keep them.
    links: std::collections::HashMap<(u64, u64), (OwnedFd, Vec<u8>)>,
    cancel: &'a Cancel,
}

impl Copier<'_> {
    fn contents(&mut self, from: &OwnedFd, to: &OwnedFd) -> Result<()> {
        for name in names(from)? {
            self.cancel.check()?;
            self.entry(from, to, &name)
                .with_context(|| format!("at `{}`", String::from_utf8_lossy(&name)))?;
        }
        let stat = rustix::fs::fstat(from)?;
        chown(to, (stat.st_uid, stat.st_gid))?;
        chmod(to, stat.st_mode & 0o7777)?;
        copy_xattrs(from, to)?;
        rustix::fs::futimens(to, &times(modified(&stat)))?;
        Ok(())
    }

    fn entry(&mut self, from: &OwnedFd, to: &OwnedFd, name: &[u8]) -> Result<()> {
        let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                rustix::fs::mkdirat(to, name, Mode::from(0o700))?;
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let open = |at: &OwnedFd| rustix::fs::openat(at, name, flags, Mode::empty());
                return self.contents(&open(from)?, &open(to)?);
            }
            _ if self.is_linked(to, name, &stat)? => return Ok(()),
            FileType::RegularFile => return copy_file((from, to), name, &stat, self.cancel),
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
        chown_at(to.as_fd(), name, (stat.st_uid, stat.st_gid))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            rustix::fs::chmodat(to, name, mode, AtFlags::empty())?;
        }
        let times = times(modified(&stat));
        rustix::fs::utimensat(to, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    fn is_linked(&mut self, to: &OwnedFd, name: &[u8], stat: &Stat) -> Result<bool> {
        if stat.st_nlink < 2 {
            return Ok(false);
        }
        let identity = (stat.st_dev, stat.st_ino);
        if let Some((directory, first)) = self.links.get(&identity) {
            rustix::fs::linkat(directory, &**first, to, name, AtFlags::empty())?;
            return Ok(true);
        }
        let directory = rustix::io::fcntl_dupfd_cloexec(to, 3)?;
        self.links.insert(identity, (directory, name.to_vec()));
        Ok(false)
    }
}

fn copy_file(
    (from, to): (&OwnedFd, &OwnedFd),
    name: &[u8],
    stat: &Stat,
    cancel: &Cancel,
) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = rustix::fs::openat(from, name, flags, Mode::empty())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let _open = super::forks::writing();
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
