//! Deletion of trees of any depth, by descriptor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Descent, names, open_child, open_directory};

/// Removes whatever `name` is in a directory, with everything beneath it, following no
/// link. Nothing there is fine.
///
/// # Errors
/// Something may not be removed.
pub fn remove(directory: impl AsFd, name: &[u8]) -> io::Result<()> {
    if unlink(directory.as_fd(), name)? == Unlinked::Gone {
        return Ok(());
    }
    let mut walk = Descent::new(rustix::io::fcntl_dupfd_cloexec(directory, 3)?);
    // Per level: the directories in it that are still to be removed.
    let mut left = vec![vec![name.to_vec()]];
    while let Some(here) = left.last() {
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
        Ok(parent) => remove(parent, name.as_bytes()),
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
