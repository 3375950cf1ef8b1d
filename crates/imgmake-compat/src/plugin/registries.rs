//! Who the step is to which registry, as registry nodes of the manifest.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;

use super::Refusal;
use super::family::{Cloud, EntryPoint, Family};
use super::reader::Reader;
use super::repositories::registry_host;
use crate::credentials::of_variable;
use crate::error::{self, missing};
use crate::nodes::{parts, registry};
use crate::step::Transport;
use imgmake_core::manifest::{AuthNode, PasswordFrom, RegistryNode};

/// The push registry, the base images' registry, and what the flags about
/// certificates and mirrors say of them.
pub(super) fn registries(
    entry: EntryPoint,
    reader: &Reader,
    destinations: &[String],
    caches: &[String],
    notes: &mut Vec<String>,
) -> Result<Vec<RegistryNode>, Refusal> {
    let mut nodes = docker_config(reader)?;
    if let Some((host, auth)) = base(entry, reader)? {
        nodes.insert(host.clone(), registry(&host, auth));
    }
    let auth = push_auth(entry, reader)?;
    let mut hosts: Vec<String> = destinations.iter().map(|d| parts(d).0).collect();
    if hosts.is_empty() {
        hosts
            .extend(Some(registry_host(&reader.text("PLUGIN_REGISTRY"))).filter(|h| !h.is_empty()));
    }
    let meant = Meant::read(reader, &hosts);
    let mut elsewhere = BTreeSet::new();
    for host in hosts {
        let auth = if meant.for_host(&host) {
            auth.clone()
        } else {
            elsewhere.insert(host.clone());
            AuthNode::DockerConfig
        };
        if !matches!(auth, AuthNode::DockerConfig) || !nodes.contains_key(&host) {
            nodes.insert(host.clone(), registry(&host, auth));
        }
    }
    if entry.cloud == Cloud::Docker && !matches!(auth, AuthNode::DockerConfig) {
        let bare = elsewhere
            .iter()
            .filter(|host| matches!(nodes[*host].auth, AuthNode::DockerConfig));
        notes.extend(bare.map(|host| meant.note(host)));
    }
    if entry.cloud == Cloud::Acr {
        for name in ["PLUGIN_LIFECYCLE_POLICY", "PLUGIN_REPOSITORY_POLICY"] {
            notes.extend(
                reader
                    .some(name)
                    .map(|_| format!("{name} has no effect: it is for ECR")),
            );
        }
    }
    let any_certificate = reader.flag("PLUGIN_CACHE_TLS_INSECURE");
    for host in caches.iter().map(|cache| parts(cache).0) {
        let auth = match meant.for_host(&host) {
            true => auth.clone(),
            false => AuthNode::DockerConfig,
        };
        let node = nodes
            .entry(host.clone())
            .or_insert_with(|| registry(&host, auth));
        node.skip_tls_verify |= any_certificate;
    }
    let written: Vec<String> = destinations.iter().chain(caches).cloned().collect();
    set_transport(entry, reader, &written, &mut nodes)?;
    Ok(nodes.into_values().collect())
}

/// Which registry the step's credential is for.
struct Meant {
    /// As the step says it, or Docker's own, which is the plugins' default.
    registry: String,
    /// A step that names no registry, and pushes to one alone, means that one.
    only: Option<String>,
    /// How names of images get the registry before them.
    help: String,
}

impl Meant {
    fn read(reader: &Reader, hosts: &[String]) -> Meant {
        let unnamed = reader.variable("PLUGIN_REGISTRY").is_none();
        // Several tags of one repository are one place.
        let one = hosts.first();
        let one = one.filter(|one| unnamed && hosts.iter().all(|host| host == *one));
        let registry = registry_host(&reader.text("PLUGIN_REGISTRY"));
        let named = format!("write `PLUGIN_REPO={registry}/…`");
        let listed = reader.first_set(&["PLUGIN_DESTINATIONS"]).is_some();
        let help = match reader.is_read("PLUGIN_EXPAND_REPO") {
            _ if listed => String::new(),
            true => format!("; set PLUGIN_EXPAND_REPO=true or {named} to push there"),
            false => format!("; {named} to push there"),
        };
        Meant {
            registry,
            only: one.cloned(),
            help,
        }
    }

    /// A credential goes to the registry it was given for, and to no other.
    fn for_host(&self, host: &str) -> bool {
        self.registry.is_empty()
            || host == self.registry
            || self.registry.starts_with(&format!("{host}/"))
            || self.only.as_deref() == Some(host)
    }

    fn note(&self, host: &str) -> String {
        let Meant { registry, help, .. } = self;
        format!(
            "the step's user and password are for `{registry}` (PLUGIN_REGISTRY), and `{host}` gets none{help}"
        )
    }
}

