//! AWS: which keys sign, found where the AWS tools look and in their order:
//! settings, environment, profile, web identity, container, machine; then
//! perhaps a role that they assume.

use std::collections::BTreeMap;

use serde_json::Value;
use ureq::http::Method;
use url::Url;

use super::super::RegistryError;
use super::super::http::{Body, Call};
use super::aws::Aws;
use super::sigv4::Keys;
use super::{SMALL, address, filled, metadata, read_file, text};

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
                RegistryError::configuration("AWS: a web identity token needs a `role` beside it")
            })?;
            return self.web_identity(token, role, "the web identity token in the settings");
        }
        let found = self.own_keys()?;
        match role {
            Some(role) => self.assume(&found, role, self.settings.get("external-id")),
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
            return self.profile(profile, 0)?.ok_or_else(|| {
                RegistryError::configuration(format!("AWS: the profile `{profile}` holds no keys"))
            });
        }
        let env = |name: &str| filled(self.environment, name);
        if let (Some(access), Some(secret)) =
            (env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY"))
        {
            return Ok(found(
                access,
                secret,
                env("AWS_SESSION_TOKEN"),
                "AWS_ACCESS_KEY_ID",
            ));
        }
        if let (Some(file), Some(role)) = (env("AWS_WEB_IDENTITY_TOKEN_FILE"), env("AWS_ROLE_ARN"))
        {
            let token = read_file(file, "the web identity token")?;
            return self.web_identity(token.trim(), role, "AWS_WEB_IDENTITY_TOKEN_FILE");
        }
        let profile = env("AWS_PROFILE").unwrap_or("default");
        if let Some(found) = self.profile(profile, 0)? {
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

    fn profile(&self, name: &str, depth: u32) -> Result<Option<Found>, RegistryError> {
        let Some(profile) = self.read_profile(name)? else {
            return Ok(None);
        };
        let get = |key: &str| profile.get(key).map(String::as_str);
        let source = format!("the AWS profile `{name}`");
        if let Some(role) = get("role_arn") {
            if let Some(file) = get("web_identity_token_file") {
                let token = read_file(file, "the web identity token")?;
                return self.web_identity(token.trim(), role, &source).map(Some);
            }
            let from = get("source_profile").unwrap_or(name);
            let base = if from == name || depth > 4 {
                plain_keys(&profile, &source)
            } else {
                self.profile(from, depth + 1)?
            };
            let base = base.ok_or_else(|| {
                RegistryError::configuration(format!(
                    "AWS: the role of profile `{name}` has no keys to begin with"
                ))
            })?;
            return self.assume(&base, role, get("external_id")).map(Some);
        }
        if plain_keys(&profile, &source).is_none() && get("credential_process").is_some() {
            return Err(RegistryError::configuration(format!(
                "AWS: the profile `{name}` uses credential_process, which is not supported; export the keys it prints"
            )));
        }
        Ok(plain_keys(&profile, &source))
    }

    /// The profile in `~/.aws/config`, then `~/.aws/credentials`, which wins.
    fn read_profile(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, RegistryError> {
        let home = filled(self.environment, "HOME").unwrap_or("/");
        let file = |variable: &str, default: &str| {
            filled(self.environment, variable)
                .map_or_else(|| format!("{home}/.aws/{default}"), str::to_string)
        };
        let mut profile = BTreeMap::new();
        let mut seen = false;
        for (path, section) in [
            (
                file("AWS_CONFIG_FILE", "config"),
                if name == "default" {
                    name.to_string()
                } else {
                    format!("profile {name}")
                },
            ),
            (
                file("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
                name.to_string(),
            ),
        ] {
            let Ok(text) = std::fs::read_to_string(&path) else {
                continue;
            };
            for (key, value) in ini_section(&text, &section) {
                seen = true;
                profile.insert(key, value);
            }
        }
        Ok(seen.then_some(profile))
    }

    fn web_identity(&self, token: &str, role: &str, source: &str) -> Result<Found, RegistryError> {
        let name = self.session_name();
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
            .session
            .plain(&call, None)
            .map_err(|e| sts_failed(e, role, source))?;
        assumed(&answer.bytes(SMALL)?, role, source)
    }

    fn assume(
        &self,
        from: &Found,
        role: &str,
        external_id: Option<&str>,
    ) -> Result<Found, RegistryError> {
        let name = self.session_name();
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

    fn session_name(&self) -> String {
        self.settings
            .get("session-name")
            .or_else(|| filled(self.environment, "AWS_ROLE_SESSION_NAME"))
            .unwrap_or("imgmake")
            .to_string()
    }

    fn sts(&self) -> Result<Url, RegistryError> {
        match self.endpoint("sts-endpoint", "AWS_ENDPOINT_URL_STS") {
            Some(endpoint) => address(endpoint),
            None => {
                let domain = if self.region.starts_with("cn-") {
                    "amazonaws.com.cn"
                } else {
                    "amazonaws.com"
                };
                address(&format!("https://sts.{}.{domain}/", self.region))
            }
        }
    }

    /// ECS tasks and EKS pod identities.
    fn container(&self) -> Result<Option<Found>, RegistryError> {
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
        let answer = super::json(&metadata(Method::GET, address(&url)?, &headers)?)?;
        issued_keys(&answer, "the container's role").map(Some)
    }

    /// The instance's role (IMDSv2).
    fn machine(&self) -> Result<Found, RegistryError> {
        if filled(self.environment, "AWS_EC2_METADATA_DISABLED") == Some("true") {
            return Err(RegistryError::configuration("nothing names one"));
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
            &super::json(&answer)?,
            &format!("the machine's role `{role}`"),
        )
    }
}

fn found(access: &str, secret: &str, session: Option<&str>, source: &str) -> Found {
    Found {
        keys: Keys {
            access: access.to_string(),
            secret: secret.to_string(),
            session: session.map(str::to_string),
        },
        source: source.to_string(),
    }
}

fn plain_keys(profile: &BTreeMap<String, String>, source: &str) -> Option<Found> {
    let get = |key: &str| {
        profile
            .get(key)
            .map(String::as_str)
            .filter(|v| !v.is_empty())
    };
    Some(found(
        get("aws_access_key_id")?,
        get("aws_secret_access_key")?,
        get("aws_session_token"),
        source,
    ))
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

/// The settings of one `[section]`; nested ones (indented) are not ours.
fn ini_section(text: &str, wanted: &str) -> Vec<(String, String)> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        let bare = line.trim();
        if let Some(name) = bare.strip_prefix('[').and_then(|l| l.split(']').next()) {
            inside = name.split_whitespace().eq(wanted.split_whitespace());
        } else if inside
            && !line.starts_with([' ', '\t', '#', ';'])
            && let Some((key, value)) = bare.split_once('=')
        {
            found.push((key.trim().to_ascii_lowercase(), value.trim().to_string()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read_from_their_section_alone() {
        let text = "[default]\naws_access_key_id = A\n; comment\n[profile  ci]\nrole_arn=R\ns3 =\n  nested = x\n[other]\nrole_arn=S\n";
        assert_eq!(
            ini_section(text, "default"),
            [("aws_access_key_id".to_string(), "A".to_string())]
        );
        assert_eq!(
            ini_section(text, "profile ci"),
            [
                ("role_arn".to_string(), "R".to_string()),
                ("s3".to_string(), String::new())
            ]
        );
    }
}
