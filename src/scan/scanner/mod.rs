//! Scanners: each turns one image into findings. None of them judges.

pub mod builtin;

use serde::{Deserialize, Serialize};

use super::Finding;

/// What a scanner found in one image. Cached; a verdict never is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scanned {
    pub findings: Vec<Finding>,
    /// What the scanner should have looked into but could not: a refusal.
    pub gaps: Vec<String>,
    pub warnings: Vec<String>,
    /// The scanner's own exit code spoke against the image.
    pub gate: Option<String>,
    /// How old its knowledge is, RFC 3339.
    pub database_date: Option<String>,
}

/// Why there are no findings: the gate refuses with this sentence.
#[derive(Debug, thiserror::Error)]
pub enum ScannerError {
    #[error("{0}")]
    Failed(String),
    #[error("stopped after {0:?}")]
    TimedOut(std::time::Duration),
    #[error(transparent)]
    Cancelled(#[from] crate::event::Cancelled),
}

impl ScannerError {
    /// Any error of ours on the way, with its causes; a cancellation stays one.
    pub fn of(error: anyhow::Error) -> ScannerError {
        match error.downcast_ref::<crate::event::Cancelled>() {
            Some(cancelled) => ScannerError::Cancelled(*cancelled),
            None => ScannerError::Failed(format!("{error:#}")),
        }
    }
}

/// Runs another program as scanner.
pub fn external(
    scanner: &crate::scan::Scanner,
    request: &crate::scan::ScanRequest,
    image: &crate::scan::ScanImage,
    child: &crate::scan::subject::Child,
    store: &crate::store::Store,
    cache: &crate::scan::cache::Cache,
    cancel: &crate::event::Cancel,
) -> Result<Scanned, ScannerError> {
    todo!()
}
