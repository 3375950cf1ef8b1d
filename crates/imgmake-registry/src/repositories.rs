//! Repositories that have to be made before a push: a registry of ECR does not make them itself.
//!
//! Knows one registry's session and ECR's API. Knows no push.

use std::collections::BTreeMap;

use super::cloud::{self, Ecr};
use super::session::Session;
use super::{Auth, Failure, RegistryError};

/// Makes the repository where the settings ask for it and the registry needs it;
/// one that is there is fine. Others than ECR make repositories on push.
pub(super) fn create_repository(session: &Session, repository: &str) -> Result<(), RegistryError> {
    let settings = &session.endpoint.settings;
    let registry = &session.endpoint.registry;
    let options = match &settings.auth {
        Auth::AwsEcr { options } => options.clone(),
        _ if cloud::is_ecr(registry) => BTreeMap::new(),
        _ => return Ok(()),
    };
    let mut created = session.created.lock().expect("no panic while creating");
    let ecr = Ecr::new(&options, &session.options.environment)?;
    let wished = settings.create_repository || ecr.has_policies();
    if !wished || created.contains(repository) {
        return Ok(());
    }
    ecr.create_repository(session, settings.create_repository, registry, repository)
        .map_err(|e| e.during(registry, repository, "create the repository"))?;
    created.insert(repository.to_string());
    Ok(())
}

/// What a cloud's registry means by a failure that says nothing by itself.
pub(super) fn explain(session: &Session, error: RegistryError) -> RegistryError {
    let endpoint = &session.endpoint;
    let ecr =
        matches!(endpoint.settings.auth, Auth::AwsEcr { .. }) || cloud::is_ecr(&endpoint.registry);
    let closed = error.failure() == Failure::Connection && error.status().is_none();
    match ecr && closed && !endpoint.settings.create_repository && error.advice().is_none() {
        true => error.help(
            "ECR closes the connection on a push to a repository that does not exist; create it, or set `create-repo #true`",
        ),
        false => error,
    }
}
