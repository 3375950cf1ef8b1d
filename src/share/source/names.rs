//! The names of a source on this machine: directories, links, and files without content.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use imgmake_core::files::{CONTENT_MISSING, Signature};
use imgmake_core::share::{Entry, decode_path};
use imgmake_guard::confined::{open_directory, open_parent, remove_tree};
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};

use super::opened::Opened;
use super::record::{Placed, Placement, numbers_of};

/// The time of a file whose content is not here.
const NOT_HERE: Timespec = Timespec {
    tv_sec: CONTENT_MISSING.0,
    tv_nsec: CONTENT_MISSING.1,
};

/// All names of a source, in a directory that gets its own name when they are there.
///
/// # Errors
/// It cannot be made.
pub fn create_beside(opened: &Opened, root: &Path, home: &Path) -> Result<Placed> {
    if root.symlink_metadata().is_ok() {
        remove_tree(root)?;
    }
    let made = tempfile::Builder::new().prefix(".new-").tempdir_in(home)?;
    let placed = create_all(&opened.list.entries, made.path())?;
    fs::rename(made.path(), root).with_context(|| format!("cannot make `{}`", root.display()))?;
    drop(made.keep());
    Ok(placed)
}

/// The same in a directory of the user.
///
/// # Errors
/// It has other files, or cannot be written.
pub fn create_in(opened: &Opened, root: &Path) -> Result<Placed> {
    let mut entries = fs::read_dir(root)?;
    ensure!(
        entries.next().is_none(),
        "the directory `{}` is not empty, and does not hold this source\n  help: name another one with `-C`",
        root.display()
    );
    let created = create_all(&opened.list.entries, root);
    if created.is_err() {
        // It was empty.
        for entry in fs::read_dir(root)? {
            drop(remove_tree(&entry?.path()));
        }
    }
    created
}

/// Directories, links, and files without content. The directories get their modes last.
fn create_all(entries: &[Entry], root: &Path) -> Result<Placed> {
    let held = open_directory(root)?;
    let mut placed = Placed::default();
    let mut made = BTreeSet::new();
    for entry in entries {
        let path = decode_path(entry.path()).unwrap_or_default();
        let at = || format!("cannot make `{}` of the source", entry.path());
        make_parents(&held, &path, &mut made).with_context(at)?;
        if matches!(entry, Entry::Directory { .. }) {
            make_directory(&held, &path, &mut made).with_context(at)?;
            continue;
        }
        let (parent, name) = parent_of(&held, &path).with_context(at)?;
        match entry {
            Entry::Directory { .. } => {}
            Entry::Symlink { target, .. } => {
                let target = decode_path(target).unwrap_or_default();
                rustix::fs::symlinkat(&*target, &parent, &*name).with_context(at)?;
            }
            Entry::Hardlink { target, .. } => {
                let target = decode_path(target).unwrap_or_default();
                let (above, target) = parent_of(&held, &target).with_context(at)?;
                let flags = AtFlags::empty();
                rustix::fs::linkat(&above, &*target, &parent, &*name, flags).with_context(at)?;
            }
            Entry::File {
                mode, size, text, ..
            } => {
                let mut file = create(&parent, &name, 0o600).with_context(at)?;
                match text {
                    Some(text) => file.write_all(text.as_bytes()).with_context(at)?,
                    None => file.set_len(*size).with_context(at)?,
                }
                rustix::fs::fchmod(&file, Mode::from_raw_mode(*mode)).with_context(at)?;
                if *size > 0 && text.is_none() {
                    let times = Timestamps {
                        last_access: NOT_HERE,
                        last_modification: NOT_HERE,
                    };
                    rustix::fs::futimens(&file, &times).with_context(at)?;
                }
            }
        }
    }
    // A further name changes a file.
    for (number, entry) in entries.iter().enumerate() {
        if let Entry::File {
            path, size, text, ..
        } = entry
        {
            let signature = signature_at(&held, &decode_path(path).unwrap_or_default())?;
            let placement = Placement {
                signature: numbers_of(&signature),
                is_filled: *size == 0 || text.is_some(),
            };
            placed.0.insert(number, placement);
        }
    }
    for entry in entries.iter().rev() {
        if let Entry::Directory { path, mode } = entry {
            let (parent, name) = parent_of(&held, &decode_path(path).unwrap_or_default())?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let open = rustix::fs::openat(&parent, &*name, flags, Mode::empty())?;
            rustix::fs::fchmod(&open, Mode::from_raw_mode(*mode))?;
        }
    }
    Ok(placed)
}

/// Directories that no entry speaks of have the usual mode.
fn make_parents(held: &OwnedFd, path: &[u8], made: &mut BTreeSet<Vec<u8>>) -> Result<()> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    for (at, _) in slashes {
        make_directory(held, &path[..at], made)?;
    }
    Ok(())
}

fn make_directory(held: &OwnedFd, path: &[u8], made: &mut BTreeSet<Vec<u8>>) -> Result<()> {
    if made.contains(path) {
        return Ok(());
    }
    let (parent, name) = parent_of(held, path)?;
    rustix::fs::mkdirat(&parent, &*name, Mode::from_raw_mode(0o700))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = rustix::fs::openat(&parent, &*name, flags, Mode::empty())?;
    rustix::fs::fchmod(&open, Mode::from_raw_mode(0o755))?;
    made.insert(path.to_vec());
    Ok(())
}

/// The directory of an entry: no part of the way is a link.
///
/// # Errors
/// It is not there, or a link.
pub fn parent_of(held: &OwnedFd, path: &[u8]) -> io::Result<(OwnedFd, Vec<u8>)> {
    open_parent(held, Path::new(OsStr::from_bytes(path)))
}

/// # Errors
/// Something has that name.
pub fn create(parent: &OwnedFd, name: &[u8], mode: u32) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(mode))?.into())
}

/// # Errors
/// It is not there.
pub fn signature_at(held: &OwnedFd, path: &[u8]) -> io::Result<Signature> {
    let (parent, name) = parent_of(held, path)?;
    let stat = rustix::fs::statat(parent.as_fd(), &*name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(Signature::of_stat(&stat))
}
