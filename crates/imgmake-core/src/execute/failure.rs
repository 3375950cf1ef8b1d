//! Why an action did not work out.

use crate::error::CoreError;
use crate::files::is_storage_full;
use imgmake_event::MessageForm;

/// Why an action did not work out, and what that means for the exit code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub kind: FailureKind,
    /// For people alone: it is rendered by whoever executes, who knows the errors of builds, scans and pushes.
    pub message: String,
    pub form: MessageForm,
    /// The disk was full, or the user's quota used up.
    pub is_storage_full: bool,
    /// Another server than a registry was at fault, or the way to it: it may be well again at the next attempt.
    pub is_transient: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    Failed,
    /// The manifest names what is not there: it has to be changed, or the machine.
    Usage,
    /// A scan gate refused, or could not be asked.
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
            form: MessageForm::Sentence,
            is_storage_full: false,
            is_transient: false,
        }
    }

    /// The same, with a message that shows a place of the manifest.
    #[must_use]
    pub fn rendered(self) -> Failure {
        Failure {
            form: MessageForm::Rendered,
            ..self
        }
    }

    pub fn failed(message: impl Into<String>) -> Failure {
        Failure::new(FailureKind::Failed, message)
    }
}

impl From<CoreError> for Failure {
    fn from(error: CoreError) -> Failure {
        let cause = std::error::Error::source(&error);
        let text = cause.map_or(String::new(), |cause| format!(": {cause}"));
        Failure {
            is_storage_full: cause.is_some_and(is_storage_full),
            ..Failure::failed(format!("{error}{text}"))
        }
    }
}
