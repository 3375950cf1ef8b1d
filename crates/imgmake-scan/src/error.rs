//! What fails in a scan: facts for callers, and one text for people.
//!
//! Callers decide by variants: [`ScanError::root`] is the fact beneath actions. Whatever it is,
//! nothing has passed. Knows no verdict and no exit code.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use imgmake_event::{Cancelled, causes};
use imgmake_oci::OciError;

pub type Result<T, E = ScanError> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync>;

#[derive(Debug)]
pub enum ScanError {
    /// What was being done when something else failed: "cannot read `x`".
    During {
        action: String,
        source: Box<ScanError>,
    },
    /// Input that cannot be used: a rule, a document, a manifest.
    Invalid {
        /// File and line, where there is one.
        place: String,
        what: String,
        why: String,
    },
    NotFound {
        what: String,
        help: String,
    },
    LimitExceeded {
        what: String,
        limit: String,
    },
    /// An advisory index whose bytes are not those that were written.
    DamagedIndex {
        path: PathBuf,
        /// The next scan makes it again.
        removed: bool,
    },
    /// A file that is no advisory index of this version.
    ForeignIndex {
        path: PathBuf,
    },
    /// A scanner that is another program.
    Program {
        name: String,
        failure: ProgramFailure,
    },
    Cancelled(Cancelled),
    Io(io::Error),
    /// An error of another crate, as it came.
    Other(Source),
}

/// Why there is nothing to read from a program.
#[derive(Debug)]
pub enum ProgramFailure {
    NotStarted(Source),
    /// How it ended, with its last words.
    Ended(String),
    TimedOut(Duration),
    /// Bytes that a report may have.
    TooMuchOutput(u64),
    NoReport,
    InvalidReport {
        why: String,
        /// How the program ended, where that is a failure too.
        ended: Option<String>,
    },
    /// Its end was not seen.
    Lost,
}

impl ScanError {
    pub(crate) fn invalid(what: impl Into<String>, why: impl Into<String>) -> ScanError {
        ScanError::invalid_at("", what, why)
    }

    pub(crate) fn invalid_at(
        place: impl Into<String>,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> ScanError {
        ScanError::Invalid {
            place: place.into(),
            what: what.into(),
            why: why.into(),
        }
    }

    pub(crate) fn not_found(what: impl Into<String>, help: impl Into<String>) -> ScanError {
        ScanError::NotFound {
            what: what.into(),
            help: help.into(),
        }
    }

    pub(crate) fn limit(what: impl Into<String>, limit: impl Into<String>) -> ScanError {
        ScanError::LimitExceeded {
            what: what.into(),
            limit: limit.into(),
        }
    }

    pub(crate) fn program(name: &str, failure: ProgramFailure) -> ScanError {
        ScanError::Program {
            name: name.to_string(),
            failure,
        }
    }

    pub(crate) fn during(self, action: impl Into<String>) -> ScanError {
        ScanError::During {
            action: action.into(),
            source: Box::new(self),
        }
    }

    /// The fact beneath actions.
    pub fn root(&self) -> &ScanError {
        match self {
            ScanError::During { source, .. } => source.root(),
            fact => fact,
        }
    }

    pub fn is_cancelled(&self) -> bool {
        matches!(self.root(), ScanError::Cancelled(_))
    }

    /// The error of another crate that this one stands for, else itself.
    pub fn as_cause(&self) -> &(dyn StdError + 'static) {
        match self {
            ScanError::Cancelled(error) => error,
            ScanError::Io(error) => error,
            ScanError::Other(error) => &**error,
            own => own,
        }
    }
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_fact(f)?;
        if f.alternate() {
            for cause in causes(self.as_cause()).skip(1) {
                write!(f, ": {cause}")?;
            }
        }
        Ok(())
    }
}

