//! Credentials that clouds issue for their registries: ECR, Artifact Registry,
//! Azure's. Each asks its service once and says how long the answer lasts.
//!
//! Knows settings and a [`Transport`] that sends requests. Knows no session and no
//! registry's API. Every service's address can be set, so that private endpoints and
//! tests are reached the same way.

mod aws;
mod azure;
mod exchange;
mod gcp;
mod jwt;
mod keys;
mod profile;
mod settings;
mod sigv4;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::{Auth, RegistryError};

pub(super) use aws::{Ecr, is_ecr};
use source::CredentialSource;
pub(super) use source::Transport;

/// The source that the settings name; none where they name no cloud.
pub(super) fn source<'e>(
    auth: &Auth,
    environment: &'e BTreeMap<String, String>,
) -> Result<Option<Box<dyn CredentialSource + 'e>>, RegistryError> {
    Ok(Some(match auth {
        Auth::AwsEcr { options } => Box::new(aws::Ecr::new(options, environment)?),
        Auth::Gcp { options } => Box::new(gcp::ArtifactRegistry::new(options, environment)?),
        Auth::Azure { options } => Box::new(azure::ContainerRegistry::new(options, environment)?),
        _ => return Ok(None),
    }))
}
