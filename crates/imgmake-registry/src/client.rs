//! The handle on all registries: sessions by host, what is known about blobs.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock};

use super::certificates::{self, Files, Present};
use super::endpoint::{Declared, Endpoint, settings_for};
use super::mirrors::{Configuration, EndpointChain, MirrorEndpoint};
use super::retry::Policy;
use super::session::{CONNECTIONS, Session};
use super::{ClientOptions, HostSettings, RegistryError};
use imgmake_event::{Cancel, Cancelled};
use imgmake_oci::image::{Digest, Reference};
use ureq::tls::TlsConfig;

/// Whose turn it is with one blob.
type InFlight = Arc<Mutex<()>>;
/// By registry, prefix of the settings, and how the address was declared.
type Sessions = HashMap<(String, String, Declared), Arc<Session>>;

/// One client for pull, push, retag, cache and referrers. Cheap to clone; blocking; thread-safe.
#[derive(Clone)]
pub struct Client {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub options: Arc<ClientOptions>,
    sessions: Mutex<Sessions>,
    configuration: OnceLock<Result<Configuration, String>>,
    pub locations: BlobLocations,
    pulling: Mutex<HashMap<Digest, InFlight>>,
}

/// Which repositories are known to hold which blobs, and who is sending what.
#[derive(Default)]
pub(super) struct BlobLocations {
    holders: Mutex<HashMap<(String, Digest), BTreeSet<String>>>,
    sending: Mutex<HashMap<(String, Digest), InFlight>>,
}

impl BlobLocations {
    pub(super) fn holds(&self, to: &Reference, blob: &Digest) -> bool {
        let holders = self.holders.lock().expect("no panic while noting");
        holders
            .get(&(to.registry.clone(), blob.clone()))
            .is_some_and(|r| r.contains(&to.repository))
    }

    pub(super) fn note(&self, to: &Reference, blob: &Digest) {
        let mut holders = self.holders.lock().expect("no panic while noting");
        holders
            .entry((to.registry.clone(), blob.clone()))
            .or_default()
            .insert(to.repository.clone());
    }

    /// Another repository of the same registry that holds the blob.
    pub(super) fn mount_candidate(&self, to: &Reference, blob: &Digest) -> Option<String> {
        let holders = self.holders.lock().expect("no panic while noting");
        holders
            .get(&(to.registry.clone(), blob.clone()))?
            .iter()
            .find(|r| **r != to.repository)
            .cloned()
    }

    /// Held by whoever brings a blob to a registry: one upload per digest, and other
    /// repositories mount it as soon as it is there.
    pub(super) fn turn(&self, to: &Reference, blob: &Digest) -> InFlight {
        let mut sending = self.sending.lock().expect("no panic while noting");
        let key = (to.registry.clone(), blob.clone());
        Arc::clone(sending.entry(key).or_default())
    }
}

/// A place to read from: the registry or a mirror, and the repository's name there.
pub(super) struct PullEndpoint {
    pub session: Arc<Session>,
    pub repository: String,
}

impl Client {
    /// A client; touches no file and no network before it is used.
    ///
    /// # Errors
    /// A setting that cannot mean anything.
    pub fn new(options: ClientOptions) -> Result<Client, RegistryError> {
        for host in &options.hosts {
            if host.prefix.trim().is_empty() {
                return Err(RegistryError::configuration(
                    "a registry setting has no `host[:port][/path]`",
                ));
            }
            if host.concurrency == Some(0) {
                return Err(RegistryError::configuration(format!(
                    "`concurrency` of `{}` is 0; at least one connection is needed",
                    host.prefix
                )));
            }
        }
        let inner = Inner {
            options: Arc::new(options),
            sessions: Mutex::default(),
            configuration: OnceLock::new(),
            locations: BlobLocations::default(),
            pulling: Mutex::default(),
        };
        Ok(Client {
            inner: Arc::new(inner),
        })
    }

    /// The conversation with the registry itself.
    pub(super) fn session(&self, reference: &Reference) -> Arc<Session> {
        let settings = settings_for(
            &self.inner.options.hosts,
            &reference.registry,
            &reference.repository,
        );
        let declared = Declared {
            scheme: None,
            // A file that cannot be read is reported by the pull that needs it.
            insecure: self
                .configuration()
                .is_ok_and(|c| c.is_insecure(&reference.name())),
        };
        self.session_at(&reference.registry, settings, declared)
    }

