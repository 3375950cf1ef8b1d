//! AWS: keys (settings, environment, profile, web identity, container, machine),
//! perhaps a role → `GetAuthorizationToken` → user `AWS`; and `CreateRepository`.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use ureq::http::Method;
use url::Url;

use super::super::credentials::Credential;
use super::super::http::{Body, Call};
use super::super::{RegistryError, Secret};
use super::exchange::{self, SMALL, lasting, text};
use super::jwt;
use super::settings::{Environment, Settings, address, document, filled};
use super::sigv4::{self, Keys, Scope};
use super::source::{CredentialSource, Issued, Transport};

const OPTIONS: &[&str] = &[
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

/// What an ECR host name says. Private registries are
/// `<account>.dkr.ecr[-fips].<region>.<suffix>`, and `<account>.dkr-ecr[-fips].<region>.on.aws`
/// where both IP versions are spoken; the public one is `public.ecr.aws`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Host {
    Private {
        account: String,
        region: String,
        api: String,
        sts: String,
    },
    Public,
}

/// The suffixes of AWS's partitions.
const PARTITIONS: [&str; 7] = [
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
];
/// The same for hosts with IPv6: suffix of the registry, of its API, of STS.
const DUAL_STACK: [(&str, &str, &str); 2] = [
    ("on.aws", "api.aws", "amazonaws.com"),
    (
        "on.amazonwebservices.com.cn",
        "api.amazonwebservices.com.cn",
        "amazonaws.com.cn",
    ),
];

impl Host {
    pub(super) fn parse(host: &str) -> Option<Host> {
        if host == "public.ecr.aws" {
            return Some(Host::Public);
        }
        let (account, rest) = host.split_once('.')?;
        let (service, rest, dual) = match rest.strip_prefix("dkr.") {
            Some(rest) => {
                let (service, rest) = rest.split_once('.')?;
                (service, rest, false)
            }
            None => {
                let (service, rest) = rest.strip_prefix("dkr-")?.split_once('.')?;
                (service, rest, true)
            }
        };
        let (region, suffix) = rest.split_once('.')?;
        let digits = !account.is_empty() && account.bytes().all(|b| b.is_ascii_digit());
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !digits || !plain(region) || !matches!(service, "ecr" | "ecr-fips") {
            return None;
        }
        let (api, sts) = match dual {
            true => {
                let (_, api, sts) = DUAL_STACK.iter().find(|(own, _, _)| *own == suffix)?;
                (format!("{service}.{region}.{api}"), *sts)
            }
            false => {
                let suffix = PARTITIONS.iter().find(|own| **own == suffix)?;
                let api = match service {
                    "ecr" => format!("api.ecr.{region}.{suffix}"),
                    // The one that reaches every region with such hosts.
                    _ => format!("ecr-fips.{region}.{suffix}"),
                };
                (api, *suffix)
            }
        };
        Some(Host::Private {
            account: account.to_string(),
            region: region.to_string(),
            api,
            sts: format!("sts.{region}.{sts}"),
        })
    }
}

/// Everything that a request to AWS needs besides keys.
pub(super) struct Aws<'a> {
    pub transport: &'a dyn Transport,
    pub settings: &'a Settings,
    pub environment: &'a Environment,
    pub host: Option<Host>,
    pub region: String,
}

/// Amazon's registries: who asks, and for what.
pub(in super::super) struct Ecr<'e> {
    settings: Settings,
    environment: &'e Environment,
}

impl CredentialSource for Ecr<'_> {
    fn issue(&self, transport: &dyn Transport, registry: &str) -> Result<Issued, RegistryError> {
        let aws = self.aws(transport, registry);
        let (data, source) = aws.authorization(registry)?;
        let token = STANDARD
            .decode(text(&data, "authorizationToken")?)
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
        let credential = Credential::basic(user, password, source);
        Ok((credential, Some(lasting(Duration::from_secs_f64(left)))))
    }
}

impl<'e> Ecr<'e> {
    pub(in super::super) fn new(
        options: &BTreeMap<String, Secret>,
        environment: &'e Environment,
    ) -> Result<Ecr<'e>, RegistryError> {
        Ok(Ecr {
            settings: Settings::read("aws-ecr", options, OPTIONS)?,
            environment,
        })
    }

    fn aws<'a>(&'a self, transport: &'a dyn Transport, registry: &str) -> Aws<'a> {
        Aws::new(transport, &self.settings, registry, self.environment)
    }

    /// The host of the registry that belongs to the keys' account, which its tokens name.
    pub(in super::super) fn own_registry(
        &self,
        transport: &dyn Transport,
    ) -> Result<String, RegistryError> {
        let (data, _) = self.aws(transport, "").authorization("ECR")?;
        let endpoint = address(text(&data, "proxyEndpoint")?)?;
        let host = endpoint.host_str().unwrap_or_default();
        Ok(match endpoint.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        })
    }

    /// Whether the settings give repositories a policy, new or not.
    pub(in super::super) fn has_policies(&self) -> bool {
        let policies = ["lifecycle-policy", "repository-policy"];
        self.settings.first(&policies).is_some()
    }

    /// Makes a repository, where that is asked for, and gives it what the settings want; one that is there is
    /// given the same.
    pub(in super::super) fn create_repository(
        &self,
        transport: &dyn Transport,
        create: bool,
        registry: &str,
        repository: &str,
    ) -> Result<(), RegistryError> {
        let aws = self.aws(transport, registry);
        let wanted = Wanted::read(&aws, repository)?;
        let keys = aws.keys()?.keys;
        if create {
            wanted.create(&aws, &keys)?;
        }
        for (action, field, policy) in wanted.policies {
            let mut request = request_for(&wanted.name, wanted.account.as_deref());
            request[field] = Value::String(policy);
            aws.ecr(&keys, action, &request)?;
        }
        Ok(())
    }
}

