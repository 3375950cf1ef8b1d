//! AWS: keys (settings, environment, profile, web identity, container, machine),
//! perhaps a role → `GetAuthorizationToken` → user `AWS`; and `CreateRepository`.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use ureq::http::Method;
use url::Url;

use super::super::RegistryError;
use super::super::credentials::Credential;
use super::super::http::{Body, Call};
use super::super::session::Session;
use super::sigv4::{self, Keys, Scope};
use super::{Environment, Issued, SMALL, Settings, address, document, filled, jwt, lasting, text};

pub(super) const OPTIONS: &[&str] = &[
    "region",
    "access-key",
    "secret-key",
    "session-token",
    "profile",
    "role",
    "assume-role",
    "external-id",
    "session-name",
    "web-identity-token",
    "endpoint",
    "sts-endpoint",
    "metadata-endpoint",
    "scan-on-push",
    "lifecycle-policy",
    "repository-policy",
];

/// What an ECR host name says: `<account>.dkr.ecr[-fips].<region>.amazonaws.com[.cn]`, or public.ecr.aws.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Host {
    Private {
        account: String,
        region: String,
        api: String,
    },
    Public,
}

impl Host {
    pub(super) fn parse(host: &str) -> Option<Host> {
        if host == "public.ecr.aws" {
            return Some(Host::Public);
        }
        let (account, rest) = host.split_once(".dkr.")?;
        let (service, rest) = rest.split_once('.')?;
        let (region, domain) = rest.split_once('.')?;
        let digits = !account.is_empty() && account.bytes().all(|b| b.is_ascii_digit());
        let api = match (service, domain) {
            ("ecr", "amazonaws.com" | "amazonaws.com.cn") => format!("api.ecr.{region}.{domain}"),
            ("ecr-fips", "amazonaws.com") => format!("ecr-fips.{region}.{domain}"),
            _ => return None,
        };
        digits.then(|| Host::Private {
            account: account.to_string(),
            region: region.to_string(),
            api,
        })
    }
}

/// Everything that a request to AWS needs besides keys.
pub(super) struct Aws<'a> {
    pub session: &'a Session,
    pub settings: &'a Settings,
    pub environment: &'a Environment,
    host: Option<Host>,
    pub region: String,
}

pub(super) fn credential(
    session: &Session,
    settings: &Settings,
    registry: &str,
    environment: &Environment,
) -> Result<Issued, RegistryError> {
    let aws = Aws::new(session, settings, registry, environment);
    let found = aws.keys()?;
    let answer = aws
        .ecr(&found.keys, "GetAuthorizationToken", &json!({}))
        .map_err(|e| {
            e.during(registry, "", "get an authorization token from ECR")
                .with(|d| d.credential = Some(found.source.clone()))
        })?;
    let data = match answer.get("authorizationData") {
        Some(Value::Array(list)) => list.first().unwrap_or(&Value::Null),
        Some(one) => one,
        None => &Value::Null,
    };
    let token = STANDARD
        .decode(text(data, "authorizationToken")?)
        .ok()
        .and_then(|b| String::from_utf8(b).ok())
        .ok_or_else(|| RegistryError::invalid("ECR's authorization token is not base64"))?;
    let (user, password) = token.split_once(':').ok_or_else(|| {
        RegistryError::invalid("ECR's authorization token is not `user:password`")
    })?;
    let left = data
        .get("expiresAt")
        .and_then(Value::as_f64)
        .map_or(12.0 * 3600.0, |at| at - jwt::now() as f64)
        .clamp(0.0, 12.0 * 3600.0);
    let credential = Credential::basic(user, password, found.source);
    Ok((credential, Some(lasting(Duration::from_secs_f64(left)))))
}

pub(super) fn create_repository(
    session: &Session,
    settings: &Settings,
    registry: &str,
    repository: &str,
) -> Result<(), RegistryError> {
    let environment = &session.options.environment;
    let aws = Aws::new(session, settings, registry, environment);
    let keys = aws.keys()?.keys;
    let mut wanted = json!({ "repositoryName": repository });
    if settings.get("scan-on-push").is_some_and(|v| v == "true") {
        wanted["imageScanningConfiguration"] = json!({ "scanOnPush": true });
    }
    match aws.ecr(&keys, "CreateRepository", &wanted) {
        Ok(_) => {}
        Err(error)
            if error
                .code()
                .is_some_and(|c| c.ends_with("RepositoryAlreadyExistsException")) => {}
        Err(error) => return Err(error),
    }
    for (option, action, field) in [
        (
            "lifecycle-policy",
            "PutLifecyclePolicy",
            "lifecyclePolicyText",
        ),
        ("repository-policy", "SetRepositoryPolicy", "policyText"),
    ] {
        if let Some(policy) = settings.get(option) {
            let policy = document(policy, "{", &format!("the {option}"))?;
            aws.ecr(
                &keys,
                action,
                &json!({ "repositoryName": repository, field: policy }),
            )?;
        }
    }
    Ok(())
}

