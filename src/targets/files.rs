//! Files on the host: patterns expanded, files and trees hashed.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat};

use super::runner::TargetRunner;
use imgmake_core::files::{
    Entry, FileAt, Signature, Visited, Visitor, base_name, tree_order, walk_opened,
};
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
    let outputs: Vec<String> = outputs.iter().map(|output| clean(output)).collect();
    let mut gathering = Gathering {
        runner,
        outputs: &outputs,
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
    outputs: &'a [String],
    found: Vec<(String, [u8; 32])>,
}

impl Gathering<'_> {
    fn pattern(&mut self, pattern: &str) -> io::Result<()> {
        if !is_pattern(pattern) {
            return self.named(clean(pattern));
        }
        let glob = Glob::new(pattern).map_err(|error| io::Error::other(error.to_string()))?;
        for root in glob.roots() {
            if glob.matches(&root) {
                self.named(root).or_else(nothing_there)?;
                continue;
            }
            let children = match has_all_children(pattern, &root) {
                true => Children::All,
                false => Children::Matching(&glob),
            };
            // The pattern's own words: links in them are followed.
            match open_directory(&self.runner.path(&root), OFlags::empty()) {
                Ok(directory) => self.beneath(directory, &root, children)?,
                Err(error) => nothing_there(error)?,
            }
        }
        Ok(())
    }

    /// A file, or everything below a directory.
    fn named(&mut self, name: String) -> io::Result<()> {
        let path = self.runner.path(&name);
        let stat = rustix::fs::lstat(&path)?;
        if is_directory(&stat) {
            let directory = open_directory(&path, OFlags::NOFOLLOW)?;
            return self.beneath(directory, &name, Children::All);
        }
        let hash = entry_hash(self.runner, FileAt::path(&path), &stat)?;
        self.found.push((name, hash));
        Ok(())
    }

    fn beneath(&mut self, directory: File, name: &str, children: Children<'_>) -> io::Result<()> {
        let inputs = InputFiles {
            runner: self.runner,
            outputs: self.outputs,
            root: name,
        };
        let cancel = &self.runner.tools.cancel;
        let found = walk_opened(directory, children, &inputs, cancel)?;
        self.found.extend(found);
        Ok(())
    }
}

fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

fn open_directory(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// Looks for input files beneath `root`.
struct InputFiles<'a> {
    runner: &'a TargetRunner<'a>,
    outputs: &'a [String],
    root: &'a str,
}

impl InputFiles<'_> {
    /// The entry's path as people read it; `None` for what never counts: this
    /// target's outputs, the project's state, git's own files.
    fn name_of(&self, entry: &Entry<'_>) -> Option<String> {
        if base_name(&entry.path) == b".git" {
            return None;
        }
        let path = String::from_utf8_lossy(&entry.path);
        let name = match self.root {
            "" => path.into_owned(),
            root => format!("{root}/{path}"),
        };
        let is_left_out = name == imgmake_core::state::DIRECTORY || self.outputs.contains(&name);
        (!is_left_out).then_some(name)
    }
}

impl<'a> Visitor for InputFiles<'a> {
    type Found = (String, [u8; 32]);
    type State = Children<'a>;
    type Error = io::Error;

    fn visit(
        &self,
        entry: &Entry<'_>,
        children: &Children<'a>,
    ) -> io::Result<Visited<Self::Found, Children<'a>>> {
        let Some(name) = self.name_of(entry) else {
            return Ok(Visited::skipped());
        };
        if let Children::Matching(glob) = children
            && !glob.matches(&name)
        {
            let leads_on = entry.is_directory()? && glob.may_match_under(&name);
            return Ok(Visited {
                found: None,
                enter: leads_on.then_some(*children),
            });
        }
        let stat = entry.file().stat()?;
        if is_directory(&stat) {
            return Ok(Visited {
                found: None,
                enter: Some(Children::All),
            });
        }
        let hash = entry_hash(self.runner, entry.file(), &stat)?;
        Ok(Visited {
            found: Some((name, hash)),
            enter: None,
        })
    }

    fn unlisted(&self, _: &[u8], error: io::Error) -> io::Error {
        error
    }
}

