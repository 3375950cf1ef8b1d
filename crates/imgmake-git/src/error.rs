//! What fails between us and a repository: facts for callers, and one text for people.
//!
//! Callers decide by variants. Knows no advice: which login to give, and where, is
//! known to whoever asked for the repository.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use gix_hash::ObjectId;
use imgmake_event::Cancelled;
use imgmake_registry::connection::trust::NoCertificates;

pub type Result<T, E = GitError> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync>;

#[derive(Debug)]
pub enum GitError {
    Cancelled,
    /// What was being done when something else failed.
    During {
        action: String,
        source: Box<GitError>,
    },
    /// An address, a name, or a setting that cannot be used.
    Invalid {
        what: &'static str,
        /// As written; `None` where it may hold a secret, or there is nothing.
        value: Option<String>,
        reason: String,
    },
    /// A variant of git's formats that is not read here.
    Unsupported {
        what: &'static str,
        value: String,
    },
    /// No such branch or tag.
    ReferenceNotFound {
        repository: String,
        name: String,
        /// The short names of the branches and tags that it has.
        existing: Vec<String>,
    },
    CommitNotFound {
        repository: String,
        commit: ObjectId,
        /// The server's answer, if it refused to give the commit alone.
        source: Option<Box<GitError>>,
    },
    /// There is no commit to check out.
    NothingToCheckOut {
        repository: String,
        /// Whether there are other branches.
        has_branches: bool,
    },
    Login {
        repository: String,
        refused: LoginRefused,
    },
    /// The server closed the connection before it said anything.
    NoGreeting {
        repository: String,
    },
    /// No connection.
    Unreachable {
        repository: String,
        source: Source,
        is_transient: bool,
    },
    /// The server stays silent.
    Timeout {
        repository: Option<String>,
    },
    /// A connection that broke; `None` where the server closed it.
    Disconnected {
        source: Option<io::Error>,
    },
    /// An HTTP status that stands for nothing else here.
    Status {
        repository: String,
        status: u16,
    },
    Redirect {
        repository: String,
        reason: &'static str,
    },
    /// The address is one of something else.
    NotGit {
        repository: String,
        content_type: String,
    },
    /// The server's own words about why it sends nothing.
    Server(String),
    /// An answer against the protocol.
    Protocol(&'static str),
    Limit {
        what: String,
        limit: usize,
        unit: &'static str,
    },
    ObjectNotFound(ObjectId),
    /// An object that is not what its place asks for.
    UnexpectedObject {
        id: ObjectId,
        expected: &'static str,
    },
    /// An object, a pack, or a reference that cannot be read.
    Damaged {
        what: String,
        source: Option<Source>,
    },
    /// A tree has two entries of one name.
    DuplicateName,
    /// gitoxide's stores of objects and references.
    Store {
        action: &'static str,
        source: Source,
    },
    Io {
        action: String,
        source: io::Error,
    },
    /// A program that is needed does not start.
    Start {
        action: &'static str,
        source: imgmake_guard::program::StartError,
    },
}

/// How a server refused a login, or that there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginRefused {
    /// It requires one, and none was given.
    Required,
    Wrong,
    /// Not found, or not shown to this login.
    NotFound,
    /// Not found, or not shown without a login.
    NotFoundAnonymously,
}

impl GitError {
    pub(crate) fn invalid(
        what: &'static str,
        value: impl Into<String>,
        reason: impl Into<String>,
    ) -> GitError {
        GitError::Invalid {
            what,
            value: Some(value.into()),
            reason: reason.into(),
        }
    }

    pub(crate) fn damaged(what: impl Into<String>) -> GitError {
        GitError::Damaged {
            what: what.into(),
            source: None,
        }
    }

    /// For `map_err`.
    pub(crate) fn store<E: Into<Source>>(action: &'static str) -> impl Fn(E) -> GitError {
        move |error| GitError::Store {
            action,
            source: error.into(),
        }
    }

    /// The fact, without what was being done.
    pub fn root(&self) -> &GitError {
        match self {
            GitError::During { source, .. } => source.root(),
            other => other,
        }
    }

    pub fn is_cancelled(&self) -> bool {
        matches!(self.root(), GitError::Cancelled)
    }

