//! The trees of layers, one on the other, as overlay shows them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, Stat};

use crate::error::{Context, Result};
use crate::rootfs::Marks;
use crate::rootfs::attributes::{is_opaque, xattrs_of};
use crate::rootfs::inode::{Inode, Original};

/// One directory, as the trees hold it. By paths, not descriptors: hundreds of layers at
/// every depth would use these up. The trees are the store's own, which no command can
/// write, and no part of a path here is a link: each was looked at on the way down.
pub(in crate::rootfs) struct OverlayLowers {
    /// Top first.
    directories: Vec<PathBuf>,
    marks: Marks,
}

pub(super) struct Seen {
    path: PathBuf,
    meta: Metadata,
}

impl OverlayLowers {
    pub(super) fn new(lowers: &[PathBuf], marks: Marks) -> OverlayLowers {
        OverlayLowers {
            directories: lowers.to_vec(),
            marks,
        }
    }

    pub(super) fn get(&self, name: &[u8]) -> Result<Option<Seen>> {
        for directory in &self.directories {
            let path = directory.join(OsStr::from_bytes(name));
            if let Some(meta) = look_at(&path)? {
                return Ok((!is_whiteout(&meta)).then_some(Seen { path, meta }));
            }
        }
        Ok(None)
    }

    pub(super) fn enter(&self, name: &[u8]) -> Result<OverlayLowers> {
        let mut found = Vec::new();
        for directory in &self.directories {
            let path = directory.join(OsStr::from_bytes(name));
            match look_at(&path)? {
                None => continue,
                Some(meta) if !meta.is_dir() => break,
                Some(_) => {}
            }
            let hides = is_opaque(&File::open(&path)?, self.marks)?;
            found.push(path);
            if hides {
                break;
            }
        }
        Ok(OverlayLowers {
            directories: found,
            marks: self.marks,
        })
    }

    pub(super) fn names(&self) -> Result<BTreeSet<Vec<u8>>> {
        let (mut visible, mut decided) = (BTreeSet::new(), BTreeSet::new());
        for directory in &self.directories {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                let name = entry.file_name().into_vec();
                let first = decided.insert(name.clone());
                if first && !is_whiteout(&entry.metadata()?) {
                    visible.insert(name);
                }
            }
        }
        Ok(visible)
    }
}

/// `None` if there is nothing. Anything else that hinders the look is an error: what is
/// taken for absent is recorded as new, and its removal not at all.
fn look_at(path: &Path) -> Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("cannot look at what the image has"),
    }
}

fn is_whiteout(meta: &Metadata) -> bool {
    meta.file_type().is_char_device() && meta.rdev() == 0
}

impl Seen {
    fn open(&self) -> Result<File> {
        let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
        Ok(File::options()
            .read(true)
            .custom_flags(no_follow)
            .open(&self.path)?)
    }
}

impl Original for Seen {
    fn is_untouched(&self, _: &Stat) -> bool {
        // What is in an upper directory was touched.
        false
    }

    fn inode(&self) -> Inode {
        Inode {
            mode: self.meta.mode(),
            owner: (self.meta.uid(), self.meta.gid()),
            modified: (self.meta.mtime(), self.meta.mtime_nsec()),
            size: self.meta.len(),
            device: self.meta.rdev(),
        }
    }

    fn xattrs(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        xattrs_of(self.open()?)
    }

    fn target(&self) -> Result<Vec<u8>> {
        Ok(fs::read_link(&self.path)?.into_os_string().into_vec())
    }

    fn has_content_of(&self, mut now: File) -> Result<bool> {
        let mut then = self.open()?;
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
