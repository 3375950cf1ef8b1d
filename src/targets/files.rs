//! Files on the host: patterns expanded, files and trees hashed.

use std::fs::{self, DirEntry, Metadata, ReadDir};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::runner::TargetRunner;
use imgmake_core::fingerprint::{Inputs, LengthPrefixedHasher};
use imgmake_core::manifest::Glob;
use imgmake_core::manifest::glob::{clean, is_pattern};

/// Adds every file that the patterns name, in the order of their paths. A plain
/// name is a file or a whole directory, and must exist. What is below
/// `outputs` is left out: making a target must not make it stale.
///
/// # Errors
/// The place of the pattern, and why its files cannot be read.
pub(super) fn add<'p>(
    runner: &TargetRunner<'_>,
    patterns: impl Iterator<Item = &'p str>,
    outputs: &[&str],
    inputs: &mut Inputs,
) -> Result<(), (usize, io::Error)> {
    let mut gathering = Gathering {
        runner,
        outputs: outputs.iter().map(|output| clean(output)).collect(),
        found: Vec::new(),
    };
    for (at, pattern) in patterns.enumerate() {
        gathering.pattern(pattern).map_err(|error| (at, error))?;
    }
    let mut found = gathering.found;
    // Sorted: readdir order differs between machines; keys must not.
    found.sort_unstable();
    found.dedup();
    for (name, hash) in found {
        inputs.hashed("file", name, hash);
    }
    Ok(())
}

/// A pattern may match nothing; only what cannot be read is an error.
fn nothing_there(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(()),
        _ => Err(error),
    }
}

/// `src/*` and `src/**` take every child of `src`: by far the most common
/// patterns, and matching each name would cost more than looking at the file.
fn has_all_children(pattern: &str, root: &str) -> bool {
    let rest = match root {
        "" => Some(pattern),
        root => pattern
            .strip_prefix(root)
            .and_then(|rest| rest.strip_prefix('/')),
    };
    matches!(rest, Some("*" | "**"))
}

/// Which entries of a directory are wanted.
#[derive(Clone, Copy)]
enum Children<'g> {
    All,
    Matching(&'g Glob),
}

struct Gathering<'a> {
    runner: &'a TargetRunner<'a>,
    outputs: Vec<String>,
    found: Vec<(String, [u8; 32])>,
}

/// A directory that is still to be read. Walks keep a list of these instead of
/// recursing: directories may be in each other as often as a path has room for.
struct Unread<'g> {
    path: PathBuf,
    name: String,
    children: Children<'g>,
}

impl Gathering<'_> {
    fn pattern(&mut self, pattern: &str) -> io::Result<()> {
        if !is_pattern(pattern) {
            let name = clean(pattern);
            let path = self.runner.path(&name);
            let metadata = fs::symlink_metadata(&path)?;
            let mut unread = Vec::new();
            self.tree(&|| path.clone(), name, &metadata, &mut unread)?;
            return self.walk(unread);
        }
        let glob = Glob::new(pattern).map_err(|error| io::Error::other(error.to_string()))?;
        for root in glob.roots() {
            let path = self.runner.path(&root);
            let mut unread = Vec::new();
            if glob.matches(&root) {
                match fs::symlink_metadata(&path) {
                    Ok(metadata) => {
                        self.tree(&|| path.clone(), root, &metadata, &mut unread)?;
                    }
                    Err(error) => nothing_there(error)?,
                }
                self.walk(unread)?;
                continue;
            }
            let children = match has_all_children(pattern, &root) {
                true => Children::All,
                false => Children::Matching(&glob),
            };
            match fs::read_dir(&path) {
                Ok(entries) => self.directory(entries, &root, children, &mut unread)?,
                Err(error) => nothing_there(error)?,
            }
            self.walk(unread)?;
        }
        Ok(())
    }

    fn walk<'g>(&mut self, mut unread: Vec<Unread<'g>>) -> io::Result<()> {
        while let Some(Unread {
            path,
            name,
            children,
        }) = unread.pop()
        {
            self.directory(fs::read_dir(path)?, &name, children, &mut unread)?;
        }
        Ok(())
    }

    fn directory<'g>(
        &mut self,
        entries: ReadDir,
        name: &str,
        children: Children<'g>,
        unread: &mut Vec<Unread<'g>>,
    ) -> io::Result<()> {
        for entry in entries {
            self.runner.tools.cancel.check()?;
            let entry = entry?;
            let Some(name) = self.name_of(name, &entry) else {
                continue;
            };
            match children {
                Children::Matching(glob) if !glob.matches(&name) => {
                    if entry.file_type()?.is_dir() && glob.may_match_under(&name) {
                        unread.push(Unread {
                            path: entry.path(),
                            name,
                            children,
                        });
                    }
                }
                _ => self.tree(&|| entry.path(), name, &entry.metadata()?, unread)?,
            }
        }
        Ok(())
    }

    /// A file, or everything below a directory. Its path is put together only
    /// when something must be read.
    fn tree(
        &mut self,
        path: &dyn Fn() -> PathBuf,
        name: String,
        metadata: &Metadata,
        unread: &mut Vec<Unread<'_>>,
    ) -> io::Result<()> {
        if metadata.is_dir() {
            unread.push(Unread {
                path: path(),
                name,
                children: Children::All,
            });
            return Ok(());
        }
        let hash = entry_hash(self.runner, path, metadata)?;
        self.found.push((name, hash));
        Ok(())
    }

    /// The entry's path as people read it; `None` for what never counts: this
    /// target's outputs, the project's state, git's own files.
    fn name_of(&self, parent: &str, entry: &DirEntry) -> Option<String> {
        let file_name = entry.file_name();
        if file_name == ".git" || (parent.is_empty() && file_name == imgmake_core::state::DIRECTORY)
        {
            return None;
        }
        let file_name = file_name.to_string_lossy();
        let name = match parent {
            "" => file_name.into_owned(),
            parent => format!("{parent}/{file_name}"),
        };
        (!self.outputs.contains(&name)).then_some(name)
    }
}

