//! Content hashes of files, which plans and keys are made of.

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::context::ContextTree;
use super::copy::{Content, Plan, Planned};
use super::tree::{FileStat, Node};
use imgmake_event::Cancel;

/// blake3 of a file of a context, which is opened only if its hash is not known.
pub type HashFile<'a> =
    &'a (dyn Fn(&FileStat, &dyn Fn() -> io::Result<File>) -> io::Result<[u8; 32]> + Sync);

/// Fills in the content hashes that the plan lacks.
///
/// # Errors
/// A source that cannot be read.
pub fn hash_plan(plan: &mut Plan, context: Option<&ContextTree>, cancel: &Cancel) -> Result<()> {
    let hash_of = |content: &Content| match (content, context) {
        (Content::Source(path), Some(context)) => hash_source(context, path, cancel).map(Some),
        (Content::File(path), _) => hash_file(path, cancel).map(Some),
        _ => Ok(None),
    };
    let archives = plan
        .archives
        .iter()
        .map(hash_of)
        .collect::<Result<Vec<_>>>()?;
    let mut unknown: Vec<&mut Planned> = plan
        .entries
        .values_mut()
        .filter(|p| p.hash.is_none())
        .collect();
    unknown.par_iter_mut().try_for_each(|planned| {
        planned.hash = match &planned.content {
            Content::Archive { archive, number } => archives[*archive].map(|hash| {
                let framed = [hash.as_slice(), &number.to_le_bytes()].concat();
                *blake3::hash(&framed).as_bytes()
            }),
            content => hash_of(content)?,
        };
        Ok(())
    })
}

/// blake3 of a file's bytes, read in blocks.
///
/// # Errors
/// The file cannot be read.
pub fn hash_file(path: &Path, cancel: &Cancel) -> Result<[u8; 32]> {
    let at = || format!("cannot read `{}`", path.display());
    hash_reader(cancel.reader(File::open(path).with_context(at)?)).with_context(at)
}

/// The same of a file in a context.
///
/// # Errors
/// As [`hash_file`]; it was exchanged for something that is no file.
fn hash_source(context: &ContextTree, path: &[u8], cancel: &Cancel) -> Result<[u8; 32]> {
    let opened = context.open_file(path);
    let hash = opened.and_then(|file| hash_reader(cancel.reader(file)));
    hash.with_context(|| format!("cannot read `{}`", context.path_of(path).display()))
}

/// The same of what a reader gives.
///
/// # Errors
/// It cannot be read.
pub fn hash_reader(content: impl io::Read) -> io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(content)?;
    Ok(*hasher.finalize().as_bytes())
}

/// Content hashes of regular files, in parallel.
///
/// # Errors
/// A file that cannot be read.
pub fn hash_nodes(
    nodes: &mut [Node],
    context: &ContextTree,
    hash_file: HashFile<'_>,
) -> Result<()> {
    nodes.par_iter_mut().try_for_each(|node| {
        let (None, Some(stat)) = (node.content, node.stat) else {
            return Ok(());
        };
        let hash = hash_file(&stat, &|| context.open_file(&node.path));
        let at = || format!("cannot read `{}`", context.path_of(&node.path).display());
        node.content = Some(hash.with_context(at)?);
        Ok(())
    })
}
