//! What the work is done with, made when first needed: a run in which nothing
//! has changed opens no connection and starts no helper.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use super::jobserver::Jobserver;
use super::pins::{LockedPins, PinUse, ProjectPins};
use super::project::Project;
use super::registries;
use super::remote_names::RemoteNames;
use super::watchdog::Watchdog;
use crate::share::source::Tree;
use imgmake_build::cache::{Cache, CacheSettings};
use imgmake_build::worker::{CacheScope, Terminals, Worker};
use imgmake_build::{BasePolicy, Checkouts, Coming, Engine, Warmed};
use imgmake_core::graph::TargetId;
use imgmake_core::manifest::CacheMounts;
use imgmake_core::state::State;
use imgmake_event::{Cancel, Event, Events};
use imgmake_guard::offline;
use imgmake_oci::store::{Store, Trust, Waiting};
use imgmake_registry::connection::SettingNames;
use imgmake_registry::{Client, ClientOptions};
use imgmake_sandbox::IsolationMode;

/// What it means to a push that a registry will not move a tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImmutableTags {
    #[default]
    Refuse,
    /// The tag is there: as good as pushed.
    Accept,
}

pub struct Tools {
    store_path: PathBuf,
    store_trust: Trust,
    client_options: ClientOptions,
    logs: Option<PathBuf>,
    isolation: Option<IsolationMode>,
    pub events: Events,
    pub cancel: Cancel,
    pub immutable_tags: ImmutableTags,
    lock: Option<Arc<LockedPins>>,
    pub pin_use: PinUse,
    /// Base images that were fetched beforehand.
    pub warmed: Option<Warmed>,
    /// `--shell-on-fail`.
    pub terminals: Option<Arc<dyn Terminals>>,
    /// Whether an interactive command may have what imgmake itself reads and writes.
    pub lends_terminal: bool,
    /// The standard input is a terminal.
    pub input_is_terminal: bool,
    /// Device and inode of the file that everything this run starts has inherited locked.
    pub run_file: Option<(u64, u64)>,
    /// What each target takes a token of while it works.
    pub jobserver: Option<Arc<Jobserver>>,
    /// Where the project's files come from, if they are not a checkout's.
    pub source: Option<Arc<Tree>>,
    /// A layout besides what the manifest wants of a build.
    pub layout_of: Option<(TargetId, PathBuf)>,
    store: OnceLock<Store>,
    client: OnceLock<Client>,
    worker: OnceLock<Arc<Worker>>,
    coming: Arc<Coming>,
    /// What names in registries stood for when they were first looked up.
    pub remote_names: RemoteNames,
    cache_settings: CacheSettings,
    cache_scope: CacheScope,
    bases: Arc<BasePolicy>,
    cache: OnceLock<Option<Arc<Cache>>>,
    checkouts: Checkouts,
    watchdog: OnceLock<Watchdog>,
}

/// What the surroundings of a run decide about its tools.
pub struct ToolOptions {
    pub store_path: PathBuf,
    pub store_trust: Trust,
    /// How RUN is confined; probed when there is none.
    pub isolation: Option<IsolationMode>,
    pub caches: CacheSettings,
    pub bases: BasePolicy,
    /// The environment's variables.
    pub variables: BTreeMap<String, String>,
    /// Where the output of a RUN that failed is kept.
    pub logs: Option<PathBuf>,
    pub events: Events,
    pub cancel: Cancel,
}

