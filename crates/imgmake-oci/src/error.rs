//! What fails with images, layers, the store and archives: facts for callers, and one text for people.
//!
//! Callers decide by variants: [`OciError::root`] is the fact beneath actions, [`OciError::find`] an error of
//! another crate. Knows no command and no exit code.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use imgmake_event::{Cancelled, causes};

pub type Result<T, E = OciError> = std::result::Result<T, E>;

#[derive(Debug)]
pub enum OciError {
    /// What was being done, or with what, when something else failed: "cannot read `x`".
    During {
        action: String,
        source: Box<OciError>,
    },
    /// Bytes or words that break their format.
    Invalid {
        what: String,
        why: String,
    },
    /// An archive that ends before it should.
    CutOff {
        inside: String,
    },
    LimitExceeded {
        what: String,
        limit: String,
    },
    /// Bytes that are not those that were promised.
    Mismatch {
        what: String,
        found: String,
        expected: String,
    },
    NotFound {
        what: String,
        help: String,
    },
    /// What images, layers or archives cannot hold, or what is not understood.
    Unsupported {
        what: String,
        help: String,
    },
    /// Several things could be meant.
    Ambiguous {
        what: String,
        choices: String,
    },
    /// Something else has the place, or changes it meanwhile.
    Conflict {
        obstacle: String,
        help: String,
    },
    /// Somebody else could decide what is found there.
    Untrusted {
        why: String,
        help: String,
    },
    /// Somebody wrote it who knew a later format.
    Newer {
        what: String,
        /// As it is written there.
        found: String,
        known: u32,
        help: String,
    },
    Cancelled(Cancelled),
    Io(io::Error),
    /// An error of another module or crate, as it came: [`Damaged`](crate::store::Damaged) is one.
    Other(Box<dyn StdError + Send + Sync>),
}

impl OciError {
    pub(crate) fn invalid(what: impl Into<String>, why: impl Into<String>) -> OciError {
        OciError::Invalid {
            what: what.into(),
            why: why.into(),
        }
    }

    pub(crate) fn cut_off(inside: impl Into<String>) -> OciError {
        OciError::CutOff {
            inside: inside.into(),
        }
    }

    pub(crate) fn limit(what: impl Into<String>, limit: impl ToString) -> OciError {
        OciError::LimitExceeded {
            what: what.into(),
            limit: limit.to_string(),
        }
    }

    pub(crate) fn mismatch(
        what: impl Into<String>,
        found: impl ToString,
        expected: impl ToString,
    ) -> OciError {
        OciError::Mismatch {
            what: what.into(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    pub(crate) fn not_found(what: impl Into<String>, help: impl Into<String>) -> OciError {
        OciError::NotFound {
            what: what.into(),
            help: help.into(),
        }
    }

    pub(crate) fn unsupported(what: impl Into<String>, help: impl Into<String>) -> OciError {
        OciError::Unsupported {
            what: what.into(),
            help: help.into(),
        }
    }

    pub(crate) fn ambiguous(what: impl Into<String>, choices: impl Into<String>) -> OciError {
        OciError::Ambiguous {
            what: what.into(),
            choices: choices.into(),
        }
    }

    pub(crate) fn conflict(obstacle: impl Into<String>, help: impl Into<String>) -> OciError {
        OciError::Conflict {
            obstacle: obstacle.into(),
            help: help.into(),
        }
    }

    pub(crate) fn untrusted(why: impl Into<String>, help: impl Into<String>) -> OciError {
        OciError::Untrusted {
            why: why.into(),
            help: help.into(),
        }
    }

    pub(crate) fn during(self, action: impl Into<String>) -> OciError {
        OciError::During {
            action: action.into(),
            source: Box::new(self),
        }
    }

    /// The fact beneath actions.
    pub fn root(&self) -> &OciError {
        match self {
            OciError::During { source, .. } => source.root(),
            fact => fact,
        }
    }

    /// The first error of this type among this one and its sources.
    pub fn find<E: StdError + 'static>(&self) -> Option<&E> {
        self.causes().find_map(|cause| cause.downcast_ref())
    }

    /// Whether a cancellation is why it failed.
    pub fn is_cancelled(&self) -> bool {
        Cancelled::caused(self.as_cause())
    }

    /// Whether several things answer to what was asked for.
    pub fn is_ambiguous(&self) -> bool {
        let ambiguous = |cause: &&(dyn StdError + 'static)| {
            matches!(cause.downcast_ref(), Some(OciError::Ambiguous { .. }))
        };
        self.causes().any(|cause| ambiguous(&cause))
    }

    /// Whether a newer imgmake wrote what was to be read.
    pub fn is_newer(&self) -> bool {
        matches!(self.root(), OciError::Newer { .. })
    }

    /// The error of another crate that this one stands for, else itself.
    fn as_cause(&self) -> &(dyn StdError + 'static) {
        match self {
            OciError::Cancelled(error) => error,
            OciError::Io(error) => error,
            OciError::Other(error) => &**error,
            own => own,
        }
    }

    fn causes(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        causes(self.as_cause())
    }

    /// Without what it follows from.
    fn write_fact(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fact, after, more) = match self {
            OciError::During { action, .. } => return f.write_str(action),
            OciError::CutOff { inside } => {
                return write!(f, "the archive is cut off inside {inside}");
            }
            OciError::LimitExceeded { what, limit } => {
                return write!(f, "{what}: the limit is {limit}");
            }
            OciError::Mismatch {
                what,
                found,
                expected,
            } => return write!(f, "{what} is {found}, expected {expected}"),
            OciError::Newer {
                what,
                found,
                known,
                help,
            } => {
                return write!(
                    f,
                    "{what} has format {found}, written by a newer imgmake; this one reads format {known}; {help}"
                );
            }
            OciError::Cancelled(error) => return write!(f, "{error}"),
            OciError::Io(error) => return write!(f, "{error}"),
            OciError::Other(error) => return write!(f, "{error}"),
            OciError::Invalid { what, why } => (format!("invalid {what}"), ": ", why),
            OciError::NotFound { what, help } => (format!("{what} not found"), "; ", help),
            OciError::Unsupported { what, help } => {
                (format!("{what} is not supported"), "; ", help)
            }
            OciError::Ambiguous { what, choices } => {
                (format!("{what}; name the one to use"), ":\n", choices)
            }
            OciError::Conflict { obstacle, help } => (obstacle.clone(), "; ", help),
            OciError::Untrusted { why, help } => (why.clone(), "; ", help),
        };
        f.write_str(&fact)?;
        if !more.is_empty() {
            write!(f, "{after}{more}")?;
        }
        Ok(())
    }
}

impl fmt::Display for OciError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_fact(f)?;
        if f.alternate() {
            for cause in self.causes().skip(1) {
                write!(f, ": {cause}")?;
            }
        }
        Ok(())
    }
}

