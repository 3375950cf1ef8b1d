//! Whole builds without RUN, into a real store; what a layer holds is read back from its index.

mod added;
mod caching;
mod copying;
mod exchanged;
mod fingerprints;
mod remote;
mod running;
mod settings;
mod stages;
mod warmed;

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::*;
use crate::error::Result;
use imgmake_event::{Cancel, Events};
use imgmake_oci::image::{ImageConfig, ImageManifest, Reference, from_json};
use imgmake_oci::layer::{Compression, EntryKind};
use imgmake_oci::store::Store;
use imgmake_registry::Client;

/// A directory with a context and a store.
struct Project {
    dir: tempfile::TempDir,
    engine: Engine,
    events: Arc<Mutex<Vec<imgmake_event::Event>>>,
}

#[derive(Default)]
struct MemoryPins(Mutex<BTreeMap<String, String>>);
impl Pins for MemoryPins {
    fn get(&self, name: &PinName) -> Result<Option<String>, PinError> {
        Ok(self.0.lock().unwrap().get(&name.text()).cloned())
    }
    fn set(&self, name: &PinName, value: &str) -> Result<(), PinError> {
        self.0
            .lock()
            .unwrap()
            .insert(name.text(), value.to_string());
        Ok(())
    }
}

struct Image {
    manifest: ImageManifest,
    config: ImageConfig,
    /// One per layer: `path mode uid:gid kind`.
    layers: Vec<Vec<String>>,
    built: Built,
}

impl Image {
    fn files(&self) -> Vec<String> {
        self.layers.concat()
    }
    fn created_by(&self) -> Vec<&str> {
        let history = self.config.history.iter();
        history.map(|h| h.created_by.as_str()).collect()
    }
}

impl Project {
    fn new() -> Project {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("ctx")).unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let events: Arc<Mutex<Vec<imgmake_event::Event>>> = Arc::default();
        let seen = events.clone();
        let engine = Engine {
            logs: None,
            registry: Client::new(imgmake_registry::ClientOptions {
                hosts: Vec::new(),
                docker_config: None,
                attempts: 1,
                backoff: Default::default(),
                idle_timeout: std::time::Duration::from_secs(5),
                ..imgmake_registry::ClientOptions::default()
            })
            .unwrap(),
            worker: Arc::new(worker::Worker::new(store.clone(), None)),
            store,
            events: Events::to(move |e| seen.lock().unwrap().push(e)),
            cancel: Cancel::default(),
            checkouts: Default::default(),
            git: imgmake_git::Client::new(Default::default(), &Cancel::default()),
            pins: Arc::new(MemoryPins::default()),
            stats: Arc::default(),
            cache: None,
            warmed: None,
            coming: Arc::default(),
            cache_scope: Default::default(),
            bases: Default::default(),
        };
        Project {
            dir,
            engine,
            events,
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("ctx").join(path)
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &Project {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        self
    }

    fn mode(&self, path: &str, mode: u32) -> &Project {
        std::fs::set_permissions(self.path(path), PermissionsExt::from_mode(mode)).unwrap();
        self
    }

    fn link(&self, path: &str, target: &str) -> &Project {
        symlink(target, self.path(path)).unwrap();
        self
    }

    fn request(&self, dockerfile: &str) -> BuildRequest {
        let file = self.dir.path().join("Dockerfile");
        std::fs::write(&file, dockerfile).unwrap();
        BuildRequest {
            target: "t".into(),
            definition: BuildDefinition::Dockerfile {
                path: file,
                stage: None,
            },
            context: self.path(""),
            fetched: None,
            excluded: Vec::new(),
            checkout: Default::default(),
            contexts: BTreeMap::new(),
            args: BTreeMap::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            platforms: vec!["linux/amd64".parse().unwrap()],
            secrets: BTreeMap::new(),
            ssh: BTreeMap::new(),
            add_hosts: BTreeMap::new(),
            resolver: Default::default(),
            authorities: Vec::new(),
            network: Default::default(),
            limits: Default::default(),
            insecure: Default::default(),
            epoch: None,
            compression: Compression::Gzip { level: 1 },
            format: Default::default(),
            also: Default::default(),
            added: Default::default(),
            no_cache: false,
            pull: false,
            jobs: 4,
        }
    }

    fn run(&self, request: &BuildRequest) -> Result<Image> {
        let built = build(request, &self.engine)?;
        let read =
            |d: &imgmake_oci::image::Digest| self.engine.store.read_blob(d, 1 << 20).unwrap();
        let manifest: ImageManifest = from_json(&read(&built.root.digest)).unwrap();
        let config: ImageConfig = from_json(&read(&manifest.config.digest)).unwrap();
        assert_eq!(config.rootfs.diff_ids.len(), manifest.layers.len());
        let made = config.history.iter().filter(|h| !h.empty_layer).count();
        assert_eq!(made, manifest.layers.len(), "history counts the layers");
        let layers = manifest
            .layers
            .iter()
            .zip(&config.rootfs.diff_ids)
            .map(|(l, diff_id)| {
                let layer = imgmake_oci::layer::Layer::new(diff_id.clone(), l.clone());
                // A base that nothing read has none.
                let index = self.engine.store.index(&layer).unwrap_or_default();
                index.entries.iter().map(shown).collect()
            })
            .collect();
        Ok(Image {
            manifest,
            config,
            layers,
            built,
        })
    }

    fn build(&self, dockerfile: &str) -> Image {
        self.run(&self.request(dockerfile))
            .unwrap_or_else(|e| panic!("{e:#}"))
    }

    fn error(&self, dockerfile: &str) -> String {
        match self.run(&self.request(dockerfile)) {
            Ok(_) => panic!("it built: {dockerfile}"),
            Err(error) => format!("{error:#}"),
        }
    }

    fn notes(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let notes = events.iter().filter_map(|e| match e {
            imgmake_event::Event::Note { message, .. } => Some(message.clone()),
            _ => None,
        });
        notes.collect()
    }

    fn warnings(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let warnings = events.iter().filter_map(|e| match e {
            imgmake_event::Event::Warning { message, .. } => Some(message.clone()),
            _ => None,
        });
        warnings.collect()
    }

    fn inputs(&self, dockerfile: &str) -> Vec<String> {
        let request = self.request(dockerfile);
        let inputs = inputs(&request, &self.engine).unwrap_or_else(|e| panic!("{e:#}"));
        inputs
            .entries()
            .iter()
            .filter(|i| !["dockerfile", "setting"].contains(&i.kind))
            .map(|i| format!("{} {}", i.kind, i.name))
            .collect()
    }
}

fn shown(found: &imgmake_oci::layer::IndexEntry) -> String {
    let entry = &found.entry;
    let kind = match &entry.kind {
        EntryKind::Directory => "/".to_string(),
        EntryKind::File { size } => format!(" {size}"),
        EntryKind::Symlink { target } => format!(" -> {}", String::from_utf8_lossy(target)),
        EntryKind::HardLink { target } => format!(" = {}", String::from_utf8_lossy(target)),
        other => format!(" {other:?}"),
    };
    format!(
        "{:o} {}:{} {}{kind}",
        entry.mode,
        entry.uid,
        entry.gid,
        String::from_utf8_lossy(&entry.path)
    )
}
