//! What a stage has become so far: configuration, arguments, layers, and the merged view of those.

use std::sync::Arc;

use anyhow::{Context, Result};

use crate::Engine;
use crate::define::config::{Configuring, Made};
use crate::execute::cache::{self, Depth};
use crate::files::copy::LayerTree;
use crate::files::copy::owner::Accounts;
use crate::files::copy::write::read_file;
use imgmake_oci::image::{Descriptor, Digest, Platform, Reference};
use imgmake_oci::layer::{Index, LayerBlob, View};
use imgmake_registry::OperationContext;
use imgmake_sandbox::Tier;

/// A layer of an image, here or still in a registry.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageLayer {
    pub descriptor: Descriptor,
    pub diff_id: Digest,
    /// The repository that has it.
    pub source: Option<Reference>,
}

impl ImageLayer {
    pub fn own(blob: &LayerBlob) -> ImageLayer {
        ImageLayer {
            descriptor: Descriptor::new(blob.media_type.clone(), blob.digest.clone(), blob.size),
            diff_id: blob.diff_id.clone(),
            source: None,
        }
    }

    pub fn blob(&self) -> LayerBlob {
        LayerBlob {
            diff_id: self.diff_id.clone(),
            digest: self.descriptor.digest.clone(),
            size: self.descriptor.size,
            media_type: self.descriptor.media_type.clone(),
        }
    }
}

/// Whether owners in RUN's layers can be trusted: a single-id sandbox gives everything to root.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
pub enum OwnershipClass {
    #[default]
    Full,
    Squashed,
}

impl OwnershipClass {
    pub fn of(tier: Tier) -> OwnershipClass {
        match tier {
            Tier::SingleId => OwnershipClass::Squashed,
            _ => OwnershipClass::Full,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            OwnershipClass::Full => "full",
            OwnershipClass::Squashed => "squashed",
        }
    }
}

/// A stage after some of its instructions.
#[derive(Clone)]
pub struct ImageState {
    pub config: Configuring,
    /// `ARG`s in force: name, value if there is one.
    pub args: Vec<(String, Option<String>)>,
    pub layers: Vec<ImageLayer>,
    pub class: OwnershipClass,
    /// Some layer comes from a RUN of this build, with the times at which that ran.
    pub ran: bool,
    pub platform: Platform,
    /// Whether what the stage makes is part of the image.
    pub depth: Depth,
    view: Option<View>,
}

impl ImageState {
    pub fn new(config: Configuring, layers: Vec<ImageLayer>, platform: Platform) -> ImageState {
        ImageState {
            config,
            args: Vec::new(),
            layers,
            class: OwnershipClass::Full,
            ran: false,
            platform,
            depth: Depth::default(),
            view: None,
        }
    }

    pub fn blobs(&self) -> Vec<LayerBlob> {
        self.layers.iter().map(ImageLayer::blob).collect()
    }

    /// What expansion sees: ENV before ARG.
    pub fn variable(&self, name: &str) -> Option<String> {
        if let Some(value) = self.config.image.config.env_value(name) {
            return Some(value.to_string());
        }
        let arg = self.args.iter().rev().find(|(n, _)| n == name)?;
        arg.1.clone()
    }

    /// All of them, for an expansion that may not see what it is about to set.
    pub fn clone_variables(&self) -> std::collections::BTreeMap<String, String> {
        let mut all: std::collections::BTreeMap<String, String> = self
            .args
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.clone()?)))
            .collect();
        for pair in &self.config.image.config.env {
            if let Some((name, value)) = pair.split_once('=') {
                all.insert(name.to_string(), value.to_string());
            }
        }
        all
    }

    pub fn declare(&mut self, name: &str, value: Option<String>) {
        match self.args.iter_mut().find(|(n, _)| n == name) {
            Some(slot) => slot.1 = value,
            None => self.args.push((name.to_string(), value)),
        }
    }

    /// The merged tree of all layers; those without an index on this machine are pulled for it.
    ///
    /// # Errors
    /// A layer that cannot be had or read.
    pub fn view(&mut self, engine: &Engine, target: &str) -> Result<&View> {
        if self.view.is_none() {
            let layers: Vec<&ImageLayer> = self.layers.iter().collect();
            read_indexes(engine, target, &layers)?;
            self.view = Some(View::new(&self.indexes(engine)?));
        }
        Ok(self.view.as_ref().expect("it was made above"))
    }

    pub fn indexes(&self, engine: &Engine) -> Result<Vec<Arc<Index>>> {
        self.layers
            .iter()
            .map(|l| engine.store.index(&l.blob()))
            .collect()
    }

    /// The state as something that COPY reads.
    pub fn tree(&mut self, engine: &Engine, target: &str, name: String) -> Result<LayerTree> {
        let view = self.view(engine, target)?.clone();
        Ok(LayerTree::new(view, &self.indexes(engine)?, name))
    }

    /// `/etc/passwd` and `/etc/group` of the image.
    pub fn accounts(&mut self, engine: &Engine, target: &str) -> Result<Accounts> {
        const MOST: u64 = 4 << 20;
        let view = self.view(engine, target)?.clone();
        let layers = self.layers.clone();
        let fetch = |n: usize| pull(engine, target, &[&layers[n]]);
        let blobs = self.blobs();
        let read = |path: &[u8]| {
            let resolved = view.resolve(path, imgmake_oci::layer::FollowLast::Yes)?;
            let hash = view.get(&resolved).and_then(|found| found.content);
            let read = || read_file(&engine.store, &blobs, &view, path, MOST, &fetch);
            Ok::<_, anyhow::Error>(
                cache::remembered_file(engine, target, hash, read)?.unwrap_or_default(),
            )
        };
        Ok(Accounts {
            passwd: read(b"etc/passwd").context("cannot read the image's /etc/passwd")?,
            group: read(b"etc/group").context("cannot read the image's /etc/group")?,
        })
    }

    /// Puts a finished layer on top; an empty one is left out, as BuildKit does, and the history says so.
    pub fn push_layer(
        &mut self,
        engine: &Engine,
        target: &str,
        step: StepLayer,
        text: String,
    ) -> Result<()> {
        if step.empty {
            self.config.history(text, Made::Nothing);
            return Ok(());
        }
        if let Some(view) = &mut self.view {
            read_indexes(engine, target, &[&step.layer])?;
            view.push(&*engine.store.index(&step.layer.blob())?);
        }
        self.layers.push(step.layer);
        self.config.history(text, Made::Layer);
        Ok(())
    }
}

