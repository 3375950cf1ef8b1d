//! Google: a service account's key, a federated identity or the metadata server
//! → an access token → user `oauth2accesstoken`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::Method;
use url::Url;

use super::super::credentials::Credential;
use super::super::http::{Body, Call};
use super::super::{RegistryError, Secret};
use super::exchange::{self, SMALL, lifetime, metadata, post_form, text};
use super::jwt;
use super::settings::{Environment, Settings, address, document, filled, read_file};
use super::source::{CredentialSource, Issued, Transport};

const OPTIONS: &[&str] = &[
    "key",
    "json-key",
    "key-file",
    "access-token",
    "endpoint",
    "token-endpoint",
    "metadata-endpoint",
];
const CLOUD: &str = "https://www.googleapis.com/auth/cloud-platform";
const TOKENS: &str = "https://oauth2.googleapis.com/token";

/// Google's registries.
pub(super) struct ArtifactRegistry<'e> {
    settings: Settings,
    environment: &'e Environment,
}

impl<'e> ArtifactRegistry<'e> {
    pub(super) fn new(
        options: &BTreeMap<String, Secret>,
        environment: &'e Environment,
    ) -> Result<ArtifactRegistry<'e>, RegistryError> {
        Ok(ArtifactRegistry {
            settings: Settings::read("gcp", options, OPTIONS)?,
            environment,
        })
    }
}

impl CredentialSource for ArtifactRegistry<'_> {
    fn issue(&self, transport: &dyn Transport, _: &str) -> Result<Issued, RegistryError> {
        let (settings, environment) = (&self.settings, self.environment);
        if let Some(token) = settings.get("access-token") {
            return Ok(issued(token, "the access token in the settings", None));
        }
        let key = if let Some(key) = settings.first(&["key", "json-key"]) {
            Some((
                document(key, "{", "the JSON key")?,
                "the JSON key in the settings".to_string(),
            ))
        } else {
            key_file(settings, environment)?
        };
        match key {
            Some((key, source)) => from_document(transport, settings, &key, &source),
            None => from_metadata(settings, environment),
        }
    }
}

/// Named, or where `gcloud auth application-default login` leaves it.
fn key_file(
    settings: &Settings,
    environment: &Environment,
) -> Result<Option<(String, String)>, RegistryError> {
    let named = settings
        .get("key-file")
        .or_else(|| filled(environment, "GOOGLE_APPLICATION_CREDENTIALS"));
    let read = |file: &str| Ok((read_file(file, "the key file")?, format!("`{file}`")));
    if let Some(file) = named {
        return read(file).map(Some);
    }
    let folder = filled(environment, "CLOUDSDK_CONFIG")
        .map(str::to_string)
        .or_else(|| Some(format!("{}/.config/gcloud", filled(environment, "HOME")?)));
    folder
        .map(|folder| format!("{folder}/application_default_credentials.json"))
        .filter(|file| Path::new(file).is_file())
        .map(|file| read(&file))
        .transpose()
}

fn issued(token: &str, source: &str, lasts: Option<Duration>) -> Issued {
    (Credential::basic("oauth2accesstoken", token, source), lasts)
}

fn from_document(
    transport: &dyn Transport,
    settings: &Settings,
    key: &str,
    source: &str,
) -> Result<Issued, RegistryError> {
    // The text of a parse error could quote the key.
    let key: Value = serde_json::from_str(key).map_err(|e| {
        RegistryError::configuration(format!("{source} is not JSON: line {}", e.line()))
    })?;
    let granted = match key.get("type").and_then(Value::as_str) {
        Some("service_account") => service_account(transport, settings, &key, source)?,
        Some("authorized_user") => post_form(
            transport,
            tokens(settings, None)?,
            &[
                ("grant_type", "refresh_token"),
                ("client_id", text(&key, "client_id")?),
                ("client_secret", text(&key, "client_secret")?),
                ("refresh_token", text(&key, "refresh_token")?),
            ],
        )?,
        Some("external_account") => external_account(transport, &key)?,
        other => {
            return Err(RegistryError::configuration(format!(
                "{source} is of type `{}`; service_account, authorized_user and external_account are known",
                other.unwrap_or("nothing")
            )));
        }
    };
    Ok(issued(
        text(&granted, "access_token")?,
        source,
        Some(lifetime(&granted)),
    ))
}

fn tokens(settings: &Settings, own: Option<&str>) -> Result<Url, RegistryError> {
    address(
        settings
            .first(&["endpoint", "token-endpoint"])
            .or(own)
            .unwrap_or(TOKENS),
    )
}

