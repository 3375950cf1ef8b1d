//! What a layer of files is made of, as it is written: operations, each with where its files come from. Nothing is
//! fetched yet, and owners are still names.

use std::path::PathBuf;

use super::copy::owner::UnknownNames;
use super::download::Download;
use super::git::GitSource;
use super::patterns::Patterns;
use imgmake_dockerfile as dockerfile;
use imgmake_oci::layer::Chmod;

/// Where the files of an operation come from.
#[derive(Clone, Debug)]
pub enum Source {
    Tree(TreeSource),
    Download(Download),
    Git(GitSource),
    Inline(Inline),
}

/// Paths of a tree that is at hand, or will be.
#[derive(Clone, Debug)]
pub struct TreeSource {
    pub from: Origin,
    pub paths: Vec<String>,
    pub mode: CopyMode,
}

/// Whose tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The build's own context.
    Context,
    /// A named context.
    Directory(PathBuf),
    Stage(usize),
}

impl Origin {
    pub fn stage(&self) -> Option<usize> {
        match self {
            Origin::Stage(number) => Some(*number),
            Origin::Context | Origin::Directory(_) => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyMode {
    Plain,
    /// `COPY --parents`.
    Parents,
    /// ADD: a file that is an archive is unpacked.
    Unpack,
}

/// A heredoc or the manifest's `file`.
#[derive(Clone, Debug)]
pub struct Inline {
    pub name: String,
    pub text: String,
    pub mode: u32,
}

/// One thing that a layer of files consists of. Destinations are absolute; `/` at the end means a directory.
#[derive(Clone, Debug)]
pub enum Operation<S = Source> {
    Copy { source: S, to: String },
    Directory { path: String, mode: Option<Chmod> },
    Symlink { path: String, target: String },
}

impl Operation {
    /// What it reads of a tree, if it does.
    pub fn tree(&self) -> Option<&TreeSource> {
        match self {
            Operation::Copy {
                source: Source::Tree(tree),
                ..
            } if !tree.paths.is_empty() => Some(tree),
            _ => None,
        }
    }
}

/// One operation with the flags that go with it: as written, or with sources and owners resolved.
#[derive(Clone, Debug)]
pub struct FileStep<S = Source, O = String> {
    pub operation: Operation<S>,
    pub owner: Option<O>,
    pub chmod: Option<Chmod>,
    pub exclude: Patterns,
}

impl FileStep {
    /// Without flags.
    pub fn plain(operation: Operation) -> FileStep {
        FileStep {
            operation,
            owner: None,
            chmod: None,
            exclude: Patterns::default(),
        }
    }
}

/// A layer of files.
pub struct FileWork {
    pub steps: Vec<FileStep>,
    pub link: bool,
    pub unknown_names: UnknownNames,
    /// All steps are of one instruction, whose sources share its destination.
    pub is_one_instruction: bool,
    /// It is all that was fetched of a context, and what it is decides, wherever it came from.
    pub is_context: bool,
    pub history: String,
}

impl FileWork {
    /// The tree that it reads; none where nothing comes from one.
    pub fn origin(&self) -> Option<&Origin> {
        let mut trees = self.steps.iter().filter_map(|s| s.operation.tree());
        trees.next().map(|tree| &tree.from)
    }
}

/// The operations of a COPY with final values. `absolute` makes a destination absolute.
pub fn of_copy(
    copy: &dockerfile::Copy,
    from: &Origin,
    absolute: impl Fn(&str) -> String,
) -> Vec<Operation> {
    let to = absolute(&copy.files.destination);
    let paths: Vec<String> = copy.files.paths().map(str::to_string).collect();
    let mut operations = Vec::new();
    if !paths.is_empty() {
        let mode = match copy.parents {
            true => CopyMode::Parents,
            false => CopyMode::Plain,
        };
        let from = from.clone();
        operations.push(Operation::Copy {
            source: Source::Tree(TreeSource { from, paths, mode }),
            to: to.clone(),
        });
    }
    operations.extend(inline(&copy.files, &to));
    operations
}

/// Heredoc sources.
pub fn inline(files: &dockerfile::Files, to: &str) -> Vec<Operation> {
    let operation = |heredoc: &dockerfile::Heredoc| Operation::Copy {
        source: Source::Inline(Inline {
            name: heredoc.name.clone(),
            text: heredoc.text(),
            mode: 0o644,
        }),
        to: to.to_string(),
    };
    files.inline().map(operation).collect()
}
