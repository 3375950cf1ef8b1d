//! Where all cases of a test are built: one store, one worker, busybox as a base.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use anyhow::Result;
use imgmake_build::worker::Worker;
use imgmake_build::{
    AddedLayers, BuildDefinition, BuildRequest, Engine, NamedContext, PinError, PinName, Pins,
    SecretSource, build,
};
use imgmake_event::{Cancel, Event, Events};
use imgmake_oci::image::Descriptor;
use imgmake_oci::layer::Compression;
use imgmake_oci::store::Store;
use imgmake_registry::{Client, ClientOptions};
use imgmake_sandbox::IsolationMode;

use super::case::Case;
use super::text::Image;
use crate::ground::agent::Agent;
use crate::ground::web::{Transport, Web};
use crate::ground::{images, temporary};

struct NoPins;
impl Pins for NoPins {
    fn get(&self, _: &PinName) -> Result<Option<String>, PinError> {
        Ok(None)
    }
    fn set(&self, _: &PinName, _: &str) -> Result<(), PinError> {
        Ok(())
    }
}

pub struct Workshop {
    directory: tempfile::TempDir,
    pub store: Store,
    registry: Client,
    worker: Arc<Worker>,
    busybox: Descriptor,
    web: OnceLock<Web>,
    agent: OnceLock<Agent>,
}

/// Where a workshop works, with what, and how it isolates RUN.
pub struct Place {
    pub program: PathBuf,
    /// A layout with the base.
    pub busybox: PathBuf,
    pub isolation_mode: Option<IsolationMode>,
}

impl Workshop {
    pub fn new() -> Workshop {
        Workshop::at(&Place {
            program: PathBuf::from(env!("CARGO_BIN_EXE_imgmake")),
            busybox: images::busybox(),
            isolation_mode: None,
        })
    }

    pub fn at(place: &Place) -> Workshop {
        let directory = temporary();
        let store = Store::open(&directory.path().join("store")).unwrap();
        let worker =
            Worker::new(store.clone(), place.isolation_mode).with_program(place.program.clone());
        let registry = Client::new(ClientOptions {
            hosts: Vec::new(),
            docker_config: None,
            attempts: 1,
            backoff: Default::default(),
            idle_timeout: Duration::from_secs(5),
            ..imgmake_registry::ClientOptions::default()
        })
        .unwrap();
        let base = imgmake_oci::archive::read(&store, &place.busybox, None).unwrap();
        Workshop {
            busybox: base.root,
            web: OnceLock::new(),
            agent: OnceLock::new(),
            worker: Arc::new(worker),
            directory,
            store,
            registry,
        }
    }

    /// Where a case's Dockerfile and context are.
    pub fn place(&self, case: &Case) -> PathBuf {
        self.directory.path().join(case.name())
    }

    pub fn build(&self, case: &Case) -> Result<Image> {
        let place = self.place(case);
        std::fs::create_dir(&place).unwrap();
        case.lay_out(&place);
        self.build_at(case, &place)
    }

    /// A case whose files lie ready.
    pub fn build_at(&self, case: &Case, place: &Path) -> Result<Image> {
        self.build_in_form(case, place, AddedLayers::default())
    }

    /// The same in other layers.
    pub fn build_in_form(&self, case: &Case, place: &Path, added: AddedLayers) -> Result<Image> {
        let warnings: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = warnings.clone();
        let events = Events::to(move |event| {
            if let Event::Warning { message, .. } = event {
                seen.lock().unwrap().push(message);
            }
        });
        let engine = Engine {
            logs: Some(self.store.root().join("logs")),
            store: self.store.clone(),
            registry: self.registry.clone(),
            worker: self.worker.clone(),
            events,
            cancel: Cancel::default(),
            checkouts: Default::default(),
            git: imgmake_git::Client::new(Default::default(), &Cancel::default()),
            pins: Arc::new(NoPins),
            stats: Arc::default(),
            coming: Default::default(),
            cache: None,
            warmed: None,
            cache_scope: Default::default(),
            bases: Default::default(),
        };
        let mut request = self.request(case, place);
        request.added = added;
        for (name, file) in &case.request.images {
            let image = self.parent(&request, place, file, &engine)?;
            request.contexts.insert(name.clone(), image);
        }
        let built = build(&request, &engine)?;
        let mut image = self.read(case, &built.root);
        image.warnings.clone_from(&warnings.lock().unwrap());
        Ok(image)
    }