    /// The registry itself: where pushes go.
    pub(super) fn registry(&self, reference: &Reference) -> PullEndpoint {
        PullEndpoint {
            session: self.session(reference),
            repository: reference.repository.clone(),
        }
    }

    fn session_at(
        &self,
        registry: &str,
        settings: HostSettings,
        declared: Declared,
    ) -> Arc<Session> {
        let key = (registry.to_string(), settings.prefix.clone(), declared);
        let mut sessions = self.inner.sessions.lock().expect("no panic while opening");
        let open = || {
            let options = &self.inner.options;
            let endpoint = Endpoint::new(registry, settings, declared, options);
            Arc::new(Session::new(endpoint, Arc::clone(options)))
        };
        Arc::clone(sessions.entry(key).or_insert_with(open))
    }

    /// Where a reference may be read, mirrors first.
    pub(super) fn pull_endpoints(
        &self,
        reference: &Reference,
    ) -> Result<Vec<PullEndpoint>, RegistryError> {
        let (mut places, origin) = self.route(reference)?;
        places.extend(origin);
        Ok(places)
    }

    /// Where the whole of what a repository holds is known: in the registry itself, or, where that may not be asked,
    /// in its mirrors.
    pub(super) fn authoritative(
        &self,
        reference: &Reference,
    ) -> Result<Vec<PullEndpoint>, RegistryError> {
        let (mirrors, origin) = self.route(reference)?;
        Ok(origin.map_or(mirrors, |origin| vec![origin]))
    }

    /// The mirrors, and the registry itself if it may be asked.
    fn route(
        &self,
        reference: &Reference,
    ) -> Result<(Vec<PullEndpoint>, Option<PullEndpoint>), RegistryError> {
        let hosts = &self.inner.options.hosts;
        let settings = settings_for(hosts, &reference.registry, &reference.repository);
        let route = if settings.mirrors.is_empty() {
            self.configuration()?.route(reference)?
        } else {
            EndpointChain::by_settings(&settings, reference)?
        };
        let place = |stop: MirrorEndpoint| PullEndpoint {
            session: self.session_at(
                &stop.registry,
                settings_for(hosts, &stop.registry, &stop.repository),
                stop.declared,
            ),
            repository: stop.repository,
        };
        let origin = route.origin.map(place);
        let mirrors = route.mirrors.into_iter().map(place);
        let answering = mirrors.filter(|p| !p.session.is_given_up());
        Ok((answering.collect(), origin))
    }

    /// `registries.conf` and `daemon.json`, read when first needed.
    fn configuration(&self) -> Result<&Configuration, RegistryError> {
        let read = || Configuration::read(&self.inner.options.environment);
        self.inner
            .configuration
            .get_or_init(read)
            .as_ref()
            .map_err(|message| RegistryError::configuration(message.clone()))
    }

    /// Whom a server that is no registry is trusted by: the system's certificates, or those of the environment.
    ///
    /// # Errors
    /// A variable of the environment names no certificates.
    pub fn system_trust(&self) -> Result<TlsConfig, RegistryError> {
        let environment = &self.inner.options.environment;
        certificates::tls(&Files::default(), Present::Nothing, environment)
    }

    /// Waits before another attempt at what is no registry's, with a registry's pauses. Whether there is one after
    /// `used` of them; `retry_after` is what the server asks for.
    ///
    /// # Errors
    /// The run is cancelled.
    pub fn wait_for_attempt(
        &self,
        used: u32,
        retry_after: Option<&str>,
        cancel: &Cancel,
    ) -> Result<bool, Cancelled> {
        let policy = Policy {
            attempts: self.inner.options.attempts,
            backoff: self.inner.options.backoff,
        };
        policy.wait(used, retry_after, cancel)
    }

    pub(super) fn connections(&self, reference: &Reference) -> usize {
        let session = self.session(reference);
        session.endpoint.settings.concurrency.unwrap_or(CONNECTIONS)
    }

    /// Held by whoever pulls a blob: one download per digest.
    pub(super) fn pulling(&self, blob: &Digest) -> InFlight {
        let mut pulling = self.inner.pulling.lock().expect("no panic while noting");
        Arc::clone(pulling.entry(blob.clone()).or_default())
    }
}
