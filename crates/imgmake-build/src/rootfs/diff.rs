//! Reads a tree of changes back into a layer: the upper directory of an overlay,
//! or a directory compared with how it was before.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

use super::attributes::{is_opaque, xattrs_of};
use super::baseline::{Baseline, Seen};
use super::snapshot::Snapshot;
use super::times::recorded_time;
use super::{Marks, placeholder};
use crate::error::{BuildError, Context, Result};
use imgmake_event::Cancel;
use imgmake_guard::confined::{Descent, check_length, names, open_directory, remove};
use imgmake_oci::layer::{
    Compression, Entry, EntryKind, Layer, LayerWriter, MOST_HOLES, Timestamp, WHITEOUT_PREFIX,
    join, whiteout_path,
};
use imgmake_oci::store::Store;

/// Whom a layer's entries belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// As in the tree.
    Kept,
    /// root:root, since the tree had but one id.
    Squashed,
}

/// How a tree shows what changed in it.
#[derive(Clone, Copy)]
pub enum Changes<'a> {
    /// It is an overlay's upper directory, on these (top first). It is brought into
    /// the form that unpacking the layer would give.
    Above { lowers: &'a [PathBuf], marks: Marks },
    /// It was changed itself, since the snapshot.
    InPlace(&'a Snapshot),
}

#[derive(Clone, Copy)]
pub struct DiffOptions<'a> {
    pub changes: Changes<'a>,
    pub owners: Owners,
    pub compression: Compression,
    /// Later times become this one.
    pub epoch: Option<i64>,
}

/// Writes what changed in `tree` as a layer into the store: what the image does not
/// have yet, the directories above that, and a whiteout for everything gone. The
/// root directory itself is not recorded: no builder does, and it would reset the
/// root's attributes of whatever the layer is put on.
///
/// # Errors
/// Something cannot be read; a path is longer than Linux takes; the store cannot be
/// written.
pub fn write_layer(tree: &Path, options: &DiffOptions<'_>, store: &Store) -> Result<Layer> {
    let root = open_directory(tree).with_context(|| format!("cannot open `{}`", tree.display()))?;
    let (file, handle) = store.layer_file()?;
    let mut walk = Walk {
        writer: LayerWriter::new(handle, options.compression)?.stopped_by(store.cancel()),
        cancel: store.cancel(),
        holes: 0,
        options,
        links: HashMap::new(),
        above: Vec::new(),
        tree: Descent::new(root),
    };
    let (below, absence) = match options.changes {
        Changes::Above { lowers, marks } => {
            (Baseline::of_overlay(lowers, marks), Absence::ShowsThrough)
        }
        Changes::InPlace(before) => (Baseline::of_snapshot(before), Absence::Deleted),
    };
    walk.directory(b"", &below, absence)?;
    let (layer, index) = walk.writer.finish()?;
    store.adopt_layer(file, &layer, &index)?;
    Ok(layer)
}

struct Walk<'a> {
    writer: LayerWriter,
    options: &'a DiffOptions<'a>,
    cancel: &'a Cancel,
    /// Bytes of holes so far: the layer holds them as zeros.
    holes: u64,
    /// Files with several names: the first name seen is the file, the others are links.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// Unchanged directories on the way to where the walk is: in the layer as soon
    /// as something beneath them is.
    above: Vec<Entry>,
    tree: Descent,
}

/// Whether something of the tree, or anything beneath it, is in the layer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Recorded {
    Something,
    Nothing,
}

/// What a directory of the tree says about what it does not hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absence {
    /// Nothing: the image shows through.
    ShowsThrough,
    /// That it is gone.
    Deleted,
}

