//! Exit codes, and the errors that carry one.

use imgmake_build::BuildError;
use imgmake_core::error::CoreError;
use imgmake_core::execute::FailureKind;
use imgmake_oci::OciError;

pub const FAILED: u8 = 1;
pub const USAGE: u8 = 2;
pub const GATE: u8 = 3;
pub const REGISTRY: u8 = 4;
pub const STALE: u8 = 5;
/// Two builds of one target made different images.
pub const DIFFER: u8 = 6;
pub const LOCKED: u8 = 9;
pub const TIMEOUT: u8 = 124;

/// An error that is ready to be printed, and what the process ends with.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Exit {
    pub code: u8,
    /// Complete, with `error:` and help; empty when everything has been printed.
    pub text: String,
}

impl Exit {
    /// Everything has been printed; only the code is left.
    pub fn silent(code: u8) -> Exit {
        Exit {
            code,
            text: String::new(),
        }
    }

    /// A text that is printed as it is.
    pub fn rendered(code: u8, text: impl Into<String>) -> Exit {
        Exit {
            code,
            text: text.into(),
        }
    }

    pub fn error(code: u8, message: impl std::fmt::Display) -> Exit {
        Exit {
            code,
            text: format!("error: {message}"),
        }
    }

    pub fn usage(message: impl std::fmt::Display) -> Exit {
        Exit::error(USAGE, message)
    }

    /// An empty help is none.
    pub fn with_help(mut self, help: impl std::fmt::Display) -> Exit {
        let help = help.to_string();
        if !help.is_empty() {
            self.text = format!("{}\n  help: {help}", self.text);
        }
        self
    }
}

impl From<CoreError> for Exit {
    fn from(error: CoreError) -> Exit {
        anyhow::Error::from(error).into()
    }
}

impl From<BuildError> for Exit {
    fn from(error: BuildError) -> Exit {
        anyhow::Error::from(error).into()
    }
}

impl From<OciError> for Exit {
    fn from(error: OciError) -> Exit {
        anyhow::Error::from(error).into()
    }
}

impl From<anyhow::Error> for Exit {
    fn from(error: anyhow::Error) -> Exit {
        match error.downcast::<Exit>() {
            Ok(exit) => exit,
            Err(error) => {
                let is_newer = error.chain().any(|cause| {
                    cause.downcast_ref().is_some_and(OciError::is_newer)
                        || matches!(cause.downcast_ref(), Some(CoreError::NewerState { .. }))
                });
                let code = if is_newer { USAGE } else { FAILED };
                let exit = Exit::error(code, format!("{error:#}"));
                match error.downcast_ref().and_then(CoreError::help) {
                    Some(help) => exit.with_help(help),
                    None => exit,
                }
            }
        }
    }
}

pub fn code_of(kind: FailureKind) -> u8 {
    match kind {
        FailureKind::Failed | FailureKind::Cancelled => FAILED,
        FailureKind::Usage => USAGE,
        FailureKind::Gate => GATE,
        FailureKind::Registry => REGISTRY,
        FailureKind::Timeout => TIMEOUT,
    }
}
