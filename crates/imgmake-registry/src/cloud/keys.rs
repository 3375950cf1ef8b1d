//! AWS: which keys sign, found where the AWS tools look and in their order:
//! settings, environment, web identity, profile, container, machine; then
//! perhaps a role that they assume.

use serde_json::Value;
use ureq::http::Method;
use url::Url;

use super::super::RegistryError;
use super::super::http::{Body, Call};
use super::aws::{Aws, Host};
use super::exchange::{self, SMALL, metadata, text};
use super::settings::{address, filled, read_file};
use super::sigv4::Keys;
use crate::connection::proxy::is_loopback;

const MACHINE: &str = "http://169.254.169.254";
const CONTAINER: &str = "http://169.254.170.2";

/// Keys, and where they came from.
pub(super) struct Found {
    pub keys: Keys,
    pub source: String,
}

impl Aws<'_> {
    pub(super) fn keys(&self) -> Result<Found, RegistryError> {
        let role = self.settings.first(&["role", "assume-role"]);
        if let Some(token) = self.settings.get("web-identity-token") {
            let role = role.ok_or_else(|| {
                RegistryError::configuration("AWS: a web identity token also needs a `role`")
            })?;
            return self.web_identity(token, role, None, "the web identity token in the settings");
        }
        let found = self.own_keys()?;
        match role {
            Some(role) => self.assume(&found, role, None, self.settings.get("external-id")),
            None => Ok(found),
        }
    }

    /// Where the AWS tools look, in their order.
    fn own_keys(&self) -> Result<Found, RegistryError> {
        let settings = self.settings;
        match (settings.get("access-key"), settings.get("secret-key")) {
            (Some(access), Some(secret)) => {
                return Ok(found(
                    access,
                    secret,
                    settings.get("session-token"),
                    "the keys in the settings",
                ));
            }
            (None, None) => {}
            _ => {
                return Err(RegistryError::configuration(
                    "AWS: `access-key` and `secret-key` are needed together",
                ));
            }
        }
        if let Some(profile) = settings.get("profile") {
            return self.profile(profile)?.ok_or_else(|| {
                RegistryError::configuration(format!("AWS: the profile `{profile}` has no keys"))
            });
        }
        let env = |name: &str| filled(self.environment, name);
        if let Some(found) = self.environment_keys() {
            return Ok(found);
        }
        if let (Some(file), Some(role)) = (env("AWS_WEB_IDENTITY_TOKEN_FILE"), env("AWS_ROLE_ARN"))
        {
            let token = read_file(file, "the web identity token")?;
            return self.web_identity(token.trim(), role, None, "AWS_WEB_IDENTITY_TOKEN_FILE");
        }
        let profile = env("AWS_PROFILE").unwrap_or("default");
        if let Some(found) = self.profile(profile)? {
            return Ok(found);
        }
        if let Some(found) = self.container()? {
            return Ok(found);
        }
        self.machine().map_err(|e| {
            RegistryError::configuration(format!("no AWS credential: {}", e.message())).help(
                "give `access-key` and `secret-key`, set AWS_ACCESS_KEY_ID, a profile, or run with a role",
            )
        })
    }

    pub(super) fn environment_keys(&self) -> Option<Found> {
        let env = |name: &str| filled(self.environment, name);
        Some(found(
            env("AWS_ACCESS_KEY_ID")?,
            env("AWS_SECRET_ACCESS_KEY")?,
            env("AWS_SESSION_TOKEN"),
            "AWS_ACCESS_KEY_ID",
        ))
    }

    pub(super) fn web_identity(
        &self,
        token: &str,
        role: &str,
        session: Option<&str>,
        source: &str,
    ) -> Result<Found, RegistryError> {
        let name = self.session_name(session);
        let form = form(&[
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", role),
            ("RoleSessionName", &name),
            ("WebIdentityToken", token),
        ]);
        let call = Call::new(Method::POST, self.sts()?)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::Bytes(form.as_bytes()));
        let answer = self
            .transport
            .send_out_of_band(&call, None)
            .map_err(|e| sts_failed(e, role, source))?;
        assumed(&answer.bytes(SMALL)?, role, source)
    }

    pub(super) fn assume(
        &self,
        from: &Found,
        role: &str,
        session: Option<&str>,
        external_id: Option<&str>,
    ) -> Result<Found, RegistryError> {
        let name = self.session_name(session);
        let mut fields = vec![
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", role),
            ("RoleSessionName", &name),
        ];
        fields.extend(external_id.map(|id| ("ExternalId", id)));
        let form = form(&fields);
        let headers = [(
            "content-type",
            "application/x-www-form-urlencoded".to_string(),
        )];
        let bytes = self
            .signed(&from.keys, "sts", self.sts()?, &headers, form.as_bytes())
            .map_err(|e| sts_failed(e, role, &from.source))?;
        assumed(&bytes, role, &from.source)
    }

    /// `own` is the profile's; the settings stand nearer.
    fn session_name(&self, own: Option<&str>) -> String {
        self.settings
            .get("session-name")
            .or(own)
            .or_else(|| filled(self.environment, "AWS_ROLE_SESSION_NAME"))
            .unwrap_or("imgmake")
            .to_string()
    }

    fn sts(&self) -> Result<Url, RegistryError> {
        match self.endpoint("sts-endpoint", "AWS_ENDPOINT_URL_STS") {
            Some(endpoint) => address(endpoint),
            None => {
                let own = match &self.host {
                    Some(Host::Private { sts, .. }) => sts.clone(),
                    _ if self.region.starts_with("cn-") => {
                        format!("sts.{}.amazonaws.com.cn", self.region)
                    }
                    _ => format!("sts.{}.amazonaws.com", self.region),
                };
                address(&format!("https://{own}/"))
            }
        }
    }

    /// ECS tasks and EKS pod identities.
    pub(super) fn container(&self) -> Result<Option<Found>, RegistryError> {
        let env = |name: &str| filled(self.environment, name);
        let url = match (
            env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
            env("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        ) {
            (Some(path), _) => format!("{CONTAINER}{path}"),
            (None, Some(url)) => url.to_string(),
            (None, None) => return Ok(None),
        };
        let token = match env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(file) => Some(read_file(file, "the container's token")?.trim().to_string()),
            None => env("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(str::to_string),
        };
        let headers: Vec<(&str, &str)> = token
            .iter()
            .map(|t| ("Authorization", t.as_str()))
            .collect();
        let url = address(&url)?;
        if !is_agent(&url) {
            return Err(RegistryError::configuration(format!(
                "AWS: AWS_CONTAINER_CREDENTIALS_FULL_URI leads to `{}`, which is neither https nor a container's agent",
                url.host_str().unwrap_or_default()
            )));
        }
        let answer = exchange::json(&metadata(Method::GET, url, &headers)?)?;
        issued_keys(&answer, "the container's role").map(Some)
    }

    /// The instance's role (IMDSv2).
    pub(super) fn machine(&self) -> Result<Found, RegistryError> {
        if filled(self.environment, "AWS_EC2_METADATA_DISABLED") == Some("true") {
            return Err(RegistryError::configuration("no variable names one"));
        }
        let base = self
            .settings
            .get("metadata-endpoint")
            .or_else(|| filled(self.environment, "AWS_EC2_METADATA_SERVICE_ENDPOINT"))
            .unwrap_or(MACHINE)
            .trim_end_matches('/');
        let at = |path: &str| address(&format!("{base}/latest/{path}"));
        let lifetime = [("X-aws-ec2-metadata-token-ttl-seconds", "300")];
        let token = metadata(Method::PUT, at("api/token")?, &lifetime)?;
        let token = String::from_utf8_lossy(&token).trim().to_string();
        let proof = [("X-aws-ec2-metadata-token", token.as_str())];
        let roles = "meta-data/iam/security-credentials/";
        let role = metadata(Method::GET, at(roles)?, &proof)?;
        let role = String::from_utf8_lossy(&role)
            .lines()
            .next()
            .unwrap_or("")
            .trim()
            .to_string();
        let answer = metadata(Method::GET, at(&format!("{roles}{role}"))?, &proof)?;
        issued_keys(
            &exchange::json(&answer)?,
            &format!("the machine's role `{role}`"),
        )
    }
}

