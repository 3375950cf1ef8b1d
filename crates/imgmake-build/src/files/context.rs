//! A context directory as COPY sees it: what the ignore file keeps, minus declared outputs.
//! Metadata only; owners are 0:0, times one fixed moment, and there are no extended attributes, because none of
//! these may reach an image or a key.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, OFlags, Stat};

use crate::error::{BuildError, Context, Result};
use crate::files::patterns::{Matched, Patterns};
use crate::files::tree::{Node, Tree, base_name, join, parent, resolve, root, show, similar};
use imgmake_core::files::{Entry, ReadAs, ReadFiles, Signature, Visited, Visitor, walk};
use imgmake_event::Cancel;
use imgmake_guard::checkout::Checkout;
use imgmake_guard::confined;
use imgmake_oci::layer::{EntryKind, Timestamp};

/// Files that may say what is left out: the first one that exists counts.
#[derive(Clone, Copy)]
pub struct IgnoreFiles<'a> {
    pub candidates: &'a [PathBuf],
    pub read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
}

impl IgnoreFiles<'_> {
    pub fn none() -> IgnoreFiles<'static> {
        IgnoreFiles {
            candidates: &[],
            read: &|_| Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// A directory on this machine, read as a COPY source. It is opened once; what is in it is
/// looked at, hashed and copied from there, and no link is followed on the way: whoever
/// exchanges a directory for one meanwhile leads nobody out.
#[derive(Clone)]
pub struct ContextTree {
    /// Its real path, for messages and keys, and for the helper process.
    pub directory: PathBuf,
    held: Arc<OwnedFd>,
    ignore: Patterns,
    /// The ignore file, for messages and keys.
    pub ignore_file: Option<PathBuf>,
    /// blake3 of the ignore file that was read.
    pub ignore_hash: Option<[u8; 32]>,
    /// Declared outputs, relative; they are left out of walks that begin above them.
    excluded: Vec<Vec<u8>>,
    time: Timestamp,
    cancel: Cancel,
    /// Where it is told which links were followed.
    recorded: Option<ReadFiles>,
}

impl ContextTree {
    /// # Errors
    /// No such directory, one that lies outside of what `checkout` confines it to, or an
    /// ignore file that cannot be read.
    pub fn open(
        directory: &Path,
        checkout: &Checkout,
        ignore_files: IgnoreFiles<'_>,
        excluded: &[PathBuf],
        time: Timestamp,
    ) -> Result<ContextTree> {
        let (held, directory) = checkout
            .open_directory(directory)
            .with_context(|| format!("cannot read the context `{}`", directory.display()))?;
        let found = read_ignore_file(ignore_files)?;
        let excluded = excluded
            .iter()
            .filter_map(|path| beneath(&directory, path))
            .collect();
        Ok(ContextTree {
            directory,
            held: Arc::new(held),
            ignore: found.rules,
            ignore_file: found.path,
            ignore_hash: found.hash,
            excluded,
            time,
            cancel: Cancel::default(),
            recorded: None,
        })
    }

    /// The same, which tells of each link that a path leads through.
    #[must_use]
    pub fn recorded_in(mut self, files: &ReadFiles) -> ContextTree {
        self.recorded = Some(files.clone());
        self
    }

    /// The same, whose walks end with the cancellation.
    #[must_use]
    pub fn stopped_by(mut self, cancel: &Cancel) -> ContextTree {
        self.cancel = cancel.clone();
        self
    }

    /// For messages.
    pub fn path_of(&self, path: &[u8]) -> PathBuf {
        self.directory.join(OsStr::from_bytes(path))
    }

    /// A regular file of the tree, by a path without links.
    ///
    /// # Errors
    /// There is none, or none any more.
    pub fn open_file(&self, path: &[u8]) -> io::Result<File> {
        self.cancel.check()?;
        let file = confined::open_file(&*self.held, path)?;
        Signature::of(&file.metadata()?).has_content()?;
        Ok(file)
    }

    /// A directory, for `*at` calls alone.
    fn open_above(&self, path: &[u8]) -> io::Result<OwnedFd> {
        confined::open_inside(&*self.held, path, OFlags::PATH | OFlags::DIRECTORY)
    }

    pub fn ignore_rules(&self) -> &Patterns {
        &self.ignore
    }

    /// Whether a walk leaves anything out.
    pub fn hides_something(&self) -> bool {
        !self.ignore.is_empty() || !self.excluded.is_empty()
    }

    fn node(&self, path: Vec<u8>, above: BorrowedFd<'_>) -> io::Result<Option<Node>> {
        let name = base_name(&path);
        let stat = rustix::fs::statat(above, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let Some(kind) = kind_of(above, name, &stat)? else {
            return Ok(None);
        };
        let is_file = matches!(kind, EntryKind::File { .. });
        let identity = (is_file && stat.st_nlink > 1)
            .then(|| [stat.st_dev.to_le_bytes(), stat.st_ino.to_le_bytes()].concat());
        Ok(Some(Node {
            mode: match kind {
                EntryKind::Symlink { .. } => 0o777,
                _ => stat.st_mode & 0o7777,
            },
            path,
            kind,
            uid: 0,
            gid: 0,
            mtime: self.time,
            // Labels of this machine and tags of its desktop say nothing about the image.
            xattrs: BTreeMap::new(),
            identity,
            content: None,
            stat: is_file.then(|| Signature::of_stat(&stat)),
        }))
    }

    /// The sorted names in a directory, and the directory.
    fn names(&self, directory: &[u8]) -> Result<(Vec<Vec<u8>>, OwnedFd)> {
        self.cancel.check()?;
        let listed = || -> io::Result<_> {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let opened = confined::open_inside(&*self.held, directory, flags)?;
            let mut names = confined::names_in(&opened)?;
            names.sort();
            Ok((names, opened))
        };
        listed().map_err(|error| self.unlisted(directory, error))
    }

    fn unlisted(&self, directory: &[u8], error: io::Error) -> BuildError {
        let path = self.path_of(directory);
        BuildError::from(error).during(format!("cannot list `{}`", path.display()))
    }

    /// What is beneath a directory, sorted.
    fn gather(&self, directory: &[u8], above: Matched) -> Result<Vec<Node>> {
        let kept = Kept {
            tree: self,
            base: directory,
        };
        let mut found = walk(&*self.held, directory, above, &kept, &self.cancel)?;
        found.sort_by(|a, b| a.node.path.cmp(&b.node.path));
        Ok(without_empty(found))
    }

    fn is_excluded(&self, path: &[u8], base: &[u8]) -> bool {
        is_being_written(base_name(path))
            || self
                .excluded
                .iter()
                .any(|e| e == path && e.len() > base.len())
    }

    fn leads_to_excluded(&self, directory: &[u8]) -> bool {
        self.excluded.iter().any(|e| {
            e.strip_prefix(directory)
                .is_some_and(|rest| rest.first() == Some(&b'/'))
        })
    }

    /// What stands at a path, whose directory is open.
    fn stat(&self, path: &[u8], above: BorrowedFd<'_>) -> Result<Option<Node>> {
        match self.node(path.to_vec(), above) {
            Ok(node) => Ok(node),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => {
                Err(e).with_context(|| format!("cannot read `{}`", self.path_of(path).display()))
            }
        }
    }

    fn stat_alone(&self, path: &[u8]) -> Result<Option<Node>> {
        match self.open_above(parent(path)) {
            Ok(above) => self.stat(path, above.as_fd()),
            Err(e) if is_absent(&e) || is_a_link(&e) => Ok(None),
            Err(e) => {
                Err(e).with_context(|| format!("cannot read `{}`", self.path_of(path).display()))
            }
        }
    }

    /// Where the link at a path leads; `None` when there is none.
    fn link_at(&self, path: &[u8]) -> Option<Vec<u8>> {
        let above = self.open_above(parent(path)).ok()?;
        let target = rustix::fs::readlinkat(above, base_name(path), Vec::new()).ok()?;
        if let Some(recorded) = &self.recorded {
            recorded.add(self.path_of(path), ReadAs::Itself);
        }
        Some(target.into_bytes())
    }

    fn is_there(&self, path: &[u8]) -> bool {
        matches!(self.stat_alone(path), Ok(Some(_)) | Err(_))
    }

    /// A node that the ignore file leaves in, or that holds such.
    fn kept(&self, node: Node) -> Result<Option<Node>> {
        if !self.ignore.matches(&node.path) {
            return Ok(Some(node));
        }
        let path = &node.path;
        let holds_kept = node.is_directory()
            && self
                .ignore
                .may_return_beneath(path, &self.matched_above(parent(path)))
            && !self.walk(path)?.is_empty();
        Ok(holds_kept.then_some(node))
    }

    fn matched_above(&self, path: &[u8]) -> Matched {
        let mut matched = Matched::default();
        if !path.is_empty() {
            for ancestor in crate::files::patterns::ancestors_and_self(path) {
                (_, matched) = self.ignore.step(ancestor, &matched);
            }
        }
        matched
    }
}

/// What of a context is walked and kept.
struct Kept<'a> {
    tree: &'a ContextTree,
    /// The directory that the walk begins in.
    base: &'a [u8],
}

/// What a walk has come upon.
struct Found {
    node: Node,
    /// A directory that is left out when nothing beneath it is kept.
    only_if_filled: bool,
}

impl Visitor for Kept<'_> {
    type Found = Found;
    /// What the ignore rules said on the way to a directory.
    type State = Matched;
    type Error = BuildError;

    fn visit(&self, entry: &Entry<'_>, above: &Matched) -> Result<Visited<Found, Matched>> {
        let Kept { tree, base } = self;
        if tree.is_excluded(&entry.path, base) {
            return Ok(Visited::skipped());
        }
        let (ignored, matched) = tree.ignore.step(&entry.path, above);
        if ignored && !tree.ignore.may_return_beneath(&entry.path, above) {
            return Ok(Visited::skipped());
        }
        let Some(node) = tree.stat(&entry.path, entry.directory)? else {
            return Ok(Visited::skipped());
        };
        if !node.is_directory() {
            let only_if_filled = false;
            return Ok(Visited {
                found: (!ignored).then_some(Found {
                    node,
                    only_if_filled,
                }),
                enter: None,
            });
        }
        Ok(Visited {
            found: Some(Found {
                // A directory that only a declared output is in was made for it.
                only_if_filled: ignored || tree.leads_to_excluded(&node.path),
                node,
            }),
            enter: Some(matched),
        })
    }

    fn unlisted(&self, directory: &[u8], error: io::Error) -> BuildError {
        self.tree.unlisted(directory, error)
    }
}

