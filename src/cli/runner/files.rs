//! Files on the host: globs expanded, trees hashed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Work;
use crate::key::{Frame, Inputs};
use crate::manifest::Glob;
use crate::manifest::glob::is_pattern;

/// Adds every file that a pattern names to the inputs. A plain name is a file or
/// a whole directory, and must exist.
pub(super) fn add(work: &Work<'_>, pattern: &str, inputs: &mut Inputs) -> io::Result<()> {
    if !is_pattern(pattern) {
        let path = work.path(pattern);
        return add_tree(work, &path, pattern.trim_end_matches('/'), inputs);
    }
    let glob = Glob::new(pattern).map_err(|error| io::Error::other(error.to_string()))?;
    let mut found = BTreeSet::new();
    let start = fixed_part(pattern);
    walk(&work.path(&start), &start, &glob, &mut found)?;
    for relative in &found {
        add_tree(work, &work.path(relative), relative, inputs)?;
    }
    // So that a file which comes or goes is named, even where nothing is left.
    inputs.list("glob", pattern, &found);
    Ok(())
}

/// The directory before the first component with a wildcard.
fn fixed_part(pattern: &str) -> String {
    let fixed: Vec<&str> = pattern
        .split('/')
        .take_while(|part| !is_pattern(part))
        .collect();
    fixed.join("/")
}

fn walk(
    directory: &Path,
    relative: &str,
    glob: &Glob,
    found: &mut BTreeSet<String>,
) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if relative.is_empty() && name == crate::state::DIRECTORY {
            continue;
        }
        let path = if relative.is_empty() {
            name
        } else {
            format!("{relative}/{name}")
        };
        if glob.matches(&path) {
            found.insert(path.clone());
        } else if entry.file_type()?.is_dir() {
            walk(&entry.path(), &path, glob, found)?;
        }
    }
    Ok(())
}

fn add_tree(work: &Work<'_>, path: &Path, shown: &str, inputs: &mut Inputs) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        inputs.hashed("file", shown, entry_hash(work, path, &metadata)?);
        return Ok(());
    }
    for child in children(path)? {
        let name = child
            .file_name()
            .expect("a child has a name")
            .to_string_lossy()
            .into_owned();
        let shown = if shown.is_empty() {
            name
        } else {
            format!("{shown}/{name}")
        };
        add_tree(work, &child, &shown, inputs)?;
    }
    Ok(())
}

fn children(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut children = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    // Sorted: readdir order differs between machines; keys must not.
    children.sort();
    Ok(children)
}

/// Type, mode and content (or link text) of what is not a directory.
fn entry_hash(work: &Work<'_>, path: &Path, metadata: &fs::Metadata) -> io::Result<[u8; 32]> {
    let mut frame = Frame::new();
    if metadata.is_symlink() {
        frame
            .part(b"link")
            .part(fs::read_link(path)?.as_os_str().as_bytes());
    } else if metadata.is_file() {
        frame
            .part(b"file")
            .part(&(metadata.permissions().mode() & 0o7777).to_le_bytes());
        frame.part(&work.hash_file(path, metadata)?);
    } else {
        frame.part(b"special").part(&metadata.rdev().to_le_bytes());
    }
    Ok(frame.finish())
}

/// The content of a whole tree: what a `run` target's output is compared by.
pub(super) fn tree_hash(work: &Work<'_>, path: &Path) -> io::Result<[u8; 32]> {
    let mut frame = Frame::new();
    hash_into(work, path, &mut frame)?;
    Ok(frame.finish())
}

fn hash_into(work: &Work<'_>, path: &Path, frame: &mut Frame) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        frame.part(&entry_hash(work, path, &metadata)?);
        return Ok(());
    }
    frame.part(b"directory");
    for child in children(path)? {
        frame.part(child.file_name().expect("a child has a name").as_bytes());
        hash_into(work, &child, frame)?;
    }
    frame.part(b"end");
    Ok(())
}
