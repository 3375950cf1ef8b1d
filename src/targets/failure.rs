//! Errors as the failures of targets.

use std::error::Error;

use imgmake_build::{BuildError, Refused};
use imgmake_core::execute::{Failure, FailureKind};
use imgmake_core::files::is_storage_full;
use imgmake_event::Cancelled;
use imgmake_git::GitError;
use imgmake_oci::OciError;
use imgmake_registry::RegistryError;
use imgmake_scan::ScanError;

/// What an error is to the exit code, and its text for people.
pub fn failure(error: impl Into<anyhow::Error>) -> Failure {
    let error = error.into();
    let is_storage_full = causes(&error).any(|cause| {
        let registry = cause.downcast_ref();
        is_storage_full(cause) || registry.is_some_and(RegistryError::is_storage_full)
    });
    let kind = causes(&error).find_map(|cause| {
        if cause.is::<Cancelled>() || cause.downcast_ref().is_some_and(Cancelled::ended) {
            return Some(FailureKind::Cancelled);
        }
        if cause.downcast_ref().is_some_and(GitError::is_cancelled) {
            return Some(FailureKind::Cancelled);
        }
        if cause.downcast_ref::<Refused>().is_some() {
            return Some(FailureKind::Gate);
        }
        if cause.downcast_ref().is_some_and(OciError::is_newer) {
            return Some(FailureKind::Usage);
        }
        let registry = cause.downcast_ref::<RegistryError>()?;
        Some(match registry.is_cancelled() {
            true => FailureKind::Cancelled,
            // A pull that finds no room is no fault of the registry's.
            false if is_storage_full => FailureKind::Failed,
            false => FailureKind::Registry,
        })
    });
    Failure {
        is_storage_full,
        is_transient: causes(&error).any(is_transient),
        ..Failure::new(kind.unwrap_or(FailureKind::Failed), format!("{error:#}"))
    }
}

/// Whether another server than a registry was at fault, or the way to it.
fn is_transient(cause: &(dyn Error + 'static)) -> bool {
    let of_git =
        |error: &GitError| error.is_transient() || matches!(error.root(), GitError::Timeout { .. });
    cause.downcast_ref().is_some_and(of_git)
        || cause
            .downcast_ref()
            .is_some_and(imgmake_registry::is_transient)
}

/// An error and what it follows from, each as the crate has it that it comes from.
pub fn causes(error: &anyhow::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    error.chain().map(|cause| {
        let of_build = cause.downcast_ref().map(BuildError::as_cause);
        let of_scan = || cause.downcast_ref().map(ScanError::as_cause);
        of_build.or_else(of_scan).unwrap_or(cause)
    })
}

/// The system's words without the number after them.
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_string(),
        None => text,
    }
}
