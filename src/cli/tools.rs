//! What the work is done with, made when first needed: a run in which nothing
//! has changed opens no connection and starts no helper.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use super::environment::Environment;
use super::project::Project;
use super::watchdog::Watchdog;
use imgmake_build::cache::{Cache, CacheSettings};
use imgmake_build::worker::{CacheScope, Terminals, Worker};
use imgmake_build::{BasePolicy, Engine, Pins, Warmed};
use imgmake_compat::plugin::job::ImmutableTags;
use imgmake_core::manifest::{
    AuthNode, CacheMounts, Manifest, PasswordFrom, RegistryNode, SecretFrom,
};
use imgmake_core::state::State;
use imgmake_event::{Cancel, Events};
use imgmake_oci::store::{Store, Trust};
use imgmake_registry::{Auth, Client, ClientOptions, HostSettings, MirrorFallback, Secret};
use imgmake_sandbox::Tier;

pub struct Tools {
    store_path: PathBuf,
    store_trust: Trust,
    options: ClientOptions,
    tier: Option<Tier>,
    pub events: Events,
    pub cancel: Cancel,
    /// What it means to a push that a registry will not move a tag.
    pub immutable_tags: ImmutableTags,
    /// Base images that were fetched beforehand.
    pub warmed: Option<Warmed>,
    /// `--shell-on-fail`.
    pub terminals: Option<Arc<dyn Terminals>>,
    store: OnceLock<Store>,
    client: OnceLock<Client>,
    worker: OnceLock<Arc<Worker>>,
    cache_settings: CacheSettings,
    cache_scope: CacheScope,
    bases: Arc<BasePolicy>,
    cache: OnceLock<Option<Arc<Cache>>>,
    watchdog: OnceLock<Watchdog>,
}

impl Tools {
    /// # Errors
    /// A secret that a registry needs is not there.
    pub fn new(
        project: &Project,
        environment: &Environment,
        store_path: PathBuf,
        events: Events,
        cancel: Cancel,
    ) -> anyhow::Result<Tools> {
        let manifest = project.graph.manifest();
        let hosts = manifest
            .registries
            .iter()
            .map(|node| host(node, manifest, project, environment))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let options = ClientOptions {
            hosts,
            attempts: manifest.settings.retry.attempts,
            backoff: manifest.settings.retry.backoff,
            environment: environment.variables.clone(),
            work: imgmake_registry::Work {
                target: String::new(),
                events: events.clone(),
                cancel: cancel.clone(),
            },
            ..ClientOptions::default()
        };
        Ok(Tools {
            store_path,
            store_trust: project.trust.of_store(),
            options,
            tier: tier(environment)?,
            cache_scope: match manifest.settings.cache_mounts {
                CacheMounts::User => CacheScope::User,
                CacheMounts::Project => CacheScope::Project(canonical(&project.directory)?),
            },
            bases: Arc::new(super::base_policy::read(project)?),
            cache_settings: super::shared_cache::settings(&manifest.settings.cache)?,
            cache: OnceLock::new(),
            events,
            cancel,
            immutable_tags: ImmutableTags::default(),
            warmed: None,
            terminals: None,
            store: OnceLock::new(),
            client: OnceLock::new(),
            worker: OnceLock::new(),
            watchdog: OnceLock::new(),
        })
    }

    pub fn store_path(&self) -> &Path {
        &self.store_path
    }