/// Type, mode and content of what is not a directory. A link counts with its
/// text and, since commands follow it, with the file that it leads to.
fn entry_hash(
    runner: &TargetRunner<'_>,
    path: &dyn Fn() -> PathBuf,
    metadata: &Metadata,
) -> io::Result<[u8; 32]> {
    if metadata.is_file() {
        return file_hash(runner, path, metadata);
    }
    let mut hasher = LengthPrefixedHasher::new();
    if metadata.is_symlink() {
        let text = fs::read_link(path())?;
        hasher.bytes(b"link").bytes(text.as_os_str().as_bytes());
        match fs::metadata(path()) {
            Ok(followed) if followed.is_file() => {
                hasher.bytes(&file_hash(runner, path, &followed)?);
            }
            _ => {}
        }
    } else {
        hasher
            .bytes(b"special")
            .bytes(&metadata.rdev().to_le_bytes());
    }
    Ok(hasher.finish())
}

/// The content's hash with the mode folded in. Another hash over both would say
/// no more: contents whose hashes differ in these four bytes alone do not occur.
fn file_hash(
    runner: &TargetRunner<'_>,
    path: &dyn Fn() -> PathBuf,
    metadata: &Metadata,
) -> io::Result<[u8; 32]> {
    let stats = &runner.state.stats;
    let mut hash = match stats.known(metadata) {
        Some(hash) => hash,
        None => stats.hash(&path(), metadata, &runner.tools.cancel)?,
    };
    let mode = metadata.permissions().mode() & 0o7777;
    for (byte, bits) in hash.iter_mut().zip(mode.to_le_bytes()) {
        *byte ^= bits;
    }
    Ok(hash)
}

/// The content of a whole tree: what a `run` target's output is compared by.
pub(super) fn tree_hash(runner: &TargetRunner<'_>, path: &Path) -> io::Result<[u8; 32]> {
    let mut hasher = LengthPrefixedHasher::new();
    // Per level: what is still to be hashed.
    let mut left = Vec::new();
    left.extend(hash_into(runner, path, &mut hasher)?);
    while let Some(children) = left.last_mut() {
        runner.tools.cancel.check()?;
        let Some(child) = children.next() else {
            hasher.bytes(b"end");
            left.pop();
            continue;
        };
        hasher.bytes(child.file_name().expect("a child has a name").as_bytes());
        left.extend(hash_into(runner, &child, &mut hasher)?);
    }
    Ok(hasher.finish())
}

/// Hashes what is no directory, or the beginning of one, whose children follow.
fn hash_into(
    runner: &TargetRunner<'_>,
    path: &Path,
    hasher: &mut LengthPrefixedHasher,
) -> io::Result<Option<std::vec::IntoIter<PathBuf>>> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        hasher.bytes(&entry_hash(runner, &|| path.to_path_buf(), &metadata)?);
        return Ok(None);
    }
    hasher.bytes(b"directory");
    Ok(Some(children(path)?.into_iter()))
}

fn children(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut children = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    children.sort();
    Ok(children)
}
