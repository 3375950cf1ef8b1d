//! Content hashes of files, which plans and keys are made of: all through the stat cache.

use std::fs::File;
use std::io;
use std::sync::Arc;

use rayon::prelude::*;

use super::context::ContextTree;
use super::copy::{Content, Plan, Planned};
use super::tree::Node;
use crate::error::{Context, Result};
use crate::target::TargetContext;
use imgmake_core::files::{Signature, StatCache};
use imgmake_event::Cancel;

/// Hashes files, and each only once as long as it stays as it is.
#[derive(Clone)]
pub struct FileHashes {
    pub stats: Arc<StatCache>,
    /// Ends the reading.
    pub cancel: Cancel,
}

impl FileHashes {
    /// Through the stat cache of a build, until `cancel`.
    pub fn new(cx: &TargetContext, cancel: &Cancel) -> FileHashes {
        FileHashes {
            stats: cx.stats.clone(),
            cancel: cancel.clone(),
        }
    }

    /// Fills in the content hashes that the plan lacks.
    ///
    /// # Errors
    /// A source that cannot be read.
    pub fn of_plan(&self, plan: &mut Plan, context: Option<&ContextTree>) -> Result<()> {
        let archives = plan
            .archives
            .iter()
            .map(|content| self.of_content(content, context))
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
                content => self.of_planned(content, planned.stat.as_ref(), context)?,
            };
            Ok(())
        })
    }

    /// Content hashes of regular files of a context, in parallel.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of_nodes(&self, nodes: &mut [Node], context: &ContextTree) -> Result<()> {
        nodes.par_iter_mut().try_for_each(|node| {
            let (None, Some(stat)) = (node.content, node.stat) else {
                return Ok(());
            };
            let open = || context.open_file(&node.path);
            let hash = self.stats.hash_file(&stat, open, &self.cancel);
            let at = || format!("cannot read `{}`", context.path_of(&node.path).display());
            node.content = Some(hash.with_context(at)?);
            Ok(())
        })
    }

    /// Nothing is opened of a file that is as it was when it was hashed.
    fn of_planned(
        &self,
        content: &Content,
        stat: Option<&Signature>,
        context: Option<&ContextTree>,
    ) -> Result<Option<[u8; 32]>> {
        match stat.and_then(|stat| self.stats.known(stat)) {
            Some(known) => Ok(Some(known)),
            None => self.of_content(content, context),
        }
    }

    fn of_content(
        &self,
        content: &Content,
        context: Option<&ContextTree>,
    ) -> Result<Option<[u8; 32]>> {
        let (opened, path) = match (content, context) {
            (Content::Source(path), Some(context)) => {
                (context.open_file(path), context.path_of(path))
            }
            (Content::File(path), _) => (File::open(path), path.clone()),
            _ => return Ok(None),
        };
        let hash = opened.and_then(|file| self.of_opened(file));
        let hash = hash.with_context(|| format!("cannot read `{}`", path.display()))?;
        Ok(Some(hash))
    }

    /// By what the file is now, whatever its name was when the plan was made.
    fn of_opened(&self, file: File) -> io::Result<[u8; 32]> {
        let signature = Signature::of(&file.metadata()?);
        self.stats.hash_file(&signature, || Ok(file), &self.cancel)
    }
}

/// blake3 of what a reader gives.
///
/// # Errors
/// It cannot be read.
pub fn hash_reader(content: impl io::Read) -> io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(content)?;
    Ok(*hasher.finalize().as_bytes())
}