    /// A broken connection or a busy server: another attempt may succeed.
    pub fn is_transient(&self) -> bool {
        match self.root() {
            GitError::Disconnected { .. } => true,
            GitError::Unreachable { is_transient, .. } => *is_transient,
            GitError::Status { status, .. } => matches!(status, 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// Whether the server may have refused this request alone; some say so, some close the
    /// connection.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.root(), GitError::Server(_)) || self.is_transient()
    }
}

impl fmt::Display for GitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GitError::Cancelled => f.write_str("cancelled"),
            GitError::During { action, .. } | GitError::Io { action, .. } => f.write_str(action),
            GitError::Store { action, .. } | GitError::Start { action, .. } => f.write_str(action),
            GitError::Invalid {
                what,
                value,
                reason,
            } => match value {
                Some(value) => write!(f, "invalid {what} `{value}`: {reason}"),
                None => write!(f, "invalid {what}: {reason}"),
            },
            GitError::Unsupported { what, value } => write!(f, "unknown {what} `{value}`"),
            GitError::ReferenceNotFound {
                repository, name, ..
            } => write!(f, "`{repository}` has no reference `{name}`"),
            GitError::CommitNotFound {
                repository,
                commit,
                source,
            } => match source {
                None => write!(
                    f,
                    "`{repository}` has no commit {commit} on any branch or tag"
                ),
                Some(_) => write!(
                    f,
                    "`{repository}` has no commit {commit}, or does not send a single commit"
                ),
            },
            GitError::NothingToCheckOut {
                repository,
                has_branches: false,
            } => write!(f, "`{repository}` is empty"),
            GitError::NothingToCheckOut { repository, .. } => write!(
                f,
                "the branch that HEAD of `{repository}` names was not found; name a branch"
            ),
            GitError::Login {
                repository,
                refused,
            } => match refused {
                LoginRefused::Required => {
                    write!(f, "`{repository}` requires a login, and none was given")
                }
                LoginRefused::Wrong => write!(f, "`{repository}` refused the login"),
                LoginRefused::NotFound => {
                    write!(f, "`{repository}` not found, or not visible to this login")
                }
                LoginRefused::NotFoundAnonymously => {
                    write!(
                        f,
                        "`{repository}` not found, or not visible without a login"
                    )
                }
            },
            GitError::NoGreeting { repository } => write!(
                f,
                "`{repository}`: the server closed the connection, as for a repository that does not exist"
            ),
            GitError::Unreachable { repository, .. } => {
                write!(f, "`{repository}` cannot be reached")
            }
            GitError::Timeout { repository } => match repository {
                Some(repository) => write!(f, "`{repository}`: the server does not answer"),
                None => f.write_str("the server does not answer"),
            },
            GitError::Disconnected { source: None } => {
                f.write_str("the server closed the connection")
            }
            GitError::Disconnected { .. } => f.write_str("the connection broke"),
            GitError::Status { repository, status } => {
                write!(f, "`{repository}`: the server answered {status}")
            }
            GitError::Redirect { repository, reason } => {
                write!(f, "invalid redirect of `{repository}`: {reason}")
            }
            GitError::NotGit {
                repository,
                content_type,
            } => write!(
                f,
                "`{repository}`: not an answer of git: its content type is {content_type:?}"
            ),
            GitError::Server(message) => write!(f, "the server reported: {message}"),
            GitError::Protocol(reason) => write!(f, "invalid answer of the server: {reason}"),
            GitError::Limit { what, limit, unit } => {
                write!(f, "{what}: limit of {limit} {unit} exceeded")
            }
            GitError::ObjectNotFound(id) => write!(f, "the server did not send the object {id}"),
            GitError::UnexpectedObject { id, expected } => {
                write!(f, "invalid object {id}: expected {expected}")
            }
            GitError::Damaged { what, .. } => write!(f, "damaged {what}"),
            GitError::DuplicateName => f.write_str("duplicate file name in the repository"),
        }
    }
}

impl StdError for GitError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            GitError::During { source, .. } => Some(source),
            GitError::CommitNotFound { source, .. } => Some(source.as_deref()?),
            GitError::Unreachable { source, .. } | GitError::Store { source, .. } => {
                Some(source.as_ref())
            }
            GitError::Disconnected { source } => Some(source.as_ref()?),
            GitError::Damaged { source, .. } => Some(source.as_deref()?),
            GitError::Io { source, .. } => Some(source),
            GitError::Start { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<NoCertificates> for GitError {
    fn from(error: NoCertificates) -> GitError {
        GitError::invalid(error.variable, error.value, "no PEM certificate in it")
    }
}

impl From<Cancelled> for GitError {
    fn from(_: Cancelled) -> GitError {
        GitError::Cancelled
    }
}

/// What was being done, for an error that does not say it. A cancellation stays what it is.
pub(crate) trait During<T> {
    fn during(self, action: impl Into<String>) -> Result<T>;
    fn with_during(self, action: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Cause> During<T> for std::result::Result<T, E> {
    fn during(self, action: impl Into<String>) -> Result<T> {
        self.map_err(|error| error.while_doing(action.into()))
    }

    fn with_during(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.while_doing(action()))
    }
}

pub(crate) trait Cause {
    fn while_doing(self, action: String) -> GitError;
}

impl Cause for GitError {
    fn while_doing(self, action: String) -> GitError {
        match self {
            GitError::Cancelled => self,
            error => GitError::During {
                action,
                source: Box::new(error),
            },
        }
    }
}

impl Cause for io::Error {
    fn while_doing(self, action: String) -> GitError {
        match Cancelled::ended(&self) {
            true => GitError::Cancelled,
            false => GitError::Io {
                action,
                source: self,
            },
        }
    }
}

impl Cause for rustix::io::Errno {
    fn while_doing(self, action: String) -> GitError {
        io::Error::from(self).while_doing(action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_found_beneath_what_was_being_done() {
        let inner: Result<()> = Err(GitError::Server("no".into()));
        let error = inner.during("a").during("b").unwrap_err();
        assert!(matches!(error.root(), GitError::Server(_)));
        assert!(error.is_refusal() && !error.is_transient());
        assert_eq!(error.to_string(), "b");
        assert_eq!(error.source().unwrap().to_string(), "a");
        let read: io::Result<()> = Err(Cancelled.into());
        assert!(read.during("a").unwrap_err().is_cancelled());
    }
}
