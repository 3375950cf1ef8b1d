//! Errors as the failures of targets.

use imgmake_build::Refused;
use imgmake_core::execute::{Failure, FailureKind};
use imgmake_event::Cancelled;
use imgmake_registry::RegistryError;

/// What an error is to the exit code, and its text for people.
pub fn failure(error: anyhow::Error) -> Failure {
    let kind = error.chain().find_map(|cause| {
        let ended = |error: &std::io::Error| Cancelled::ended(error);
        if cause.is::<Cancelled>() || cause.downcast_ref().is_some_and(ended) {
            return Some(FailureKind::Cancelled);
        }
        if cause.downcast_ref::<Refused>().is_some() {
            return Some(FailureKind::Gate);
        }
        let registry = cause.downcast_ref::<RegistryError>()?;
        Some(if registry.is_cancelled() {
            FailureKind::Cancelled
        } else {
            FailureKind::Registry
        })
    });
    Failure::new(kind.unwrap_or(FailureKind::Failed), format!("{error:#}"))
}

/// The system's words without the number after them.
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_string(),
        None => text,
    }
}
