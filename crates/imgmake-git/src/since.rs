//! What has changed in a checkout since a commit, as `git diff --merge-base REVISION` names it: committed,
//! staged or neither. Files that git does not track do not count.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use gix_hash::{Hasher, ObjectId, hasher};
use gix_object::TreeRefIter;
use gix_object::tree::EntryKind;

use super::error::During as _;
use super::index_file::{Entry, IndexFile, is_split};
use super::local::{LocalRepository, unreadable, value};
use super::repository::find;
use super::{GitError, Result};
use imgmake_event::Cancel;
use imgmake_guard::checkout::Checkout;

/// Levels of directories, and files: a repository that has more was made to have them.
const DEEPEST: usize = 512;
const MOST_FILES: usize = 5_000_000;

/// The files of a commit, beside those that are here.
pub struct Since {
    repository: LocalRepository,
    /// Of the checkout.
    top: PathBuf,
    commit: ObjectId,
    is_common: bool,
    files: BTreeMap<Vec<u8>, Content>,
    cancel: Cancel,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Content {
    mode: u32,
    id: ObjectId,
}

impl Since {
    /// The commit where the history of the checkout left that of a revision; `None` where there is no
    /// checkout.
    ///
    /// # Errors
    /// There is no such revision, or the repository cannot be read.
    pub fn of(
        directory: &Path,
        revision: &str,
        environment: &BTreeMap<String, String>,
        cancel: &Cancel,
    ) -> Result<Option<Since>> {
        let Some(repository) = LocalRepository::around(directory, environment)? else {
            return Ok(None);
        };
        let Some(top) = repository.top.clone() else {
            return Ok(None);
        };
        let top = top
            .canonicalize()
            .with_during(|| format!("cannot read `{}`", top.display()))?;
        let named = repository.commit_named(revision)?;
        let head = repository.commit_named("HEAD")?;
        let common = match named == head {
            true => Some(head),
            false => repository.common_ancestor(named, head, cancel)?,
        };
        let commit = common.unwrap_or(named);
        let mut since = Since {
            top,
            commit,
            is_common: common.is_some(),
            files: BTreeMap::new(),
            cancel: cancel.clone(),
            repository,
        };
        let tree = since.repository.tree_of(commit)?;
        since.tree(tree, &mut Vec::new(), 0)?;
        Ok(Some(since))
    }

    /// All digits of its id.
    pub fn commit(&self) -> String {
        self.commit.to_string()
    }

    /// Whether the commit is one that the checkout descends from: no history may have been fetched
    /// that says so.
    pub fn is_common(&self) -> bool {
        self.is_common
    }

    /// What paths start at.
    pub fn top(&self) -> &Path {
        &self.top
    }

    fn tree(&mut self, id: ObjectId, path: &mut Vec<u8>, depth: usize) -> Result<()> {
        let limit = |what: &str, limit, unit| GitError::Limit {
            what: what.into(),
            limit,
            unit,
        };
        if depth > DEEPEST {
            return Err(limit("directories within each other", DEEPEST, "levels"));
        }
        if self.cancel.is_cancelled() {
            return Err(GitError::Cancelled);
        }
        let mut data = Vec::new();
        find(&self.repository.objects, id, &mut data)?;
        for entry in TreeRefIter::from_bytes(&data, self.repository.kind) {
            let entry = entry.map_err(|_| GitError::damaged(format!("tree {id}")))?;
            let length = path.len();
            path.extend_from_slice(entry.filename);
            let content = Content {
                mode: u32::from(entry.mode.value()),
                id: entry.oid.to_owned(),
            };
            if entry.mode.is_tree() {
                path.push(b'/');
                self.tree(content.id, path, depth + 1)?;
            } else {
                self.files.insert(path.clone(), content);
            }
            if self.files.len() > MOST_FILES {
                return Err(limit("files of a commit", MOST_FILES, "files"));
            }
            path.truncate(length);
        }
        Ok(())
    }

    /// Files of the commit below a directory, with their paths from there.
    pub fn names<'s>(&'s self, directory: &'s Path) -> impl Iterator<Item = &'s Path> + use<'s> {
        let paths = self
            .files
            .keys()
            .map(|path| Path::new(OsStr::from_bytes(path)));
        paths.filter_map(move |path| path.strip_prefix(directory).ok())
    }

