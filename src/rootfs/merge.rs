//! One directory that holds what several layers give together, and copies of it,
//! for places where overlay does not work or cannot take so many layers.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, XattrFlags};

use super::attributes::{chmod, chown, chown_at, times};
use super::diff::{modified, names, xattrs_of};
use super::unpack::{Trees, chain_name, keep_tree, make_tree_directory};
use crate::layer::LayerBlob;

/// The merged tree of `layers` (bottom first), made once per chain.
///
/// # Errors
/// As unpacking.
pub fn merged_directory(trees: &Trees, layers: &[LayerBlob]) -> Result<PathBuf> {
    let name = chain_name("merged", layers);
    let target = trees.store().tree_path(trees.id_map(), &name);
    if !target.exists() {
        let temporary = trees.store().temporary_dir()?;
        let tree = temporary.join("tree");
        let made = make_tree_directory(&tree)
            .and_then(|()| trees.merge_into(layers, &tree.join("fs")))
            .and_then(|()| keep_tree(&tree, &target));
        drop(fs::remove_dir_all(&temporary));
        made?;
    }
    Ok(target.join("fs"))
}

/// Copies a tree with everything that a layer can record; blocks are shared where
/// the file system can.
///
/// # Errors
/// Something cannot be read or written.
pub fn copy_directory(from: &Path, to: &Path) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |path: &Path| {
        rustix::fs::open(path, flags, Mode::empty())
            .with_context(|| format!("cannot open `{}`", path.display()))
    };
    let mut copier = Copier::default();
    copier
        .contents(&open(from)?, &open(to)?)
        .with_context(|| format!("cannot copy `{}`", from.display()))
}

#[derive(Default)]
struct Copier {
    /// Files with several names keep them.
    links: std::collections::HashMap<(u64, u64), (OwnedFd, Vec<u8>)>,
}

impl Copier {
    fn contents(&mut self, from: &OwnedFd, to: &OwnedFd) -> Result<()> {
        for name in names(from)? {
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
            FileType::RegularFile => return copy_file(from, to, name, &stat),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(&target, to, name)?;
            }
            FileType::Socket => return Ok(()),
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

fn copy_file(from: &OwnedFd, to: &OwnedFd, name: &[u8], stat: &Stat) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = rustix::fs::openat(from, name, flags, Mode::empty())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let target = rustix::fs::openat(to, name, flags, Mode::from(0o600))?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
        let mut source = fs::File::from(source.try_clone()?);
        let mut target = fs::File::from(target.try_clone()?);
        std::io::copy(&mut source, &mut target)?;
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

/// Makes a finished step's directory the merged tree of its chain. `tree` holds `fs`.
///
/// # Errors
/// The store cannot be written.
pub fn keep_merged(trees: &Trees, layers: &[LayerBlob], tree: &Path) -> Result<()> {
    let name = chain_name("merged", layers);
    keep_tree(tree, &trees.store().tree_path(trees.id_map(), &name))
}
