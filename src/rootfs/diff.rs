//! Reads a tree of changes back into a layer: the upper directory of an overlay,
//! or a directory compared with how it was before.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::Marks;
use super::attributes::is_imported;
use super::snapshot::Snapshot;
use super::times::recorded_time;
use crate::layer::{
    Compression, Entry, EntryKind, LayerBlob, LayerWriter, Timestamp, join, opaque_path,
    whiteout_path,
};
use crate::store::Store;

/// Whom a layer's entries belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// As in the tree.
    Kept,
    /// root:root, since the tree had but one id.
    Squashed,
}

#[derive(Clone, Copy)]
pub struct DiffOptions<'a> {
    pub marks: Marks,
    pub owners: Owners,
    pub compression: Compression,
    /// Later times become this one.
    pub epoch: Option<i64>,
    /// Without one, the tree is an overlay's upper directory, where everything is a change.
    pub before: Option<&'a Snapshot>,
}

/// Deeper trees cannot be named by any path that the kernel takes.
const MAX_DEPTH: usize = 2048;

/// Writes what `tree` holds (or what changed in it) as a layer into the store. The
/// root directory itself is not recorded: no builder does, and it would reset the
/// root's attributes of whatever the layer is put on.
///
/// # Errors
/// Something cannot be read; the store cannot be written.
pub fn write_layer(tree: &Path, options: &DiffOptions<'_>, store: &Store) -> Result<LayerBlob> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(tree, flags, Mode::empty())
        .with_context(|| format!("cannot open `{}`", tree.display()))?;
    let (file, handle) = store.layer_file()?;
    let mut walk = Walk {
        writer: LayerWriter::new(handle, options.compression)?,
        options,
        links: HashMap::new(),
    };
    walk.directory(&root, b"", 0)?;
    let (layer, index) = walk.writer.finish()?;
    store.adopt_layer(file, &layer, &index)?;
    Ok(layer)
}

