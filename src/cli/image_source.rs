//! Which image is meant: an archive or a layout, a target, a name or digest of the store, or a
//! name in a registry.

use std::path::Path;
use std::sync::Arc;

use super::args::Global;
use super::environment::Environment;
use super::project::{self, manifest_path};
use super::tools::tools;
use super::trust::{Keys, open_store};
use crate::exit::{self, Exit};
use crate::targets::images;
use imgmake_core::manifest::TargetKind;
use imgmake_core::state::State;
use imgmake_event::{Cancel, Events};
use imgmake_oci::archive;
use imgmake_oci::image::media_type::{OCI_INDEX, OCI_MANIFEST};
use imgmake_oci::image::{Descriptor, ManifestOrIndex, Reference};
use imgmake_oci::store::Store;
use imgmake_registry::{Client, ClientOptions, OperationContext};

/// Which image of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen<'a> {
    Only,
    Named(&'a str),
    Numbered(usize),
}

/// An image in the store.
pub struct Found {
    pub root: Descriptor,
    pub names: Vec<String>,
}

/// Looks for images on behalf of one command.
pub struct Finder<'a> {
    pub global: &'a Global,
    pub environment: &'a Environment,
    pub store: Store,
}

impl<'a> Finder<'a> {
    /// # Errors
    /// The store cannot be opened.
    pub fn new(global: &'a Global, environment: &'a Environment) -> Result<Finder<'a>, Exit> {
        Ok(Finder {
            global,
            environment,
            store: open_store(global, environment)?,
        })
    }

    /// The image that is meant, all of it in the store where it can be had.
    ///
    /// # Errors
    /// Nothing is called so, several are, or it cannot be read.
    pub fn find(&self, image: &str, chosen: Chosen) -> Result<Found, Exit> {
        let directory = self.global.directory.as_deref().unwrap_or(Path::new("."));
        let path = directory.join(image);
        if is_image(&path, image) {
            return self.in_archive(&path, chosen);
        }
        if chosen != Chosen::Only {
            let message = format!("archive or layout `{image}` not found");
            return Err(Exit::error(exit::FAILED, message)
                .with_help("`--image` and `--index` choose from one"));
        }
        if let Some(found) = self.of_target(image)? {
            return Ok(found);
        }
        if let Some(found) = self.in_store(image)? {
            return Ok(found);
        }
        match image.parse::<Reference>() {
            Ok(reference) if names_a_registry(image) => self.in_registry(&reference),
            _ => Err(self.not_found(image)),
        }
    }

    fn in_archive(&self, path: &Path, chosen: Chosen) -> Result<Found, Exit> {
        let imported = match chosen {
            Chosen::Only => archive::read(&self.store, path, None),
            Chosen::Named(name) => archive::read(&self.store, path, Some(name)),
            Chosen::Numbered(number) => archive::read_numbered(&self.store, path, number),
        };
        let imported = imported.map_err(|error| {
            let ambiguous = error.is_ambiguous();
            let exit = Exit::from(error);
            match ambiguous {
                true => exit.with_help("choose one with `--image NAME` or `--index N`"),
                false => exit,
            }
        })?;
        Ok(Found {
            root: imported.root,
            names: imported.tags,
        })
    }

    /// What the build of this name made last.
    fn of_target(&self, name: &str) -> Result<Option<Found>, Exit> {
        if !self.has_manifest() {
            return Ok(None);
        }
        // A manifest that cannot be read has no target of the name; other commands say why.
        let Ok(loaded) = project::load(self.global, self.environment) else {
            return Ok(None);
        };
        let project = &loaded.project;
        let Some(id) = project.graph.find(name) else {
            return Ok(None);
        };
        let TargetKind::Build(build) = &project.graph.target(id).kind else {
            return Ok(None);
        };
        let state = State::read(&project.directory, &loaded.trust.key)?;
        let root = images::of_state(&state, name);
        let Some(root) = root.filter(|root| self.store.holds(root)) else {
            let message = format!("target `{name}` has no image yet");
            return Err(
                Exit::error(exit::FAILED, message).with_help(format!("`imgmake {name}` builds it"))
            );
        };
        self.pull_missing(&loaded, name, &root)?;
        Ok(Some(Found {
            root,
            names: build.tags.iter().map(|tag| tag.value.clone()).collect(),
        }))
    }

    /// Base layers that no step has needed.
    fn pull_missing(
        &self,
        loaded: &project::Loaded,
        name: &str,
        root: &Descriptor,
    ) -> Result<(), Exit> {
        let blobs = images::blobs(&self.store, root)?;
        if blobs.iter().all(|blob| self.store.holds(blob)) {
            return Ok(());
        }
        let state = State::read(&loaded.project.directory, &loaded.trust.key)?;
        let tools = self.tools(loaded)?;
        let engine = tools.engine(&Arc::new(state))?;
        Ok(images::pull_missing(&self.store, &engine, name, root)?)
    }

    fn has_manifest(&self) -> bool {
        self.global.source.is_some() || manifest_path(self.global).is_file()
    }

    fn tools(&self, loaded: &project::Loaded) -> Result<crate::targets::Tools, Exit> {
        Ok(tools(
            &loaded.project,
            loaded.trust.of_store(),
            self.environment,
            self.environment.store(self.global)?,
            Events::discard(),
            Cancel::default(),
        )?)
    }

    /// By name or by the beginning of a digest; all names of one image are one.
    fn in_store(&self, image: &str) -> Result<Option<Found>, Exit> {
        let mut images = match image.contains('*') {
            true => Vec::new(),
            false => self.store.matching(image),
        };
        images.retain(|(_, root)| self.store.holds(root));
        if let Some((name, root)) = images.first().cloned() {
            if let Some((other, _)) = images.iter().find(|(_, one)| one.digest != root.digest) {
                let message = format!("`{image}` is `{name}` and `{other}`");
                return Err(Exit::error(exit::FAILED, message).with_help("write more digits"));
            }
            let names = images.into_iter().map(|(name, _)| name).collect();
            self.store.tagged(&name);
            return Ok(Some(Found { root, names }));
        }
        let mut roots = Vec::new();
        for digest in self.store.beginning_with(image, 64) {
            let bytes = self.store.read_blob(&digest, LARGEST);
            let parsed = bytes.ok().and_then(|bytes| {
                let document = ManifestOrIndex::parse(&bytes, None).ok()?;
                let (said, usual) = match document {
                    ManifestOrIndex::Manifest(one) => (one.media_type, OCI_MANIFEST),
                    ManifestOrIndex::Index(one) => (one.media_type, OCI_INDEX),
                };
                let media_type = match said.is_empty() {
                    true => usual.to_string(),
                    false => said,
                };
                Some(Descriptor::new(media_type, digest, bytes.len() as u64))
            });
            roots.extend(parsed);
        }
        match &roots[..] {
            [] => Ok(None),
            [root] => Ok(Some(Found {
                root: root.clone(),
                names: Vec::new(),
            })),
            [one, other, ..] => {
                let message = format!("`{image}` is {} and {}", one.digest, other.digest);
                Err(Exit::error(exit::FAILED, message).with_help("write more digits"))
            }
        }
    }

    /// Manifests, configs and layers are pulled into the store.
    fn in_registry(&self, reference: &Reference) -> Result<Found, Exit> {
        let work = OperationContext {
            target: reference.to_string(),
            ..OperationContext::background()
        };
        let pulled = self.with_client(|client| {
            let pulled = images::pull_whole(client, &self.store, reference, &work);
            pulled.map_err(|failure| Exit::error(exit::code_of(failure.kind), failure.message))
        });
        Ok(Found {
            root: pulled?,
            names: vec![reference.familiar()],
        })
    }

    /// With the registries of the manifest, where there is one.
    pub fn with_client<T>(&self, act: impl FnOnce(&Client) -> Result<T, Exit>) -> Result<T, Exit> {
        if !self.has_manifest() {
            let client = Client::new(ClientOptions {
                environment: self.environment.variables.clone(),
                ..ClientOptions::default()
            });
            return act(&client.map_err(|error| Exit::error(exit::REGISTRY, error))?);
        }
        let loaded = project::load_with(
            self.global,
            self.environment,
            Keys::Read,
            super::args::NetworkArgs::default(),
        )?;
        let tools = self.tools(&loaded)?;
        act(tools.client()?)
    }

    fn not_found(&self, image: &str) -> Exit {
        let names = self.store.images().into_iter().map(|(name, _)| name);
        let names: Vec<String> = names.take(8).collect();
        let held = match names.is_empty() {
            true => "the store contains no image with a name yet".to_string(),
            false => format!("the store contains {}", names.join(", ")),
        };
        if let Some(digits) = digits(image) {
            let message = format!("the store has no image whose digest begins with `{image}`");
            let more = match digits.len() {
                0..FEWEST_DIGITS => format!("write {FEWEST_DIGITS} or more digits; "),
                _ => String::new(),
            };
            return Exit::error(exit::FAILED, message).with_help(format!("{more}{held}"));
        }
        let hub = match image.parse::<Reference>() {
            Ok(reference) => format!("; write `{reference}` to pull it from its registry"),
            Err(_) => String::new(),
        };
        let message = format!("archive, layout, target or stored image `{image}` not found");
        Exit::error(exit::FAILED, message).with_help(format!("{held}{hub}"))
    }
}

/// Fewer digits are a name, without `sha256:` in front.
const FEWEST_DIGITS: usize = 6;

/// Those of a digest or its beginning.
fn digits(image: &str) -> Option<&str> {
    let prefixed = image.strip_prefix("sha256:");
    let digits = prefixed.unwrap_or(image);
    let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    let is_meant = prefixed.is_some() || (12..=64).contains(&digits.len());
    (is_hex && is_meant).then_some(digits)
}

/// An archive, or a directory that holds an image: another one may only be called as a target is.
fn is_image(path: &Path, written: &str) -> bool {
    let holds = |name: &str| path.join(name).exists();
    let is_layout = || holds("index.json") || holds("manifest.json") || holds("oci-layout");
    path.exists() && (!path.is_dir() || is_layout() || written.contains('/'))
}

/// Bytes of a manifest or index.
const LARGEST: u64 = 4 << 20;

/// A word alone could be meant for anything; a host in front is meant for its registry.
fn names_a_registry(image: &str) -> bool {
    let first = image.split_once('/').map(|(first, _)| first);
    first.is_some_and(|first| first.contains(['.', ':']) || first == "localhost")
}