impl<'a> Aws<'a> {
    fn new(
        session: &'a Session,
        settings: &'a Settings,
        registry: &str,
        environment: &'a Environment,
    ) -> Aws<'a> {
        let host = Host::parse(registry);
        let region = match &host {
            Some(Host::Private { region, .. }) => region.clone(),
            // The public registry is served from there alone.
            Some(Host::Public) => "us-east-1".to_string(),
            None => settings
                .get("region")
                .or_else(|| filled(environment, "AWS_REGION"))
                .or_else(|| filled(environment, "AWS_DEFAULT_REGION"))
                .unwrap_or("us-east-1")
                .to_string(),
        };
        Aws {
            session,
            settings,
            environment,
            host,
            region,
        }
    }

    fn ecr(&self, keys: &Keys, action: &str, body: &Value) -> Result<Value, RegistryError> {
        let (service, target, api) = match &self.host {
            Some(Host::Public) => (
                "ecr-public",
                "SpencerFrontendService",
                "api.ecr-public.us-east-1.amazonaws.com".to_string(),
            ),
            Some(Host::Private { api, .. }) => {
                ("ecr", "AmazonEC2ContainerRegistry_V20150921", api.clone())
            }
            None => (
                "ecr",
                "AmazonEC2ContainerRegistry_V20150921",
                format!("api.ecr.{}.amazonaws.com", self.region),
            ),
        };
        let url = match self.endpoint("endpoint", "AWS_ENDPOINT_URL_ECR") {
            Some(endpoint) => address(endpoint)?,
            None => address(&format!("https://{api}/"))?,
        };
        let target = format!("{target}.{action}");
        let headers = [
            ("content-type", "application/x-amz-json-1.1".to_string()),
            ("x-amz-target", target),
        ];
        let body = body.to_string();
        let bytes = self.signed(keys, service, url, &headers, body.as_bytes())?;
        super::json(&bytes)
    }

    /// Another address for a service: set for the registry, or by the variables
    /// that AWS's own tools read.
    pub(super) fn endpoint(&self, option: &str, variable: &str) -> Option<&str> {
        self.settings
            .get(option)
            .or_else(|| filled(self.environment, variable))
            .or_else(|| filled(self.environment, "AWS_ENDPOINT_URL"))
    }

    /// POSTs with a signature.
    pub(super) fn signed(
        &self,
        keys: &Keys,
        service: &str,
        url: Url,
        headers: &[(&'static str, String)],
        body: &[u8],
    ) -> Result<Vec<u8>, RegistryError> {
        let time = timestamp();
        let mut headers = headers.to_vec();
        headers.extend(keys.session.clone().map(|t| ("x-amz-security-token", t)));
        let scope = Scope {
            region: &self.region,
            service,
            time: &time,
        };
        let signed: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let proof = sigv4::authorization(keys, &scope, "POST", &url, &signed, body);
        let mut call = Call::new(Method::POST, url)
            .header("x-amz-date", time.as_str())
            .body(Body::Bytes(body));
        call.headers.extend(headers);
        self.session.plain(&call, Some(&proof))?.bytes(SMALL)
    }
}

fn timestamp() -> String {
    let now: time::OffsetDateTime = SystemTime::now().into();
    now.format(&time::macros::format_description!(
        "[year][month][day]T[hour][minute][second]Z"
    ))
    .expect("a date in UTC can be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecr_hosts_say_their_region_and_api() {
        let api = |host: &str| match Host::parse(host) {
            Some(Host::Private { api, .. }) => api,
            other => panic!("{host}: {other:?}"),
        };
        assert_eq!(
            api("123456789012.dkr.ecr.eu-west-1.amazonaws.com"),
            "api.ecr.eu-west-1.amazonaws.com"
        );
        assert_eq!(
            api("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"),
            "api.ecr.cn-north-1.amazonaws.com.cn"
        );
        assert_eq!(
            api("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com"),
            "ecr-fips.us-gov-west-1.amazonaws.com"
        );
        assert_eq!(Host::parse("public.ecr.aws"), Some(Host::Public));
        for other in [
            "ghcr.io",
            "x.dkr.ecr.eu-west-1.amazonaws.com",
            "1.dkr.ecr.eu.evil.com",
        ] {
            assert_eq!(Host::parse(other), None, "{other}");
        }
    }
}
