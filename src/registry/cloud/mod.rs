//! Credentials that clouds issue for their registries.
//!
//! Each service's address can be overridden by an option, so that private
//! endpoints and tests are reached the same way.

use std::time::Duration;

use super::credentials::Credential;
use super::session::Session;
use super::{Auth, ClientOptions, RegistryError};

/// The credential and how long it lasts; `None` when the settings name no cloud.
pub(super) fn credential(
    _session: &Session,
    auth: &Auth,
    _registry: &str,
    _options: &ClientOptions,
) -> Result<Option<(Credential, Option<Duration>)>, RegistryError> {
    match auth {
        Auth::AwsEcr { .. } | Auth::Gcp { .. } | Auth::Azure { .. } => Err(
            RegistryError::configuration("cloud credentials are not there yet"),
        ),
        _ => Ok(None),
    }
}

/// Makes the repository where the settings ask for it; one that is there is fine.
pub(super) fn create_repository(session: &Session, repository: &str) -> Result<(), RegistryError> {
    if !session.endpoint.settings.create_repository {
        return Ok(());
    }
    let _ = repository;
    Err(RegistryError::configuration(
        "repositories cannot be created yet",
    ))
}
