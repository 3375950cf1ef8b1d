//! What the steps of a build share: their numbers and counts, the contexts that they read, and the caches that
//! may have their layers.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::cache::{CacheExport, StepEntry, StepKind};
use super::layers::LayerAccess;
use crate::define::definition::ParsedDefinition;
use crate::define::state::StageRole;
use crate::error::{Context, Result};
use crate::files::context::ContextTree;
use crate::files::hash::FileHashes;
use crate::request::BuildRequest;
use imgmake_event::{Cancel, Event, StepOutcome};
use imgmake_oci::image::Platform;
use imgmake_oci::layer::Layer;

/// A step that was reported to have begun.
pub struct BegunStep {
    pub id: u32,
    /// Once it is known.
    key: OnceCell<String>,
}

pub struct StepRunner<'a> {
    pub request: &'a BuildRequest,
    pub definition: &'a ParsedDefinition,
    pub layers: LayerAccess,
    has_several_platforms: bool,
    /// Set when the run is cancelled, and when a stage fails: the others need not go on.
    pub stop: Cancel,
    next: AtomicU32,
    run: AtomicUsize,
    cached: AtomicUsize,
    found: AtomicUsize,
    taken_args: Mutex<BTreeSet<String>>,
    contexts: Mutex<BTreeMap<PathBuf, Arc<ContextTree>>>,
}

/// How many steps there were.
#[derive(Clone, Copy, Debug)]
pub struct StepCounts {
    pub run: usize,
    pub cached: usize,
    /// Of those, from a cache in a registry.
    pub found: usize,
}

/// Our locks are held for look-ups only; a panic in between cannot leave half a value.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl<'a> StepRunner<'a> {
    pub fn new(
        request: &'a BuildRequest,
        definition: &'a ParsedDefinition,
        layers: LayerAccess,
    ) -> StepRunner<'a> {
        StepRunner {
            has_several_platforms: request.platforms().len() > 1,
            request,
            definition,
            stop: layers.cx.cancel.child(),
            layers,
            next: AtomicU32::default(),
            run: AtomicUsize::default(),
            cached: AtomicUsize::default(),
            found: AtomicUsize::default(),
            taken_args: Mutex::default(),
            contexts: Mutex::default(),
        }
    }

    pub fn file_hashes(&self) -> FileHashes {
        FileHashes::new(&self.layers.cx, &self.stop)
    }

    pub fn counts(&self) -> StepCounts {
        StepCounts {
            run: self.run.load(Ordering::Relaxed),
            cached: self.cached.load(Ordering::Relaxed),
            found: self.found.load(Ordering::Relaxed),
        }
    }

    /// Build arguments that some ARG took.
    pub fn taken_args(&self) -> BTreeSet<String> {
        locked(&self.taken_args).clone()
    }

    pub fn take_args(&self, taken: impl IntoIterator<Item = String>) {
        locked(&self.taken_args).extend(taken);
    }

    pub fn reported(
        &self,
        text: &str,
        (stage, platform): (&str, &Platform),
        act: impl FnOnce(&BegunStep) -> Result<StepOutcome>,
    ) -> Result<()> {
        let begun = BegunStep {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            key: OnceCell::new(),
        };
        let target = self.request.target.clone();
        self.layers.cx.events.send(Event::StepStarted {
            target: target.clone(),
            id: begun.id,
            stage: stage.to_string(),
            platform: self.has_several_platforms.then(|| platform.to_string()),
            text: text.to_string(),
        });
        let started = Instant::now();
        let result = act(&begun);
        let outcome = match &result {
            Ok(outcome) => outcome.clone(),
            Err(error) if error.is_cancelled() || self.stop.is_cancelled() => {
                StepOutcome::Cancelled
            }
            Err(error) => StepOutcome::Failed {
                message: format!("{error:#}"),
            },
        };
        match outcome {
            StepOutcome::Done => self.run.fetch_add(1, Ordering::Relaxed),
            StepOutcome::Cached => self.cached.fetch_add(1, Ordering::Relaxed),
            StepOutcome::Failed { .. } | StepOutcome::Cancelled => 0,
        };
        self.layers.cx.events.send(Event::StepFinished {
            target,
            id: begun.id,
            key: begun.key.into_inner(),
            outcome,
            took: started.elapsed(),
        });
        result.map(drop)
    }

    /// The layer of a key, made when neither the store nor a cache has it. `None`: the step changed nothing,
    /// so its empty layer stays out of the image, as BuildKit's does.
    pub fn cached(
        &self,
        begun: Option<&BegunStep>,
        key: &str,
        kind: StepKind,
        role: StageRole,
        make: impl FnOnce() -> Result<Layer>,
    ) -> Result<(Option<Layer>, StepOutcome)> {
        if let Some(begun) = begun {
            begun.key.get_or_init(|| key.to_string());
        }
        // Of all targets of this run: those of a matrix share most steps.
        let turn = self.layers.cx.store.turn(key);
        let _turn = locked(&turn);
        if !self.request.no_cache {
            if let Some(layer) = self.recorded(key) {
                let empty = self.layers.is_empty(&layer)?;
                self.export(key, kind, role, &layer, empty);
                return Ok(((!empty).then_some(layer), StepOutcome::Cached));
            }
            if let Some(entry) = self.found(key, kind, role) {
                self.record(key, &entry.layer)?;
                return Ok(((!entry.empty).then_some(entry.layer), StepOutcome::Cached));
            }
        }
        let layer = make()?;
        self.record(key, &layer)?;
        let empty = self.layers.is_empty(&layer)?;
        self.export(key, kind, role, &layer, empty);
        Ok(((!empty).then_some(layer), StepOutcome::Done))
    }

    fn record(&self, key: &str, layer: &Layer) -> Result<()> {
        let record = postcard::to_stdvec(layer).context("a step record is plain data")?;
        Ok(self.layers.cx.store.put_step(key, &record)?)
    }

    /// The layer of a key, from another machine.
    fn found(&self, key: &str, kind: StepKind, role: StageRole) -> Option<StepEntry> {
        let cache = self.layers.cache.as_ref()?;
        let cx = &self.layers.cx;
        let found = cache.step(cx, key, kind)?;
        cache.offer_found(cx, key, &found, role);
        self.found.fetch_add(1, Ordering::Relaxed);
        Some(found)
    }

    fn export(&self, key: &str, kind: StepKind, role: StageRole, layer: &Layer, empty: bool) {
        if let Some(cache) = &self.layers.cache
            && cache.wants(kind, role)
        {
            let replace = self.request.no_cache;
            let export = CacheExport::step(key, layer, empty, role, replace);
            cache.export(&self.layers.cx, export);
        }
    }

    /// A record counts only while its blob is there.
    fn recorded(&self, key: &str) -> Option<Layer> {
        let record = self.layers.cx.store.step(key)?;
        let layer: Layer = postcard::from_bytes(&record).ok()?;
        self.layers
            .cx
            .store
            .holds(&layer.descriptor)
            .then_some(layer)
    }

    pub fn context(&self, named: Option<&Path>) -> Result<Arc<ContextTree>> {
        let place = named.unwrap_or(&self.request.context).to_path_buf();
        let mut contexts = locked(&self.contexts);
        if let Some(tree) = contexts.get(&place) {
            return Ok(tree.clone());
        }
        let tree = self.definition.context(self.request, named)?;
        let tree = Arc::new(tree.stopped_by(&self.stop));
        contexts.insert(place, tree.clone());
        Ok(tree)
    }
}