    /// The content of a regular file of the commit.
    ///
    /// # Errors
    /// There is none (`NotFound`), or it cannot be read.
    pub fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let found = self.files.get(path.as_os_str().as_bytes());
        let is_file = |content: &&Content| content.mode & 0o170_000 == 0o100_000;
        let content = found.filter(is_file).ok_or(io::ErrorKind::NotFound)?;
        let mut data = Vec::new();
        let objects = &self.repository.objects;
        let size = gix_object::FindHeader::try_header(objects, &content.id);
        let size = size.map_err(io::Error::other)?;
        if size.is_some_and(|header| header.size > limit as u64) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        find(objects, content.id, &mut data).map_err(io::Error::other)?;
        Ok(data)
    }

    /// Paths of files that were added, changed or removed since, in order.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn changed(&self) -> Result<Vec<PathBuf>> {
        let own = &self.repository.own;
        let mut changed = Vec::new();
        let mut rest = self.files.clone();
        let written = fs::metadata(own.join("index")).ok();
        match IndexFile::open(own) {
            Ok(_) if is_split(own) => {
                return Err(GitError::Unsupported {
                    what: "form of the index",
                    value: "split".into(),
                });
            }
            Ok(mut index) => {
                while let Some(entry) = index.next().during("cannot read the index")? {
                    if self.cancel.is_cancelled() {
                        return Err(GitError::Cancelled);
                    }
                    // A directory outside of a sparse checkout stands for all below it.
                    if entry.path.ends_with(b"/") {
                        let below = entry.path.to_vec();
                        rest.retain(|path, _| !path.starts_with(&below));
                        continue;
                    }
                    let before = rest.remove(entry.path);
                    if entry.is_unmerged || self.now(&entry, written.as_ref())? != before {
                        changed.push(path_of(entry.path));
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).during("cannot read the index"),
        }
        for (path, before) in rest {
            if self.on_disk(&path, Some(before))? != Some(before) {
                changed.push(path_of(&path));
            }
        }
        changed.sort();
        changed.dedup();
        Ok(changed)
    }

    /// What is there of a file that git tracks: by what git last saw, if nobody touched it since.
    fn now(&self, entry: &Entry<'_>, index: Option<&Metadata>) -> Result<Option<Content>> {
        let staged = Content {
            mode: entry.mode,
            id: ObjectId::from_bytes_or_panic(entry.id),
        };
        if entry.is_assumed || is_submodule(staged.mode) {
            return Ok(Some(staged));
        }
        let Ok(found) = self.top.join(path_of(entry.path)).symlink_metadata() else {
            return Ok(None);
        };
        #[expect(clippy::cast_possible_truncation, reason = "git keeps 32 bits")]
        #[expect(clippy::cast_sign_loss, reason = "git keeps 32 bits")]
        let (modified, size) = (
            (found.mtime() as u32, found.mtime_nsec() as u32),
            found.size() as u32,
        );
        let same_time = modified.0 == entry.modified.0
            && (entry.modified.1 == 0 || modified.1 == entry.modified.1);
        // What was written while the index was, may have been written again.
        let is_older = index.is_some_and(|index| {
            (found.mtime(), found.mtime_nsec()) < (index.mtime(), index.mtime_nsec())
        });
        if same_time && is_older && size == entry.size && self.has_mode(&found, staged.mode) {
            return Ok(Some(staged));
        }
        self.on_disk(entry.path, Some(staged))
    }

    fn has_mode(&self, found: &Metadata, mode: u32) -> bool {
        let counts = value(&self.repository.settings, "core", "filemode") != Some("false");
        let executable = found.mode() & 0o100 != 0;
        match mode {
            0o120_000 => found.is_symlink(),
            0o100_755 | 0o100_644 => {
                found.is_file() && (!counts || executable == (mode == 0o100_755))
            }
            _ => false,
        }
    }

    /// The content of a file, hashed as git does. Where lines end otherwise than in the repository, or
    /// the mode is not kept, what was known stands.
    fn on_disk(&self, path: &[u8], known: Option<Content>) -> Result<Option<Content>> {
        let full = self.top.join(path_of(path));
        let Ok(found) = full.symlink_metadata() else {
            return Ok(None);
        };
        let mode = match known {
            Some(known) if self.has_mode(&found, known.mode) => known.mode,
            _ if found.is_symlink() => 0o120_000,
            _ if found.is_file() && found.mode() & 0o100 != 0 => 0o100_755,
            _ if found.is_file() => 0o100_644,
            _ => return Ok(known.filter(|known| found.is_dir() && is_submodule(known.mode))),
        };
        if found.is_symlink() {
            let Ok(target) = fs::read_link(&full) else {
                return Ok(None);
            };
            let mut target = target.as_os_str().as_bytes();
            let id = self.blob(target.len() as u64, &mut target)?;
            return Ok(Some(Content { mode, id }));
        }
        let open = || Checkout::new([self.top.as_path()]).open(&full);
        // What nobody may read is another than git saw.
        let Ok(file) = open() else {
            return Ok(None);
        };
        let id = self.blob(found.size(), &mut file.take(found.size()))?;
        if known.is_some_and(|known| known.id != id)
            && found.size() <= LARGEST_TEXT
            && let Ok(mut file) = open()
        {
            let mut text = Vec::new();
            let read = file.by_ref().take(LARGEST_TEXT).read_to_end(&mut text);
            read.with_during(|| format!("cannot read `{}`", full.display()))?;
            text = unix_lines(&text);
            let converted = self.blob(text.len() as u64, &mut text.as_slice())?;
            if let Some(known) = known.filter(|known| known.id == converted) {
                return Ok(Some(Content { mode, id: known.id }));
            }
        }
        Ok(Some(Content { mode, id }))
    }

    fn blob(&self, size: u64, content: &mut dyn Read) -> Result<ObjectId> {
        let mut hash: Hasher = hasher(self.repository.kind);
        hash.update(format!("blob {size}\0").as_bytes());
        let mut buffer = vec![0; 64 << 10];
        loop {
            if self.cancel.is_cancelled() {
                return Err(GitError::Cancelled);
            }
            match content.read(&mut buffer).during("cannot read a file")? {
                0 => break,
                read => hash.update(&buffer[..read]),
            }
        }
        hash.try_finalize().map_err(unreadable)
    }
}

/// The text with `\n` where `\r\n` was.
fn unix_lines(text: &[u8]) -> Vec<u8> {
    let next = text.iter().skip(1).chain([&0]);
    let kept = text
        .iter()
        .zip(next)
        .filter(|(byte, next)| **byte != b'\r' || **next != b'\n');
    kept.map(|(byte, _)| *byte).collect()
}

/// Lines are converted in files up to this size.
const LARGEST_TEXT: u64 = 16 << 20;

fn is_submodule(mode: u32) -> bool {
    mode == u32::from(EntryKind::Commit as u16)
}

/// A path that a repository names: nothing in it leads out of the checkout.
fn path_of(bytes: &[u8]) -> PathBuf {
    let path = Path::new(OsStr::from_bytes(bytes));
    let parts = path.components();
    parts
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect()
}
