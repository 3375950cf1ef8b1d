//! What an image held before a command ran: the trees that its changes lie on. A
//! change is what tells the image something new. Overlay copies up a file that was
//! merely opened for writing, and a command may write again what was there; such
//! things are in no layer, so that every way of isolation records the same one.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::{FileType, Mode, OFlags, Stat};

use super::Marks;
use super::diff::xattrs_of;

/// One directory of the image, as the trees hold it. By paths, not descriptors:
/// hundreds of layers at every depth would use these up, and the trees are the
/// store's own, in which no part of a path here is a link.
pub(super) struct Below {
    /// Top first.
    directories: Vec<PathBuf>,
    /// `None`: a plain directory, which has no marks.
    marks: Option<Marks>,
}

/// Something that the image has.
pub(super) struct Seen {
    path: PathBuf,
    meta: Metadata,
}

impl Below {
    pub(super) fn stacked(lowers: &[PathBuf], marks: Marks) -> Below {
        Below {
            directories: lowers.to_vec(),
            marks: Some(marks),
        }
    }

    pub(super) fn plain(directory: &Path) -> Below {
        Below {
            directories: vec![directory.to_path_buf()],
            marks: None,
        }
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<Seen> {
        for directory in &self.directories {
            let path = directory.join(OsStr::from_bytes(name));
            let Ok(meta) = fs::symlink_metadata(&path) else {
                continue;
            };
            return (!self.is_whiteout(&meta)).then_some(Seen { path, meta });
        }
        None
    }

    /// A subdirectory; empty when the image has none of that name.
    pub(super) fn enter(&self, name: &[u8]) -> Result<Below> {
        let mut found = Vec::new();
        for directory in &self.directories {
            let path = directory.join(OsStr::from_bytes(name));
            match fs::symlink_metadata(&path) {
                Err(_) => continue,
                Ok(meta) if !meta.is_dir() => break,
                Ok(_) => {}
            }
            let hides = match self.marks {
                Some(marks) => super::diff::is_opaque(&File::open(&path)?, marks)?,
                None => false,
            };
            found.push(path);
            if hides {
                break;
            }
        }
        Ok(Below {
            directories: found,
            marks: self.marks,
        })
    }

    /// Every name that the image has here.
    pub(super) fn names(&self) -> Result<BTreeSet<Vec<u8>>> {
        let (mut shown, mut decided) = (BTreeSet::new(), BTreeSet::new());
        for directory in &self.directories {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                let name = entry.file_name().into_vec();
                let first = decided.insert(name.clone());
                if first && !self.is_whiteout(&entry.metadata()?) {
                    shown.insert(name);
                }
            }
        }
        Ok(shown)
    }

    fn is_whiteout(&self, meta: &Metadata) -> bool {
        self.marks.is_some() && meta.file_type().is_char_device() && meta.rdev() == 0
    }
}

impl Seen {
    pub(super) fn is_directory(&self) -> bool {
        self.meta.is_dir()
    }

    /// Whether something has everything that a layer would record of it already.
    pub(super) fn is_like(&self, directory: &OwnedFd, name: &[u8], now: &Stat) -> Result<bool> {
        let kind = FileType::from_raw_mode(now.st_mode);
        let then = (
            self.meta.mode(),
            self.meta.uid(),
            self.meta.gid(),
            self.meta.mtime(),
            self.meta.mtime_nsec(),
        );
        let nanos = i64::try_from(now.st_mtime_nsec).unwrap_or(0);
        if then != (now.st_mode, now.st_uid, now.st_gid, now.st_mtime, nanos) {
            return Ok(false);
        }
        if kind == FileType::Directory {
            return self.has_xattrs_of(directory, name);
        }
        // With a second name, which may be new, it is one of a group of links.
        if now.st_nlink > 1 || now.st_rdev != self.meta.rdev() {
            return Ok(false);
        }
        match kind {
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(directory, name, Vec::new())?;
                Ok(fs::read_link(&self.path)?.as_os_str().as_bytes() == target.as_bytes())
            }
            FileType::RegularFile => Ok(u64::try_from(now.st_size) == Ok(self.meta.len())
                && self.has_xattrs_of(directory, name)?
                && self.has_content_of(directory, name)?),
            _ => Ok(true),
        }
    }

    fn has_xattrs_of(&self, directory: &OwnedFd, name: &[u8]) -> Result<bool> {
        Ok(xattrs_of(self.open()?)? == xattrs_of(open(directory, name)?)?)
    }

    fn has_content_of(&self, directory: &OwnedFd, name: &[u8]) -> Result<bool> {
        let (mut then, mut now) = (self.open()?, File::from(open(directory, name)?));
        let (mut a, mut b) = (vec![0; 64 << 10], vec![0; 64 << 10]);
        loop {
            let read = fill(&mut then, &mut a)?;
            if read != fill(&mut now, &mut b)? || a[..read] != b[..read] {
                return Ok(false);
            }
            if read == 0 {
                return Ok(true);
            }
        }
    }

    fn open(&self) -> Result<File> {
        let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
        Ok(File::options()
            .read(true)
            .custom_flags(no_follow)
            .open(&self.path)?)
    }
}

fn open(directory: impl AsFd, name: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?)
}

/// Reads until the buffer is full or the file has ended.
fn fill(file: &mut File, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}