/// `PLUGIN_CONFIG` is the text of a docker config: a login for each host.
fn docker_config(reader: &Reader) -> Result<BTreeMap<String, RegistryNode>, Refusal> {
    let Some(text) = reader.some("PLUGIN_CONFIG") else {
        return Ok(BTreeMap::new());
    };
    // No part of the text is repeated: it is all logins.
    let malformed = |what: &str| {
        Refusal::new(
            error::malformed("PLUGIN_CONFIG", what),
            "give the text of a docker config: {\"auths\": {\"HOST\": {\"auth\": \"…\"}}}",
        )
    };
    let config: serde_json::Value =
        serde_json::from_str(&text).map_err(|_| malformed("not JSON"))?;
    for helper in ["credHelpers", "credsStore"] {
        if config.get(helper).is_some() {
            return Err(malformed(&format!("`{helper}` is not read, only `auths`")));
        }
    }
    let auths = config.get("auths").and_then(|auths| auths.as_object());
    let auths = auths.ok_or_else(|| malformed("`auths` not found"))?;
    let mut nodes = BTreeMap::new();
    for (host, login) in auths {
        let (user, password) =
            login_of(login).ok_or_else(|| malformed(&format!("invalid `auth` of `{host}`")))?;
        let host = registry_host(host);
        let password = PasswordFrom::Literal(password);
        nodes.insert(
            host.clone(),
            registry(&host, AuthNode::Basic { user, password }),
        );
    }
    Ok(nodes)
}

/// `auth` is base64 of `user:password`; some write the two beside each other.
fn login_of(login: &serde_json::Value) -> Option<(String, String)> {
    let text = |name: &str| login.get(name)?.as_str().map(String::from);
    if let Some(packed) = text("auth").filter(|packed| !packed.is_empty()) {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(packed.trim())
            .ok()?;
        let both = String::from_utf8(bytes).ok()?;
        let (user, password) = both.split_once(':')?;
        return Some((user.to_string(), password.to_string()));
    }
    Some((text("username")?, text("password")?))
}

/// The registry of base images, when it has credentials of its own.
fn base(entry: EntryPoint, reader: &Reader) -> Result<Option<(String, AuthNode)>, Refusal> {
    let host = match reader.text("PLUGIN_DOCKER_REGISTRY") {
        url if url.is_empty() => "docker.io".to_string(),
        url => registry_host(&url),
    };
    // kaniko-ecr reads the base image's user under the general names.
    let (user, password) = match (entry.family, entry.cloud) {
        (Family::Kaniko, Cloud::Ecr) => ("PLUGIN_USERNAME", "PLUGIN_PASSWORD"),
        _ => ("PLUGIN_DOCKER_USERNAME", "PLUGIN_DOCKER_PASSWORD"),
    };
    Ok(basic(reader, user, password)?.map(|auth| (host, auth)))
}

fn push_auth(entry: EntryPoint, reader: &Reader) -> Result<AuthNode, Refusal> {
    match entry.cloud {
        Cloud::Docker if let Some(token) = reader.variable("ACCESS_TOKEN") => Ok(AuthNode::Basic {
            user: "oauth2accesstoken".into(),
            password: of_variable(token),
        }),
        Cloud::Docker => {
            Ok(basic(reader, "PLUGIN_USERNAME", "PLUGIN_PASSWORD")?.unwrap_or_default())
        }
        Cloud::Ecr => Ok(AuthNode::AwsEcr(ecr(entry, reader))),
        Cloud::Gcr | Cloud::Gar => google(reader),
        Cloud::Acr => azure(entry, reader),
        Cloud::Heroku => {
            let user = reader
                .first_set(&["PLUGIN_EMAIL", "HEROKU_EMAIL"])
                .unwrap_or_else(|| "_".into());
            let key = reader.first_name(&["PLUGIN_API_KEY", "HEROKU_API_KEY"]);
            let password = key.map_or_else(|| PasswordFrom::Literal(String::new()), of_variable);
            Ok(AuthNode::Basic { user, password })
        }
    }
}

