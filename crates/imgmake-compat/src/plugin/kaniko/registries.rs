//! Logins, transport and mirrors of registries, as nodes.

use std::collections::BTreeMap;

use super::azure;
use super::command_line::CommandLine;
use crate::credentials::of_variable;
use crate::error::{invalid, malformed};
use crate::nodes::{parts, registry};
use crate::plugin::repositories::registry_host;
use crate::plugin::{Refusal, Workspace};
use imgmake_core::manifest::{AuthNode, PasswordFrom, RegistryNode};

/// Where kaniko's own image keeps its docker config.
const KANIKO_CONFIG: &str = "/kaniko/.docker/config.json";

/// The docker config to be used: `DOCKER_CONFIG` is a matter of the environment;
/// without it, kaniko's own file if there is one.
pub(super) fn docker_config(workspace: &Workspace) -> Option<String> {
    let named = workspace.environment.get("DOCKER_CONFIG");
    if named.is_some_and(|directory| !directory.is_empty()) {
        return None;
    }
    (workspace.read)(KANIKO_CONFIG)
        .ok()
        .map(|_| KANIKO_CONFIG.to_string())
}

/// Nodes for the destinations, the registries that flags name, and the base images.
pub(super) fn registries(
    line: &CommandLine,
    workspace: &Workspace,
    destinations: &[String],
    bases: &[String],
) -> Result<Vec<RegistryNode>, Refusal> {
    let credentials = Credentials::new(line, workspace)?;
    let mut nodes = Nodes {
        credentials: &credentials,
        nodes: BTreeMap::new(),
    };
    let (plain, any) = (line.flag("insecure"), line.flag("skip-tls-verify"));
    for destination in destinations {
        let node = nodes.pushed_to(&parts(destination).0);
        node.insecure |= plain;
        node.skip_tls_verify |= any;
    }
    mirrors(line, workspace, &mut nodes)?;
    let plain = line.flag("insecure-pull");
    let any = line.flag("skip-tls-verify-pull");
    for host in bases.iter().map(|base| parts(base).0) {
        let mirrors = nodes.node(&host).mirrors.clone();
        for place in mirrors.iter().chain([&host]) {
            let node = nodes.node(place);
            node.insecure |= plain;
            node.skip_tls_verify |= any;
        }
    }
    for host in line.all("insecure-registry") {
        nodes.node(&host).insecure = true;
    }
    for host in line.all("skip-tls-verify-registry") {
        nodes.node(&host).skip_tls_verify = true;
    }
    certificates(line, &mut nodes)?;
    Ok(nodes.nodes.into_values().collect())
}

struct Nodes<'a> {
    credentials: &'a Credentials<'a>,
    nodes: BTreeMap<String, RegistryNode>,
}

impl Nodes<'_> {
    /// The node of `host[:port][/path]`.
    fn node(&mut self, place: &str) -> &mut RegistryNode {
        let place = registry_host(place);
        let auth = || self.credentials.find(&place, Use::Pull);
        self.nodes
            .entry(place.clone())
            .or_insert_with(|| registry(&place, auth()))
    }

    fn pushed_to(&mut self, host: &str) -> &mut RegistryNode {
        let auth = self.credentials.find(host, Use::Push);
        let node = self.node(host);
        node.auth = auth;
        node
    }
}

/// `--registry-mirror` is Docker Hub's `--registry-map`; the environment adds to both.
fn mirrors(line: &CommandLine, workspace: &Workspace, nodes: &mut Nodes) -> Result<(), Refusal> {
    let from = |name: &str| {
        workspace
            .environment
            .get(name)
            .filter(|text| !text.is_empty())
            .map(|text| (name.to_string(), text.clone()))
    };
    let flags = |name: &str| {
        let named = move |text: String| (format!("--{name}"), text);
        line.all(name).into_iter().map(named).collect::<Vec<_>>()
    };
    let only = line.flag("skip-default-registry-fallback");
    for (flag, map) in flags("registry-map")
        .into_iter()
        .chain(from("KANIKO_REGISTRY_MAP"))
    {
        for pair in map.split(';').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some((host, mirror)) if !host.is_empty() && !mirror.is_empty() => {
                    add_mirror(nodes, host, mirror, only);
                }
                _ => {
                    return Err(Refusal::new(
                        invalid("`host=mirror`", format!("{pair:?} in {flag}")),
                        "write `host=mirror`, separated by semicolons",
                    ));
                }
            }
        }
    }
    let given = flags("registry-mirror");
    for (flag, mirror) in given.into_iter().chain(from("KANIKO_REGISTRY_MIRROR")) {
        if mirror.is_empty() || mirror.contains([',', ';', '=', ' ']) {
            return Err(Refusal::new(
                invalid("host", format!("{flag}={mirror:?}")),
                "give one host; the flag can be repeated",
            ));
        }
        add_mirror(nodes, "docker.io", &mirror, only);
    }
    Ok(())
}

