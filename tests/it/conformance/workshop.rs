//! Where all cases of a test are built: one store, one worker, busybox as a base.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use imgmake::build::worker::Worker;
use imgmake::build::{BuildRequest, Engine, NamedContext, Pins, Recipe, SecretSource, build};
use imgmake::event::{Cancel, Event, Events};
use imgmake::image::Descriptor;
use imgmake::layer::Compression;
use imgmake::registry::{Client, ClientOptions};
use imgmake::store::Store;

use super::case::Case;
use super::text::Image;
use crate::ground::{images, temporary};

struct NoPins;
impl Pins for NoPins {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
    fn set(&self, _: &str, _: &str) {}
}

pub struct Workshop {
    directory: tempfile::TempDir,
    pub store: Store,
    registry: Client,
    worker: Arc<Worker>,
    busybox: Descriptor,
}

impl Workshop {
    pub fn new() -> Workshop {
        let directory = temporary();
        let store = Store::open(&directory.path().join("store")).unwrap();
        let worker = Worker::new(store.clone(), None)
            .with_program(PathBuf::from(env!("CARGO_BIN_EXE_imgmake")));
        let registry = Client::new(ClientOptions {
            hosts: Vec::new(),
            docker_config: None,
            attempts: 1,
            backoff: Default::default(),
            idle_timeout: Duration::from_secs(5),
            ..imgmake::registry::ClientOptions::default()
        })
        .unwrap();
        let base = imgmake::archive::read(&store, &images::busybox(), None).unwrap();
        Workshop {
            busybox: base.root,
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
        let warnings: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = warnings.clone();
        let events = Events::to(move |event| {
            if let Event::Warning { message, .. } = event {
                seen.lock().unwrap().push(message);
            }
        });
        let engine = Engine {
            store: self.store.clone(),
            registry: self.registry.clone(),
            worker: self.worker.clone(),
            events,
            cancel: Cancel::default(),
            pins: Arc::new(NoPins),
            cache: None,
        };
        let built = build(&self.request(case, &place), &engine)?;
        let mut image = self.read(case, &built.root);
        let warnings = warnings.lock().unwrap();
        let told = warnings.iter().map(|w| self.without_places(case, w));
        image.warnings = told.collect();
        Ok(image)
    }

    pub fn read(&self, case: &Case, root: &Descriptor) -> Image {
        Image::read(&self.store, root, &self.busybox, &case.request)
    }

    /// A text for people, without where the test keeps its files.
    pub fn without_places(&self, case: &Case, text: &str) -> String {
        let place = format!("{}/", self.place(case).display());
        text.replace(&place, "")
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
        let secret = |(id, value): &(String, String)| {
            (id.clone(), SecretSource::Value(value.clone().into_bytes()))
        };
        let platforms = match asked.platforms.is_empty() {
            true => vec!["linux/amd64".parse().unwrap()],
            false => asked.platforms.iter().map(|p| p.parse().unwrap()).collect(),
        };
        BuildRequest {
            target: case.name().into(),
            recipe: Recipe::Dockerfile {
                path: place.join("Dockerfile"),
                stage: asked.stage.clone(),
            },
            context: place.join("context"),
            excluded: Vec::new(),
            contexts,
            args: asked.args.iter().cloned().collect(),
            labels: asked.labels.iter().cloned().collect(),
            annotations: BTreeMap::new(),
            platforms,
            secrets: asked.secrets.iter().map(secret).collect(),
            ssh: BTreeMap::new(),
            epoch: asked.epoch,
            compression: Compression::Gzip { level: 1 },
            format: Default::default(),
            no_cache: false,
            pull: false,
            jobs: 2,
        }
    }
}
