//! A tree as files. Every directory is made here and entered without following
//! links, every file and link is new: names and links of a hostile tree lead nowhere.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use gix_hash::ObjectId;
use gix_object::TreeRefIter;
use gix_object::bstr::ByteSlice;
use gix_object::tree::{EntryKind, EntryRef};
use gix_validate::path::component;
use rustix::fs::{Mode, OFlags};

use super::attributes::Attributes;
use super::convert::Conversion;
use super::error::{Cause as _, During as _};
use super::index::Entry;
use super::repository::{Repository, find};
use super::{GitError, Result};
use imgmake_event::Cancel;

/// Each level holds a directory open.
const DEEPEST: usize = 400;

/// What git itself forbids on Linux; names that only Windows cannot have are fine.
const NAMES: component::Options = component::Options {
    protect_windows: false,
    protect_hfs: true,
    protect_ntfs: true,
};

/// What was written: everything for the index, and where submodules belong.
#[derive(Default)]
pub(super) struct Written {
    pub entries: Vec<Entry>,
    pub submodules: Vec<Submodule>,
    /// The root's `.gitmodules`.
    pub modules: Option<Vec<u8>>,
}

pub(super) struct Submodule {
    pub path: PathBuf,
    pub commit: ObjectId,
}

/// Writes the tree of a commit into an empty directory.
///
/// # Errors
/// A tree that git would not check out either; the disk's.
pub(super) fn checkout(
    repository: &Repository,
    commit: ObjectId,
    to: &Path,
    cancel: &Cancel,
) -> Result<Written> {
    let root = File::open(to).with_during(|| format!("cannot open `{}`", to.display()))?;
    let mut walk = Walk {
        repository,
        objects: repository.objects()?,
        cancel,
        attributes: Attributes::new()?,
        written: Written::default(),
        buffer: Vec::new(),
    };
    let tree = repository.tree_of(commit)?;
    walk.tree(tree, root.as_fd(), &mut Vec::new(), 0)?;
    Ok(walk.written)
}

struct Walk<'a> {
    repository: &'a Repository,
    objects: gix_odb::Handle,
    cancel: &'a Cancel,
    attributes: Attributes,
    written: Written,
    buffer: Vec<u8>,
}

impl Walk<'_> {
    /// `path` is that of the directory, with a slash at its end.
    fn tree(
        &mut self,
        id: ObjectId,
        directory: BorrowedFd<'_>,
        path: &mut Vec<u8>,
        depth: usize,
    ) -> Result<()> {
        if depth > DEEPEST {
            return Err(GitError::Limit {
                what: "directories within each other".into(),
                limit: DEEPEST,
                unit: "levels",
            });
        }
        let mut data = Vec::new();
        find(&self.objects, id, &mut data)?;
        let kind = self.repository.kind;
        let entries: Vec<_> = TreeRefIter::from_bytes(&data, kind)
            .map(|entry| entry.map_err(|_| GitError::damaged(format!("tree {id}"))))
            .collect::<Result<_>>()?;
        let own = entries.iter().find(|entry| {
            entry.filename == ".gitattributes" && entry.mode.kind() != EntryKind::Link
        });
        let has_own = match own.filter(|entry| !entry.mode.is_tree()) {
            Some(entry) => {
                let text = find(&self.objects, entry.oid.to_owned(), &mut self.buffer)?.data;
                self.attributes.enter(text, path)?;
                true
            }
            None => false,
        };
        for entry in entries {
            self.cancel.check()?;
            let length = path.len();
            path.extend_from_slice(entry.filename);
            let name = name_of(&entry).with_during(|| display_path(path))?;
            if entry.mode.is_tree() {
                let inner = make_directory(directory, name).with_during(|| display_path(path))?;
                path.push(b'/');
                self.tree(entry.oid.to_owned(), inner.as_fd(), path, depth + 1)?;
            } else {
                let done = self.entry(&entry, name, directory, path);
                done.with_during(|| display_path(path))?;
            }
            path.truncate(length);
        }
        if has_own {
            self.attributes.leave();
        }
        Ok(())
    }

    fn entry(
        &mut self,
        entry: &EntryRef<'_>,
        name: &[u8],
        directory: BorrowedFd<'_>,
        path: &[u8],
    ) -> Result<()> {
        let id = entry.oid.to_owned();
        let mode = match entry.mode.kind() {
            EntryKind::Tree => unreachable!("trees are entered"),
            EntryKind::Commit => {
                make_directory(directory, name)?;
                self.written.submodules.push(Submodule {
                    path: super::index::path(path),
                    commit: id,
                });
                0o160_000
            }
            EntryKind::Link => {
                let target = find(&self.objects, id, &mut self.buffer)?.data;
                rustix::fs::symlinkat(target, directory, name).map_err(taken)?;
                0o120_000
            }
            EntryKind::Blob => {
                self.file(id, directory, name, path, 0o644)?;
                0o100_644
            }
            EntryKind::BlobExecutable => {
                self.file(id, directory, name, path, 0o755)?;
                0o100_755
            }
        };
        self.written.entries.push(Entry {
            path: path.to_vec(),
            mode,
            id,
        });
        Ok(())
    }

    fn file(
        &mut self,
        id: ObjectId,
        directory: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        mode: u32,
    ) -> Result<()> {
        let found = find(&self.objects, id, &mut self.buffer)?;
        if found.kind != gix_object::Kind::Blob {
            return Err(GitError::UnexpectedObject {
                id,
                expected: "a file",
            });
        }
        if path == b".gitmodules" {
            self.written.modules = Some(found.data.to_vec());
        }
        let mut file = create(directory, name)?;
        let conversion = match self.attributes.outcome(path) {
            Some(outcome) => Conversion::of(outcome)?,
            None => Conversion::default(),
        };
        let written = file.write_all(&conversion.apply(found.data, id));
        let written = written.and_then(|()| file.set_permissions(Permissions::from_mode(mode)));
        written.during("cannot write the file")
    }
}

fn display_path(path: &[u8]) -> String {
    format!("`{}`", path.as_bstr())
}

fn name_of<'a>(entry: &EntryRef<'a>) -> Result<&'a [u8]> {
    let is_link = entry.mode.kind() == EntryKind::Link;
    let mode = is_link.then_some(component::Mode::Symlink);
    match gix_validate::path::component(entry.filename, mode, NAMES) {
        Ok(name) if !name.contains(&0) => Ok(name),
        Ok(_) => Err(invalid_name("it contains a zero byte".into())),
        Err(error) => Err(invalid_name(error.to_string())),
    }
}

fn invalid_name(reason: String) -> GitError {
    GitError::Invalid {
        what: "file name",
        value: None,
        reason,
    }
}

fn make_directory(directory: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd> {
    rustix::fs::mkdirat(directory, name, Mode::from(0o755)).map_err(taken)?;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    let inner = rustix::fs::openat(directory, name, flags, Mode::empty());
    let inner = inner.during("cannot open the directory")?;
    // Whatever the umask.
    rustix::fs::fchmod(&inner, Mode::from(0o755)).during("cannot set its mode")?;
    Ok(inner)
}

fn create(directory: BorrowedFd<'_>, name: &[u8]) -> Result<File> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::WRONLY;
    let file = rustix::fs::openat(directory, name, flags, Mode::from(0o600)).map_err(taken)?;
    Ok(File::from(file))
}

fn taken(error: rustix::io::Errno) -> GitError {
    match error {
        rustix::io::Errno::EXIST => GitError::DuplicateName,
        other => other.while_doing("cannot make it".into()),
    }
}