fn add_mirror(nodes: &mut Nodes, host: &str, mirror: &str, only: bool) {
    let mirror = registry_host(mirror);
    let node = nodes.node(host);
    node.mirrors_only = only;
    if !node.mirrors.contains(&mirror) {
        node.mirrors.push(mirror);
    }
}

fn certificates(line: &CommandLine, nodes: &mut Nodes) -> Result<(), Refusal> {
    for (host, file) in line.pairs("registry-certificate") {
        nodes.node(&host).ca = Some(file);
    }
    for (host, pair) in line.pairs("registry-client-cert") {
        let Some((certificate, key)) = pair.split_once(',') else {
            return Err(Refusal::new(
                malformed(
                    format!("--registry-client-cert={host}={pair}"),
                    "names no key",
                ),
                "write `host=/certificate,/key`",
            ));
        };
        nodes.node(&host).client_cert = Some((certificate.into(), key.into()));
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Pull,
    Push,
}

/// kaniko's order: the docker config, then the helpers that are switched on.
struct Credentials<'a> {
    environment: &'a BTreeMap<String, String>,
    helpers: Vec<String>,
    configs: Vec<serde_json::Value>,
    /// Of Kubernetes' Azure provider.
    azure: Option<BTreeMap<String, PasswordFrom>>,
}

