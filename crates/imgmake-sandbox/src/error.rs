//! What fails while a sandbox is made or used: facts for callers, and one text for people.
//!
//! Callers decide by variants. From the process that carries a plan out comes text alone
//! ([`SandboxError::SetUp`]): nobody decides by it.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::process::ExitStatus;

use rustix::io::Errno;

use super::IsolationMode;
use super::limits::{Exceeded, Limit};
use imgmake_guard::program::StartError;

pub type Result<T, E = SandboxError> = std::result::Result<T, E>;

#[derive(Debug)]
pub enum SandboxError {
    /// A command used more than its limits allow.
    Exceeded(Exceeded),
    /// What was being done when something else failed.
    During {
        action: String,
        source: Box<SandboxError>,
    },
    /// The system's own error.
    System(io::Error),
    /// This isolation mode or this system cannot do what was asked for.
    Unsupported(String),
    /// A name, a text or a number that cannot be used.
    Invalid {
        what: &'static str,
        reason: String,
    },
    /// The image's files do not name its user or group.
    NotInImage {
        what: &'static str,
        name: String,
        file: &'static str,
    },
    /// A program that is needed is not installed.
    NotInstalled {
        program: String,
        /// What to install.
        package: String,
    },
    /// A program that is needed does not start.
    Start(StartError),
    /// One that started did not do its work; its own words.
    ProgramFailed {
        program: String,
        message: String,
    },
    /// A user has no subordinate ids.
    NoIds {
        file: &'static str,
        user: String,
    },
    Limit {
        what: &'static str,
        limit: usize,
    },
    Timeout {
        what: &'static str,
    },
    /// Something that was just made is gone.
    Vanished {
        what: String,
    },
    /// The text of the process that carries a plan out.
    SetUp(String),
    Killed(ExitStatus),
}

impl SandboxError {
    /// The fact, without what was being done.
    pub fn root(&self) -> &SandboxError {
        match self {
            SandboxError::During { source, .. } => source.root(),
            other => other,
        }
    }

    /// The limit that a command went beyond.
    pub fn exceeded(&self) -> Option<Limit> {
        match self.root() {
            SandboxError::Exceeded(Exceeded(limit)) => Some(*limit),
            _ => None,
        }
    }
}

/// `{:#}` has the causes, too.
impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SandboxError::Exceeded(exceeded) => exceeded.fmt(f),
            SandboxError::During { action, source } => match f.alternate() {
                true => write!(f, "{action}: {source:#}"),
                false => f.write_str(action),
            },
            SandboxError::System(error) => error.fmt(f),
            SandboxError::Invalid { what, reason } => write!(f, "invalid {what}: {reason}"),
            SandboxError::NotInImage { what, name, file } => {
                write!(f, "the image has no {what} `{name}` in {file}")
            }
            SandboxError::NotInstalled { program, package } => {
                write!(f, "`{program}` is not installed; install {package}")
            }
            SandboxError::Start(error) => error.fmt(f),
            SandboxError::ProgramFailed { program, message } => {
                write!(f, "`{program}` failed: {message}")
            }
            SandboxError::NoIds { file, user } => write!(
                f,
                "{file} has no range for `{user}`; an administrator can add `{user}:100000:65536`"
            ),
            SandboxError::Limit { what, limit } => write!(f, "{what}: limit of {limit} exceeded"),
            SandboxError::Timeout { what } => write!(f, "{what} took too long"),
            SandboxError::Vanished { what } => write!(f, "{what} is gone"),
            SandboxError::Unsupported(text) | SandboxError::SetUp(text) => f.write_str(text),
            SandboxError::Killed(status) => write!(f, "the sandbox was killed ({status})"),
        }
    }
}

impl StdError for SandboxError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            SandboxError::During { source, .. } => Some(source),
            // Their text is the cause's own.
            SandboxError::System(error) => error.source(),
            SandboxError::Start(error) => error.source(),
            _ => None,
        }
    }
}

impl From<io::Error> for SandboxError {
    fn from(error: io::Error) -> SandboxError {
        SandboxError::System(error)
    }
}

impl From<Errno> for SandboxError {
    fn from(error: Errno) -> SandboxError {
        SandboxError::System(error.into())
    }
}

impl From<StartError> for SandboxError {
    fn from(error: StartError) -> SandboxError {
        SandboxError::Start(error)
    }
}

impl From<Exceeded> for SandboxError {
    fn from(exceeded: Exceeded) -> SandboxError {
        SandboxError::Exceeded(exceeded)
    }
}

/// A text that names no isolation mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownIsolationMode(pub String);

impl fmt::Display for UnknownIsolationMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = IsolationMode::ALL.map(IsolationMode::name);
        write!(
            f,
            "unknown isolation mode `{}`: expected one of {}",
            self.0,
            names.join(", ")
        )
    }
}

impl StdError for UnknownIsolationMode {}

/// What was being done, for an error that does not say it.
pub(crate) trait During<T> {
    fn during(self, action: impl Into<String>) -> Result<T>;
    fn with_during(self, action: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<SandboxError>> During<T> for std::result::Result<T, E> {
    fn during(self, action: impl Into<String>) -> Result<T> {
        self.with_during(|| action.into())
    }

    fn with_during(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| SandboxError::During {
            action: action(),
            source: Box::new(error.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_found_beneath_what_was_being_done() {
        let limit = Limit::Processes(3);
        let inner: Result<()> = Err(Exceeded(limit).into());
        let error = inner.during("a").during("b").unwrap_err();
        assert_eq!(error.exceeded(), Some(limit));
        assert_eq!(error.to_string(), "b");
        assert!(format!("{error:#}").starts_with("b: a: RUN had more"));
    }

    #[test]
    fn an_unknown_isolation_mode_names_those_that_there_are() {
        let error = "jail".parse::<IsolationMode>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown isolation mode `jail`: expected one of root, rootless, single-id, chroot"
        );
    }
}
