//! Where a registry is and how it is reached: host settings, Docker Hub's names,
//! plain HTTP, TLS, proxies, and the connections themselves.
//!
//! Knows settings and ureq agents; knows no protocol beyond the address.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use url::Url;

use super::certificates::{self, Files, Present, Verification};
use super::{ClientOptions, HostSettings, RegistryError};
use crate::connection::{self, SettingNames, proxy, url_problem};
use imgmake_event::Cancel;
use imgmake_oci::image::DOCKER_HUB;

/// Connections kept open per host.
const IDLE_CONNECTIONS: usize = 16;
/// Reaching a host takes no longer than this, even if a quiet transfer may.
const CONNECT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scheme {
    Http,
    Https,
}

/// One registry or mirror.
pub(super) struct Endpoint {
    /// As people and credential files name it: `docker.io`, `localhost:5000`.
    pub registry: String,
    /// Where it is: `registry-1.docker.io`.
    pub host: String,
    pub settings: HostSettings,
    /// In the order in which they are tried.
    pub schemes: Vec<Scheme>,
    files: Files,
    environment: BTreeMap<String, String>,
    idle_timeout: Duration,
    user_agent: String,
    /// For messages.
    pub names: SettingNames,
    cancel: Cancel,
    agents: Mutex<HashMap<String, ureq::Agent>>,
}

/// How a mirror's or registry's address was declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Declared {
    pub scheme: Option<Scheme>,
    pub insecure: bool,
}

impl Scheme {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

impl Endpoint {
    pub(super) fn new(
        registry: &str,
        settings: HostSettings,
        declared: Declared,
        options: &ClientOptions,
    ) -> Endpoint {
        let host = match registry {
            DOCKER_HUB => "registry-1.docker.io",
            other => other,
        };
        let insecure = settings.insecure || declared.insecure;
        let files = Files {
            trusted: settings.ca.iter().cloned().collect(),
            client: settings.client_certificate.clone(),
            verification: if insecure || settings.skip_tls_verify {
                Verification::Off
            } else {
                Verification::Full
            },
        }
        .with_certs_d(registry, &options.environment);
        let expects_tls = !files.is_empty() || settings.skip_tls_verify;
        let name = host_name(host);
        let schemes = match declared.scheme {
            Some(scheme) => vec![scheme],
            // A registry on this machine is nearly always a plain one.
            None if proxy::is_loopback(name) && !expects_tls => vec![Scheme::Http, Scheme::Https],
            None if proxy::is_loopback(name) || insecure => vec![Scheme::Https, Scheme::Http],
            None => vec![Scheme::Https],
        };
        Endpoint {
            registry: registry.to_string(),
            host: host.to_string(),
            settings,
            schemes,
            files,
            environment: options.environment.clone(),
            idle_timeout: options.idle_timeout,
            user_agent: options.user_agent.clone(),
            names: options.names,
            cancel: options.work.cancel.clone(),
            agents: Mutex::default(),
        }
    }

    pub(super) fn base(&self, scheme: Scheme) -> Result<Url, RegistryError> {
        Url::parse(&format!("{}://{}/", scheme.as_str(), self.host)).map_err(|e| {
            let reason = url_problem(e);
            RegistryError::configuration(format!("invalid host `{}`: {reason}", self.host))
        })
    }

    /// The agent, with its pool of open connections, for an address.
    pub(super) fn agent(&self, url: &Url) -> Result<ureq::Agent, RegistryError> {
        let authority = &url[url::Position::BeforeScheme..url::Position::BeforePath];
        let mut agents = self.agents.lock().expect("no agent is made in a panic");
        if let Some(agent) = agents.get(authority) {
            return Ok(agent.clone());
        }
        let agent = self.connect(url)?;
        agents.insert(authority.to_string(), agent.clone());
        Ok(agent)
    }

    /// The proxy on the way to an address: host and port, never its password.
    pub(super) fn through(&self, url: &Url) -> Option<String> {
        let proxy = Url::parse(&proxy::proxy_for(url, &self.environment)?).ok()?;
        let port = proxy.port_or_known_default().unwrap_or(80);
        Some(format!("{}:{port}", proxy.host_str()?))
    }

