//! Azure: a secret, a certificate, a federated token or the machine's identity →
//! an access token → the registry's own refresh token (`/oauth2/exchange`).

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use ureq::http::Method;
use ureq::tls::Certificate;

use super::super::credentials::{AuthMaterial, Credential};
use super::super::{RegistryError, Secret};
use super::exchange::{self, lasting, metadata, post_form, text};
use super::jwt;
use super::settings::{Environment, Settings, address, document, filled, read_file};
use super::source::{CredentialSource, Issued, Transport};

const OPTIONS: &[&str] = &[
    "tenant",
    "client",
    "client-id",
    "secret",
    "client-secret",
    "certificate",
    "client-certificate",
    "federated-token",
    "managed-identity",
    "authority-host",
    "endpoint",
    "metadata-endpoint",
];
/// The user of every refresh token of Azure's registries.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
const AUTHORITY: &str = "https://login.microsoftonline.com";
const MACHINE: &str = "http://169.254.169.254";

/// Azure's registries.
pub(super) struct ContainerRegistry<'e> {
    settings: Settings,
    environment: &'e Environment,
}

impl<'e> ContainerRegistry<'e> {
    pub(super) fn new(
        options: &BTreeMap<String, Secret>,
        environment: &'e Environment,
    ) -> Result<ContainerRegistry<'e>, RegistryError> {
        Ok(ContainerRegistry {
            settings: Settings::read("azure", options, OPTIONS)?,
            environment,
        })
    }
}

impl CredentialSource for ContainerRegistry<'_> {
    fn issue(&self, transport: &dyn Transport, registry: &str) -> Result<Issued, RegistryError> {
        let (settings, environment) = (&self.settings, self.environment);
        let (access, source) = access_token(transport, settings, environment)?;
        let host = transport
            .url("")?
            .host_str()
            .unwrap_or(registry)
            .to_string();
        let mut fields = vec![
            ("grant_type", "access_token"),
            ("service", host.as_str()),
            ("access_token", access.as_str()),
        ];
        let tenant = tenant(settings, environment);
        fields.extend(tenant.map(|t| ("tenant", t)));
        let granted = post_form(transport, transport.url("oauth2/exchange")?, &fields)
            .map_err(|e| e.during(registry, "", "exchange Azure's token for the registry's"))?;
        let token = text(&granted, "refresh_token")?;
        // Three hours, and the token says so itself.
        let left = jwt::claim(token, "exp").map_or(3 * 3600, |exp| exp.saturating_sub(jwt::now()));
        let credential = Credential {
            proof: AuthMaterial::Identity {
                user: NOBODY.to_string(),
                token: Secret(token.to_string()),
            },
            source,
        };
        Ok((credential, Some(lasting(Duration::from_secs(left)))))
    }
}

fn tenant<'a>(settings: &'a Settings, environment: &'a Environment) -> Option<&'a str> {
    settings
        .get("tenant")
        .or_else(|| filled(environment, "AZURE_TENANT_ID"))
}

/// How the client proves itself to the directory.
enum Means {
    Secret(String),
    Assertion(String),
}

fn access_token(
    transport: &dyn Transport,
    settings: &Settings,
    environment: &Environment,
) -> Result<(String, String), RegistryError> {
    let client = settings
        .first(&["client-id", "client"])
        .or_else(|| filled(environment, "AZURE_CLIENT_ID"));
    let authority = settings
        .first(&["authority-host", "endpoint"])
        .or_else(|| filled(environment, "AZURE_AUTHORITY_HOST"))
        .unwrap_or(AUTHORITY);
    let authority = match authority.contains("://") {
        true => authority.trim_end_matches('/').to_string(),
        false => format!("https://{}", authority.trim_end_matches('/')),
    };
    let tenant = tenant(settings, environment);
    let url = format!(
        "{authority}/{}/oauth2/v2.0/token",
        tenant.unwrap_or("organizations")
    );
    let of_machine = settings.get("managed-identity") == Some("true");
    let found = match of_machine {
        true => None,
        false => means(settings, environment, client, &url)?,
    };
    let Some((means, source)) = found else {
        return machine(settings, client, &authority);
    };
    let (Some(client), Some(_)) = (client, tenant) else {
        return Err(RegistryError::configuration(format!(
            "Azure: {source} also needs `tenant` and `client-id`"
        )));
    };
    let scope = format!("{}/.default", audience(&authority));
    let mut fields = vec![
        ("grant_type", "client_credentials"),
        ("client_id", client),
        ("scope", scope.as_str()),
    ];
    match &means {
        Means::Secret(secret) => fields.push(("client_secret", secret)),
        Means::Assertion(assertion) => fields.extend([
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", assertion.as_str()),
        ]),
    }
    let granted = post_form(transport, address(&url)?, &fields)
        .map_err(|e| e.with(|d| d.operation = "log in to Azure".into()))?;
    Ok((text(&granted, "access_token")?.to_string(), source))
}

