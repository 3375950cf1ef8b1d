//! A layer of files as a plan: every operation, its source resolved, onto what is below.

use std::path::PathBuf;

use crate::error::{BuildError, Context, Result};
use crate::files::context::{ContextTree, IgnoreFiles};
use crate::files::copy::contents::{Contents, NoContents};
use crate::files::copy::{Content, FreshFile, Plan, Planner, Rules, select};
use crate::files::download::Fetched;
use crate::files::patterns::Patterns;
use crate::files::source::{CopyMode, FileStep, Inline, Operation};
use crate::files::tree::{Node, Tree, show};
use imgmake_event::Cancel;
use imgmake_guard::checkout::Checkout;
use imgmake_oci::layer::{EntryKind, Timestamp, View};

/// Sources that are on this machine.
#[derive(Clone, Debug)]
pub enum Resolved {
    /// Paths of the tree that is copied from.
    Tree {
        paths: Vec<String>,
        mode: CopyMode,
    },
    /// A file that was fetched; unpacked if asked for.
    Fetched {
        name: Vec<u8>,
        file: Fetched,
        unpack: bool,
    },
    /// All files of a directory that is in no context: a git checkout.
    Checkout(PathBuf),
    Inline(Inline),
}

pub type ResolvedStep = FileStep<Resolved, (u64, u64)>;

/// The one time of files from a context.
pub fn fixed_time(epoch: Option<i64>) -> Timestamp {
    Timestamp {
        seconds: epoch.unwrap_or(0),
        nanos: 0,
    }
}

/// Plans a whole layer: every step in order, onto what is below.
///
/// # Errors
/// A source that is missing, or files and directories in each other's place.
pub fn plan(
    steps: &[ResolvedStep],
    tree: &dyn Tree,
    contents: &mut dyn Contents,
    below: &View,
    epoch: Option<i64>,
    cancel: &Cancel,
) -> Result<Plan> {
    let mut planner = Planner::new(below, Rules::default());
    for step in steps {
        planner.set_rules(Rules {
            owner: step.owner,
            chmod: step.chmod.clone(),
            exclude: step.exclude.clone(),
            now: fixed_time(epoch),
            clamp: epoch,
        });
        cancel.check()?;
        apply(&mut planner, &step.operation, tree, contents, cancel)?;
    }
    Ok(planner.finish())
}

fn apply(
    planner: &mut Planner<'_>,
    operation: &Operation<Resolved>,
    tree: &dyn Tree,
    contents: &mut dyn Contents,
    cancel: &Cancel,
) -> Result<()> {
    let (source, to) = match operation {
        Operation::Copy { source, to } => (source, to.as_str()),
        Operation::Directory { path, mode } => return planner.made_directory(path, mode.as_ref()),
        Operation::Symlink { path, target } => return planner.symlink(path, target),
    };
    match source {
        Resolved::Tree { paths, mode } => match mode {
            CopyMode::Plain => copy(planner, paths, to, tree, None),
            CopyMode::Unpack => copy(planner, paths, to, tree, Some((contents, cancel))),
            CopyMode::Parents => {
                for path in paths {
                    planner.copy_parents(tree, path, to)?;
                }
                Ok(())
            }
        },
        Resolved::Fetched { name, file, unpack } => {
            let content = Content::File(file.path.clone());
            if *unpack && planner.unpack(content.clone(), &mut NoContents, to, cancel)? {
                return Ok(());
            }
            let fresh = FreshFile {
                content,
                size: file.size,
                hash: file.hash,
                mode: 0o600,
                mtime: Some(planner.clamped(file.mtime)),
            };
            planner.file(name, fresh, to)
        }
        Resolved::Checkout(directory) => {
            let here = Checkout::default();
            let no_rules = IgnoreFiles::none();
            let checkout = ContextTree::open(directory, &here, no_rules, &[], planner.now())?
                .stopped_by(cancel);
            planner.copy_checkout(&checkout, to)
        }
        Resolved::Inline(Inline { name, text, mode }) => {
            planner.file(name.as_bytes(), FreshFile::of(text.as_bytes(), *mode), to)
        }
    }
}

/// COPY and ADD: `contents` is there when archives are to be unpacked. Wildcards may match nothing.
fn copy(
    planner: &mut Planner<'_>,
    sources: &[String],
    to: &str,
    tree: &dyn Tree,
    mut contents: Option<(&mut dyn Contents, &Cancel)>,
) -> Result<()> {
    let mut selected = Vec::new();
    for source in sources {
        let paths = select::sources(tree, source, planner.exclude())?;
        selected.extend(paths.into_iter().map(|p| (source, p)));
    }
    let mut files = 0;
    for (source, path) in &selected {
        let node = select::existing(tree, path, source)?;
        files += usize::from(!node.is_directory());
        if files > 0 && selected.len() > 1 && !planner.is_directory(to) {
            return Err(BuildError::required(
                "a directory as the destination of several sources",
                format!("write it as `{}/`", to.trim_end_matches('/')),
            ));
        }
        if let Some((contents, cancel)) = &mut contents
            && matches!(node.kind, EntryKind::File { .. })
            && planner
                .unpack(Content::Source(node.path.clone()), *contents, to, cancel)
                .with_context(|| format!("cannot unpack `{}`", show(path)))?
        {
            continue;
        }
        planner.copy_selected(tree, path, &node, to)?;
    }
    Ok(())
}

/// The context files that a list of sources selects, for keys: directories with everything in them.
///
/// # Errors
/// A source that is missing.
pub fn selected(
    tree: &dyn Tree,
    sources: &[String],
    exclude: &Patterns,
    parents: bool,
) -> Result<Vec<Node>> {
    let mut nodes = Vec::new();
    for source in sources {
        if parents {
            let found = select::with_parents(tree, source, exclude)?;
            nodes.extend(found.into_iter().flat_map(|f| f.nodes));
            continue;
        }
        for path in select::sources(tree, source, exclude)? {
            let node = select::existing(tree, &path, source)?;
            if node.is_directory() {
                nodes.extend(select::kept_beneath(tree, &node, exclude)?);
            }
            nodes.push(node);
        }
    }
    Ok(nodes)
}
