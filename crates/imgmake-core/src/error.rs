//! What can go wrong here: facts for callers, and one text for people.
//!
//! Mistakes of a manifest are [`crate::manifest::Diagnostic`]s instead: each has places, labels and hints
//! for whoever reads it, and callers ask no more than its severity. Why an action did not work out is a
//! [`crate::execute::Failure`]: its text comes from whoever executes, its kind is the fact.

use std::io;
use std::path::PathBuf;

pub type Result<T, E = CoreError> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// Nothing was named, and the manifest has no default.
    #[error("there is nothing to build: the manifest has no `build` target")]
    NothingToBuild,
    #[error("target or group `{name}` not found")]
    NotFound {
        name: String,
        /// The names that were probably meant.
        help: Option<String>,
    },
    #[error("no target or group matches `{pattern}`")]
    NoMatch {
        pattern: String,
        /// The pattern that was probably meant.
        help: Option<String>,
    },
    #[error("target `{name}` is disabled by its `if`")]
    Disabled { name: String },
    #[error("invalid pattern `{pattern}`: {problem}")]
    Pattern {
        pattern: String,
        problem: GlobProblem,
    },
    #[error("another run works {overlap} ({holder})")]
    Locked { overlap: Overlap, holder: String },
    /// It would wait for itself.
    #[error("a command of a run cannot start another run of the same project ({holder})")]
    LockedByOurs { holder: String },
    #[error("cancelled")]
    Cancelled,
    #[error("cannot lock the project's state in `{}`", path.display())]
    Lock { path: PathBuf, source: io::Error },
    #[error("cannot write the project's state in `{}`", project.display())]
    StateDirectory { project: PathBuf, source: io::Error },
    #[error(
        "the state in `{}` has format {found}, written by a newer imgmake; this one reads format {known}",
        project.join(".imgmake").display()
    )]
    NewerState {
        project: PathBuf,
        /// As it is written there.
        found: String,
        known: u32,
    },
    #[error("cannot write the project's state in `.imgmake/log`")]
    StateLog(#[source] io::Error),
}

impl CoreError {
    /// What to do about it.
    pub fn help(&self) -> Option<&str> {
        const LIST: &str = "`imgmake list` shows them all";
        match self {
            CoreError::NothingToBuild => Some("name targets, or declare `group default …`"),
            CoreError::NotFound { help, .. } | CoreError::NoMatch { help, .. } => {
                Some(help.as_deref().unwrap_or(LIST))
            }
            CoreError::NewerState { .. } => Some(
                "use that version, or remove the directory: imgmake then checks everything again",
            ),
            CoreError::Disabled { .. } => Some("set the variable that its `if` reads"),
            _ => None,
        }
    }
}

/// What two runs have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// One of them works on all of it.
    Project,
    /// Not the same manifest or the same values: what they have in common cannot be told.
    Manifest,
    Target(String),
    Pool(String),
    /// A name that both give to an image.
    Tag(String),
    /// Both push there.
    Registry(String),
    /// It reads files of others, in no order.
    Unordered(String),
}

impl std::fmt::Display for Overlap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Overlap::Project => f.write_str("in this project"),
            Overlap::Manifest => {
                f.write_str("in this project with another manifest or other values")
            }
            Overlap::Target(name) => write!(f, "on `{name}`"),
            Overlap::Pool(name) => write!(f, "in the pool `{name}`"),
            Overlap::Tag(tag) => write!(f, "on an image with the tag `{tag}`"),
            Overlap::Registry(name) => write!(f, "on a push to `{name}`"),
            Overlap::Unordered(name) => {
                write!(f, "in this project, and `{name}` may read what it makes")
            }
        }
    }
}

/// Why a glob cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobProblem {
    #[error("a `{open}` has no `{close}`")]
    Unclosed { open: char, close: char },
    #[error("the range `{low}-{high}` is empty")]
    EmptyRange { low: char, high: char },
    #[error("the braces expand to more than {limit} patterns")]
    TooManyAlternatives { limit: usize },
}

/// Why `--cache-from` or `--cache-to` cannot be read. Never holds the text itself:
/// caches of other kinds have credentials there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheOptionProblem {
    #[error("it has a part that is not `key=value`")]
    NotKeyValue,
    #[error("it has no `type=`; write `type=registry,ref=…`")]
    NoType,
    #[error("its `type=` is not one of registry, local, inline, gha, s3, azblob")]
    UnknownType,
    #[error("a cache in a registry has no option `{0}=`")]
    UnknownKey(String),
    #[error("it has no `ref=`; write `type=registry,ref=host/repository`")]
    NoReference,
    #[error("invalid repository: {0}")]
    InvalidReference(&'static str),
    #[error("its `{key}=` is neither {one} nor {other}")]
    InvalidValue {
        key: &'static str,
        one: &'static str,
        other: &'static str,
    },
}

/// Why `--set` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SetProblem {
    #[error("`=` expected")]
    NoValue,
    #[error("`.` expected between the target and the attribute")]
    NoAttribute,
    #[error("a part is empty")]
    EmptyPart,
    #[error("`+=` adds to lists, such as `inputs` and `tags`")]
    NoList,
    #[error("`{0}` cannot be set with `--set`")]
    Fixed(String),
    #[error(transparent)]
    Pattern(#[from] GlobProblem),
}

/// What is wrong in a line of an env-file. Never holds its text: that may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvFileProblem {
    #[error("`=` expected")]
    NoValue,
    #[error("invalid variable name before `=`")]
    InvalidName,
    #[error("a quote is not closed")]
    UnclosedQuote,
    #[error("unexpected text after the closing quote")]
    AfterQuote,
}

/// Why `${…}` stands for nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExpressionProblem {
    /// It uses something that is broken, whose own mistake is reported already.
    #[error("it uses a variable with an error")]
    Reported,
    #[error("the variable `{0}` is not set")]
    VariableNotSet(String),
    #[error("the environment variable `{0}` is not set")]
    EnvironmentNotSet(String),
    #[error("`{0}` is not known here")]
    FactNotKnown(String),
    #[error("unknown fact `{0}`")]
    UnknownFact(String),
    #[error("{what} `{name}` not found")]
    NotFound { what: &'static str, name: String },
    #[error("`{function}` takes {wanted} argument{}, not {given}", if *wanted == 1 { "" } else { "s" })]
    ArgumentCount {
        function: String,
        wanted: usize,
        given: usize,
    },
    #[error("the second argument of `replace` is empty")]
    NothingToReplace,
    #[error("a list cannot be part of a string")]
    ListInText,
    #[error("functions nest deeper than {0} levels")]
    TooDeep(usize),
    #[error("{0}, the limit")]
    TooLong(&'static str),
    /// What the text does not follow the grammar with.
    #[error("{0}")]
    Syntax(String),
}