/// Whether a host is one of ECR's.
pub(in super::super) fn is_ecr(host: &str) -> bool {
    Host::parse(host).is_some()
}

/// What a repository should be, read and checked before anything is asked of AWS.
struct Wanted {
    name: String,
    /// Whose registry; without it, the one of whoever signs.
    account: Option<String>,
    scan_on_push: Option<bool>,
    /// Action, field, text.
    policies: Vec<(&'static str, &'static str, String)>,
}

impl Wanted {
    fn read(aws: &Aws, repository: &str) -> Result<Wanted, RegistryError> {
        let settings = aws.settings;
        let scan_on_push = match settings.get("scan-on-push") {
            None => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(other) => {
                return Err(RegistryError::configuration(format!(
                    "AWS: `scan-on-push` is `true` or `false`, not `{other}`"
                )));
            }
        };
        let mut wanted = Wanted {
            name: repository.to_string(),
            account: None,
            scan_on_push,
            policies: Vec::new(),
        };
        for (option, action, field) in POLICIES {
            if let Some(policy) = settings.get(option) {
                let text = document(policy, "{", &format!("the {option}"))?;
                wanted.policies.push((action, field, text));
            }
        }
        match &aws.host {
            Some(Host::Public) => wanted.in_public()?,
            Some(Host::Private { account, .. }) => wanted.account = Some(account.clone()),
            None => {}
        }
        Ok(wanted)
    }

    /// `public.ecr.aws/<alias>/<name>`: the API knows the name alone.
    fn in_public(&mut self) -> Result<(), RegistryError> {
        let Some((_, name)) = self.name.split_once('/') else {
            return Err(RegistryError::configuration(format!(
                "`public.ecr.aws/{}` lacks the registry's alias: it is `public.ecr.aws/<alias>/<name>`",
                self.name
            )));
        };
        self.name = name.to_string();
        let lifecycle = |(action, _, _): &(&str, _, _)| *action == "PutLifecyclePolicy";
        if self.scan_on_push.is_some() || self.policies.iter().any(lifecycle) {
            return Err(RegistryError::configuration(
                "AWS: public repositories support neither `scan-on-push` nor `lifecycle-policy`",
            ));
        }
        Ok(())
    }

    fn create(&self, aws: &Aws, keys: &Keys) -> Result<(), RegistryError> {
        let mut request = self.named();
        if let Some(scan) = self.scan_on_push {
            request["imageScanningConfiguration"] = json!({ "scanOnPush": scan });
        }
        let there = match aws.ecr(keys, "CreateRepository", &request) {
            Ok(_) => false,
            Err(error) if has_code(&error, "RepositoryAlreadyExistsException") => true,
            Err(error) => return Err(error),
        };
        if there && self.scan_on_push.is_some() {
            aws.ecr(keys, "PutImageScanningConfiguration", &request)?;
        }
        Ok(())
    }

    fn named(&self) -> Value {
        request_for(&self.name, self.account.as_deref())
    }
}

/// Option, action, field.
const POLICIES: [(&str, &str, &str); 2] = [
    (
        "lifecycle-policy",
        "PutLifecyclePolicy",
        "lifecyclePolicyText",
    ),
    ("repository-policy", "SetRepositoryPolicy", "policyText"),
];

fn request_for(name: &str, account: Option<&str>) -> Value {
    let mut request = json!({ "repositoryName": name });
    if let Some(account) = account {
        request["registryId"] = json!(account);
    }
    request
}

fn has_code(error: &RegistryError, code: &str) -> bool {
    error.code().is_some_and(|c| c.ends_with(code))
}

impl<'a> Aws<'a> {
    fn new(
        transport: &'a dyn Transport,
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
            transport,
            settings,
            environment,
            host,
            region,
        }
    }

    /// What `GetAuthorizationToken` gives, and whose keys asked.
    fn authorization(&self, registry: &str) -> Result<(Value, String), RegistryError> {
        let found = self.keys()?;
        let answer = self.ecr(&found.keys, "GetAuthorizationToken", &json!({}));
        let mut answer = answer.map_err(|e| {
            e.during(registry, "", "get an authorization token from ECR")
                .with(|d| d.credential = Some(found.source.clone()))
        })?;
        let data = match answer.get_mut("authorizationData").map(Value::take) {
            Some(Value::Array(list)) => list.into_iter().next().unwrap_or_default(),
            Some(one) => one,
            None => Value::Null,
        };
        Ok((data, found.source))
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
        exchange::json(&bytes)
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
        self.transport
            .send_out_of_band(&call, Some(&proof))?
            .bytes(SMALL)
    }
}

fn timestamp() -> String {
    jiff::Timestamp::now()
        .strftime("%Y%m%dT%H%M%SZ")
        .to_string()
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
        assert_eq!(
            api("123456789012.dkr-ecr.eu-west-1.on.aws"),
            "ecr.eu-west-1.api.aws"
        );
        assert_eq!(
            api("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu"),
            "api.ecr.eusc-de-east-1.amazonaws.eu"
        );
        assert_eq!(Host::parse("public.ecr.aws"), Some(Host::Public));
        for other in [
            "ghcr.io",
            "x.dkr.ecr.eu-west-1.amazonaws.com",
            "1.dkr.ecr.eu.evil.com",
            "1.dkr.ecr.eu.amazonaws.com.evil.com",
            "1.dkr.ecr.evil.com#.amazonaws.com",
            "1.dkr-ecr.eu-west-1.amazonaws.com",
            "1.dkr.ecr.eu-west-1.on.aws",
        ] {
            assert_eq!(Host::parse(other), None, "{other}");
        }
    }
}