/// Where the AWS tools send a container's token: by https anywhere, in clear only
/// to this machine and to the agents of ECS and EKS.
fn is_agent(url: &Url) -> bool {
    const AGENTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];
    let host = url.host_str().unwrap_or_default();
    url.scheme() == "https" || is_loopback(host) || AGENTS.contains(&host)
}

pub(super) fn found(access: &str, secret: &str, session: Option<&str>, source: &str) -> Found {
    Found {
        keys: Keys {
            access: access.to_string(),
            secret: secret.to_string(),
            session: session.map(str::to_string),
        },
        source: source.to_string(),
    }
}

fn issued_keys(answer: &Value, source: &str) -> Result<Found, RegistryError> {
    Ok(found(
        text(answer, "AccessKeyId")?,
        text(answer, "SecretAccessKey")?,
        answer.get("Token").and_then(Value::as_str),
        source,
    ))
}

/// STS speaks XML; four elements of it matter.
fn assumed(answer: &[u8], role: &str, source: &str) -> Result<Found, RegistryError> {
    let xml = String::from_utf8_lossy(answer);
    let element = |name: &str| {
        let (_, rest) = xml.split_once(&format!("<{name}>"))?;
        let (value, _) = rest.split_once(&format!("</{name}>"))?;
        Some(value.trim().to_string())
    };
    match (
        element("AccessKeyId"),
        element("SecretAccessKey"),
        element("SessionToken"),
    ) {
        (Some(access), Some(secret), Some(session)) => {
            let source = format!("the role `{role}` by {source}");
            Ok(found(&access, &secret, Some(&session), &source))
        }
        _ => Err(RegistryError::invalid("AWS STS answered without keys")),
    }
}

fn sts_failed(error: RegistryError, role: &str, source: &str) -> RegistryError {
    error.with(|d| {
        d.operation = format!("assume the role `{role}`");
        d.credential = Some(source.to_string());
    })
}

fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}
