//! What is beneath a directory that is held open, by its path: one call of the kernel,
//! which follows no link on the way, where the kernel has that call.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::open_beneath;

/// Opens what stands at a path of components that are no links; `root` itself for the
/// empty path. With `OFlags::PATH` the last component may be a link, and that is opened.
///
/// # Errors
/// A part is missing or a link, or the path leads up.
pub fn open_inside(root: impl AsFd, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    if path.split(|b| *b == b'/').any(|name| name == b"..") {
        return Err(io::Error::other("a path inside must not lead up"));
    }
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let name = if path.is_empty() { b"." } else { path };
    let confined = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(&root, name, flags, Mode::empty(), confined) {
        // Kernels before 5.6, and container runtimes whose filter does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => step_by_step(root, name, flags),
        opened => Ok(opened?),
    }
}

/// The same, a name at a time.
pub(super) fn step_by_step(root: impl AsFd, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let (above, name) = match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&path[..0], path),
    };
    let above = open_beneath(root, above)?;
    Ok(rustix::fs::openat(&above, name, flags, Mode::empty())?)
}

/// A regular file, to be read; see [`open_inside`].
///
/// # Errors
/// As there; it is no regular file.
pub fn open_file(root: impl AsFd, path: &[u8]) -> io::Result<File> {
    // Whatever has taken its place meanwhile: nothing to wait for.
    let file = open_inside(root, path, OFlags::RDONLY | OFlags::NONBLOCK)?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
    match kind {
        FileType::RegularFile => Ok(File::from(file)),
        _ => Err(io::Error::other("no longer a regular file")),
    }
}

/// A directory to read, by its real path: whatever became a link since that was found out
/// is not followed.
///
/// # Errors
/// A part is missing or a link; it is no directory, or may not be read.
pub fn open_real(path: &Path) -> io::Result<OwnedFd> {
    let beneath = path
        .strip_prefix("/")
        .map_err(|_| io::Error::other("a real path begins with `/`"))?;
    let root = super::open_root(Path::new("/"))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    open_inside(root, beneath.as_os_str().as_bytes(), flags)
}