impl ScanError {
    /// Without what it follows from.
    fn write_fact(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScanError::During { action, .. } => f.write_str(action),
            ScanError::Invalid { place, what, why } if place.is_empty() => {
                write!(f, "invalid {what}: {why}")
            }
            ScanError::Invalid { place, what, why } => {
                write!(f, "{place}: invalid {what}: {why}")
            }
            ScanError::NotFound { what, help } if help.is_empty() => write!(f, "{what} not found"),
            ScanError::NotFound { what, help } => write!(f, "{what} not found: {help}"),
            ScanError::LimitExceeded { what, limit } => {
                write!(f, "{what} exceeds {limit}")
            }
            ScanError::DamagedIndex { path, removed } => {
                let help = match removed {
                    true => "it was removed, and the next scan writes it again",
                    false => "remove it, and the next scan writes it again",
                };
                write!(
                    f,
                    "the advisory index `{}` is damaged; {help}",
                    path.display()
                )
            }
            ScanError::ForeignIndex { path } => {
                write!(
                    f,
                    "`{}` is not an advisory index of this version",
                    path.display()
                )
            }
            ScanError::Program { name, failure } => failure.write(f, name),
            ScanError::Cancelled(error) => write!(f, "{error}"),
            ScanError::Io(error) => write!(f, "{error}"),
            ScanError::Other(error) => write!(f, "{error}"),
        }
    }
}

impl ProgramFailure {
    fn write(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        match self {
            ProgramFailure::NotStarted(error) => write!(f, "cannot run `{name}`: {error}"),
            ProgramFailure::Ended(how) => write!(f, "`{name}` {how}"),
            ProgramFailure::TimedOut(limit) if limit.subsec_nanos() == 0 => {
                write!(f, "`{name}` took longer than {} s", limit.as_secs())
            }
            ProgramFailure::TimedOut(limit) => {
                write!(f, "`{name}` took longer than {} ms", limit.as_millis())
            }
            ProgramFailure::TooMuchOutput(limit) => {
                write!(f, "`{name}` wrote more than {} MiB", limit >> 20)
            }
            ProgramFailure::NoReport => write!(f, "`{name}` wrote no report"),
            ProgramFailure::InvalidReport { why, ended } => {
                if let Some(how) = ended {
                    write!(f, "`{name}` {how}; ")?;
                }
                write!(f, "invalid report of `{name}`: {why}")
            }
            ProgramFailure::Lost => write!(f, "the end of `{name}` was not seen"),
        }
    }
}

impl StdError for ScanError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            ScanError::During { source, .. } => Some(source.as_cause()),
            ScanError::Io(error) => error.source(),
            ScanError::Other(error) => error.source(),
            _ => None,
        }
    }
}

impl From<Cancelled> for ScanError {
    fn from(error: Cancelled) -> ScanError {
        ScanError::Cancelled(error)
    }
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> ScanError {
        match Cancelled::ended(&error) {
            true => ScanError::Cancelled(Cancelled),
            false => ScanError::Io(error),
        }
    }
}

/// Errors of other crates, which `?` hands on as they are.
macro_rules! handed_on {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for ScanError {
            fn from(error: $error) -> ScanError {
                ScanError::Other(Box::new(error))
            }
        })*
    };
}

handed_on!(postcard::Error, serde_json::Error, zip::result::ZipError);

impl From<tempfile::PersistError> for ScanError {
    fn from(error: tempfile::PersistError) -> ScanError {
        error.error.into()
    }
}

impl From<OciError> for ScanError {
    fn from(error: OciError) -> ScanError {
        match error {
            error if error.is_cancelled() => ScanError::Cancelled(Cancelled),
            OciError::Io(error) => ScanError::Io(error),
            error => ScanError::Other(Box::new(error)),
        }
    }
}

/// Says what was being done.
pub(crate) trait Context<T> {
    fn with_context(self, action: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<ScanError>> Context<T> for Result<T, E> {
    fn with_context(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.into().during(action()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_action_place_and_fact() {
        let error = ScanError::invalid_at("rules:3", "date `x`", "expected YYYY-MM-DD");
        let error = error.during("cannot read `rules`");
        assert_eq!(
            format!("{error:#}"),
            "cannot read `rules`: rules:3: invalid date `x`: expected YYYY-MM-DD"
        );
        assert_eq!(error.to_string(), "cannot read `rules`");
        assert!(matches!(error.root(), ScanError::Invalid { .. }));
    }

    #[test]
    fn a_cancellation_is_one_however_it_came() {
        let read = ScanError::from(io::Error::from(Cancelled)).during("cannot read a layer");
        assert!(read.is_cancelled());
        assert!(Cancelled::caused(&read));
        assert!(!ScanError::from(io::Error::other("disk")).is_cancelled());
    }
}