impl Walk<'_> {
    /// The directory that the walk of the tree is in. One call per level, of which a path
    /// that Linux takes has at most half as many as it has bytes.
    fn directory(&mut self, path: &[u8], below: &Baseline<'_>, absence: Absence) -> Result<()> {
        let before = rustix::fs::fstat(self.here())?;
        let mut names = names(self.here())?;
        names.sort_unstable();
        let gone = match absence {
            Absence::Deleted => missing(below.names()?, &names),
            Absence::ShowsThrough => Vec::new(),
        };
        // In the order of names, as whiteouts of an overlay come: every isolation mode
        // writes the same layer.
        names.extend(gone.iter().cloned());
        names.sort_unstable();
        for name in names {
            self.cancel.check()?;
            if gone.binary_search(&name).is_ok() {
                self.gone(path, &name)?;
                continue;
            }
            let path = join(path, &name);
            check_length(&path)?;
            let at = At {
                path: &path,
                name: &name,
                below,
                absence,
            };
            if self.entry(&at)? == Recorded::Nothing {
                self.leave_out(&at).with_context(|| action(&at))?;
            }
        }
        // Leaving things out has moved it.
        rustix::fs::futimens(self.here(), &super::attributes::times(modified(&before)))?;
        Ok(())
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.tree.here()
    }

    /// A whiteout for something that the image has and the tree has not.
    fn gone(&mut self, path: &[u8], name: &[u8]) -> Result<()> {
        self.whiteout(&join(path, name))?;
        if let Changes::Above { .. } = self.options.changes {
            let kind = FileType::CharacterDevice;
            rustix::fs::mknodat(self.here(), name, kind, Mode::empty(), 0)
                .context("cannot make a whiteout")?;
        }
        Ok(())
    }

    /// The tree of a layer may come to lie on other layers: an upper directory then
    /// holds what the layer says and nothing else.
    fn leave_out(&self, at: &At<'_>) -> Result<()> {
        match self.options.changes {
            Changes::Above { .. } => Ok(remove(self.here(), at.name)?),
            Changes::InPlace(_) => Ok(()),
        }
    }

    fn entry(&mut self, at: &At<'_>) -> Result<Recorded> {
        let stat = rustix::fs::statat(self.here(), at.name, AtFlags::SYMLINK_NOFOLLOW)
            .with_context(|| action(at))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            // What goes wrong beneath it says where by itself.
            return self.subdirectory(at, &stat);
        }
        self.leaf(at, &stat).with_context(|| action(at))
    }

    /// Anything but a directory.
    fn leaf(&mut self, at: &At<'_>, stat: &Stat) -> Result<Recorded> {
        let (name, path) = (at.name, at.path);
        at.check_name()?;
        if is_whiteout(stat) {
            return match at.below.get(name)? {
                Some(_) => self.whiteout(path),
                None => Ok(Recorded::Nothing),
            };
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        match kind {
            // Sockets have no place in a tar, nor in what the next step is to see.
            FileType::Socket => {
                remove(self.here(), name)?;
                return Ok(Recorded::Nothing);
            }
            _ if !self.is_new(at, stat)? => return Ok(Recorded::Nothing),
            _ => {}
        }
        if let Some(first) = self.earlier_name(path, stat) {
            let kind = EntryKind::HardLink { target: first };
            return self.empty(&self.describe(path, kind, stat));
        }
        match kind {
            FileType::RegularFile => self.file(name, path, stat),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(self.here(), name, Vec::new())?.into_bytes();
                let kind = EntryKind::Symlink { target };
                self.empty(&self.describe(path, kind, stat))
            }
            FileType::Fifo => self.empty(&self.describe(path, EntryKind::Fifo, stat)),
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
                self.empty(&self.describe(path, kind, stat))
            }
            other => Err(BuildError::unsupported(
                format!("a file of kind {other:?}"),
                "",
            )),
        }
    }

    /// Whether the layer has to say anything about a path that is no directory.
    fn is_new(&self, at: &At<'_>, stat: &Stat) -> Result<bool> {
        match at.below.get(at.name)? {
            Some(seen) => Ok(!seen.is_like(self.here(), at.name, stat)?),
            None => Ok(true),
        }
    }

    fn subdirectory(&mut self, at: &At<'_>, stat: &Stat) -> Result<Recorded> {
        let (below, absence, in_image) = self.enter(at, stat).with_context(|| action(at))?;
        self.directory(at.path, &below, absence)?;
        self.tree.leave().with_context(|| action(at))?;
        if !in_image {
            return Ok(Recorded::Something);
        }
        Ok(match self.above.pop() {
            Some(_) => Recorded::Nothing,
            None => Recorded::Something,
        })
    }

    /// Goes into a subdirectory, which is recorded, or waits for that in `above` when the
    /// image has it as it is.
    fn enter<'b>(&mut self, at: &At<'b>, stat: &Stat) -> Result<(Baseline<'b>, Absence, bool)> {
        at.check_name()?;
        let below = at.below.enter(at.name)?;
        let in_image = match at.below.get(at.name)?.filter(Seen::is_directory) {
            Some(seen) => seen.is_like(self.here(), at.name, stat)?,
            None => false,
        };
        self.tree.enter(at.name)?;
        let mut absence = at.absence;
        if let Changes::Above { marks, .. } = self.options.changes
            && is_opaque(self.here(), marks)?
        {
            // The layer names what is gone, one by one, as its specification prefers.
            rustix::fs::fremovexattr(self.here(), marks.opaque())?;
            absence = Absence::Deleted;
        }
        let mut entry = self.describe(at.path, EntryKind::Directory, stat);
        entry.xattrs = xattrs_of(self.here())?;
        match in_image {
            true => self.above.push(entry),
            false => drop(self.empty(&entry)?),
        }
        Ok((below, absence, in_image))
    }

    fn empty(&mut self, entry: &Entry) -> Result<Recorded> {
        self.say_above()?;
        self.writer.append_empty(entry)?;
        Ok(Recorded::Something)
    }

    fn say_above(&mut self) -> Result<()> {
        for directory in self.above.drain(..) {
            self.writer.append_empty(&directory)?;
        }
        Ok(())
    }

    fn file(&mut self, name: &[u8], path: &[u8], stat: &Stat) -> Result<Recorded> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.here(), name, flags, Mode::empty())?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size == 0
            && let Some(device) = placeholder::device_of(&fd)
        {
            return self.empty(&self.describe(path, device, stat));
        }
        let holes = super::data::holes(stat);
        self.holes = self.holes.saturating_add(holes);
        if self.holes > MOST_HOLES {
            return Err(BuildError::limit(
                format!(
                    "the file is sparse: {holes} of its {size} bytes are holes, which a layer stores as zeros"
                ),
                format!("{} GiB for all sparse files of a layer", MOST_HOLES >> 30),
                "remove the file in the same RUN, or make it shorter",
            ));
        }
        let mut entry = self.describe(path, EntryKind::File { size }, stat);
        entry.xattrs = xattrs_of(&fd)?;
        self.say_above()?;
        self.writer.append(&entry, &mut File::from(fd))?;
        Ok(Recorded::Something)
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
        let time = recorded_time(modified(stat));
        match self.options.epoch.map(Timestamp::from_seconds) {
            Some(epoch) => time.min(epoch),
            None => time,
        }
    }

    fn whiteout(&mut self, path: &[u8]) -> Result<Recorded> {
        self.empty(&Entry::file(whiteout_path(path), 0o644, 0))
    }
}

/// One name in the directory that the walk is in.
struct At<'a> {
    name: &'a [u8],
    path: &'a [u8],
    /// What the image has in that directory.
    below: &'a Baseline<'a>,
    absence: Absence,
}

impl At<'_> {
    fn check_name(&self) -> Result<()> {
        if self.name.starts_with(WHITEOUT_PREFIX) {
            return Err(BuildError::WhiteoutName);
        }
        Ok(())
    }
}

fn action(at: &At<'_>) -> String {
    format!("cannot record `/{}`", String::from_utf8_lossy(at.path))
}

pub(super) fn modified(stat: &Stat) -> Timestamp {
    Timestamp {
        seconds: stat.st_mtime,
        nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
    }
}

/// Overlay's mark for something removed.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// What of `had` is not among the sorted names; sorted.
fn missing(had: BTreeSet<Vec<u8>>, names: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let is_gone = |name: &Vec<u8>| names.binary_search(name).is_err();
    had.into_iter().filter(is_gone).collect()
}