fn means(
    settings: &Settings,
    environment: &Environment,
    client: Option<&str>,
    url: &str,
) -> Result<Option<(Means, String)>, RegistryError> {
    if let Some(secret) = settings.first(&["client-secret", "secret"]) {
        return Ok(Some((
            Means::Secret(secret.to_string()),
            "the client secret in the settings".into(),
        )));
    }
    if let Some(pem) = settings.first(&["client-certificate", "certificate"]) {
        let pem = document(pem, "-----BEGIN", "the client certificate")?;
        let assertion = assertion(&pem, client, url, "the client certificate")?;
        return Ok(Some((
            Means::Assertion(assertion),
            "the client certificate in the settings".into(),
        )));
    }
    if let Some(token) = settings.get("federated-token") {
        return Ok(Some((
            Means::Assertion(token.to_string()),
            "the federated token in the settings".into(),
        )));
    }
    if let Some(secret) = filled(environment, "AZURE_CLIENT_SECRET") {
        return Ok(Some((
            Means::Secret(secret.to_string()),
            "AZURE_CLIENT_SECRET".into(),
        )));
    }
    if let Some(path) = filled(environment, "AZURE_CLIENT_CERTIFICATE_PATH") {
        let pem = read_file(path, "the client certificate")?;
        let assertion = assertion(&pem, client, url, &format!("`{path}`"))?;
        return Ok(Some((
            Means::Assertion(assertion),
            "AZURE_CLIENT_CERTIFICATE_PATH".into(),
        )));
    }
    if let Some(path) = filled(environment, "AZURE_FEDERATED_TOKEN_FILE") {
        let token = read_file(path, "the federated token")?.trim().to_string();
        return Ok(Some((
            Means::Assertion(token),
            "AZURE_FEDERATED_TOKEN_FILE".into(),
        )));
    }
    Ok(None)
}

/// A JWT signed with the certificate's key, as the directory wants it.
fn assertion(
    pem: &str,
    client: Option<&str>,
    url: &str,
    what: &str,
) -> Result<String, RegistryError> {
    let certificate = Certificate::from_pem(pem.as_bytes())
        .map_err(|_| RegistryError::configuration(format!("{what} contains no PEM certificate")))?;
    let thumbprint =
        ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, certificate.der());
    let now = jwt::now();
    let header = json!({"alg": "RS256", "typ": "JWT", "x5t": URL_SAFE_NO_PAD.encode(thumbprint)});
    let mut id = [0; 16];
    let random = ring::rand::SystemRandom::new();
    ring::rand::SecureRandom::fill(&random, &mut id)
        .map_err(|_| RegistryError::configuration("the system provides no random numbers"))?;
    let claims = json!({
        "aud": url, "iss": client, "sub": client, "jti": hex::encode(id),
        "nbf": now.saturating_sub(60), "iat": now, "exp": now + 600,
    });
    jwt::signed(&header, &claims, pem, what)
}

/// What the token is for. In the public cloud the registries' own audience, which
/// opens nothing else and is taken by registries that refuse tokens for Azure as a
/// whole; the sovereign clouds know the latter alone.
fn audience(authority: &str) -> &'static str {
    if authority.contains("chinacloudapi") || authority.contains("partner.microsoftonline.cn") {
        "https://management.chinacloudapi.cn"
    } else if authority.contains("microsoftonline.us") {
        "https://management.usgovcloudapi.net"
    } else {
        "https://containerregistry.azure.net"
    }
}

/// The managed identity of the machine that we run on.
fn machine(
    settings: &Settings,
    client: Option<&str>,
    authority: &str,
) -> Result<(String, String), RegistryError> {
    let host = settings.get("metadata-endpoint").unwrap_or(MACHINE);
    let mut url = address(&format!(
        "{}/metadata/identity/oauth2/token",
        host.trim_end_matches('/')
    ))?;
    url.query_pairs_mut()
        .append_pair("api-version", "2018-02-01")
        .append_pair("resource", audience(authority))
        .extend_pairs(client.map(|c| match c.starts_with('/') {
            // `/subscriptions/…`: the identity as a resource.
            true => ("msi_res_id", c),
            false => ("client_id", c),
        }));
    let bytes = metadata(Method::GET, url, &[("Metadata", "true")]).map_err(|e| {
        RegistryError::configuration(format!("no Azure credential: {}", e.message())).help(
            "give `tenant`, `client-id` and `client-secret`, set AZURE_*, or run with a managed identity",
        )
    })?;
    let granted: Value = exchange::json(&bytes)?;
    Ok((
        text(&granted, "access_token")?.to_string(),
        "the managed identity".into(),
    ))
}