fn without_empty(sorted: Vec<Found>) -> Vec<Node> {
    let mut filled: HashSet<Vec<u8>> = HashSet::new();
    let mut kept = Vec::with_capacity(sorted.len());
    // What is beneath a directory comes after it.
    for Found {
        node,
        only_if_filled,
        ..
    } in sorted.into_iter().rev()
    {
        if only_if_filled && !filled.contains(&node.path) {
            continue;
        }
        if !filled.contains(parent(&node.path)) {
            filled.insert(parent(&node.path).to_vec());
        }
        kept.push(node);
    }
    kept.reverse();
    kept
}

/// Outputs that this or a parallel run is writing have such a name for a moment:
/// the prefix and six letters.
fn is_being_written(name: &[u8]) -> bool {
    name.strip_prefix(b".imgmake-")
        .is_some_and(|rest| rest.len() == 6 && rest.iter().all(u8::is_ascii_alphanumeric))
}

impl Tree for ContextTree {
    fn get(&self, path: &[u8]) -> Result<Option<Node>> {
        if path.is_empty() {
            return Ok(Some(Node {
                mtime: self.time,
                ..root()
            }));
        }
        let Some(node) = self.stat_alone(path)? else {
            return Ok(None);
        };
        self.kept(node)
    }

    fn resolve(&self, path: &[u8]) -> Result<Vec<u8>> {
        resolve(path, true, |p| Ok(self.link_at(p)))
    }

