//! Why an action did not work out.

use crate::state::StateError;

/// Why an action did not work out, and what that means for the exit code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub kind: FailureKind,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    Failed,
    /// A scan gate refused.
    Gate,
    /// A registry or its credentials.
    Registry,
    Timeout,
    Cancelled,
}

impl Failure {
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Failure {
        Failure {
            kind,
            message: message.into(),
        }
    }

    pub fn failed(message: impl Into<String>) -> Failure {
        Failure::new(FailureKind::Failed, message)
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Failure {
        let cause = std::error::Error::source(&error);
        let cause = cause.map_or(String::new(), |cause| format!(": {cause}"));
        Failure::failed(format!("{error}{cause}"))
    }
}

/// The work is done outside of this crate, by what reports its errors so.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::failed(format!("{error:#}"))
    }
}
