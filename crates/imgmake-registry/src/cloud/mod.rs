//! Credentials that clouds issue for their registries: ECR, Artifact Registry,
//! Azure's. Each asks its service once and says how long the answer lasts.
//!
//! Knows settings and a session to send requests through. Every service's
//! address can be set, so that private endpoints and tests are reached the same way.

mod aws;
mod azure;
mod gcp;
mod jwt;
mod keys;
mod profile;
mod sigv4;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::http::Method;
use url::Url;

use super::credentials::Credential;
use super::endpoint::{Declared, Endpoint};
use super::http::{Body, Call, exchange};
use super::session::Session;
use super::{Auth, Client, ClientOptions, Failure, HostSettings, RegistryError, Secret};

/// A cloud's answer is asked for again this long before it ends.
const MARGIN: Duration = Duration::from_secs(300);
/// Answers of token services are small.
const SMALL: u64 = 1 << 20;
/// Metadata services are next door or not there at all.
const NEXT_DOOR: Duration = Duration::from_secs(3);

type Environment = BTreeMap<String, String>;
/// A credential and how long it lasts.
type Issued = (Credential, Option<Duration>);

/// The credential and how long it lasts; `None` when the settings name no cloud.
pub(super) fn credential(
    session: &Session,
    auth: &Auth,
    registry: &str,
    options: &ClientOptions,
) -> Result<Option<Issued>, RegistryError> {
    let environment = &options.environment;
    match auth {
        Auth::AwsEcr { options } => {
            let settings = Settings::read("aws-ecr", options, aws::OPTIONS)?;
            aws::credential(session, &settings, registry, environment)
        }
        Auth::Gcp { options } => {
            let settings = Settings::read("gcp", options, gcp::OPTIONS)?;
            gcp::credential(session, &settings, environment)
        }
        Auth::Azure { options } => {
            let settings = Settings::read("azure", options, azure::OPTIONS)?;
            azure::credential(session, &settings, registry, environment)
        }
        _ => return Ok(None),
    }
    .map(Some)
}

/// Makes the repository where the settings ask for it and the registry needs it;
/// one that is there is fine. Others than ECR make repositories on push.
pub(super) fn create_repository(session: &Session, repository: &str) -> Result<(), RegistryError> {
    let settings = &session.endpoint.settings;
    let registry = &session.endpoint.registry;
    let options = match &settings.auth {
        Auth::AwsEcr { options } => options.clone(),
        _ if aws::Host::parse(registry).is_some() => BTreeMap::new(),
        _ => return Ok(()),
    };
    let mut created = session.created.lock().expect("no panic while creating");
    let options = Settings::read("aws-ecr", &options, aws::OPTIONS)?;
    let policies = ["lifecycle-policy", "repository-policy"];
    let wished = settings.create_repository || options.first(&policies).is_some();
    if !wished || created.contains(repository) {
        return Ok(());
    }
    aws::create_repository(session, &options, registry, repository)
        .map_err(|e| e.during(registry, repository, "create the repository"))?;
    created.insert(repository.to_string());
    Ok(())
}

impl Client {
    /// The registry of whoever the options of `aws-ecr` are: its host.
    ///
    /// # Errors
    /// Keys that are missing or refused, as for a pull.
    pub fn ecr_registry(
        &self,
        options: &BTreeMap<String, Secret>,
    ) -> Result<String, RegistryError> {
        let settings = Settings::read("aws-ecr", options, aws::OPTIONS)?;
        let endpoint = Endpoint::new(
            "ecr",
            HostSettings::default(),
            Declared::default(),
            &self.inner.options,
        );
        let session = Session::new(endpoint, Arc::clone(&self.inner.options));
        aws::own_registry(&session, &settings, &self.inner.options.environment)
    }
}

/// What a cloud's registry means by a failure that says nothing by itself.
pub(super) fn explain(session: &Session, error: RegistryError) -> RegistryError {
    let endpoint = &session.endpoint;
    let ecr = matches!(endpoint.settings.auth, Auth::AwsEcr { .. })
        || aws::Host::parse(&endpoint.registry).is_some();
    let closed = error.failure() == Failure::Connection && error.status().is_none();
    match ecr && closed && !endpoint.settings.create_repository && error.advice().is_none() {
        true => error.help(
            "ECR closes the connection on a push to a repository that does not exist; create it, or set `create-repo #true`",
        ),
        false => error,
    }
}

