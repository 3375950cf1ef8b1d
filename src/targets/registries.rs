//! The registries of a manifest as the client wants them.

use std::collections::BTreeMap;
use std::path::Path;

use super::project::Project;
use super::secrets::{expand_home, password};
use imgmake_core::manifest::{AuthNode, Manifest, PasswordFrom, RegistryNode};
use imgmake_event::Cancel;
use imgmake_registry::{Auth, HostSettings, MirrorFallback, Secret};

pub(super) fn host(
    node: &RegistryNode,
    manifest: &Manifest,
    project: &Project,
    variables: &BTreeMap<String, String>,
    cancel: &Cancel,
) -> anyhow::Result<HostSettings> {
    let secrets = &manifest.secrets;
    let secret =
        |from: &PasswordFrom| password(from, secrets, &project.directory, variables, cancel);
    let options =
        |map: &BTreeMap<String, PasswordFrom>| -> anyhow::Result<BTreeMap<String, Secret>> {
            // The manifest writes `access-key`, the client's options are `access_key`.
            map.iter()
                .map(|(name, from)| {
                    let value = located(name, secret(from)?, &project.directory, variables);
                    Ok((name.replace('-', "_"), value))
                })
                .collect()
        };
    let auth = match &node.auth {
        AuthNode::DockerConfig => Auth::DockerConfig,
        AuthNode::Anonymous => Auth::Anonymous,
        AuthNode::Basic { user, password } => Auth::Basic {
            user: user.clone(),
            password: secret(password)?,
            source: origin(node, project),
        },
        AuthNode::Bearer { token } => Auth::Bearer {
            token: secret(token)?,
        },
        AuthNode::AwsEcr(map) => Auth::AwsEcr {
            options: options(map)?,
        },
        AuthNode::Gcp(map) => Auth::Gcp {
            options: options(map)?,
        },
        AuthNode::Azure(map) => Auth::Azure {
            options: options(map)?,
        },
    };
    let path = |text: &String| project.directory.join(text);
    Ok(HostSettings {
        prefix: node.prefix.value.clone(),
        auth,
        insecure: node.insecure,
        skip_tls_verify: node.skip_tls_verify,
        ca: node.ca.as_ref().map(path),
        client_certificate: node
            .client_cert
            .as_ref()
            .map(|(certificate, key)| (path(certificate), path(key))),
        concurrency: node.concurrency,
        create_repository: node.create_repo,
        mirrors: node.mirrors.clone(),
        mirror_fallback: match node.mirrors_only {
            true => MirrorFallback::Off,
            false => MirrorFallback::Allowed,
        },
    })
}

/// Options that may be files, by their place; a document stays as it is.
fn located(
    name: &str,
    value: Secret,
    directory: &Path,
    variables: &BTreeMap<String, String>,
) -> Secret {
    const FILES: [&str; 4] = [
        "key-file",
        "certificate",
        "lifecycle-policy",
        "repository-policy",
    ];
    let path = expand_home(&value.0, directory, variables);
    // Beyond this length a name is none, and asking for it an error.
    let is_file = FILES.contains(&name) && value.0.len() < 4096 && path.is_file();
    match is_file {
        true => Secret(path.display().to_string()),
        false => value,
    }
}

/// Where a credential was written, for messages.
fn origin(node: &RegistryNode, project: &Project) -> String {
    let place = project.place(node.name.span.start);
    place.unwrap_or_else(|| "the step's variables".to_string())
}
