//! Files beneath a directory in which others can write: a command, a layer, a
//! checkout, a cache. One way for everybody, so that it has to be right only once:
//!
//! - After a command ran, nothing of its root is opened by a path from the outside: a
//!   parent that it moved away and replaced by a link would lead anywhere. What is needed
//!   afterwards is opened before and held, and used through `*at` calls with one name.
//! - A path that comes from inside is walked name by name with `O_NOFOLLOW`
//!   ([`open_beneath`], [`open_inside`]), or as a process inside would follow it
//!   ([`resolve`]). Neither leaves the directory.
//! - What stands under a name is what was put there only if it is the same inode while
//!   that is held open ([`Held`]); an inode that is held is no other file's meanwhile.
//! - Trees may be deeper than there are descriptors, stack or characters in a path.
//!   [`Descent`] walks them with a bounded number of descriptors, [`remove`] deletes them
//!   without recursion, and what records paths refuses those above [`LONGEST_PATH`].
//!
//! Knows nobody. Works on whatever the process may see; does not need `/proc`.

mod descent;
mod held;
mod inside;
mod remove;
mod resolve;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, Timespec, Timestamps};

pub use descent::Descent;
pub use held::{Held, keeping_time};
pub use inside::{open_file, open_inside, open_real};
pub use remove::{remove, remove_tree, remove_tree_within, remove_unfinished};
pub use resolve::{Resolved, descriptor_path, make, open_root, read_file, resolve};

/// Bytes of the longest path that Linux takes (`PATH_MAX` without its final NUL). No
/// program can name what lies deeper from its root, and no layer contains it.
pub const LONGEST_PATH: usize = 4095;

/// # Errors
/// The path, relative to the root of an image, is longer than [`LONGEST_PATH`].
pub fn check_length(path: &[u8]) -> io::Result<()> {
    if path.len() <= LONGEST_PATH {
        return Ok(());
    }
    let begins = String::from_utf8_lossy(&path[..60]);
    Err(io::Error::other(format!(
        "the path that begins with `/{begins}` has {} bytes; {LONGEST_PATH} are the most that \
         Linux takes",
        path.len()
    )))
}

/// The directory at a path of components that are no links, relative to `root`; `root`
/// itself for the empty path. Only for `*at` calls: it cannot be read.
///
/// # Errors
/// A part is missing, a link, or no directory.
pub fn open_beneath(root: impl AsFd, path: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = rustix::fs::openat(root, ".", flags, Mode::empty())?;
    for name in path.split(|b| *b == b'/').filter(|name| !name.is_empty()) {
        if name == b".." {
            return Err(io::Error::other("a path inside must not lead up"));
        }
        at = rustix::fs::openat(&at, name, flags, Mode::empty())?;
    }
    Ok(at)
}

/// The last name of a path and the directory that it is in, see [`open_beneath`].
///
/// # Errors
/// As there; the path has no last name.
pub fn open_parent(root: impl AsFd, path: &Path) -> io::Result<(OwnedFd, Vec<u8>)> {
    use std::os::unix::ffi::OsStrExt;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("the root has no parent"));
    };
    let parent = open_beneath(root, parent.as_os_str().as_bytes())?;
    Ok((parent, name.as_bytes().to_vec()))
}

/// A directory to read, whose path is trusted: links are followed.
///
/// # Errors
/// It is no directory, or may not be read.
pub fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// A subdirectory to read; a link is none.
///
/// # Errors
/// There is no directory of that name, or it may not be read.
pub fn open_child(directory: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?)
}

/// The names in a directory, which may be open for `*at` calls alone; in no order.
///
/// # Errors
/// It cannot be read.
pub fn names(directory: impl AsFd) -> io::Result<Vec<Vec<u8>>> {
    // Opened anew: it may be open for its path alone, and its position is another's.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    names_of(Dir::new(rustix::fs::openat(
        directory,
        ".",
        flags,
        Mode::empty(),
    )?)?)
}

/// The same of a directory that was opened to read it, and is read for the first time.
///
/// # Errors
/// As [`names`].
pub fn names_in(directory: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    // The position is one for both descriptors.
    names_of(Dir::new(directory.try_clone()?)?)
}

fn names_of(directory: Dir) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in directory {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

/// Sets a directory's modification time, through a descriptor of any kind.
fn set_modified(directory: impl AsFd, seconds: i64, nanos: i64) -> io::Result<()> {
    let spec = |nanos| Timespec {
        tv_sec: seconds,
        tv_nsec: nanos,
    };
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_OMIT,
        },
        last_modification: spec(nanos),
    };
    // `.`: the kernel takes no descriptor that is open for its path alone.
    Ok(rustix::fs::utimensat(
        directory,
        ".",
        &times,
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}