/// What a step came to.
pub struct StepLayer {
    pub layer: ImageLayer,
    /// It changed nothing.
    pub empty: bool,
}

impl StepLayer {
    /// A layer that is in the store.
    ///
    /// # Errors
    /// It is not, or is no layer.
    pub fn own(engine: &Engine, layer: &LayerBlob) -> Result<StepLayer> {
        Ok(StepLayer {
            layer: ImageLayer::own(layer),
            empty: engine.store.index(layer)?.entries.is_empty(),
        })
    }
}

/// Sees to it that the store knows what these layers hold: from the cache where that knows it, else they are
/// pulled and read.
///
/// # Errors
/// As [`pull`].
pub fn read_indexes(engine: &Engine, target: &str, layers: &[&ImageLayer]) -> Result<()> {
    let unread = || -> Vec<&ImageLayer> {
        let known = |l: &&&ImageLayer| engine.store.has_index(&l.diff_id);
        layers.iter().filter(|l| !known(l)).copied().collect()
    };
    if let Some(cache) = &engine.cache {
        cache.bring_indexes(engine, target, &unread());
    }
    let unread = unread();
    pull(engine, target, &unread)?;
    for layer in unread {
        engine.store.index(&layer.blob())?;
    }
    Ok(())
}

/// Brings layers into the store that are not there yet.
///
/// # Errors
/// The registry's, or a layer that no registry is known for.
pub fn pull(engine: &Engine, target: &str, layers: &[&ImageLayer]) -> Result<()> {
    let mut sources: Vec<(&Reference, Vec<Descriptor>)> = Vec::new();
    for layer in layers {
        if engine.store.holds(&layer.descriptor) {
            continue;
        }
        let source = layer.source.as_ref().with_context(|| {
            format!(
                "layer {} is not in the store any more, and no registry is known to have it",
                layer.descriptor.digest.short()
            )
        })?;
        match sources.iter_mut().find(|(s, _)| *s == source) {
            Some((_, list)) => list.push(layer.descriptor.clone()),
            None => sources.push((source, vec![layer.descriptor.clone()])),
        }
    }
    for (source, blobs) in sources {
        pull_from(engine, target, source, &blobs)
            .with_context(|| format!("cannot pull layers of {}", source.familiar()))?;
    }
    for layer in layers {
        engine.store.record_layer(&layer.blob())?;
    }
    Ok(())
}

/// Pulls blobs of a repository. If the cache had promised one of them, it promises that no more.
pub fn pull_from(
    engine: &Engine,
    target: &str,
    from: &Reference,
    blobs: &[Descriptor],
) -> Result<()> {
    let pulled = engine
        .registry
        .pull_blobs(from, blobs, &engine.store, &work(engine, target));
    if let (Err(error), Some(cache)) = (&pulled, &engine.cache)
        && !error.is_cancelled()
    {
        let lost = cache.forget_unavailable(engine, target, from, blobs);
        if !lost && blobs.iter().all(|blob| engine.store.holds(blob)) {
            return Ok(());
        }
    }
    Ok(pulled?)
}

pub fn work(engine: &Engine, target: &str) -> OperationContext {
    OperationContext {
        target: target.to_string(),
        events: engine.events.clone(),
        cancel: engine.cancel.clone(),
    }
}
