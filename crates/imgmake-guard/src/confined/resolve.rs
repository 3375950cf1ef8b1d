//! Paths of an image looked up inside its root directory, which no link leaves.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};

use super::Descent;

/// # Errors
/// It is no directory, or may not be opened.
pub fn open_root(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Where a path leads once all links are followed.
#[derive(Debug)]
pub struct Resolved {
    /// Relative to the root, no links, no `..`.
    pub path: PathBuf,
    /// What is there; `None` when (a part of) the path does not exist.
    pub found: Option<(OwnedFd, FileType)>,
    /// How many of the components exist.
    pub existing: usize,
}

/// Follows every link, absolute ones from `root`. A path that does not exist is
/// answered as it would be made.
///
/// # Errors
/// More than 255 links, a file where a directory is needed, no permission.
pub fn resolve(root: impl AsFd, path: &Path) -> io::Result<Resolved> {
    let mut pending: VecDeque<OsString> = VecDeque::new();
    push_front(&mut pending, path.as_os_str());
    let mut walk = Descent::new(open_at(root.as_fd(), OsStr::new("."))?);
    let mut trail: Vec<(OsString, FileType)> = Vec::new();
    let mut links = 0;
    while let Some(name) = pending.pop_front() {
        if name == ".." {
            trail.pop();
            walk.leave()?;
            continue;
        }
        let fd = match open_at(walk.here(), &name) {
            Ok(fd) => fd,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(missing(&trail, name, pending));
            }
            Err(error) => return Err(error),
        };
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
        if kind != FileType::Symlink {
            trail.push((name, kind));
            walk.push(fd)?;
            continue;
        }
        links += 1;
        if links > 255 {
            return Err(rustix::io::Errno::LOOP.into());
        }
        let target = rustix::fs::readlinkat(&fd, "", Vec::new())?.into_bytes();
        if target.starts_with(b"/") {
            trail.clear();
            walk.restart();
        }
        push_front(&mut pending, &OsString::from_vec(target));
    }
    let kind = trail.last().map_or(FileType::Directory, |(_, kind)| *kind);
    Ok(Resolved {
        path: trail.iter().map(|(name, _)| name).collect(),
        found: Some((walk.into_here(), kind)),
        existing: trail.len(),
    })
}

fn missing(
    trail: &[(OsString, FileType)],
    name: OsString,
    pending: VecDeque<OsString>,
) -> Resolved {
    let mut path: Vec<OsString> = trail.iter().map(|(name, _)| name.clone()).collect();
    for name in std::iter::once(name).chain(pending) {
        if name == ".." {
            path.pop();
        } else {
            path.push(name);
        }
    }
    Resolved {
        existing: trail.len().min(path.len()),
        path: path.into_iter().collect(),
        found: None,
    }
}

fn push_front(pending: &mut VecDeque<OsString>, path: &OsStr) {
    for part in path.as_bytes().split(|b| *b == b'/').rev() {
        if !part.is_empty() && part != b"." {
            pending.push_front(OsStr::from_bytes(part).to_os_string());
        }
    }
}

fn open_at(parent: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

/// The bytes of a regular file in the image, at most `limit`; `None` when there is none.
///
/// # Errors
/// As [`resolve`]; the file cannot be read.
pub fn read_file(root: impl AsFd, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    use std::io::Read;
    let resolved = resolve(root.as_fd(), path)?;
    if !matches!(resolved.found, Some((_, FileType::RegularFile))) {
        return Ok(None);
    }
    // Not through the descriptor that was found: that takes /proc, and a chroot has none.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(root, &resolved.path, flags, Mode::empty())?;
    let mut bytes = Vec::new();
    std::fs::File::from(file)
        .take(limit)
        .read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// A name by which calls that take paths reach what a descriptor holds.
pub fn descriptor_path(fd: impl AsFd) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()))
}

/// Makes what is missing of a resolved path: directories 0755, and the last part
/// as a directory or an empty file. Gives a descriptor of it.
///
/// # Errors
/// A part cannot be made.
pub fn make(root: impl AsFd, resolved: Resolved, leaf: FileType) -> io::Result<OwnedFd> {
    if let Some((fd, _)) = resolved.found {
        return Ok(fd);
    }
    let mut at = open_at(root.as_fd(), OsStr::new("."))?;
    let count = resolved.path.components().count();
    for (i, name) in resolved.path.iter().enumerate() {
        if i >= resolved.existing {
            if i + 1 == count && leaf != FileType::Directory {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                drop(rustix::fs::openat(&at, name, flags, Mode::from(0o644))?);
            } else {
                rustix::fs::mkdirat(&at, name, Mode::from(0o755))?;
            }
        }
        at = open_at(&at, name)?;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn resolved(root: &Path, path: &str) -> (PathBuf, bool) {
        let r = resolve(open_root(root).unwrap(), Path::new(path)).unwrap();
        let found = r.found.is_some();
        (r.path, found)
    }

    #[test]
    fn links_are_followed_inside_the_root() {
        let dir = root();
        std::fs::create_dir_all(dir.path().join("usr/lib")).unwrap();
        std::os::unix::fs::symlink("/usr/lib", dir.path().join("lib")).unwrap();
        std::os::unix::fs::symlink("../../../../lib", dir.path().join("usr/up")).unwrap();
        assert_eq!(resolved(dir.path(), "/lib"), ("usr/lib".into(), true));
        assert_eq!(
            resolved(dir.path(), "usr/up/x/y"),
            ("usr/lib/x/y".into(), false)
        );
        assert_eq!(resolved(dir.path(), "/../../.."), ("".into(), true));
    }

    #[test]
    fn a_dangling_link_is_answered_as_it_would_be_made() {
        let dir = root();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("../run/stub", dir.path().join("etc/resolv.conf")).unwrap();
        assert_eq!(
            resolved(dir.path(), "etc/resolv.conf"),
            ("run/stub".into(), false)
        );
    }

    #[test]
    fn a_circle_of_links_is_an_error() {
        let dir = root();
        std::os::unix::fs::symlink("b", dir.path().join("a")).unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("b")).unwrap();
        assert!(resolve(open_root(dir.path()).unwrap(), Path::new("a")).is_err());
    }
}