    /// An image to begin with, with an annotation and a time that are its own affair.
    fn parent(
        &self,
        request: &BuildRequest,
        place: &Path,
        file: &str,
        engine: &Engine,
    ) -> Result<NamedContext> {
        let annotations = [("of.the.parent".to_string(), "yes".to_string())];
        let parent = BuildRequest {
            definition: BuildDefinition::Dockerfile {
                path: place.join(file),
                stage: None,
            },
            annotations: annotations.into(),
            epoch: Some(999),
            ..request.clone()
        };
        Ok(NamedContext::Target(build(&parent, engine)?.root))
    }

    /// What a case's server shows: the URL, and the directory behind it.
    fn web(&self, case: &Case) -> (String, PathBuf) {
        let web = self.web.get_or_init(|| Web::start(Transport::Plain, ""));
        let url = format!("http://{}/{}", web.host, case.name());
        (url, web.root().join(case.name()))
    }

    /// The arguments of a case, and the server's address if it has one.
    pub fn arguments(&self, case: &Case) -> Vec<(String, String)> {
        let mut arguments = case.request.args.clone();
        let served = || self.web(case);
        if case.directory.join("web.sh").exists() {
            let (url, directory) = served();
            if !directory.exists() {
                case.serve(&directory);
            }
            arguments.push(("WEB".into(), url));
        }
        arguments
    }

    pub fn agent(&self) -> &Agent {
        self.agent.get_or_init(Agent::start)
    }

    pub fn read(&self, case: &Case, root: &Descriptor) -> Image {
        Image::read(&self.store, root, &self.busybox, &case.request)
    }

    /// A text for people, without where the test keeps its files.
    pub fn without_places(&self, case: &Case, text: &str) -> String {
        let place = format!("{}/", self.place(case).display());
        let text = without_log(text).replace(&place, "");
        match self.web.get() {
            Some(web) => text.replace(
                &format!("http://{}/{}", web.host, case.name()),
                "http://WEB",
            ),
            None => text,
        }
    }

    fn request(&self, case: &Case, place: &Path) -> BuildRequest {
        let asked = &case.request;
        let mut contexts: BTreeMap<String, NamedContext> = asked
            .contexts
            .iter()
            .map(|(name, path)| {
                (
                    name.clone(),
                    NamedContext::Path(place.join("context").join(path)),
                )
            })
            .collect();
        contexts.insert("busybox".into(), NamedContext::Target(self.busybox.clone()));
        let value = |(id, value): &(String, String)| {
            (id.clone(), SecretSource::Value(value.clone().into_bytes()))
        };
        // Other builders are given the file.
        for (id, value) in &asked.secret_files {
            std::fs::write(place.join(format!("secret-file-{id}")), value).unwrap();
        }
        let secrets = asked.secrets.iter().chain(&asked.secret_files);
        let secrets = secrets.map(value).collect();
        let socket = |id: &String| (id.clone(), self.agent().socket());
        let platforms = match asked.platforms.is_empty() {
            true => vec!["linux/amd64".parse().unwrap()],
            false => asked.platforms.iter().map(|p| p.parse().unwrap()).collect(),
        };
        BuildRequest {
            target: case.name().into(),
            definition: BuildDefinition::Dockerfile {
                path: place.join("Dockerfile"),
                stage: asked.stage.clone(),
            },
            context: place.join("context"),
            fetched: None,
            excluded: Vec::new(),
            checkout: Default::default(),
            contexts,
            args: self.arguments(case).into_iter().collect(),
            labels: asked.labels.iter().cloned().collect(),
            annotations: asked.annotations.iter().cloned().collect(),
            platforms,
            secrets,
            ssh: asked.ssh.iter().map(socket).collect(),
            add_hosts: BTreeMap::new(),
            resolver: Default::default(),
            authorities: Vec::new(),
            network: Default::default(),
            limits: Default::default(),
            // Cases are about what it gives, not about who permits it.
            insecure: imgmake_build::Insecure::Allowed,
            epoch: asked.epoch,
            compression: Compression::Gzip { level: 1 },
            format: Default::default(),
            also: Default::default(),
            added: Default::default(),
            no_cache: false,
            pull: false,
            jobs: 2,
        }
    }
}

/// The log of a failed step has a name of its own; what counts is that it holds everything.
fn without_log(text: &str) -> String {
    let Some((before, after)) = text.split_once("the whole output: ") else {
        return text.to_string();
    };
    let (log, rest) = after.split_once('\n').unwrap_or((after, ""));
    let lines = std::fs::read_to_string(log).unwrap().lines().count();
    format!("{before}the whole output: LOG with {lines} lines\n{rest}")
}