impl Tools {
    /// # Errors
    /// A secret that a registry needs is not there.
    pub fn new(project: &Project, options: ToolOptions) -> anyhow::Result<Tools> {
        let manifest = project.graph.manifest();
        let hosts = manifest
            .registries
            .iter()
            .map(|node| {
                registries::host(node, manifest, project, &options.variables, &options.cancel)
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let client_options = ClientOptions {
            hosts,
            attempts: manifest.settings.retry.attempts,
            backoff: manifest.settings.retry.backoff,
            environment: options.variables,
            work: imgmake_registry::OperationContext {
                target: String::new(),
                events: options.events.clone(),
                cancel: options.cancel.clone(),
            },
            ..ClientOptions::default()
        };
        Ok(Tools {
            store_path: options.store_path,
            store_trust: options.store_trust,
            client_options,
            logs: options.logs,
            isolation: options.isolation,
            cache_scope: match manifest.settings.cache_mounts {
                CacheMounts::User => CacheScope::User,
                CacheMounts::Project => CacheScope::Project(project_name(&project.directory)?),
            },
            bases: Arc::new(options.bases),
            cache_settings: options.caches,
            cache: OnceLock::new(),
            checkouts: Checkouts::default(),
            events: options.events,
            cancel: options.cancel,
            immutable_tags: ImmutableTags::default(),
            lock: project.lock.clone(),
            pin_use: PinUse::default(),
            warmed: None,
            terminals: None,
            lends_terminal: false,
            input_is_terminal: false,
            run_file: None,
            jobserver: None,
            source: None,
            layout_of: None,
            store: OnceLock::new(),
            client: OnceLock::new(),
            worker: OnceLock::new(),
            coming: Arc::default(),
            remote_names: RemoteNames::default(),
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
        let on_wait = |busy| {
            self.events.send(Event::Note {
                target: None,
                message: format!(
                    "waiting for the store `{}`: {busy}",
                    self.store_path.display()
                ),
            });
        };
        let waiting = Waiting {
            on_wait: &on_wait,
            cancel: &self.cancel,
        };
        let opened = Store::open_waiting(&self.store_path, self.store_trust.clone(), &waiting)?;
        let opened = opened.stopped_by(&self.cancel);
        if opened.take_rebuilt().is_some() {
            self.events.send(Event::Note {
                target: None,
                message: format!(
                    "the store `{}` was written by an older version: its steps are built again",
                    self.store_path.display()
                ),
            });
        }
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
        let made = Client::new(self.client_options.clone())?;
        Ok(self.client.get_or_init(|| made))
    }

    /// Starts nothing yet: the helper process begins with its first request.
    pub fn worker(&self) -> anyhow::Result<Arc<Worker>> {
        let store = self.store()?.clone();
        let made = || {
            let worker = Worker::new(store, self.isolation);
            Arc::new(match &self.terminals {
                Some(terminals) => worker.with_shell_on_failure(Arc::clone(terminals)),
                None => worker,
            })
        };
        Ok(Arc::clone(self.worker.get_or_init(made)))
    }

    pub fn engine(&self, state: &Arc<State>) -> anyhow::Result<Engine> {
        Ok(Engine {
            logs: self.logs.clone(),
            store: self.store()?.clone(),
            registry: self.client()?.clone(),
            checkouts: self.checkouts.clone(),
            git: imgmake_git::Client::new(self.client_options.environment.clone(), &self.cancel),
            worker: self.worker()?,
            events: self.events.clone(),
            cancel: self.cancel.clone(),
            pins: Arc::new(ProjectPins {
                state: Arc::clone(state),
                lock_file: self.lock.clone(),
                pin_use: self.pin_use.clone(),
                events: self.events.clone(),
            }),
            stats: Arc::clone(&state.stats),
            coming: Arc::clone(&self.coming),
            cache: self.cache()?,
            warmed: self.warmed.clone(),
            cache_scope: self.cache_scope.clone(),
            bases: Arc::clone(&self.bases),
        })
    }

    /// As messages are to name the settings of registries; before anything is asked.
    pub fn call_settings(&mut self, names: SettingNames) {
        self.client_options.names = names;
    }

    /// Caches of the command line besides those of the manifest; before anything is built.
    pub fn add_caches(&mut self, more: CacheSettings) {
        let settings = &mut self.cache_settings;
        settings.from.extend(more.from);
        settings.to.extend(more.to);
        settings.ttl = more.ttl.or(settings.ttl);
    }

    /// Without the caches of the manifest; before anything is built.
    pub fn share_no_steps(&mut self) {
        self.cache_settings = CacheSettings::default();
    }

    /// Step results in registries; `None` when there are no such caches.
    fn cache(&self) -> anyhow::Result<Option<Arc<Cache>>> {
        if self.cache_settings.is_empty() || offline::is_forbidden() {
            return Ok(None);
        }
        if let Some(cache) = self.cache.get() {
            return Ok(cache.clone());
        }
        // A cache that does not answer at once costs more than it saves.
        let lookups = Client::new(ClientOptions {
            attempts: self.client_options.attempts.min(2),
            backoff: (Duration::from_millis(200), Duration::from_secs(2)),
            idle_timeout: Duration::from_secs(30),
            ..self.client_options.clone()
        })?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        let cache = Cache::new(self.cache_settings.clone(), lookups, now);
        Ok(self.cache.get_or_init(|| Some(Arc::new(cache))).clone())
    }

    /// The same for one part of the work, which may end before the whole: its connections are its own.
    ///
    /// # Errors
    /// A cache cannot be had.
    pub fn within(&self, cancel: &Cancel) -> anyhow::Result<Tools> {
        let mut client_options = self.client_options.clone();
        client_options.work.cancel = cancel.clone();
        Ok(Tools {
            logs: self.logs.clone(),
            store_path: self.store_path.clone(),
            store_trust: self.store_trust.clone(),
            client_options,
            isolation: self.isolation,
            events: self.events.clone(),
            cancel: cancel.clone(),
            immutable_tags: self.immutable_tags,
            lock: self.lock.clone(),
            pin_use: self.pin_use.clone(),
            warmed: self.warmed.clone(),
            terminals: self.terminals.clone(),
            lends_terminal: self.lends_terminal,
            input_is_terminal: self.input_is_terminal,
            run_file: self.run_file,
            jobserver: self.jobserver.clone(),
            source: self.source.clone(),
            layout_of: self.layout_of.clone(),
            store: OnceLock::new(),
            client: OnceLock::new(),
            worker: OnceLock::from(self.worker()?),
            coming: Arc::clone(&self.coming),
            remote_names: self.remote_names.clone(),
            cache_settings: self.cache_settings.clone(),
            cache_scope: self.cache_scope.clone(),
            bases: Arc::clone(&self.bases),
            cache: OnceLock::from(self.cache()?),
            checkouts: self.checkouts.clone(),
            watchdog: OnceLock::new(),
        })
    }

    /// Started with the first command on the host, or the first scanner that is a program.
    pub fn watchdog(&self) -> &Watchdog {
        let tokens = self.jobserver.as_deref().and_then(Jobserver::parent_path);
        self.watchdog
            .get_or_init(|| Watchdog::start(self.run_file, tokens))
    }

    /// What a registry is asked for on behalf of a target.
    pub fn operation(&self, target: &str) -> imgmake_registry::OperationContext {
        imgmake_registry::OperationContext {
            target: target.to_string(),
            events: self.events.clone(),
            cancel: self.cancel.clone(),
        }
    }
}

/// What the store knows a project by: the directory of its manifest, without links.
///
/// # Errors
/// There is no such directory.
pub fn project_name(directory: &Path) -> anyhow::Result<String> {
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