/// A user and a password, or neither.
fn basic(
    reader: &Reader,
    user_name: &str,
    password_name: &str,
) -> Result<Option<AuthNode>, Refusal> {
    match (reader.some(user_name), reader.variable(password_name)) {
        (Some(user), Some(password)) => Ok(Some(AuthNode::Basic {
            user,
            password: of_variable(password),
        })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(Refusal::new(
            missing(password_name, format!("{user_name} is set")),
            "set both or neither",
        )),
        (None, Some(_)) => Err(Refusal::new(
            missing(user_name, format!("{password_name} is set")),
            "set both or neither",
        )),
    }
}

/// Options of the `aws-ecr` kind; what is absent comes from AWS's default chain.
pub(super) fn ecr(entry: EntryPoint, reader: &Reader) -> BTreeMap<String, PasswordFrom> {
    let wrapper = entry.family != Family::Kaniko;
    let text = |declared: &str, names: &[&str]| {
        let by_name = || reader.first_set(names).filter(|_| wrapper);
        reader
            .some(declared)
            .or_else(by_name)
            .map(PasswordFrom::Literal)
    };
    let credential = |declared: &str, names: &[&str]| {
        let by_name = || reader.first_name(names).filter(|_| wrapper);
        let name = reader.variable(declared).map(String::from);
        let name = name.or_else(|| by_name().map(String::from));
        name.map(|name| of_variable(&name))
    };
    let scan = || reader.first_set(&["PLUGIN_SCAN_ON_PUSH"]);
    let scan = wrapper.then(scan).flatten();
    let options = [
        (
            "region",
            text(
                "PLUGIN_REGION",
                &["PLUGIN_REGION", "ECR_REGION", "AWS_REGION"],
            ),
        ),
        (
            "access-key",
            credential(
                "PLUGIN_ACCESS_KEY",
                &["PLUGIN_ACCESS_KEY", "ECR_ACCESS_KEY"],
            ),
        ),
        (
            "secret-key",
            credential(
                "PLUGIN_SECRET_KEY",
                &["PLUGIN_SECRET_KEY", "ECR_SECRET_KEY"],
            ),
        ),
        (
            "assume-role",
            text("PLUGIN_ASSUME_ROLE", &["PLUGIN_ASSUME_ROLE"]),
        ),
        (
            "external-id",
            text("PLUGIN_EXTERNAL_ID", &["PLUGIN_EXTERNAL_ID"]),
        ),
        (
            "web-identity-token",
            reader.variable("PLUGIN_OIDC_TOKEN_ID").map(of_variable),
        ),
        (
            "scan-on-push",
            scan.map(|text| PasswordFrom::Literal(lenient(&text).to_string())),
        ),
        (
            "lifecycle-policy",
            text("PLUGIN_LIFECYCLE_POLICY", &["PLUGIN_LIFECYCLE_POLICY"]),
        ),
        (
            "repository-policy",
            text("PLUGIN_REPOSITORY_POLICY", &["PLUGIN_REPOSITORY_POLICY"]),
        ),
    ];
    options
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_string(), value?)))
        .collect()
}

/// The cloud wrappers take what is no boolean for false.
fn lenient(text: &str) -> bool {
    super::value::boolean("", text).unwrap_or(false)
}

fn google(reader: &Reader) -> Result<AuthNode, Refusal> {
    let name = reader.variable("PLUGIN_JSON_KEY").or_else(|| {
        reader.first_name(&[
            "PLUGIN_JSON_KEY",
            "GCR_JSON_KEY",
            "GOOGLE_CREDENTIALS",
            "TOKEN",
        ])
    });
    let Some(name) = name else {
        return Ok(AuthNode::Gcp(BTreeMap::new()));
    };
    let key = reader.first_set(&[name]).unwrap_or_default();
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(key.trim())
        .ok()
        .and_then(|b| String::from_utf8(b).ok());
    let is_json = |text: &str| text.trim_start().starts_with('{');
    let password = match decoded {
        Some(decoded) if is_json(&decoded) => PasswordFrom::Literal(decoded),
        None if is_json(&key) => of_variable(name),
        _ => {
            return Err(Refusal::new(
                error::malformed("PLUGIN_JSON_KEY", "neither a JSON key nor base64 of one"),
                "give the service account's key file as it is",
            ));
        }
    };
    Ok(AuthNode::Basic {
        user: "_json_key".into(),
        password,
    })
}

fn azure(entry: EntryPoint, reader: &Reader) -> Result<AuthNode, Refusal> {
    if entry.family != Family::Kaniko {
        let user = reader.first_set(&["SERVICE_PRINCIPAL_CLIENT_ID", "PLUGIN_USERNAME"]);
        let password = reader.first_name(&["SERVICE_PRINCIPAL_CLIENT_SECRET", "PLUGIN_PASSWORD"]);
        return match (user, password) {
            (Some(user), Some(password)) => Ok(AuthNode::Basic {
                user,
                password: of_variable(password),
            }),
            (None, None) => Ok(AuthNode::DockerConfig),
            _ => Err(Refusal::new(
                missing(
                    "one of SERVICE_PRINCIPAL_CLIENT_ID and SERVICE_PRINCIPAL_CLIENT_SECRET",
                    "the other is set",
                ),
                "set both or neither",
            )),
        };
    }
    let text = |name: &str| reader.some(name).map(PasswordFrom::Literal);
    let credential = |name: &str| reader.variable(name).map(of_variable);
    let options = [
        ("tenant", text("TENANT_ID")),
        ("client", text("CLIENT_ID")),
        ("secret", credential("CLIENT_SECRET")),
        ("certificate", text("CLIENT_CERTIFICATE")),
        ("federated-token", credential("PLUGIN_OIDC_TOKEN_ID")),
        ("authority-host", text("AZURE_AUTHORITY_HOST")),
    ];
    let options = options.into_iter();
    let options = options.filter_map(|(option, value)| Some((option.to_string(), value?)));
    Ok(AuthNode::Azure(options.collect()))
}