    fn children(&self, directory: &[u8]) -> Result<Vec<Node>> {
        let mut nodes = Vec::new();
        let (names, opened) = self.names(directory)?;
        for name in names {
            self.cancel.check()?;
            let path = join(directory, &name);
            if !self.is_excluded(&path, directory)
                && let Some(node) = self.stat(&path, opened.as_fd())?
            {
                nodes.extend(self.kept(node)?);
            }
        }
        Ok(nodes)
    }

    fn walk(&self, directory: &[u8]) -> Result<Vec<Node>> {
        self.gather(directory, self.matched_above(directory))
    }

    fn unfiltered(&self) -> Option<Box<dyn Tree>> {
        (!self.ignore.is_empty()).then(|| {
            Box::new(ContextTree {
                ignore: Patterns::default(),
                ..self.clone()
            }) as Box<dyn Tree>
        })
    }

    fn hint(&self, path: &[u8]) -> Option<String> {
        if let (Some(rule), Some(file)) = (self.ignore.reason(path), &self.ignore_file)
            && self.is_there(path)
        {
            let name = file.file_name().unwrap_or(file.as_os_str());
            return Some(format!("`{}` hides it, {rule}", name.to_string_lossy()));
        }
        let mut missing = path;
        while !parent(missing).is_empty() && !self.is_there(parent(missing)) {
            missing = parent(missing);
        }
        let (siblings, _) = self.names(parent(missing)).ok().unzip();
        let siblings = siblings.unwrap_or_default();
        match similar(missing, &siblings) {
            Some(meant) => Some(format!(
                "it is not in the context `{}`, but `{}` is",
                self.directory.display(),
                show(&meant)
            )),
            None => Some(format!(
                "it is not in the context `{}`",
                self.directory.display()
            )),
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// A link where a directory was meant is none: no path of a tree leads through one.
fn is_a_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

#[derive(Default)]
struct FoundIgnoreFile {
    rules: Patterns,
    path: Option<PathBuf>,
    hash: Option<[u8; 32]>,
}

fn read_ignore_file(files: IgnoreFiles<'_>) -> Result<FoundIgnoreFile> {
    for file in files.candidates {
        let at = || format!("cannot read `{}`", file.display());
        match (files.read)(file) {
            Ok(bytes) => {
                return Ok(FoundIgnoreFile {
                    rules: Patterns::from_ignore_file(&bytes).with_context(at)?,
                    path: Some(file.clone()),
                    hash: Some(*blake3::hash(&bytes).as_bytes()),
                });
            }
            Err(e) if is_absent(&e) => {}
            Err(e) => return Err(e).with_context(at),
        }
    }
    Ok(FoundIgnoreFile::default())
}

/// The part of `path` beneath `directory`; parents that are links are followed, the last component is not.
fn beneath(directory: &Path, path: &Path) -> Option<Vec<u8>> {
    let parent = path.parent()?;
    let path = match parent.canonicalize() {
        Ok(parent) => parent.join(path.file_name()?),
        Err(_) => path.to_path_buf(),
    };
    let rest = path.strip_prefix(directory).ok()?;
    let rest = rest.as_os_str().as_bytes();
    (!rest.is_empty()).then(|| rest.to_vec())
}

/// `None` for sockets, which no image holds.
fn kind_of(above: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> io::Result<Option<EntryKind>> {
    let (major, minor) = (
        rustix::fs::major(stat.st_rdev),
        rustix::fs::minor(stat.st_rdev),
    );
    Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Symlink {
            target: rustix::fs::readlinkat(above, name, Vec::new())?.into_bytes(),
        },
        FileType::Fifo => EntryKind::Fifo,
        FileType::CharacterDevice => EntryKind::CharDevice { major, minor },
        FileType::BlockDevice => EntryKind::BlockDevice { major, minor },
        FileType::Socket => return Ok(None),
        _ => EntryKind::File {
            size: u64::try_from(stat.st_size).unwrap_or(0),
        },
    }))
}