    pub fn store(&self) -> anyhow::Result<&Store> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let opened = Store::open_with(&self.store_path, self.store_trust.clone())?;
        let opened = opened.stopped_by(&self.cancel);
        Ok(self.store.get_or_init(|| opened))
    }

    /// The store, if anything needed it yet.
    pub fn opened_store(&self) -> Option<&Store> {
        self.store.get()
    }

    pub fn client(&self) -> anyhow::Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let made = Client::new(self.options.clone())?;
        Ok(self.client.get_or_init(|| made))
    }

    /// Starts nothing yet: the helper process begins with its first request.
    pub fn worker(&self) -> anyhow::Result<Arc<Worker>> {
        let store = self.store()?.clone();
        let made = || {
            let worker = Worker::new(store, self.tier);
            Arc::new(match &self.terminals {
                Some(terminals) => worker.with_shell_on_failure(Arc::clone(terminals)),
                None => worker,
            })
        };
        Ok(Arc::clone(self.worker.get_or_init(made)))
    }

    pub fn engine(&self, state: &Arc<State>) -> anyhow::Result<Engine> {
        Ok(Engine {
            store: self.store()?.clone(),
            registry: self.client()?.clone(),
            git: imgmake_git::Client::new(self.options.environment.clone(), &self.cancel),
            worker: self.worker()?,
            events: self.events.clone(),
            cancel: self.cancel.clone(),
            pins: Arc::new(StatePins(Arc::clone(state))),
            cache: self.cache()?,
            warmed: self.warmed.clone(),
            cache_scope: self.cache_scope.clone(),
            bases: Arc::clone(&self.bases),
        })
    }

    /// Caches of the command line besides those of the manifest; before anything is built.
    pub fn add_caches(&mut self, more: CacheSettings) {
        let settings = &mut self.cache_settings;
        settings.from.extend(more.from);
        settings.to.extend(more.to);
        settings.ttl = more.ttl.or(settings.ttl);
    }

    /// Step results in registries; `None` when there are no such caches.
    fn cache(&self) -> anyhow::Result<Option<Arc<Cache>>> {
        if self.cache_settings.is_empty() {
            return Ok(None);
        }
        if let Some(cache) = self.cache.get() {
            return Ok(cache.clone());
        }
        // A cache that does not answer at once costs more than it saves.
        let lookups = Client::new(ClientOptions {
            attempts: self.options.attempts.min(2),
            backoff: (Duration::from_millis(200), Duration::from_secs(2)),
            idle_timeout: Duration::from_secs(30),
            ..self.options.clone()
        })?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        let cache = Cache::new(self.cache_settings.clone(), lookups, now);
        Ok(self.cache.get_or_init(|| Some(Arc::new(cache))).clone())
    }

    /// Started with the first command on the host.
    pub fn watchdog(&self) -> &Watchdog {
        self.watchdog.get_or_init(Watchdog::start)
    }

    pub fn work(&self, target: &str) -> imgmake_registry::Work {
        imgmake_registry::Work {
            target: target.to_string(),
            events: self.events.clone(),
            cancel: self.cancel.clone(),
        }
    }
}

/// `IMGMAKE_ISOLATION` chooses a tier instead of probing.
pub fn tier(environment: &Environment) -> anyhow::Result<Option<Tier>> {
    Ok(match environment.get("IMGMAKE_ISOLATION") {
        None | Some("auto") => None,
        Some("root") => Some(Tier::Root),
        Some("rootless") => Some(Tier::Rootless),
        Some("single-id") => Some(Tier::SingleId),
        Some("chroot") => Some(Tier::Chroot),
        Some(other) => anyhow::bail!(
            "IMGMAKE_ISOLATION={other} is no tier: expected root, rootless, single-id, chroot or auto"
        ),
    })
}

/// A project is known by where it is, whatever links led there.
fn canonical(directory: &Path) -> anyhow::Result<String> {
    let real = directory
        .canonicalize()
        .with_context(|| format!("cannot find the directory `{}`", directory.display()))?;
    // Escaped where it is no text: two directories must never look alike.
    Ok(match real.to_str() {
        Some(text) if !text.contains('\\') => text.to_string(),
        _ => real
            .as_os_str()
            .as_encoded_bytes()
            .escape_ascii()
            .to_string(),
    })
}

struct StatePins(Arc<State>);

impl Pins for StatePins {
    fn get(&self, name: &str) -> Option<String> {
        self.0.pin(name)
    }

    fn set(&self, name: &str, value: &str) {
        self.0.set_pin(name, value);
    }
}