/// Plain HTTP, unchecked certificates, own certificates, mirrors.
fn set_transport(
    entry: EntryPoint,
    reader: &Reader,
    destinations: &[String],
    nodes: &mut BTreeMap<String, RegistryNode>,
) -> Result<(), Refusal> {
    let pushes: Vec<String> = destinations.iter().map(|d| parts(d).0).collect();
    for host in &pushes {
        let node = nodes
            .entry(host.clone())
            .or_insert_with(|| registry(host, AuthNode::DockerConfig));
        node.insecure |= reader.flag("PLUGIN_INSECURE");
        node.skip_tls_verify |= reader.flag("PLUGIN_SKIP_TLS_VERIFY");
        node.create_repo |= reader.flag("PLUGIN_CREATE_REPOSITORY")
            || (entry.family != Family::Kaniko && entry.cloud == Cloud::Ecr)
                .then(|| reader.first_set(&["PLUGIN_CREATE_REPOSITORY", "ECR_CREATE_REPOSITORY"]))
                .flatten()
                .is_some_and(|text| lenient(&text));
    }
    if let Some(host) = reader.some("PLUGIN_INSECURE_REGISTRY") {
        let host = registry_host(&host);
        nodes
            .entry(host.clone())
            .or_insert_with(|| registry(&host, AuthNode::DockerConfig))
            .insecure = true;
    }
    if let Some((host, ca)) = certificate(reader, "PLUGIN_REGISTRY_CERTIFICATE")? {
        nodes
            .entry(host.clone())
            .or_insert_with(|| registry(&host, AuthNode::DockerConfig))
            .ca = Some(ca);
    }
    if let Some((host, pair)) = certificate(reader, "PLUGIN_REGISTRY_CLIENT_CERT")? {
        let Some((certificate, key)) = pair.split_once(',') else {
            return Err(Refusal::new(
                error::malformed("PLUGIN_REGISTRY_CLIENT_CERT", "names no key"),
                "write `host=/certificate,/key`",
            ));
        };
        let node = nodes
            .entry(host.clone())
            .or_insert_with(|| registry(&host, AuthNode::DockerConfig));
        node.client_cert = Some((certificate.to_string(), key.to_string()));
    }
    let mirrors: Vec<String> = reader
        .list("PLUGIN_REGISTRY_MIRRORS")
        .into_iter()
        .chain(reader.some("PLUGIN_MIRROR"))
        .collect();
    let only = reader.flag("PLUGIN_SKIP_DEFAULT_REGISTRY_FALLBACK");
    if !mirrors.is_empty() {
        let hub = "docker.io".to_string();
        let node = nodes
            .entry(hub.clone())
            .or_insert_with(|| registry(&hub, AuthNode::DockerConfig));
        node.mirrors = mirrors.iter().map(|m| registry_host(m)).collect();
        node.mirrors_only = only;
    }
    let of_bases = base_transport(reader);
    if let Some(base) = reader.some("PLUGIN_DOCKER_REGISTRY")
        && of_bases != Transport::default()
    {
        let base = registry_host(&base);
        let node = nodes
            .entry(base.clone())
            .or_insert_with(|| registry(&base, AuthNode::DockerConfig));
        of_bases.allow(node);
    }
    if reader.flag("PLUGIN_SKIP_TLS_VERIFY_REGISTRY") {
        for host in &pushes {
            if let Some(node) = nodes.get_mut(host) {
                node.skip_tls_verify = true;
            }
        }
    }
    Ok(())
}

/// What a step says of the registries that base images come from.
pub(super) fn base_transport(reader: &Reader) -> Transport {
    let pulls = reader.flag("PLUGIN_SKIP_TLS_VERIFY_PULL");
    // Of pushes as well as pulls; the variable is a switch, so it names no host.
    let all = reader.flag("PLUGIN_SKIP_TLS_VERIFY_REGISTRY");
    Transport {
        insecure: reader.flag("PLUGIN_INSECURE_PULL"),
        skip_tls_verify: pulls || all,
    }
}

fn certificate(reader: &Reader, name: &str) -> Result<Option<(String, String)>, Refusal> {
    let Some(text) = reader.some(name) else {
        return Ok(None);
    };
    let Some((host, path)) = text.split_once('=') else {
        return Err(Refusal::new(
            error::malformed(name, "names no host"),
            "write `host=/path`",
        ));
    };
    Ok(Some((registry_host(host), path.to_string())))
}