/// Type, mode and content of what is not a directory. A link counts with its
/// text and, since commands follow it, with the file that it leads to.
fn entry_hash(runner: &TargetRunner<'_>, file: FileAt<'_>, stat: &Stat) -> io::Result<[u8; 32]> {
    let mut hasher = LengthPrefixedHasher::new();
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => return file_hash(runner, stat, || file.open()),
        FileType::Symlink => {
            hasher.bytes(b"link").bytes(&file.read_link()?);
            match file.stat_followed() {
                Ok(followed) if is_file(&followed) => {
                    hasher.bytes(&file_hash(runner, &followed, || file.open_followed())?);
                }
                _ => {}
            }
        }
        _ => {
            hasher.bytes(b"special").bytes(&stat.st_rdev.to_le_bytes());
        }
    }
    Ok(hasher.finish())
}

/// The content's hash with the mode folded in. Another hash over both would say
/// no more: contents whose hashes differ in these four bytes alone do not occur.
fn file_hash(
    runner: &TargetRunner<'_>,
    stat: &Stat,
    open: impl FnOnce() -> io::Result<File>,
) -> io::Result<[u8; 32]> {
    let mut hash = runner.hash_file(&Signature::of_stat(stat), open)?;
    let mode = stat.st_mode & 0o7777;
    for (byte, bits) in hash.iter_mut().zip(mode.to_le_bytes()) {
        *byte ^= bits;
    }
    Ok(hash)
}

/// The content of a whole tree: what a `run` target's output is compared by.
pub(super) fn tree_hash(runner: &TargetRunner<'_>, path: &Path) -> io::Result<[u8; 32]> {
    let mut hasher = LengthPrefixedHasher::new();
    let stat = rustix::fs::lstat(path)?;
    if !is_directory(&stat) {
        hasher.bytes(&entry_hash(runner, FileAt::path(path), &stat)?);
        return Ok(hasher.finish());
    }
    let directory = open_directory(path, OFlags::NOFOLLOW)?;
    let cancel = &runner.tools.cancel;
    let mut found = walk_opened(directory, (), &OutputFiles { runner }, cancel)?;
    found.sort_unstable_by(|a, b| tree_order(&a.path, &b.path));
    hasher.bytes(b"directory");
    let mut depth = 0;
    for OutputFile { path, hash } in &found {
        let above = path.iter().filter(|b| **b == b'/').count();
        end_directories(&mut hasher, depth - above);
        depth = above;
        hasher.bytes(base_name(path));
        match hash {
            Some(hash) => hasher.bytes(hash),
            None => {
                depth += 1;
                hasher.bytes(b"directory")
            }
        };
    }
    end_directories(&mut hasher, depth + 1);
    Ok(hasher.finish())
}

fn end_directories(hasher: &mut LengthPrefixedHasher, count: usize) {
    for _ in 0..count {
        hasher.bytes(b"end");
    }
}

/// Hashes all that is in an output.
struct OutputFiles<'a> {
    runner: &'a TargetRunner<'a>,
}

struct OutputFile {
    path: Vec<u8>,
    /// `None` of a directory.
    hash: Option<[u8; 32]>,
}

impl Visitor for OutputFiles<'_> {
    type Found = OutputFile;
    type State = ();
    type Error = io::Error;

    fn visit(&self, entry: &Entry<'_>, (): &()) -> io::Result<Visited<OutputFile, ()>> {
        let stat = entry.file().stat()?;
        let enter = is_directory(&stat).then_some(());
        let hash = match enter {
            Some(()) => None,
            None => Some(entry_hash(self.runner, entry.file(), &stat)?),
        };
        let path = entry.path.clone();
        Ok(Visited {
            found: Some(OutputFile { path, hash }),
            enter,
        })
    }

    fn unlisted(&self, _: &[u8], error: io::Error) -> io::Error {
        error
    }
}
