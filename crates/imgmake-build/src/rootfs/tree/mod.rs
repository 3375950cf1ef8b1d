//! Makes the entries of a layer in a directory. Every path is walked component by
//! component from the root with descriptors: whatever a layer holds, nothing is made,
//! changed or removed outside.

mod links;
mod walk;
mod whiteouts;

use std::collections::{BTreeSet, HashSet};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::attributes::{chmod, chown, chown_at, ids, set_xattrs, times};
use super::fork_lock;
use super::times::Moment;
use super::{Devices, Marks, placeholder};
use crate::error::{BuildError, Context, Result};
use imgmake_event::Cancel;
use imgmake_guard::confined::{Descent, check_length, remove};
use imgmake_oci::layer::{Content, Entry, EntryKind, Timestamp, Whiteout, split, write_content};

/// What a whiteout does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whiteouts {
    /// They are kept, in the form that overlay understands.
    Kept(Marks),
    /// What lies there from lower layers is removed.
    Applied,
    /// Not a layer: `.wh.` is an ordinary beginning of a name. Modes of directories are set
    /// last, since an ordinary user could not fill a read-only directory.
    None,
}

pub(super) struct Tree<'a> {
    root: OwnedFd,
    whiteouts: Whiteouts,
    devices: Devices,
    squash: bool,
    /// Trees of lower layers, top first, for hard links into them.
    lowers: &'a [PathBuf],
    cancel: Cancel,
    moment: Moment,
    buffer: Vec<u8>,
    /// The directory entered last: its path as written, and its components as they are.
    here: Vec<u8>,
    trail: Vec<Vec<u8>>,
    walk: Descent,
    followed_links: bool,
    /// Directories that had to be made though no entry told of them yet.
    pub implied: BTreeSet<Vec<u8>>,
    pub placeholders: Vec<Vec<u8>>,
    /// What this layer made; its whiteouts do not concern it.
    created: HashSet<Vec<u8>>,
    /// Directories of lower layers that this one only fills; their times stay.
    filled: std::collections::BTreeMap<Vec<u8>, Timestamp>,
    /// Applied at the end: filling a directory moves its time, and setgid is inherited.
    directories: Vec<(Vec<u8>, Timestamp, u32)>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(
        root: &Path,
        whiteouts: Whiteouts,
        devices: Devices,
        squash: bool,
        lowers: &'a [PathBuf],
    ) -> Result<Tree<'a>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(root, flags, Mode::empty())
            .with_context(|| format!("cannot open `{}`", root.display()))?;
        let mut tree = Tree {
            walk: Descent::new(root.try_clone()?),
            root,
            whiteouts,
            devices,
            squash,
            lowers,
            cancel: Cancel::default(),
            moment: Moment::now(),
            buffer: vec![0; 256 << 10],
            here: Vec::new(),
            trail: Vec::new(),
            followed_links: false,
            implied: BTreeSet::from([Vec::new()]),
            placeholders: Vec::new(),
            created: HashSet::new(),
            filled: std::collections::BTreeMap::new(),
            directories: Vec::new(),
        };
        if whiteouts == Whiteouts::Applied {
            let root = rustix::io::fcntl_dupfd_cloexec(&tree.root, 3)?;
            tree.keep_time(Vec::new(), root)?;
        }
        Ok(tree)
    }

    /// From a cancellation on, making and removing fail.
    pub(super) fn stopped_by(mut self, cancel: &Cancel) -> Tree<'a> {
        self.cancel = cancel.clone();
        self
    }

    /// Makes one entry; `content` holds what a file contains.
    pub(super) fn add(&mut self, entry: &Entry, content: &mut dyn Content) -> Result<()> {
        let whiteout = match self.whiteouts {
            Whiteouts::None => None,
            Whiteouts::Kept(_) | Whiteouts::Applied => Whiteout::parse(&entry.path),
        };
        match whiteout {
            None => self.make(entry, content),
            Some(Whiteout::Reserved) => Ok(()),
            Some(Whiteout::Opaque(directory)) => self.hide_below(&directory),
            Some(Whiteout::Removes(path)) => self.hide(&path),
        }
    }

    /// Times of directories, and their setgid bits; nothing of the tree is open any more then.
    pub(super) fn finish(&mut self) -> Result<()> {
        fork_lock::wait_for_children();
        if self.whiteouts == Whiteouts::None {
            return self.finish_modes();
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let named = std::mem::take(&mut self.directories).into_iter().rev();
        let filled = std::mem::take(&mut self.filled).into_iter();
        let all = filled.map(|(path, time)| (path, time, 0)).chain(named);
        for (path, time, mode) in all {
            let name: &[u8] = if path.is_empty() { b"." } else { &path };
            let opened = rustix::fs::openat2(&self.root, name, flags, Mode::empty(), beneath);
            let fd = match opened {
                Ok(fd) => fd,
                // A later entry of the same layer has replaced it.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(error) => return Err(error.into()),
            };
            if mode & 0o2000 != 0 {
                chmod(&fd, mode)?;
            }
            rustix::fs::futimens(&fd, &times(time))?;
        }
        Ok(())
    }

    /// Modes and times of directories, from below; the last entry of a name counts.
    fn finish_modes(&mut self) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let directories = std::mem::take(&mut self.directories).into_iter();
        let modes: std::collections::BTreeMap<_, _> = directories
            .map(|(path, time, mode)| (path, (time, mode)))
            .collect();
        for (path, (time, mode)) in modes.iter().rev() {
            match rustix::fs::openat2(&self.root, &**path, flags, Mode::empty(), beneath) {
                Ok(fd) => {
                    chmod(&fd, *mode)?;
                    rustix::fs::futimens(&fd, &times(*time))?;
                }
                // A later entry has replaced it.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn make(&mut self, entry: &Entry, content: &mut dyn Content) -> Result<()> {
        if entry.path.is_empty() {
            return self.make_root(entry);
        }
        let (directory, name) = split(&entry.path);
        self.enter(directory)?;
        let actual = self.actual(name);
        check_length(&actual)?;
        if self.whiteouts == Whiteouts::Applied {
            self.created.insert(actual);
        }
        match &entry.kind {
            EntryKind::Directory => self.make_directory(name, entry),
            EntryKind::File { .. } => self.make_file(name, entry, content),
            EntryKind::Symlink { target } => {
                self.clear(name)?;
                rustix::fs::symlinkat(&**target, self.parent(), name)?;
                self.dress(name, entry)
            }
            EntryKind::HardLink { target } => self.make_link(name, target),
            EntryKind::Fifo => self.make_node(name, entry, FileType::Fifo, 0),
            EntryKind::CharDevice { major, minor } => {
                let device = rustix::fs::makedev(*major, *minor);
                self.make_device(name, entry, FileType::CharacterDevice, device)
            }
            EntryKind::BlockDevice { major, minor } => {
                let device = rustix::fs::makedev(*major, *minor);
                self.make_device(name, entry, FileType::BlockDevice, device)
            }
        }
    }

    fn make_root(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != EntryKind::Directory {
            return Err(BuildError::invalid("layer", "its root is not a directory"));
        }
        self.implied.remove(&Vec::new());
        if let Some(owner) = self.owner(entry)? {
            chown(&self.root, owner)?;
        }
        chmod(&self.root, entry.mode)?;
        set_xattrs(&self.root, entry)?;
        self.directories
            .push((Vec::new(), self.moment.in_tree(entry.mtime), entry.mode));
        Ok(())
    }

    /// `None` where everything belongs to the one id that there is.
    fn owner(&self, entry: &Entry) -> Result<Option<(u32, u32)>> {
        if self.squash {
            return Ok(None);
        }
        ids(entry).map(Some)
    }

    fn make_directory(&mut self, name: &[u8], entry: &Entry) -> Result<()> {
        let plain = match self.whiteouts {
            Whiteouts::None => 0o700,
            Whiteouts::Kept(_) | Whiteouts::Applied => entry.mode & !0o2000,
        };
        match self.kind_of(name)? {
            Some(FileType::Directory) => {}
            Some(_) if self.is_whiteout(name)? => {
                self.replace_whiteout_by_directory(name, plain)?;
            }
            Some(_) => {
                self.clear(name)?;
                rustix::fs::mkdirat(self.parent(), name, Mode::from_raw_mode(plain))?;
            }
            None => rustix::fs::mkdirat(self.parent(), name, Mode::from_raw_mode(plain))?,
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.parent(), name, flags, Mode::empty())?;
        if let Some(owner) = self.owner(entry)? {
            chown(&fd, owner)?;
        }
        chmod(&fd, plain)?;
        set_xattrs(&fd, entry)?;
        let path = self.actual(name);
        self.implied.remove(&path);
        self.directories
            .push((path, self.moment.in_tree(entry.mtime), entry.mode));
        Ok(())
    }

    fn make_file(&mut self, name: &[u8], entry: &Entry, content: &mut dyn Content) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(entry.mode);
        let fd = match rustix::fs::openat(self.parent(), name, flags, mode) {
            Err(Errno::EXIST) => {
                self.clear(name)?;
                rustix::fs::openat(self.parent(), name, flags, mode)?
            }
            opened => opened?,
        };
        let file = std::fs::File::from(fd);
        write_content(content, &file, 0, &mut self.buffer)?;
        let changed = match self.owner(entry)? {
            None | Some((0, 0)) => false,
            Some(owner) => {
                chown(&file, owner)?;
                true
            }
        };
        // Writing clears setuid bits as well.
        if changed || entry.mode & 0o7000 != 0 || !matches!(self.whiteouts, Whiteouts::Kept(_)) {
            chmod(&file, entry.mode)?;
        }
        set_xattrs(&file, entry)?;
        rustix::fs::futimens(&file, &times(self.moment.in_tree(entry.mtime)))?;
        Ok(())
    }

    fn make_device(
        &mut self,
        name: &[u8],
        entry: &Entry,
        kind: FileType,
        device: u64,
    ) -> Result<()> {
        // Overlay takes a character device 0:0 for a whiteout.
        if self.devices == Devices::Real && device != 0 {
            return self.make_node(name, entry, kind, device);
        }
        self.placeholders.push(entry.path.clone());
        let mut readable = entry.clone();
        readable.mode = 0o600;
        self.make_node(name, &readable, FileType::RegularFile, 0)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self.parent(), name, flags, Mode::empty())?;
        placeholder::mark(&file, &entry.kind).context("cannot mark a placeholder")?;
        chmod(&file, entry.mode)
    }

    fn make_node(&mut self, name: &[u8], entry: &Entry, kind: FileType, device: u64) -> Result<()> {
        self.clear(name)?;
        let mode = Mode::from_raw_mode(entry.mode);
        rustix::fs::mknodat(self.parent(), name, kind, mode, device)?;
        self.dress(name, entry)?;
        // A change of owner has cleared some bits.
        rustix::fs::chmodat(self.parent(), name, mode, AtFlags::empty())?;
        Ok(())
    }

    /// Owner and time of something that cannot be opened.
    fn dress(&self, name: &[u8], entry: &Entry) -> Result<()> {
        if let Some(owner) = self.owner(entry)?
            && (owner != (0, 0) || self.whiteouts == Whiteouts::Applied)
        {
            chown_at(self.parent(), name, owner)?;
        }
        let time = times(self.moment.in_tree(entry.mtime));
        rustix::fs::utimensat(self.parent(), name, &time, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    fn kind_of(&self, name: &[u8]) -> Result<Option<FileType>> {
        match rustix::fs::statat(self.parent(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn clear(&mut self, name: &[u8]) -> Result<()> {
        Ok(remove(self.parent(), name)?)
    }
}
