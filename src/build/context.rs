//! A context directory as COPY sees it: what the ignore file keeps, minus declared outputs.
//! Metadata only; owners are 0:0 and times one fixed moment, because neither may reach an image or a key.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::copy::tree::{Node, Tree, base_name, join, parent, resolve, root, show, similar};
use super::patterns::{Matched, Patterns};
use crate::layer::{EntryKind, Timestamp};

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

/// A directory on this machine, read as a COPY source.
#[derive(Clone, Debug)]
pub struct ContextTree {
    pub directory: PathBuf,
    ignore: Patterns,
    /// The ignore file, for messages and keys.
    pub ignore_file: Option<PathBuf>,
    /// blake3 of the ignore file that was read.
    pub ignore_hash: Option<[u8; 32]>,
    /// Declared outputs, relative; they are left out of walks that begin above them.
    excluded: Vec<Vec<u8>>,
    time: Timestamp,
}

impl ContextTree {
    /// # Errors
    /// No such directory, or an ignore file that cannot be read.
    pub fn open(
        directory: &Path,
        ignore_files: IgnoreFiles<'_>,
        excluded: &[PathBuf],
        time: Timestamp,
    ) -> Result<ContextTree> {
        let directory = directory
            .canonicalize()
            .with_context(|| format!("cannot read the context `{}`", directory.display()))?;
        let found = read_ignore_file(ignore_files)?;
        let excluded = excluded
            .iter()
            .filter_map(|path| beneath(&directory, path))
            .collect();
        Ok(ContextTree {
            directory,
            ignore: found.rules,
            ignore_file: found.path,
            ignore_hash: found.hash,
            excluded,
            time,
        })
    }

    pub fn path_of(&self, path: &[u8]) -> PathBuf {
        self.directory.join(OsStr::from_bytes(path))
    }

    pub fn ignore_rules(&self) -> &Patterns {
        &self.ignore
    }

    /// Whether a walk leaves anything out.
    pub fn hides_something(&self) -> bool {
        !self.ignore.is_empty() || !self.excluded.is_empty()
    }

    fn node(&self, path: Vec<u8>, metadata: &std::fs::Metadata) -> io::Result<Option<Node>> {
        let on_disk = self.path_of(&path);
        let Some(kind) = kind_of(&on_disk, metadata)? else {
            return Ok(None);
        };
        let is_file = matches!(kind, EntryKind::File { .. });
        let identity = (is_file && metadata.nlink() > 1)
            .then(|| [metadata.dev().to_le_bytes(), metadata.ino().to_le_bytes()].concat());
        let xattrs = match kind {
            EntryKind::Symlink { .. } => BTreeMap::new(),
            _ => kept_xattrs(&on_disk),
        };
        Ok(Some(Node {
            path,
            mode: match kind {
                EntryKind::Symlink { .. } => 0o777,
                _ => metadata.mode() & 0o7777,
            },
            kind,
            uid: 0,
            gid: 0,
            mtime: self.time,
            xattrs,
            identity,
            content: None,
        }))
    }

    /// The sorted names in a directory.
    fn names(&self, directory: &[u8]) -> Result<Vec<Vec<u8>>> {
        let on_disk = self.path_of(directory);
        let mut names: Vec<Vec<u8>> = std::fs::read_dir(&on_disk)
            .and_then(|list| list.map(|e| e.map(|e| e.file_name().into_vec())).collect())
            .with_context(|| format!("cannot list `{}`", on_disk.display()))?;
        names.sort();
        Ok(names)
    }

    /// What is beneath a directory, sorted; every level is read in parallel. Not by
    /// recursion: a checkout may have directories in each other as long as paths last.
    fn gather(&self, directory: &[u8], above: &Matched, base: &[u8]) -> Result<Vec<Node>> {
        let mut found: Vec<Found> = Vec::new();
        let mut level = vec![(directory.to_vec(), above.clone())];
        while !level.is_empty() {
            let listed = level
                .into_par_iter()
                .map(|(directory, matched)| self.level(&directory, &matched, base))
                .collect::<Result<Vec<_>>>()?;
            level = Vec::new();
            for mut child in listed.into_iter().flatten() {
                if let Some(matched) = child.matched.take() {
                    level.push((child.node.path.clone(), matched));
                }
                found.push(child);
            }
        }
        found.sort_by(|a, b| a.node.path.cmp(&b.node.path));
        Ok(without_empty(found))
    }

    /// What is directly in a directory.
    fn level(&self, directory: &[u8], above: &Matched, base: &[u8]) -> Result<Vec<Found>> {
        let children = self
            .names(directory)?
            .into_par_iter()
            .with_min_len(32)
            .map(|name| self.child(join(directory, &name), above, base))
            .collect::<Result<Vec<_>>>()?;
        Ok(children.into_iter().flatten().collect())
    }

