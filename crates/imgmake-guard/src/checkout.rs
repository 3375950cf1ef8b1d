//! Files of a checkout, which strangers may have written: a link in it is followed
//! only as long as it stays inside. Every step is made by descriptor, so nobody can
//! exchange one between the look and the reading.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};

use crate::bounded;
use crate::confined;
use imgmake_event::Cancel;

/// As many as the kernel follows.
const MOST_LINKS: usize = 40;

/// Directories that links in them must not lead out of.
#[derive(Clone, Debug, Default)]
pub struct Checkout {
    /// The first that a path lies in, as it is written, counts for it.
    roots: Vec<PathBuf>,
    /// Ends the reading of what may never come.
    cancel: Cancel,
}

impl Checkout {
    /// Relative roots are meant from the working directory. The root of the file system
    /// confines nothing and is left out.
    pub fn new<'a>(roots: impl IntoIterator<Item = &'a Path>) -> Checkout {
        let roots = roots.into_iter().map(written);
        Checkout {
            roots: roots.filter(|root| root.parent().is_some()).collect(),
            cancel: Cancel::default(),
        }
    }

    /// The same, whose reads end with the cancellation.
    #[must_use]
    pub fn stopped_by(mut self, cancel: &Cancel) -> Checkout {
        self.cancel = cancel.clone();
        self
    }

    /// These, and then another one.
    #[must_use]
    pub fn with(&self, root: &Path) -> Checkout {
        let mut roots = self.roots.clone();
        roots.extend(Checkout::new([root]).roots);
        Checkout {
            roots,
            cancel: self.cancel.clone(),
        }
    }

    /// Opens a regular file. A path that lies in none of the directories is the user's
    /// own word and opened as it is.
    ///
    /// # Errors
    /// It cannot be opened, is no regular file, or a link on the way leads out.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        match self.open_confined(path) {
            Some(opened) => opened,
            None => File::open(written(path)),
        }
    }

    fn open_confined(&self, path: &Path) -> Option<io::Result<File>> {
        let path = written(path);
        let root = self.roots.iter().find(|root| path.starts_with(root))?;
        let beneath = path.strip_prefix(root).unwrap_or(Path::new(""));
        Some(
            match rustix::fs::open(root, directory_flags(), Mode::empty()) {
                Ok(fd) => open_beneath(root, &fd, beneath),
                Err(error) => Err(error.into()),
            },
        )
    }

    /// # Errors
    /// As [`open`](Self::open).
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.open_confined(path) {
            Some(opened) => bounded::take(self.cancel.reader(opened?), bounded::LARGEST_TEXT),
            None => bounded::take(self.cancel.open(&written(path))?, bounded::LARGEST_TEXT),
        }
    }

    /// # Errors
    /// As [`open`](Self::open); what is there is no UTF-8.
    pub fn read_to_string(&self, path: &Path) -> io::Result<String> {
        String::from_utf8(self.read(path)?)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
    }

    /// Whether a path is written as one inside.
    pub fn holds(&self, path: &Path) -> bool {
        let path = written(path);
        self.roots.iter().any(|root| path.starts_with(root))
    }

    /// A directory to read from: a link that is written inside does not lead out.
    ///
    /// # Errors
    /// It is not there, or lies elsewhere.
    pub fn directory(&self, path: &Path) -> io::Result<PathBuf> {
        let as_written = written(path);
        let real = path.canonicalize()?;
        if let Some(root) = self.roots.iter().find(|root| as_written.starts_with(root))
            && !real.starts_with(root.canonicalize()?)
        {
            return Err(leads_out(root));
        }
        Ok(real)
    }

    /// The same, held open, with its real path: from now on nobody can exchange it.
    ///
    /// # Errors
    /// As [`directory`](Self::directory); it may not be read; it is exchanged just now.
    pub fn open_directory(&self, path: &Path) -> io::Result<(OwnedFd, PathBuf)> {
        let real = self.directory(path)?;
        Ok((confined::open_real(&real)?, real))
    }
}