impl<'a> Credentials<'a> {
    fn new(line: &CommandLine, workspace: &'a Workspace) -> Result<Credentials<'a>, Refusal> {
        let environment = workspace.environment;
        let helpers = match line.all("credential-helpers") {
            all if all.is_empty() => ["env", "google", "ecr", "acr", "gitlab"]
                .map(String::from)
                .into(),
            some => some,
        };
        let set = |name: &str| environment.get(name).filter(|text| !text.is_empty());
        let files = [
            set("DOCKER_CONFIG").map(|dir| format!("{}/config.json", dir.trim_end_matches('/'))),
            docker_config(workspace),
            set("HOME").map(|home| format!("{home}/.docker/config.json")),
            set("REGISTRY_AUTH_FILE").cloned(),
        ];
        let texts = files
            .into_iter()
            .flatten()
            .filter_map(|path| (workspace.read)(&path).ok())
            .chain(set("DOCKER_AUTH_CONFIG").cloned());
        let azure = line.text("azure-container-registry-config");
        Ok(Credentials {
            environment,
            helpers,
            azure: azure
                .map(|path| azure::options(&path, workspace))
                .transpose()?,
            configs: texts
                .filter_map(|text| serde_json::from_str(&text).ok())
                .collect(),
        })
    }

    fn find(&self, host: &str, used: Use) -> AuthNode {
        if self.is_in_config(host) {
            return AuthNode::DockerConfig;
        }
        if let Some(azure) = self.azure.as_ref().filter(|_| azure::is_registry(host)) {
            return AuthNode::Azure(azure.clone());
        }
        let helpers = self.helpers.iter();
        helpers
            .filter_map(|helper| match helper.as_str() {
                "env" => self.named_in_environment(host),
                "google" => self.google(host, used),
                "ecr" => self
                    .cloud(
                        is_ecr(host),
                        used,
                        &[
                            "AWS_ACCESS_KEY_ID",
                            "AWS_WEB_IDENTITY_TOKEN_FILE",
                            "AWS_PROFILE",
                            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                        ],
                    )
                    .map(AuthNode::AwsEcr),
                "acr" => self
                    .cloud(azure::is_registry(host), used, &["AZURE_CLIENT_ID"])
                    .map(AuthNode::Azure),
                "gitlab" => self.gitlab(host),
                _ => None,
            })
            .next()
            .unwrap_or_default()
    }

    /// Whether a docker config has anything to say about a host.
    fn is_in_config(&self, host: &str) -> bool {
        self.configs.iter().any(|config| {
            let store = config.get("credsStore").and_then(|store| store.as_str());
            let named = ["auths", "credHelpers"].into_iter().any(|table| {
                let table = config.get(table).and_then(|table| table.as_object());
                table.is_some_and(|table| table.keys().any(|key| is_for(key, host)))
            });
            named || store.is_some_and(|store| !store.is_empty())
        })
    }

    /// `KANIKO_<HOST>_USER` and `_PASSWORD`; the host's first parts can be left out.
    fn named_in_environment(&self, host: &str) -> Option<AuthNode> {
        let host = host.split('/').next()?.replace('-', "_").to_uppercase();
        let host = if host == "DOCKER.IO" {
            "INDEX.DOCKER.IO".into()
        } else {
            host
        };
        let parts: Vec<&str> = host.split('.').collect();
        (0..parts.len()).find_map(|from| {
            let name = parts[from..].join("_");
            self.login(
                &format!("KANIKO_{name}_USER"),
                &format!("KANIKO_{name}_PASSWORD"),
            )
        })
    }

    /// What GitLab gives its jobs, for its own registry and dependency proxy.
    fn gitlab(&self, host: &str) -> Option<AuthNode> {
        let ours = ["CI_REGISTRY", "CI_DEPENDENCY_PROXY_SERVER"];
        let is_ours = |name: &str| {
            let url = self.environment.get(name);
            url.is_some_and(|url| registry_host(url).trim_end_matches(":443") == host)
        };
        ours.into_iter().find(|name| is_ours(name))?;
        self.login("CI_DEPLOY_USER", "CI_DEPLOY_PASSWORD")
            .or_else(|| {
                self.environment.get("CI_JOB_TOKEN")?;
                Some(basic("gitlab-ci-token", "CI_JOB_TOKEN"))
            })
    }

    /// The variables of a user and of a password.
    fn login(&self, user: &str, password: &str) -> Option<AuthNode> {
        let user = self.environment.get(user)?;
        self.environment.get(password)?;
        Some(basic(user, password))
    }

    fn google(&self, host: &str, used: Use) -> Option<AuthNode> {
        let ours = host == "gcr.io" || host.ends_with(".gcr.io") || host.ends_with(".pkg.dev");
        self.cloud(ours, used, &["GOOGLE_APPLICATION_CREDENTIALS"])
            .map(AuthNode::Gcp)
    }

    /// A push needs a credential, so a cloud is asked for one; what is pulled may
    /// be public, and only where the environment has the cloud's variables is it asked.
    fn cloud(
        &self,
        ours: bool,
        used: Use,
        signs: &[&str],
    ) -> Option<BTreeMap<String, PasswordFrom>> {
        let is_there = || {
            signs.iter().any(|name| {
                self.environment
                    .get(*name)
                    .is_some_and(|text| !text.is_empty())
            })
        };
        (ours && (used == Use::Push || is_there())).then(BTreeMap::new)
    }
}

/// The user, and the variable of the password.
fn basic(user: &str, password: &str) -> AuthNode {
    AuthNode::Basic {
        user: user.to_string(),
        password: of_variable(password),
    }
}

/// `https://index.docker.io/v1/`, `host`, `host/path`, `*.host` as they stand in a docker config.
fn is_for(key: &str, host: &str) -> bool {
    let key = registry_host(key);
    let key = key.split('/').next().unwrap_or_default();
    let host = host.split('/').next().unwrap_or_default();
    key == host
        || key
            .strip_prefix('*')
            .is_some_and(|suffix| suffix.starts_with('.') && host.ends_with(suffix))
}

/// `<account>.dkr.ecr.<region>.<suffix>`, in every partition of AWS, with FIPS or both IP versions.
fn is_ecr(host: &str) -> bool {
    const SUFFIXES: [&str; 9] = [
        ".amazonaws.com",
        ".amazonaws.com.cn",
        ".amazonaws.eu",
        ".c2s.ic.gov",
        ".sc2s.sgov.gov",
        ".cloud.adc-e.uk",
        ".csp.hci.ic.gov",
        ".on.aws",
        ".on.amazonwebservices.com.cn",
    ];
    let Some((account, rest)) = host.split_once('.') else {
        return false;
    };
    let services = ["dkr.ecr.", "dkr.ecr-fips.", "dkr-ecr.", "dkr-ecr-fips."];
    let digits = !account.is_empty() && account.bytes().all(|b| b.is_ascii_digit());
    host == "public.ecr.aws"
        || (digits
            && services.iter().any(|service| rest.starts_with(service))
            && SUFFIXES.iter().any(|suffix| rest.ends_with(suffix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecr_is_known_in_every_partition() {
        for host in [
            "public.ecr.aws",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
            "123456789012.dkr-ecr.eu-west-1.on.aws",
        ] {
            assert!(is_ecr(host), "{host}");
        }
        for host in [
            "ghcr.io",
            "x.dkr.ecr.eu-west-1.amazonaws.com",
            "1.dkr.ecr.eu-west-1.amazonaws.com.evil.com",
            "1.s3.eu-west-1.amazonaws.com",
        ] {
            assert!(!is_ecr(host), "{host}");
        }
    }
}