fn host(
    node: &RegistryNode,
    manifest: &Manifest,
    project: &Project,
    environment: &Environment,
) -> anyhow::Result<HostSettings> {
    let secret = |from: &PasswordFrom| password(from, manifest, &project.directory, environment);
    let options =
        |map: &BTreeMap<String, PasswordFrom>| -> anyhow::Result<BTreeMap<String, Secret>> {
            // The manifest writes `access-key`, the client's options are `access_key`.
            map.iter()
                .map(|(name, from)| {
                    let value = located(name, secret(from)?, &project.directory, environment);
                    Ok((name.replace('-', "_"), value))
                })
                .collect()
        };
    let auth = match &node.auth {
        AuthNode::DockerConfig => Auth::DockerConfig,
        AuthNode::Anonymous => Auth::Anonymous,
        AuthNode::Basic { user, password } => Auth::Basic {
            user: user.clone(),
            password: secret(password)?,
            source: origin(node, project),
        },
        AuthNode::Bearer { token } => Auth::Bearer {
            token: secret(token)?,
        },
        AuthNode::AwsEcr(map) => Auth::AwsEcr {
            options: options(map)?,
        },
        AuthNode::Gcp(map) => Auth::Gcp {
            options: options(map)?,
        },
        AuthNode::Azure(map) => Auth::Azure {
            options: options(map)?,
        },
    };
    let path = |text: &String| project.directory.join(text);
    Ok(HostSettings {
        prefix: node.prefix.value.clone(),
        auth,
        insecure: node.insecure,
        skip_tls_verify: node.skip_tls_verify,
        ca: node.ca.as_ref().map(path),
        client_certificate: node
            .client_cert
            .as_ref()
            .map(|(certificate, key)| (path(certificate), path(key))),
        concurrency: node.concurrency,
        create_repository: node.create_repo,
        mirrors: node.mirrors.clone(),
        mirror_fallback: match node.mirrors_only {
            true => MirrorFallback::Off,
            false => MirrorFallback::Allowed,
        },
    })
}

/// Options that may be files, by their place; a document stays as it is.
fn located(name: &str, value: Secret, directory: &Path, environment: &Environment) -> Secret {
    const FILES: [&str; 4] = [
        "key-file",
        "certificate",
        "lifecycle-policy",
        "repository-policy",
    ];
    let path = expand_home(&value.0, directory, environment);
    // Beyond this length a name is none, and asking for it an error.
    let is_file = FILES.contains(&name) && value.0.len() < 4096 && path.is_file();
    match is_file {
        true => Secret(path.display().to_string()),
        false => value,
    }
}

/// Where a credential was written, for messages.
fn origin(node: &RegistryNode, project: &Project) -> String {
    match project.sources.place(node.name.span.start) {
        Some((file, line)) => format!("{file}:{line}"),
        None => "the step's variables".to_string(),
    }
}

fn password(
    from: &PasswordFrom,
    manifest: &Manifest,
    directory: &Path,
    environment: &Environment,
) -> anyhow::Result<Secret> {
    match from {
        PasswordFrom::Literal(text) => Ok(Secret(text.clone())),
        PasswordFrom::Secret(name) => {
            let node = manifest.secrets.iter().find(|s| s.name.value == name.value);
            let node = node.expect("the graph checks that secrets are declared");
            let value = secret_value(&node.source, directory, environment)?;
            // An optional one that is absent is an empty password, which the registry will name.
            let text = value.map(|bytes| {
                String::from_utf8_lossy(&bytes)
                    .trim_end_matches('\n')
                    .to_string()
            });
            Ok(Secret(text.unwrap_or_default()))
        }
    }
}

/// The bytes of a secret; `None` when its source is not there.
pub fn secret_value(
    from: &SecretFrom,
    directory: &Path,
    environment: &Environment,
) -> anyhow::Result<Option<Vec<u8>>> {
    match from {
        SecretFrom::Env(name) => Ok(environment
            .variables
            .get(name)
            .map(|value| value.clone().into_bytes())),
        SecretFrom::File(path) => match std::fs::read(expand_home(path, directory, environment)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(anyhow::anyhow!(
                "cannot read the secret's file `{path}`: {}",
                super::project::plain(&error)
            )),
        },
    }
}

/// `~/x` in the home directory, everything else from the manifest's directory.
pub fn expand_home(path: &str, directory: &Path, environment: &Environment) -> PathBuf {
    match (path.strip_prefix("~/"), environment.get("HOME")) {
        (Some(rest), Some(home)) => Path::new(home).join(rest),
        _ => directory.join(path),
    }
}
