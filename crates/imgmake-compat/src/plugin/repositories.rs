//! Names of repositories and registries as steps write them, made complete.

use super::Refusal;
use super::family::{Cloud, EntryPoint, Family};
use super::reader::Reader;
use crate::error::missing;

/// Complete repository names: the cloud plugins prefix theirs with the registry.
pub(super) fn complete(
    entry: EntryPoint,
    reader: &Reader,
    publishes: bool,
) -> Result<Vec<String>, Refusal> {
    let listed = reader.first_set(&["PLUGIN_DESTINATIONS"]);
    if let Some(listed) = listed {
        let named = super::value::list(&listed, ';').into_iter();
        return Ok(named.filter(|d| !d.is_empty()).collect());
    }
    if let (Cloud::Heroku, Some(app)) = (entry.cloud, reader.first_set(&["PLUGIN_APP"])) {
        let process = reader.first_set(&["PLUGIN_PROCESS_TYPE"]);
        let process = process.as_deref().unwrap_or("web");
        return Ok(vec![format!("registry.heroku.com/{app}/{process}")]);
    }
    let Some(repository) = reader.some("PLUGIN_REPO") else {
        return Ok(Vec::new());
    };
    Ok(vec![prefixed(entry, reader, repository, publishes)?])
}

/// A repository's name with the registry before it, where the plugin puts that there.
pub(super) fn prefixed(
    entry: EntryPoint,
    reader: &Reader,
    repository: String,
    publishes: bool,
) -> Result<String, Refusal> {
    let prefixed = match (entry.family, entry.cloud) {
        (Family::Kaniko, Cloud::Docker) => reader.flag("PLUGIN_EXPAND_REPO"),
        (_, Cloud::Docker | Cloud::Heroku) => false,
        _ => true,
    };
    if !prefixed {
        return Ok(repository);
    }
    let host = match push_registry(entry, reader) {
        Ok(host) => host,
        Err(_) if !publishes => return Ok(repository),
        Err(refusal) => return Err(refusal),
    };
    if repository.starts_with(&format!("{host}/")) {
        return Ok(repository);
    }
    Ok(format!("{host}/{repository}"))
}

/// ECR's plugins may leave the registry out.
pub(super) fn registry_is_unnamed(entry: EntryPoint, reader: &Reader) -> bool {
    entry.cloud == Cloud::Ecr && reader.first_set(&["PLUGIN_REGISTRY"]).is_none()
}

/// The host that a repository's name begins with, if it does.
pub(super) fn own_host(repository: &str) -> Option<&str> {
    let (first, _) = repository.split_once('/')?;
    (first.contains(['.', ':']) || first == "localhost").then_some(first)
}

/// The registry that a plugin prefixes its repository with. The general default,
/// Docker's own, is nobody's cloud.
fn push_registry(entry: EntryPoint, reader: &Reader) -> Result<String, Refusal> {
    let host = registry_host(&reader.text("PLUGIN_REGISTRY"));
    let written = reader.is_present("PLUGIN_REGISTRY") && !host.is_empty();
    match entry.cloud {
        Cloud::Docker if !host.is_empty() => Ok(host),
        Cloud::Gcr if !written => Ok("gcr.io".to_string()),
        _ if written => Ok(host),
        _ => Err(Refusal::new(
            missing("PLUGIN_REGISTRY", "no registry to push to"),
            "set it to the registry's host, such as `123456789012.dkr.ecr.eu-west-1.amazonaws.com`",
        )),
    }
}

/// `https://index.docker.io/v1/` and friends as the host (and path) of image names.
pub(super) fn registry_host(url: &str) -> String {
    let rest = url
        .trim()
        .trim_start_matches("https://")
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let rest = rest
        .strip_suffix("/v1")
        .or_else(|| rest.strip_suffix("/v2"))
        .unwrap_or(rest);
    match rest {
        "index.docker.io"
        | "registry-1.docker.io"
        | "registry.hub.docker.com"
        | "hub.docker.com" => "docker.io".to_string(),
        other => other.to_string(),
    }
}
