//! Mirrors: which places are asked for an image, by settings, by containers'
//! `registries.conf` (version 2) and by Docker's `daemon.json`.
//!
//! Knows names and files; knows no connection.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::endpoint::{Declared, Scheme, canonical, is_prefix};
use super::{HostSettings, MirrorFallback, RegistryError};
use imgmake_oci::image::{DOCKER_HUB, Reference};

/// A registry or mirror, and what the image is called there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MirrorEndpoint {
    pub registry: String,
    pub repository: String,
    pub declared: Declared,
}

/// In which order places are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EndpointChain {
    pub mirrors: Vec<MirrorEndpoint>,
    /// `None` where falling back is turned off.
    pub origin: Option<MirrorEndpoint>,
}

impl EndpointChain {
    pub(super) fn by_settings(
        settings: &HostSettings,
        reference: &Reference,
    ) -> Result<EndpointChain, RegistryError> {
        let prefix = canonical(&settings.prefix);
        let mirrors = settings
            .mirrors
            .iter()
            .map(|m| stop(m, &prefix, reference, false))
            .collect::<Result<_, _>>()?;
        Ok(EndpointChain {
            mirrors,
            origin: (settings.mirror_fallback == MirrorFallback::Allowed)
                .then(|| origin(reference)),
        })
    }
}

fn origin(reference: &Reference) -> MirrorEndpoint {
    MirrorEndpoint {
        registry: reference.registry.clone(),
        repository: reference.repository.clone(),
        declared: Declared::default(),
    }
}

/// A location `[scheme://]host[:port][/path]` in place of a prefix of the name.
fn stop(
    location: &str,
    prefix: &str,
    reference: &Reference,
    insecure: bool,
) -> Result<MirrorEndpoint, RegistryError> {
    let scheme = match location.split_once("://") {
        None => None,
        Some(("http", _)) => Some(Scheme::Http),
        Some(("https", _)) => Some(Scheme::Https),
        Some(_) => return Err(not_a_mirror(location)),
    };
    let bare = canonical(location);
    let name = reference.name();
    let rest = if prefix.starts_with("*.") {
        &reference.repository
    } else {
        name.strip_prefix(prefix)
            .unwrap_or(&name)
            .trim_start_matches('/')
    };
    let (registry, repository) = match bare.split_once('/') {
        Some((host, path)) if rest.is_empty() => (host, path.to_string()),
        Some((host, path)) => (host, format!("{path}/{rest}")),
        None => (bare.as_str(), rest.to_string()),
    };
    let parsed: Reference = format!("{registry}/{repository}")
        .parse()
        .map_err(|_| not_a_mirror(location))?;
    if parsed.registry != registry {
        return Err(not_a_mirror(location));
    }
    Ok(MirrorEndpoint {
        registry: registry.to_string(),
        repository,
        declared: Declared { scheme, insecure },
    })
}

fn not_a_mirror(location: &str) -> RegistryError {
    RegistryError::configuration(format!(
        "`{location}` is not a mirror: expected `[http[s]://]host[:port][/path]`"
    ))
}

