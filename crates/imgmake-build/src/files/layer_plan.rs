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

/// Plans a whole layer: every step in order, onto what is below. The sources of steps of
/// one instruction share a destination.
///
/// # Errors
/// A source that is missing, or files and directories in each other's place.
pub fn plan(
    steps: &[ResolvedStep],
    is_one_instruction: bool,
    tree: &dyn Tree,
    contents: &mut dyn Contents,
    below: &View,
    epoch: Option<i64>,
    cancel: &Cancel,
) -> Result<Plan> {
    let mut planner = Planner::new(below, Rules::default());
    let counts = match is_one_instruction && steps.len() > 1 {
        true => steps
            .iter()
            .map(|step| count(step, tree))
            .collect::<Result<Vec<_>>>()?,
        false => vec![0; steps.len()],
    };
    let all: usize = counts.iter().sum();
    for (step, own) in steps.iter().zip(counts) {
        planner.set_rules(Rules {
            owner: step.owner,
            chmod: step.chmod.clone(),
            exclude: step.exclude.clone(),
            now: fixed_time(epoch),
            clamp: epoch,
        });
        cancel.check()?;
        let other_sources = all - own;
        apply(
            &mut planner,
            &step.operation,
            other_sources,
            tree,
            contents,
            cancel,
        )?;
    }
    planner.finish()
}

/// Sources by now: a wildcard may have matched nothing. Heredocs to one file replace each other.
fn count(step: &ResolvedStep, tree: &dyn Tree) -> Result<usize> {
    let Operation::Copy { source, .. } = &step.operation else {
        return Ok(0);
    };
    match source {
        Resolved::Tree { paths, .. } => paths.iter().try_fold(0, |sum, path| {
            Ok(sum + select::sources(tree, path, &step.exclude)?.len())
        }),
        Resolved::Fetched { .. } | Resolved::Checkout(_) => Ok(1),
        Resolved::Inline(_) => Ok(0),
    }
}

/// A file that would be replaced by the next one.
fn refuse_several(planner: &Planner<'_>, to: &str) -> Result<()> {
    match planner.is_directory(to) {
        true => Ok(()),
        false => Err(BuildError::required(
            "a directory as the destination of several sources",
            format!("write it as `{}/`", to.trim_end_matches('/')),
        )),
    }
}

fn apply(
    planner: &mut Planner<'_>,
    operation: &Operation<Resolved>,
    other_sources: usize,
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
            CopyMode::Plain => copy(planner, paths, other_sources, to, tree, None),
            CopyMode::Unpack => {
                let contents = Some((contents, cancel));
                copy(planner, paths, other_sources, to, tree, contents)
            }
            CopyMode::Parents => {
                for path in paths {
                    if planner.copy_parents(tree, path, to)? == 0 {
                        warn_of_hidden(planner, tree, path)?;
                    }
                }
                Ok(())
            }
        },
        Resolved::Fetched { name, file, unpack } => {
            let content = Content::File(file.path.clone());
            if *unpack && planner.unpack(content.clone(), &mut NoContents, to, cancel)? {
                return Ok(());
            }
            if other_sources > 0 {
                refuse_several(planner, to)?;
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
    other_sources: usize,
    to: &str,
    tree: &dyn Tree,
    mut contents: Option<(&mut dyn Contents, &Cancel)>,
) -> Result<()> {
    let mut selected = Vec::new();
    for source in sources {
        let paths = select::sources(tree, source, planner.exclude())?;
        if paths.is_empty() {
            warn_of_hidden(planner, tree, source)?;
        }
        selected.extend(paths.into_iter().map(|p| (source, p)));
    }
    let mut files = 0;
    for (source, path) in &selected {
        let node = select::existing(tree, path, source)?;
        files += usize::from(!node.is_directory());
        if let Some((contents, cancel)) = &mut contents
            && matches!(node.kind, EntryKind::File { .. })
            && planner
                .unpack(Content::Source(node.path.clone()), *contents, to, cancel)
                .with_context(|| format!("cannot unpack `{}`", show(path)))?
        {
            continue;
        }
        if files > 0 && selected.len() + other_sources > 1 {
            refuse_several(planner, to)?;
        }
        planner.copy_selected(tree, path, &node, to)?;
    }
    Ok(())
}

/// A wildcard may match nothing; that it would without the ignore file is worth a word.
fn warn_of_hidden(planner: &mut Planner<'_>, tree: &dyn Tree, source: &str) -> Result<()> {
    let Some(whole) = tree.unfiltered() else {
        return Ok(());
    };
    let (pivot, pattern) = source.split_once("/./").unwrap_or(("", source));
    let pattern = format!("{pivot}/{pattern}");
    for path in select::sources(&*whole, &pattern, planner.exclude())? {
        // `--exclude` may have taken it instead.
        if tree.get(&path)?.is_some() {
            continue;
        }
        let hint = tree.hint(&path).unwrap_or_default();
        planner.warn(format!(
            "source `{source}` matches nothing that is left in the context; `{}`: {hint}",
            show(&path)
        ));
        break;
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