/// Options by their names in the manifest.
struct Settings {
    values: BTreeMap<String, Secret>,
}

impl Settings {
    fn read(
        kind: &str,
        options: &BTreeMap<String, Secret>,
        known: &[&str],
    ) -> Result<Settings, RegistryError> {
        let mut values = BTreeMap::new();
        for (name, value) in options {
            let name = name.replace('_', "-");
            if !known.contains(&name.as_str()) {
                return Err(RegistryError::configuration(format!(
                    "`auth {kind}` has no option `{name}`; it has {}",
                    known.join(", ")
                )));
            }
            if !value.0.is_empty() {
                values.insert(name, value.clone());
            }
        }
        Ok(Settings { values })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|v| v.0.as_str())
    }

    fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|n| self.get(n))
    }
}

fn filled<'e>(environment: &'e Environment, name: &str) -> Option<&'e str> {
    environment
        .get(name)
        .map(String::as_str)
        .filter(|v| !v.is_empty())
}

fn read_file(path: &str, what: &str) -> Result<String, RegistryError> {
    fs::read_to_string(path)
        .map_err(|e| RegistryError::configuration(format!("cannot read {what} `{path}`: {e}")))
}

/// A document given as text, as base64 of it, or as the path of a file.
fn document(value: &str, opening: &str, what: &str) -> Result<String, RegistryError> {
    let value = value.trim();
    if value.starts_with(opening) {
        return Ok(value.to_string());
    }
    let packed: String = value.split_whitespace().collect();
    let unpacked = STANDARD
        .decode(packed)
        .ok()
        .and_then(|b| String::from_utf8(b).ok());
    if let Some(text) = unpacked.filter(|t| t.trim_start().starts_with(opening)) {
        return Ok(text);
    }
    if value.len() < 4096 && Path::new(value).is_file() {
        return read_file(value, what);
    }
    Err(RegistryError::configuration(format!(
        "{what} is neither the document, nor base64 of it, nor a file"
    )))
}

fn address(text: &str) -> Result<Url, RegistryError> {
    Url::parse(text)
        .ok()
        .filter(|u| matches!(u.scheme(), "http" | "https"))
        .ok_or_else(|| {
            RegistryError::configuration(format!("`{text}` is not an http or https address"))
        })
}

/// POSTs a form and reads JSON back.
fn post_form(
    session: &Session,
    url: Url,
    fields: &[(&str, &str)],
) -> Result<serde_json::Value, RegistryError> {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    let call = Call::new(Method::POST, url)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("Accept", "application/json")
        .body(Body::Bytes(form.as_bytes()));
    json(&session.plain(&call, None)?.bytes(SMALL)?)
}

fn json(bytes: &[u8]) -> Result<serde_json::Value, RegistryError> {
    serde_json::from_slice(bytes).map_err(|_| {
        RegistryError::invalid("a token service answered with something that is not JSON")
    })
}

fn text<'v>(value: &'v serde_json::Value, name: &str) -> Result<&'v str, RegistryError> {
    value
        .get(name)
        .and_then(serde_json::Value::as_str)
        .filter(|t| !t.is_empty())
        .ok_or_else(|| RegistryError::invalid(format!("a token service's answer has no `{name}`")))
}

/// `expires_in`, a number or a number in a string; an hour when it is missing.
fn lifetime(value: &serde_json::Value) -> Duration {
    let seconds = value.get("expires_in").and_then(|v| match v {
        serde_json::Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    });
    lasting(Duration::from_secs(seconds.unwrap_or(3600)))
}

/// What is left of a lifetime after the margin, or half of a short one.
fn lasting(whole: Duration) -> Duration {
    whole.saturating_sub(MARGIN).max(whole / 2)
}

/// Asks a metadata service: no proxy, no patience, no retries.
fn metadata(
    method: Method,
    url: Url,
    headers: &[(&'static str, &str)],
) -> Result<Vec<u8>, RegistryError> {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(NEXT_DOOR))
        .build()
        .new_agent();
    let mut call = Call::new(method, url);
    for (name, value) in headers {
        call = call.header(name, *value);
    }
    if call.method != Method::GET {
        call = call.body(super::session::EMPTY);
    }
    let answer = exchange(&agent, &call, None)?;
    if !answer.is_success() {
        return Err(RegistryError::invalid(format!(
            "the metadata service answered {}",
            answer.status
        )));
    }
    answer.bytes(SMALL)
}
