//! What has changed in a checkout since a commit, as `git diff --merge-base REVISION` names it: committed,
//! staged or neither. Files that git does not track do not count.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use gix_hash::{Hasher, ObjectId, hasher};
use gix_object::tree::EntryKind;

use super::error::During as _;
use super::index_file::{Entry, IndexFile, is_split};
use super::line_ends::LineEnds;
use super::local::{LocalRepository, unreadable, value};
use super::repository::find;
use super::tree_files::{Budget, Content, Files, TreeFiles};
use super::{GitError, Result};
use imgmake_event::Cancel;
use imgmake_guard::checkout::Checkout;

/// The files of a commit, beside those that are here.
pub struct Since {
    repository: LocalRepository,
    /// Of the checkout.
    top: PathBuf,
    commit: ObjectId,
    is_common: bool,
    files: Files,
    line_ends: LineEnds,
    cancel: Cancel,
}

/// What a commit has at a path.
#[derive(Debug, PartialEq, Eq)]
pub enum Held {
    Link(PathBuf),
    /// A file, a directory or a submodule.
    Other,
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
        let mut files = Files::new();
        let tree = repository.tree_of(commit)?;
        TreeFiles::new(&repository, Budget::WHOLE, cancel).add(tree, b"", &mut files)?;
        Ok(Some(Since {
            line_ends: LineEnds::of(&repository, &top, environment),
            top,
            commit,
            is_common: common.is_some(),
            files,
            cancel: cancel.clone(),
            repository,
        }))
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
        self.object(content.id, limit)
    }

    /// What the commit has at a path, whose directories are none of its links.
    ///
    /// # Errors
    /// A link cannot be read.
    pub fn held(&self, path: &Path) -> io::Result<Option<Held>> {
        let path = path.as_os_str().as_bytes();
        if let Some(content) = self.files.get(path) {
            return Ok(Some(match content.mode {
                0o120_000 => {
                    let target = self.object(content.id, LONGEST_LINK)?;
                    Held::Link(OsString::from_vec(target).into())
                }
                _ => Held::Other,
            }));
        }
        let below = [path, b"/"].concat();
        let mut next = self.files.range(below.clone()..);
        let is_directory = next
            .next()
            .is_some_and(|(path, _)| path.starts_with(&below));
        Ok(is_directory.then_some(Held::Other))
    }

    fn object(&self, id: ObjectId, limit: usize) -> io::Result<Vec<u8>> {
        let mut data = Vec::new();
        let objects = &self.repository.objects;
        let size = gix_object::FindHeader::try_header(objects, &id);
        let size = size.map_err(io::Error::other)?;
        if size.is_some_and(|header| header.size > limit as u64) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        find(objects, id, &mut data).map_err(io::Error::other)?;
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
        let mut sparse = TreeFiles::new(&self.repository, Budget::WHOLE, &self.cancel);
        let written = fs::metadata(own.join("index")).ok();
        match IndexFile::open(own) {
            Ok(_) if is_split(own).during("cannot read the index")? => {
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
                    // A directory outside of a sparse checkout stands for all below it, as its tree says.
                    if entry.path.ends_with(b"/") {
                        let mut staged = Files::new();
                        let tree = ObjectId::from_bytes_or_panic(entry.id);
                        sparse.add(tree, entry.path, &mut staged)?;
                        for (path, now) in staged {
                            if rest.remove(&path) != Some(now) {
                                changed.push(path_of(&path));
                            }
                        }
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

    /// The content of a file, hashed as git does, with the lines that git would store. Where the mode is
    /// not kept, what was known stands.
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
            if let Some(stored) = self.line_ends.stored(path, &text)? {
                let id = self.blob(stored.len() as u64, &mut stored.as_slice())?;
                return Ok(Some(Content { mode, id }));
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

/// Of what a link holds.
const LONGEST_LINK: usize = 4096;

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
