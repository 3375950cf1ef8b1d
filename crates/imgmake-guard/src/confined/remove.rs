//! Deletion of trees of any depth, by descriptor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Descent, names, open_child, open_directory};
use imgmake_event::Cancel;

/// Removes whatever `name` is in a directory, with everything beneath it, following no
/// link. Nothing there is fine.
///
/// # Errors
/// Something may not be removed.
pub fn remove(directory: impl AsFd, name: &[u8]) -> io::Result<()> {
    remove_while(directory, name, &|| true)
}

/// [`remove`], given up with [`io::ErrorKind::Interrupted`] once `goes_on` does not hold: it is
/// asked before each directory.
fn remove_while(directory: impl AsFd, name: &[u8], goes_on: &dyn Fn() -> bool) -> io::Result<()> {
    if unlink(directory.as_fd(), name)? == Unlinked::Gone {
        return Ok(());
    }
    let mut walk = Descent::new(rustix::io::fcntl_dupfd_cloexec(directory, 3)?);
    // Per level: the directories in it that are still to be removed.
    let mut left = vec![vec![name.to_vec()]];
    while let Some(here) = left.last() {
        if !goes_on() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if let Some(name) = here.last() {
            let entered = open_here(walk.here(), name).and_then(|child| walk.push(child));
            match entered {
                Ok(()) => left.push(empty(walk.here())?),
                // Another process removes the same tree.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    left.last_mut().expect("it was just looked at").pop();
                }
                Err(error) => return Err(error),
            }
            continue;
        }
        left.pop();
        let Some(above) = left.last_mut() else {
            break;
        };
        walk.leave()?;
        let name = above.pop().expect("the walk came from there");
        match rustix::fs::unlinkat(walk.here(), &*name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The same for a path, whose parents are trusted: no other user or command could have
/// made them links.
///
/// # Errors
/// As [`remove`]; the path has no last name.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    remove_tree_while(path, &|| true)
}

/// [`remove_tree`] for what a later run removes as well: given up, with part of the tree left,
/// some time after the cancellation.
///
/// # Errors
/// As [`remove`]; [`io::ErrorKind::Interrupted`] if it was given up.
pub fn remove_unfinished(path: &Path, cancel: &Cancel) -> io::Result<()> {
    remove_tree_while(path, &|| !cancel.is_cleanup_over())
}

/// The same, given up after `most`.
///
/// # Errors
/// As [`remove_unfinished`].
pub fn remove_tree_within(path: &Path, most: Duration) -> io::Result<()> {
    let begun = Instant::now();
    remove_tree_while(path, &|| begun.elapsed() < most)
}

fn remove_tree_while(path: &Path, goes_on: &dyn Fn() -> bool) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let here = Path::new(".");
    let parent = if parent == Path::new("") {
        here
    } else {
        parent
    };
    match open_directory(parent) {
        Ok(parent) => remove_while(parent, name.as_bytes(), goes_on),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// A subdirectory, if nothing is mounted there: what is shown of somebody else's files is not
/// deleted where it came from.
fn open_here(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let here = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(directory, name, flags, Mode::empty(), here) {
        // Kernels before 5.6, and filters that do not know the call.
        Err(Errno::NOSYS | Errno::PERM) => open_child(directory, name),
        opened => Ok(opened?),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unlinked {
    Gone,
    IsDirectory,
}

fn unlink(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<Unlinked> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(Unlinked::Gone),
        Err(Errno::ISDIR) => Ok(Unlinked::IsDirectory),
        // What POSIX lets file systems say of directories.
        Err(Errno::PERM) if is_directory(directory, name) => Ok(Unlinked::IsDirectory),
        Err(error) => Err(error.into()),
    }
}

fn is_directory(directory: BorrowedFd<'_>, name: &[u8]) -> bool {
    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|stat| {
        rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory
    })
}

/// Removes everything in a directory but its directories, and gives these.
fn empty(directory: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut directories = Vec::new();
    for name in names(directory)? {
        if unlink(directory, &name)? == Unlinked::IsDirectory {
            directories.push(name);
        }
    }
    Ok(directories)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_removal_that_was_given_up_leaves_what_another_removes() {
        let place = tempfile::tempdir().unwrap();
        let tree = place.path().join("tree");
        for name in ["a/b", "c/d", "e"] {
            std::fs::create_dir_all(tree.join(name)).unwrap();
            std::fs::write(tree.join(name).join("file"), "x").unwrap();
        }
        let asked = Cell::new(0);
        let goes_on = || asked.replace(asked.get() + 1) < 3;
        let error = remove_tree_while(&tree, &goes_on).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        assert!(tree.is_dir());
        // A cancellation alone leaves the time to clean up.
        let cancel = Cancel::default();
        cancel.cancel();
        remove_unfinished(&tree, &cancel).unwrap();
        assert!(!tree.exists());
        remove_tree(&tree).unwrap();
    }
}