    fn child(&self, path: Vec<u8>, above: &Matched, base: &[u8]) -> Result<Option<Found>> {
        if self.is_excluded(&path, base) {
            return Ok(None);
        }
        let (ignored, matched) = self.ignore.step(&path, above);
        if ignored && !self.ignore.may_return_beneath(&path, above) {
            return Ok(None);
        }
        let Some(node) = self.stat(&path)? else {
            return Ok(None);
        };
        if !node.is_directory() {
            return Ok((!ignored).then_some(Found {
                node,
                matched: None,
                only_if_filled: false,
            }));
        }
        Ok(Some(Found {
            // A directory that only a declared output is in was made for it.
            only_if_filled: ignored || self.leads_to_excluded(&node.path),
            matched: Some(matched),
            node,
        }))
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

    fn stat(&self, path: &[u8]) -> Result<Option<Node>> {
        let on_disk = self.path_of(path);
        let at = || format!("cannot read `{}`", on_disk.display());
        match std::fs::symlink_metadata(&on_disk) {
            Ok(metadata) => self.node(path.to_vec(), &metadata).with_context(at),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(e).with_context(at),
        }
    }

    fn matched_above(&self, path: &[u8]) -> Matched {
        let mut matched = Matched::default();
        if !path.is_empty() {
            for ancestor in super::patterns::ancestors_and_self(path) {
                (_, matched) = self.ignore.step(ancestor, &matched);
            }
        }
        matched
    }
}

/// What a walk has come upon.
struct Found {
    node: Node,
    /// Of a directory: what the ignore rules said on the way to it.
    matched: Option<Matched>,
    /// A directory that is left out when nothing beneath it is kept.
    only_if_filled: bool,
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
        let Some(node) = self.stat(path)? else {
            return Ok(None);
        };
        if !self.ignore.matches(path) {
            return Ok(Some(node));
        }
        let holds_kept = node.is_directory()
            && self
                .ignore
                .may_return_beneath(path, &self.matched_above(parent(path)))
            && !self.walk(path)?.is_empty();
        Ok(holds_kept.then_some(node))
    }

    fn resolve(&self, path: &[u8]) -> Result<Vec<u8>> {
        resolve(path, true, |p| match std::fs::read_link(self.path_of(p)) {
            Ok(target) => Ok(Some(target.into_os_string().into_vec())),
            Err(_) => Ok(None),
        })
    }

    fn children(&self, directory: &[u8]) -> Result<Vec<Node>> {
        let mut nodes = Vec::new();
        for name in self.names(directory)? {
            let path = join(directory, &name);
            if !self.is_excluded(&path, directory) {
                nodes.extend(self.get(&path)?);
            }
        }
        Ok(nodes)
    }

    fn walk(&self, directory: &[u8]) -> Result<Vec<Node>> {
        let above = self.matched_above(directory);
        self.gather(directory, &above, directory)
    }

    fn unhidden(&self) -> Option<Box<dyn Tree + '_>> {
        let all = || ContextTree {
            ignore: Patterns::default(),
            ..self.clone()
        };
        self.ignore_file
            .is_some()
            .then(|| Box::new(all()) as Box<dyn Tree>)
    }

    fn hint(&self, path: &[u8]) -> Option<String> {
        if let (Some(rule), Some(file)) = (self.ignore.reason(path), &self.ignore_file)
            && std::fs::symlink_metadata(self.path_of(path)).is_ok()
        {
            let name = file.file_name().unwrap_or(file.as_os_str());
            return Some(format!("`{}` hides it, {rule}", name.to_string_lossy()));
        }
        let absent = |path: &[u8]| std::fs::symlink_metadata(self.path_of(path)).is_err();
        let mut missing = path;
        while !parent(missing).is_empty() && absent(parent(missing)) {
            missing = parent(missing);
        }
        let listed = std::fs::read_dir(self.path_of(parent(missing)));
        let siblings: Vec<Vec<u8>> = listed
            .into_iter()
            .flatten()
            .filter_map(|e| e.ok().map(|e| e.file_name().into_encoded_bytes()))
            .collect();
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
fn kind_of(path: &Path, metadata: &std::fs::Metadata) -> io::Result<Option<EntryKind>> {
    let kind = metadata.file_type();
    let (major, minor) = (
        rustix::fs::major(metadata.rdev()),
        rustix::fs::minor(metadata.rdev()),
    );
    Ok(Some(if kind.is_dir() {
        EntryKind::Directory
    } else if kind.is_symlink() {
        EntryKind::Symlink {
            target: std::fs::read_link(path)?.into_os_string().into_vec(),
        }
    } else if kind.is_fifo() {
        EntryKind::Fifo
    } else if kind.is_char_device() {
        EntryKind::CharDevice { major, minor }
    } else if kind.is_block_device() {
        EntryKind::BlockDevice { major, minor }
    } else if kind.is_socket() {
        return Ok(None);
    } else {
        EntryKind::File {
            size: metadata.len(),
        }
    }))
}

/// File capabilities and `user.*`; labels of this machine (SELinux, overlay) stay here.
fn kept_xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = [0u8; 2048];
    let listed = match rustix::fs::llistxattr(path, &mut names[..]) {
        Ok(0) | Err(rustix::io::Errno::NOTSUP) => return BTreeMap::new(),
        Ok(length) => names[..length].to_vec(),
        // Longer than usual: ask at leisure.
        Err(_) => match xattr::list(path) {
            Ok(list) => list.fold(Vec::new(), |mut all, name| {
                all.extend_from_slice(name.as_bytes());
                all.push(0);
                all
            }),
            Err(_) => return BTreeMap::new(),
        },
    };
    listed
        .split(|b| *b == 0)
        .filter(|name| {
            *name == b"security.capability"
                || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
        })
        .filter_map(|name| {
            let value = xattr::get(path, OsStr::from_bytes(name)).ok()??;
            Some((name.to_vec(), value))
        })
        .collect()
}