struct Walk<'a> {
    writer: LayerWriter,
    options: &'a DiffOptions<'a>,
    /// Files with several names: the first name seen is the file, the others are links.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &OwnedFd, path: &[u8], depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            bail!("`/{}` lies too deep", String::from_utf8_lossy(path));
        }
        let mut names = names(directory)?;
        if let Some(before) = self.options.before {
            let gone = before.children(path).filter(|name| !names.contains(name));
            for name in gone.collect::<Vec<_>>() {
                self.whiteout(&join(path, &name))?;
            }
        }
        names.sort_unstable();
        for name in names {
            let child = join(path, &name);
            self.entry(directory, &name, &child, depth)
                .with_context(|| format!("cannot record `/{}`", String::from_utf8_lossy(&child)))?;
        }
        Ok(())
    }

    fn entry(&mut self, parent: &OwnedFd, name: &[u8], path: &[u8], depth: usize) -> Result<()> {
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if is_whiteout(&stat) {
            return self.whiteout(path);
        }
        let changed = self.options.before.is_none_or(|b| b.differs(path, &stat));
        let kind = FileType::from_raw_mode(stat.st_mode);
        match kind {
            FileType::Directory => {
                return self.subdirectory(parent, name, path, &stat, changed, depth);
            }
            // Sockets have no place in a tar.
            FileType::Socket => return Ok(()),
            _ if !changed => return Ok(()),
            _ => {}
        }
        if let Some(first) = self.earlier_name(path, &stat) {
            let kind = EntryKind::HardLink { target: first };
            return self.writer.append_empty(&self.describe(path, kind, &stat));
        }
        match kind {
            FileType::RegularFile => self.file(parent, name, path, &stat),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new())?.into_bytes();
                let kind = EntryKind::Symlink { target };
                self.writer.append_empty(&self.describe(path, kind, &stat))
            }
            FileType::Fifo => {
                let entry = self.describe(path, EntryKind::Fifo, &stat);
                self.writer.append_empty(&entry)
            }
            FileType::CharacterDevice | FileType::BlockDevice => {
                let (major, minor) = (
                    rustix::fs::major(stat.st_rdev),
                    rustix::fs::minor(stat.st_rdev),
                );
                let kind = if kind == FileType::BlockDevice {
                    EntryKind::BlockDevice { major, minor }
                } else {
                    EntryKind::CharDevice { major, minor }
                };
                self.writer.append_empty(&self.describe(path, kind, &stat))
            }
            other => bail!("it is of an unknown kind: {other:?}"),
        }
    }

    fn subdirectory(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        path: &[u8],
        stat: &Stat,
        changed: bool,
        depth: usize,
    ) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(parent, name, flags, Mode::empty())?;
        if changed {
            let mut entry = self.describe(path, EntryKind::Directory, stat);
            entry.xattrs = xattrs_of(&fd)?;
            self.writer.append_empty(&entry)?;
        }
        if self.options.before.is_none() && is_opaque(&fd, self.options.marks)? {
            self.mark(opaque_path(path))?;
        }
        self.directory(&fd, path, depth + 1)
    }

    fn file(&mut self, parent: &OwnedFd, name: &[u8], path: &[u8], stat: &Stat) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(parent, name, flags, Mode::empty())?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let mut entry = self.describe(path, EntryKind::File { size }, stat);
        entry.xattrs = xattrs_of(&fd)?;
        self.writer.append(&entry, &mut File::from(fd))
    }

    fn earlier_name(&mut self, path: &[u8], stat: &Stat) -> Option<Vec<u8>> {
        if stat.st_nlink < 2 {
            return None;
        }
        let identity = (stat.st_dev, stat.st_ino);
        if let Some(first) = self.links.get(&identity) {
            return Some(first.clone());
        }
        self.links.insert(identity, path.to_vec());
        None
    }

    fn describe(&self, path: &[u8], kind: EntryKind, stat: &Stat) -> Entry {
        let (uid, gid) = match self.options.owners {
            Owners::Kept => (stat.st_uid.into(), stat.st_gid.into()),
            Owners::Squashed => (0, 0),
        };
        let mode = if matches!(kind, EntryKind::Symlink { .. }) {
            0o777
        } else {
            stat.st_mode & 0o7777
        };
        Entry {
            path: path.to_vec(),
            kind,
            mode,
            uid,
            gid,
            mtime: self.time(stat),
            xattrs: BTreeMap::new(),
        }
    }

    fn time(&self, stat: &Stat) -> Timestamp {
        let time = recorded_time(Timestamp {
            seconds: stat.st_mtime,
            nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        });
        match self.options.epoch.map(Timestamp::from_seconds) {
            Some(epoch) => time.min(epoch),
            None => time,
        }
    }

    fn whiteout(&mut self, path: &[u8]) -> Result<()> {
        self.mark(whiteout_path(path))
    }

    fn mark(&mut self, path: Vec<u8>) -> Result<()> {
        self.writer.append_empty(&Entry::file(path, 0o644, 0))
    }
}

/// Overlay's mark for something removed.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn is_opaque(directory: &OwnedFd, marks: Marks) -> Result<bool> {
    let mut value = [0; 8];
    match rustix::fs::fgetxattr(directory, marks.opaque(), &mut value) {
        Ok(length) => Ok(value[..length] == *b"y"),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error).context("cannot read overlay's marks"),
    }
}

/// The xattrs that a layer records.
pub(super) fn xattrs_of(fd: impl AsFd) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut list = vec![0; 1024];
    let length = loop {
        match rustix::fs::flistxattr(&fd, &mut list[..]) {
            Ok(length) => break length,
            Err(Errno::RANGE) => list.resize(list.len() * 8, 0),
            Err(Errno::OPNOTSUPP) => return Ok(found),
            Err(error) => return Err(error).context("cannot list its xattrs"),
        }
    };
    for name in list[..length].split(|b| *b == 0).filter(|n| is_imported(n)) {
        // The kernel's limit for one value.
        let mut value = vec![0; 65536];
        match rustix::fs::fgetxattr(&fd, name, &mut value[..]) {
            Ok(length) => value.truncate(length),
            Err(Errno::NODATA) => continue,
            Err(error) => return Err(error).context("cannot read its xattrs"),
        }
        found.insert(name.to_vec(), value);
    }
    Ok(found)
}

/// The names in a directory, which may be open for its path alone.
pub(super) fn names(directory: impl AsFd) -> Result<Vec<Vec<u8>>> {
    use std::os::unix::ffi::OsStringExt;
    let path = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
    let names = std::fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().into_vec()));
    names.collect()
}