/// What the machine's configuration files say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Configuration {
    registries: Vec<RegistryTable>,
    hub_mirrors: Vec<String>,
    insecure: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct RegistryTable {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror_by_digest_only: bool,
    mirror: Vec<MirrorTable>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct MirrorTable {
    location: String,
    insecure: bool,
    pull_from_mirror: PullFrom,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PullFrom {
    #[default]
    #[serde(alias = "")]
    All,
    DigestOnly,
    TagOnly,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RegistriesFile {
    registry: Vec<RegistryTable>,
    /// Version 1, which containers' own tools refuse by now.
    registries: Option<toml::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct DaemonFile {
    registry_mirrors: Vec<String>,
    insecure_registries: Vec<String>,
}

type Environment = BTreeMap<String, String>;

impl Configuration {
    /// Reads the files that exist.
    pub(super) fn read(environment: &Environment) -> Result<Configuration, String> {
        let mut configuration = Configuration::default();
        for path in registries_files(environment) {
            if let Some(text) = read(&path)? {
                configuration.add_registries(&text, &path)?;
            }
        }
        let home = config_home(environment).map(|c| c.join("docker/daemon.json"));
        for path in home
            .into_iter()
            .chain([PathBuf::from("/etc/docker/daemon.json")])
        {
            if let Some(text) = read(&path)? {
                configuration.add_daemon(&text, &path)?;
                break;
            }
        }
        Ok(configuration)
    }

    fn add_registries(&mut self, text: &str, path: &Path) -> Result<(), String> {
        let file: RegistriesFile = toml::from_str(text)
            .map_err(|e| format!("`{}`: {}", path.display(), e.to_string().trim()))?;
        if file.registries.is_some() {
            return Err(format!(
                "`{}` is in version 1 of its format; write `[[registry]]` tables",
                path.display()
            ));
        }
        for mut table in file.registry {
            if table.prefix.is_empty() {
                table.prefix.clone_from(&table.location);
            }
            if table.prefix.is_empty() {
                return Err(format!(
                    "`{}`: a `[[registry]]` has neither `prefix` nor `location`",
                    path.display()
                ));
            }
            table.prefix = canonical(&table.prefix);
            // Later files replace what earlier ones say about the same prefix.
            self.registries.retain(|t| t.prefix != table.prefix);
            self.registries.push(table);
        }
        Ok(())
    }

    fn add_daemon(&mut self, text: &str, path: &Path) -> Result<(), String> {
        let file: DaemonFile = imgmake_oci::image::from_json(text.as_bytes())
            .map_err(|e| format!("`{}`: {e}", path.display()))?;
        self.hub_mirrors = file.registry_mirrors;
        self.insecure = file.insecure_registries;
        Ok(())
    }

    pub(super) fn route(&self, reference: &Reference) -> Result<EndpointChain, RegistryError> {
        let Some(table) = self.table(&reference.name()) else {
            let hub = reference.registry == DOCKER_HUB;
            let mirrors = if hub { &self.hub_mirrors[..] } else { &[] };
            let mirrors = mirrors
                .iter()
                .map(|m| stop(m, DOCKER_HUB, reference, false))
                .collect::<Result<_, _>>()?;
            let mut origin = origin(reference);
            origin.declared.insecure = self.is_insecure(&reference.name());
            return Ok(EndpointChain {
                mirrors,
                origin: Some(origin),
            });
        };
        if table.blocked {
            return Err(RegistryError::configuration(format!(
                "registries.conf blocks `{}`",
                table.prefix
            ))
            .during(&reference.registry, &reference.repository, "pull"));
        }
        let serves = |m: &&MirrorTable| match m.pull_from_mirror {
            PullFrom::All => !table.mirror_by_digest_only || reference.digest.is_some(),
            PullFrom::DigestOnly => reference.digest.is_some(),
            PullFrom::TagOnly => reference.digest.is_none(),
        };
        let mirrors = table
            .mirror
            .iter()
            .filter(serves)
            .map(|m| stop(&m.location, &table.prefix, reference, m.insecure))
            .collect::<Result<_, _>>()?;
        let origin = if table.location.is_empty() {
            let mut origin = origin(reference);
            origin.declared.insecure = table.insecure;
            origin
        } else {
            stop(&table.location, &table.prefix, reference, table.insecure)?
        };
        Ok(EndpointChain {
            mirrors,
            origin: Some(origin),
        })
    }

    /// Whether plain HTTP and any certificate are declared fine for `registry/repository`.
    pub(super) fn is_insecure(&self, name: &str) -> bool {
        let host = name.split('/').next().unwrap_or(name);
        self.table(name).is_some_and(|t| t.insecure)
            || self.insecure.iter().any(|i| canonical(i) == host)
    }

    fn table(&self, name: &str) -> Option<&RegistryTable> {
        let matches = |t: &&RegistryTable| match t.prefix.strip_prefix("*.") {
            Some(domain) => {
                let host = name.split('/').next().unwrap_or(name);
                host.strip_suffix(domain).is_some_and(|h| h.ends_with('.'))
            }
            None => is_prefix(&t.prefix, name),
        };
        self.registries
            .iter()
            .filter(matches)
            .max_by_key(|t| t.prefix.len())
    }
}

fn read(path: &Path) -> Result<Option<String>, String> {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        // What root keeps to itself was not written for us.
        Err(e) if matches!(e.kind(), NotFound | NotADirectory | PermissionDenied) => Ok(None),
        Err(e) => Err(format!("cannot read `{}`: {e}", path.display())),
    }
}

fn config_home(environment: &Environment) -> Option<PathBuf> {
    let filled = |name: &str| environment.get(name).filter(|v| !v.is_empty());
    filled("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(filled("HOME")?).join(".config")))
}

/// One main file (the user's hides the system's), then drop-ins.
fn registries_files(environment: &Environment) -> Vec<PathBuf> {
    let drop_ins = |directory: PathBuf| {
        let mut files: Vec<PathBuf> = fs::read_dir(directory)
            .into_iter()
            .flatten()
            .filter_map(|e| Some(e.ok()?.path()))
            .filter(|p| p.extension().is_some_and(|e| e == "conf"))
            .collect();
        files.sort();
        files
    };
    if let Some(named) = environment
        .get("CONTAINERS_REGISTRIES_CONF")
        .filter(|v| !v.is_empty())
    {
        return vec![named.into()];
    }
    let system = Path::new("/etc/containers");
    let user = config_home(environment).map(|c| c.join("containers"));
    let main = user
        .iter()
        .map(PathBuf::as_path)
        .chain([system])
        .map(|d| d.join("registries.conf"))
        .find(|p| p.is_file());
    let mut files: Vec<PathBuf> = main.into_iter().collect();
    files.extend(drop_ins(system.join("registries.conf.d")));
    files.extend(
        user.into_iter()
            .flat_map(|d| drop_ins(d.join("registries.conf.d"))),
    );
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(registries: &str, daemon: &str) -> Configuration {
        let mut configuration = Configuration::default();
        configuration
            .add_registries(registries, Path::new("registries.conf"))
            .unwrap();
        configuration
            .add_daemon(daemon, Path::new("daemon.json"))
            .unwrap();
        configuration
    }

    fn names(route: &EndpointChain) -> Vec<String> {
        route
            .mirrors
            .iter()
            .chain(&route.origin)
            .map(|s| format!("{}/{}", s.registry, s.repository))
            .collect()
    }

    const CONF: &str = r#"
        unqualified-search-registries = ["docker.io"]
        [[registry]]
        prefix = "docker.io"
        location = "docker.io"
        [[registry.mirror]]
        location = "cache.corp:5000/hub"
        insecure = true
        [[registry.mirror]]
        location = "digests.corp"
        pull-from-mirror = "digest-only"
        [[registry]]
        location = "docker.io/secret"
        blocked = true
        [[registry]]
        prefix = "*.example.com"
        location = "all.example.org/example"
    "#;

    #[test]
    fn mirrors_of_registries_conf_come_before_the_registry() {
        let configuration = configuration(CONF, "{}");
        let route = configuration.route(&"alpine:3".parse().unwrap()).unwrap();
        assert_eq!(
            names(&route),
            [
                "cache.corp:5000/hub/library/alpine",
                "docker.io/library/alpine"
            ]
        );
        assert!(route.mirrors[0].declared.insecure);
        let digest = imgmake_oci::image::Digest::of(b"");
        let route = configuration
            .route(&format!("alpine@{digest}").parse().unwrap())
            .unwrap();
        assert_eq!(route.mirrors.len(), 2);
        let route = configuration
            .route(&"a.example.com/x/y".parse().unwrap())
            .unwrap();
        assert_eq!(names(&route), ["all.example.org/example/x/y"]);
        let error = configuration
            .route(&"docker.io/secret/app".parse().unwrap())
            .unwrap_err();
        assert!(
            error.to_string().contains("blocks `docker.io/secret`"),
            "{error}"
        );
    }

    #[test]
    fn dockers_mirrors_serve_the_hub_alone() {
        let configuration = configuration(
            "",
            r#"{"registry-mirrors":["https://mirror.gcr.io","http://m.corp:5000/"],"insecure-registries":["reg.corp:5000"]}"#,
        );
        let route = configuration.route(&"alpine".parse().unwrap()).unwrap();
        assert_eq!(
            names(&route),
            [
                "mirror.gcr.io/library/alpine",
                "m.corp:5000/library/alpine",
                "docker.io/library/alpine"
            ]
        );
        assert_eq!(route.mirrors[1].declared.scheme, Some(Scheme::Http));
        assert_eq!(
            names(
                &configuration
                    .route(&"ghcr.io/a/b".parse().unwrap())
                    .unwrap()
            ),
            ["ghcr.io/a/b"]
        );
        assert!(configuration.is_insecure("reg.corp:5000/a"));
        assert!(!configuration.is_insecure("ghcr.io/a"));
    }

    #[test]
    fn settings_replace_their_prefix_and_may_forbid_falling_back() {
        let settings = HostSettings {
            prefix: "a.io/team".into(),
            mirrors: vec!["http://m:1/cache".into()],
            mirror_fallback: MirrorFallback::Off,
            ..HostSettings::default()
        };
        let route =
            EndpointChain::by_settings(&settings, &"a.io/team/app".parse().unwrap()).unwrap();
        assert_eq!(route.origin, None);
        assert_eq!(route.mirrors[0].repository, "cache/app");
        let bad = HostSettings {
            mirrors: vec!["ftp://x".into()],
            ..settings
        };
        assert!(EndpointChain::by_settings(&bad, &"a.io/team/app".parse().unwrap()).is_err());
    }

    #[test]
    fn a_broken_file_is_named() {
        let mut configuration = Configuration::default();
        let error = configuration
            .add_registries("[[registry]]\nprefix = 3", Path::new("/x/registries.conf"))
            .unwrap_err();
        assert!(error.contains("/x/registries.conf"), "{error}");
        let error = configuration
            .add_registries(
                "[registries.search]\nregistries = []",
                Path::new("/x/r.conf"),
            )
            .unwrap_err();
        assert!(error.contains("version 1"), "{error}");
    }
}
