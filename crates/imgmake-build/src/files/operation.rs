//! Steps that put files into the image (COPY, ADD, WORKDIR, and the manifest's file steps) as one list of
//! operations, and the list as a plan.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::files::context::{ContextTree, IgnoreFiles};
use crate::files::copy::contents::{Contents, NoContents};
use crate::files::copy::mode::Chmod;
use crate::files::copy::tree::show;
use crate::files::copy::{Content, FreshFile, Plan, Planner, Rules, Tree, select};
use crate::files::download::{Download, Fetched};
use crate::files::git::GitSource;
use crate::files::patterns::Patterns;
use imgmake_dockerfile as dockerfile;
use imgmake_event::Cancel;
use imgmake_guard::checkout::Checkout;
use imgmake_oci::layer::{EntryKind, Timestamp, View};

/// One thing that a layer of files consists of. Destinations are absolute; `/` at the end means a directory.
#[derive(Clone, Debug)]
pub enum Operation {
    Copy {
        sources: Vec<String>,
        to: String,
    },
    /// `COPY --parents`.
    Parents {
        sources: Vec<String>,
        to: String,
    },
    /// A local file of ADD: unpacked when it is an archive.
    Unpack {
        sources: Vec<String>,
        to: String,
    },
    /// A file that was fetched; unpacked if asked for.
    Fetched {
        name: String,
        file: Fetched,
        unpack: bool,
        to: String,
    },
    /// All files of a directory that is in no context: a git checkout.
    Checkout {
        directory: PathBuf,
        to: String,
    },
    /// A heredoc or the manifest's `file`.
    Inline {
        name: String,
        text: String,
        mode: u32,
        to: String,
    },
    Directory {
        path: String,
        mode: Option<Chmod>,
    },
    Symlink {
        path: String,
        target: String,
    },
}

/// One operation with the flags that go with it, names already resolved.
#[derive(Clone, Debug)]
pub struct FileStep {
    pub operation: Operation,
    pub owner: Option<(u64, u64)>,
    pub chmod: Option<Chmod>,
    pub exclude: Patterns,
}

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
    steps: &[FileStep],
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
    operation: &Operation,
    tree: &dyn Tree,
    contents: &mut dyn Contents,
    cancel: &Cancel,
) -> Result<()> {
    match operation {
        Operation::Copy { sources, to } => copy(planner, sources, to, tree, None),
        Operation::Unpack { sources, to } => {
            copy(planner, sources, to, tree, Some((contents, cancel)))
        }
        Operation::Parents { sources, to } => {
            let mut count = 0;
            for source in sources {
                count += planner.copy_parents(tree, source, to)?;
            }
            some_source(count, sources, tree)
        }
        Operation::Fetched {
            name,
            file,
            unpack,
            to,
        } => {
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
        Operation::Checkout { directory, to } => {
            let here = Checkout::default();
            let no_rules = IgnoreFiles::none();
            let checkout = ContextTree::open(directory, &here, no_rules, &[], planner.now())?
                .stopped_by(cancel);
            planner.copy_checkout(&checkout, to)
        }
        Operation::Inline {
            name,
            text,
            mode,
            to,
        } => planner.file(name, FreshFile::of(text.as_bytes(), *mode), to),
        Operation::Directory { path, mode } => planner.made_directory(path, mode.as_ref()),
        Operation::Symlink { path, target } => planner.symlink(path, target),
    }
}

/// COPY and ADD: `contents` is there when archives are to be unpacked.
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
    some_source(selected.len(), sources, tree)?;
    let mut files = 0;
    for (source, path) in &selected {
        let node = select::existing(tree, path, source)?;
        files += usize::from(!node.is_directory());
        if files > 0 && selected.len() > 1 && !planner.is_directory(to) {
            bail!(
                "several sources go into a directory: write the destination as `{}/`",
                to.trim_end_matches('/')
            );
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

fn some_source(count: usize, sources: &[String], tree: &dyn Tree) -> Result<()> {
    if count > 0 || sources.is_empty() {
        return Ok(());
    }
    let named = imgmake_guard::printable::listed(sources, "`, `");
    match sources.iter().find_map(|s| hidden_match(tree, s)) {
        Some((path, why)) => bail!(
            "`{named}` matches nothing: `{}` would, but {why}",
            show(&path)
        ),
        None => bail!("`{named}` matches nothing"),
    }
}

/// What a wildcard would match were it not for the ignore file, and the rule that hides it.
fn hidden_match(tree: &dyn Tree, source: &str) -> Option<(Vec<u8>, String)> {
    let all = tree.unhidden()?;
    let found = select::sources(&*all, source, &Patterns::default()).ok()?;
    let first = found.into_iter().next()?;
    let why = tree.hint(&first)?;
    Some((first, why))
}

/// The operations of a COPY with final values. `absolute` makes a destination absolute.
pub fn of_copy(copy: &dockerfile::Copy, absolute: impl Fn(&str) -> String) -> Vec<Operation> {
    let to = absolute(&copy.files.destination);
    let sources: Vec<String> = copy.files.paths().map(str::to_string).collect();
    let mut operations = Vec::new();
    if !sources.is_empty() {
        operations.push(match copy.parents {
            true => Operation::Parents {
                sources,
                to: to.clone(),
            },
            false => Operation::Copy {
                sources,
                to: to.clone(),
            },
        });
    }
    operations.extend(inline(&copy.files, &to));
    operations
}

/// Heredoc sources.
pub fn inline(files: &dockerfile::Files, to: &str) -> Vec<Operation> {
    files
        .inline()
        .map(|heredoc| Operation::Inline {
            name: heredoc.name.clone(),
            text: heredoc.text(),
            mode: 0o644,
            to: to.to_string(),
        })
        .collect()
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
) -> Result<Vec<crate::files::copy::Node>> {
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

/// Where files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Stage(usize),
    Directory(PathBuf),
}

impl Origin {
    pub fn stage(&self) -> Option<usize> {
        match self {
            Origin::Stage(number) => Some(*number),
            Origin::Directory(_) => None,
        }
    }
}

/// A layer of files.
pub struct FileWork {
    /// Each with its owner as written.
    pub steps: Vec<(FileStep, Option<String>)>,
    /// `--from`; the context without one.
    pub from: Option<Origin>,
    pub link: bool,
    /// What is downloaded first: the operation that stands in for it, by its place in `steps`.
    pub downloads: Vec<(usize, Download)>,
    /// The same for repositories.
    pub checkouts: Vec<(usize, GitSource)>,
    pub history: String,
}

impl FileWork {
    pub fn own(steps: Vec<(FileStep, Option<String>)>, history: String) -> FileWork {
        FileWork {
            steps,
            from: None,
            link: false,
            downloads: Vec::new(),
            checkouts: Vec::new(),
            history,
        }
    }
}