fn service_account(
    transport: &dyn Transport,
    settings: &Settings,
    key: &Value,
    source: &str,
) -> Result<Value, RegistryError> {
    let url = tokens(settings, key.get("token_uri").and_then(Value::as_str))?;
    let now = jwt::now();
    let audience = key
        .get("token_uri")
        .and_then(Value::as_str)
        .unwrap_or(TOKENS);
    let claims = json!({
        "iss": text(key, "client_email")?, "scope": CLOUD, "aud": audience,
        "iat": now, "exp": now + 3600,
    });
    let mut header = json!({"alg": "RS256", "typ": "JWT"});
    if let Some(id) = key.get("private_key_id") {
        header["kid"] = id.clone();
    }
    let assertion = jwt::signed(&header, &claims, text(key, "private_key")?, source)?;
    post_form(
        transport,
        url,
        &[
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", &assertion),
        ],
    )
}

/// Workload identity federation: somebody else's token for one of Google's.
fn external_account(transport: &dyn Transport, key: &Value) -> Result<Value, RegistryError> {
    let source = key.get("credential_source").unwrap_or(&Value::Null);
    let raw = if let Some(file) = source.get("file").and_then(Value::as_str) {
        read_file(file, "the identity token")?
    } else if let Some(url) = source.get("url").and_then(Value::as_str) {
        fetch_subject(transport, url, source)?
    } else {
        return Err(RegistryError::configuration(
            "the external account's credential_source is neither a file nor a url",
        ));
    };
    let format = source.get("format").unwrap_or(&Value::Null);
    let subject = match format
        .get("subject_token_field_name")
        .and_then(Value::as_str)
    {
        Some(field) => text(&exchange::json(raw.as_bytes())?, field)?.to_string(),
        None => raw.trim().to_string(),
    };
    let granted = post_form(
        transport,
        address(text(key, "token_url")?)?,
        &[
            (
                "grant_type",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            ),
            (
                "requested_token_type",
                "urn:ietf:params:oauth:token-type:access_token",
            ),
            ("audience", text(key, "audience")?),
            ("scope", CLOUD),
            ("subject_token_type", text(key, "subject_token_type")?),
            ("subject_token", &subject),
        ],
    )?;
    match key
        .get("service_account_impersonation_url")
        .and_then(Value::as_str)
    {
        Some(url) => impersonate(transport, url, text(&granted, "access_token")?),
        None => Ok(granted),
    }
}

fn fetch_subject(
    transport: &dyn Transport,
    url: &str,
    source: &Value,
) -> Result<String, RegistryError> {
    let call = Call::new(Method::GET, address(url)?);
    let proof = source
        .get("headers")
        .and_then(|h| h.get("Authorization"))
        .and_then(Value::as_str);
    let bytes = transport.send_out_of_band(&call, proof)?.bytes(SMALL)?;
    String::from_utf8(bytes).map_err(|_| RegistryError::invalid("the identity token is not text"))
}

fn impersonate(transport: &dyn Transport, url: &str, token: &str) -> Result<Value, RegistryError> {
    let body = json!({"scope": [CLOUD]}).to_string();
    let call = Call::new(Method::POST, address(url)?)
        .header("Content-Type", "application/json")
        .body(Body::Bytes(body.as_bytes()));
    let answer = transport.send_out_of_band(&call, Some(&format!("Bearer {token}")))?;
    let granted = exchange::json(&answer.bytes(SMALL)?)?;
    // It says when, not for how long; an hour is what it grants.
    Ok(json!({"access_token": text(&granted, "accessToken")?}))
}

fn from_metadata(settings: &Settings, environment: &Environment) -> Result<Issued, RegistryError> {
    let host = match settings.get("metadata-endpoint") {
        Some(endpoint) => endpoint.to_string(),
        None => format!(
            "http://{}",
            filled(environment, "GCE_METADATA_HOST").unwrap_or("metadata.google.internal")
        ),
    };
    let url = address(&format!(
        "{}/computeMetadata/v1/instance/service-accounts/default/token",
        host.trim_end_matches('/')
    ))?;
    let bytes = metadata(Method::GET, url, &[("Metadata-Flavor", "Google")]).map_err(|e| {
        RegistryError::configuration(format!("no Google credential: {}", e.message())).help(
            "give `key-file=`, set GOOGLE_APPLICATION_CREDENTIALS, or run on Google's machines",
        )
    })?;
    let granted = exchange::json(&bytes)?;
    Ok(issued(
        text(&granted, "access_token")?,
        "Google's metadata server",
        Some(lifetime(&granted)),
    ))
}