impl StdError for OciError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            OciError::During { source, .. } => Some(source.as_cause()),
            OciError::Io(error) => error.source(),
            OciError::Other(error) => error.source(),
            _ => None,
        }
    }
}

impl From<rustix::io::Errno> for OciError {
    fn from(error: rustix::io::Errno) -> OciError {
        OciError::Io(error.into())
    }
}

impl From<io::Error> for OciError {
    fn from(error: io::Error) -> OciError {
        match Cancelled::ended(&error) {
            true => OciError::Cancelled(Cancelled),
            false => OciError::Io(error),
        }
    }
}

impl From<Cancelled> for OciError {
    fn from(error: Cancelled) -> OciError {
        OciError::Cancelled(error)
    }
}

/// Errors of others, which `?` hands on as they are.
macro_rules! handed_on {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for OciError {
            fn from(error: $error) -> OciError {
                OciError::Other(Box::new(error))
            }
        })*
    };
}

handed_on!(
    crate::image::ParseError,
    crate::image::ReferenceError,
    postcard::Error,
    serde_json::Error,
);

/// Says what was being done.
pub(crate) trait Context<T> {
    fn context(self, action: &str) -> Result<T>;
    fn with_context(self, action: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<OciError>> Context<T> for Result<T, E> {
    fn context(self, action: &str) -> Result<T> {
        self.map_err(|error| error.into().during(action))
    }

    fn with_context(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.into().during(action()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_the_action_then_the_fact_and_callers_find_it() {
        let error = OciError::from(io::Error::other("disk")).during("cannot write `x`");
        assert_eq!(error.to_string(), "cannot write `x`");
        assert_eq!(format!("{error:#}"), "cannot write `x`: disk");
        assert_eq!(error.find::<io::Error>().unwrap().to_string(), "disk");
        assert!(matches!(error.root(), OciError::Io(_)));
        let cancelled = OciError::from(io::Error::from(Cancelled)).during("x");
        assert!(cancelled.is_cancelled() && !error.is_cancelled());
    }

    #[test]
    fn facts_have_one_text() {
        for (error, text) in [
            (OciError::invalid("size", "`x`"), "invalid size: `x`"),
            (OciError::limit("9 names", 8), "9 names: the limit is 8"),
            (
                OciError::mismatch("the size", 1, 2),
                "the size is 1, expected 2",
            ),
            (OciError::not_found("`x`", ""), "`x` not found"),
            (
                OciError::unsupported("type `Q`", "try another"),
                "type `Q` is not supported; try another",
            ),
            (
                OciError::ambiguous("2 images", "1. a"),
                "2 images; name the one to use:\n1. a",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