fn open_beneath(root: &Path, root_fd: &OwnedFd, path: &Path) -> io::Result<File> {
    let real_root = root.canonicalize()?;
    // The directories from the root down to where we are.
    let mut trail: Vec<OwnedFd> = Vec::new();
    let mut todo: Vec<Vec<u8>> = names(path);
    let mut links = 0;
    while let Some(name) = todo.pop() {
        if name == b".." {
            if trail.pop().is_none() {
                return Err(leads_out(root));
            }
            continue;
        }
        let here = trail.last().unwrap_or(root_fd);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = rustix::fs::openat(here, &*name, flags, Mode::empty())?;
        match FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) {
            FileType::Symlink => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(rustix::io::Errno::LOOP.into());
                }
                let target = rustix::fs::readlinkat(&found, "", Vec::new())?.into_bytes();
                let target = PathBuf::from(std::ffi::OsString::from_vec(target));
                if target.is_absolute() {
                    let inside = [root, &real_root]
                        .into_iter()
                        .find_map(|root| target.strip_prefix(root).ok());
                    trail.clear();
                    todo.extend(names(inside.ok_or_else(|| leads_out(root))?));
                } else {
                    todo.extend(names(&target));
                }
            }
            FileType::Directory if todo.is_empty() => {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            FileType::Directory => trail.push(found),
            FileType::RegularFile if todo.is_empty() => return reopen(here, &name),
            _ if todo.is_empty() => return Err(io::Error::other("not a regular file")),
            _ => return Err(io::ErrorKind::NotADirectory.into()),
        }
    }
    Err(io::ErrorKind::IsADirectory.into())
}

fn reopen(directory: &impl AsFd, name: &[u8]) -> io::Result<File> {
    // Whatever has taken its place meanwhile: no link, and nothing to wait for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::openat(directory, name, flags, Mode::empty())?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("not a regular file")),
    }
}

fn directory_flags() -> OFlags {
    OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC
}

fn leads_out(root: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("it is a link that leads out of `{}`", root.display()),
    )
}

/// Last first, so that they can be popped.
fn names(path: &Path) -> Vec<Vec<u8>> {
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.as_bytes().to_vec()),
        Component::ParentDir => Some(b"..".to_vec()),
        _ => None,
    });
    let mut names: Vec<Vec<u8>> = names.collect();
    names.reverse();
    names
}

/// Absolute, without `.` and `..`, no link looked at.
fn written(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut clean = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => drop(clean.pop()),
            part => clean.push(part),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_inside_alone() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        fs::create_dir_all(at("in/sub/deep")).unwrap();
        fs::create_dir_all(at("out")).unwrap();
        fs::write(at("in/file"), "inside").unwrap();
        fs::write(at("out/file"), "secret").unwrap();
        let link = |target: &Path, name: &str| symlink(target, at(name)).unwrap();
        link(Path::new("../../file"), "in/sub/deep/up");
        link(&at("in/file"), "in/absolute");
        link(Path::new("sub/deep"), "in/way");
        link(Path::new("../out/file"), "in/relative-out");
        link(&at("out/file"), "in/absolute-out");
        link(&at("out"), "in/directory-out");
        link(Path::new("way/../../../out/file"), "in/winding-out");
        link(Path::new("relative-out"), "in/link-to-out");
        link(Path::new("loop"), "in/loop");
        link(Path::new("/proc/self/root/etc/passwd"), "in/magic");
        let root = at("in");
        let checkout = Checkout::new([root.as_path()]);
        let read = |path: &str| checkout.read_to_string(&at(path));
        for path in [
            "in/file",
            "in/absolute",
            "in/way/up",
            "in/sub/./deep/../../file",
        ] {
            assert_eq!(read(path).unwrap(), "inside", "{path}");
        }
        for path in [
            "in/relative-out",
            "in/absolute-out",
            "in/directory-out/file",
            "in/winding-out",
            "in/link-to-out",
            "in/magic",
        ] {
            let error = read(path).unwrap_err().to_string();
            assert!(error.contains("leads out of"), "{path}: {error}");
        }
        assert!(read("in/loop").is_err());
        assert_eq!(
            read("in/sub").unwrap_err().kind(),
            io::ErrorKind::IsADirectory
        );
        assert_eq!(read("in/no").unwrap_err().kind(), io::ErrorKind::NotFound);
        // What somebody names outside is what they mean, but for `/` nothing is inside.
        assert_eq!(read("out/file").unwrap(), "secret");
        assert_eq!(read("in/../out/file").unwrap(), "secret");
        let everything = Checkout::new([Path::new("/")]);
        assert!(!everything.holds(&at("in")));
        assert!(checkout.directory(&at("in/way")).is_ok());
        assert!(checkout.directory(&at("in/directory-out")).is_err());
        assert!(checkout.directory(&at("out")).is_ok());
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, mode, 0).unwrap();
        let checkout = Checkout::new([directory.path()]);
        assert!(checkout.read(&pipe).is_err());
    }
}