    fn connect(&self, url: &Url) -> Result<ureq::Agent, RegistryError> {
        let own = url.host_str() == Some(host_name(&self.host));
        let present = if own {
            Present::ClientCertificate
        } else {
            Present::Nothing
        };
        let proxy = proxy::proxy_for(url, &self.environment)
            .map(|p| {
                if p.starts_with("socks") {
                    return Err(RegistryError::configuration(
                        "the environment names a SOCKS proxy; only HTTP proxies are supported",
                    ));
                }
                ureq::Proxy::new(&p).map_err(|_| {
                    RegistryError::configuration("the proxy address in the environment is not `[scheme://][user:password@]host[:port]`")
                })
            })
            .transpose()?;
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(proxy)
            .user_agent(self.user_agent.as_str())
            .accept("")
            .max_idle_connections(4 * IDLE_CONNECTIONS)
            .max_idle_connections_per_host(IDLE_CONNECTIONS)
            .timeout_connect(Some(self.idle_timeout.min(CONNECT)))
            .timeout_per_read(Some(self.idle_timeout))
            .timeout_per_write(Some(self.idle_timeout));
        if url.scheme() == "https" {
            config = config.tls_config(certificates::tls(&self.files, present, &self.environment)?);
        }
        Ok(connection::agent(config.build(), &self.cancel))
    }
}

/// The name without port or brackets' contents changed: `[::1]:5000` is `[::1]`.
pub(super) fn host_name(host: &str) -> &str {
    match host.rfind(':') {
        Some(at) if !host[at..].contains(']') => &host[..at],
        _ => host,
    }
}

/// The settings with the longest prefix of `registry/repository`.
pub(super) fn settings_for(
    hosts: &[HostSettings],
    registry: &str,
    repository: &str,
) -> HostSettings {
    let name = format!("{registry}/{repository}");
    hosts
        .iter()
        .filter(|h| is_prefix(&canonical(&h.prefix), &name))
        .max_by_key(|h| canonical(&h.prefix).len())
        .cloned()
        .unwrap_or_else(|| HostSettings {
            prefix: registry.to_string(),
            ..HostSettings::default()
        })
}

/// Whole path components: `a.io/team` is not a prefix of `a.io/teams`.
pub(super) fn is_prefix(prefix: &str, name: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A prefix as people write it: scheme, trailing slash and the Hub's other names gone.
pub(super) fn canonical(prefix: &str) -> String {
    let bare = prefix
        .trim()
        .trim_start_matches("https://")
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let (host, path) = match bare.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (bare, None),
    };
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => DOCKER_HUB,
        other => other,
    };
    match path {
        None | Some("v1" | "v2") => host.to_string(),
        Some(path) => format!("{host}/{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(registry: &str, settings: HostSettings) -> Endpoint {
        Endpoint::new(
            registry,
            settings,
            Declared::default(),
            &ClientOptions::default(),
        )
    }

    #[test]
    fn plain_http_is_for_loopback_and_the_declared_only() {
        let plain = HostSettings::default();
        assert_eq!(endpoint("ghcr.io", plain.clone()).schemes, [Scheme::Https]);
        assert_eq!(
            endpoint("localhost:5000", plain.clone()).schemes,
            [Scheme::Http, Scheme::Https]
        );
        assert_eq!(
            endpoint("[::1]:5000", plain.clone()).schemes[0],
            Scheme::Http
        );
        assert_eq!(
            endpoint("localhost.example.com", plain).schemes,
            [Scheme::Https]
        );
        let insecure = HostSettings {
            insecure: true,
            ..HostSettings::default()
        };
        assert_eq!(
            endpoint("reg.corp:5000", insecure).schemes,
            [Scheme::Https, Scheme::Http]
        );
    }

    #[test]
    fn the_longest_prefix_of_whole_components_decides() {
        let host = |prefix: &str| HostSettings {
            prefix: prefix.into(),
            ..HostSettings::default()
        };
        let hosts = [
            host("a.io"),
            host("a.io/team"),
            host("https://index.docker.io/v1/"),
        ];
        let chosen = |r: &str, p: &str| settings_for(&hosts, r, p).prefix;
        assert_eq!(chosen("a.io", "team/app"), "a.io/team");
        assert_eq!(chosen("a.io", "teams/app"), "a.io");
        assert_eq!(
            chosen("docker.io", "library/alpine"),
            "https://index.docker.io/v1/"
        );
        assert_eq!(chosen("b.io", "x"), "b.io");
    }

    #[test]
    fn docker_hub_lives_elsewhere() {
        let hub = endpoint("docker.io", HostSettings::default());
        assert_eq!(
            hub.base(Scheme::Https).unwrap().as_str(),
            "https://registry-1.docker.io/"
        );
    }
}
