//! Layers that steps are going to need come, and are unpacked, while other steps work: those of which a RUN needs
//! the tree as their bytes come.
//!
//! A base whose index the store lacks is new here: where a RUN needs its tree, the helper process unpacks it and
//! lists it in the same pass; where a step looks at its files only, this process lists it. Once a step has to be
//! done, a later RUN of its stage has to be done too, and the layers below it are unpacked meanwhile.
//! What fails here fails again, with its place, in the step that needs it.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

// Not the standard library's: several threads take from one.
use crossbeam_channel::{Receiver, Sender, unbounded};

use super::coming::Claim;
use super::engine::Engine;
use super::layers::LayerAccess;
use crate::define::graph::{Action, StageGraph, StageStep, Start};
use crate::error::Result;
use crate::request::Step;
use crate::rootfs::{Blob, Indexing};
use crate::target::TargetContext;
use imgmake_dockerfile::Instruction;
use imgmake_event::Cancel;
use imgmake_oci::image::Digest;
use imgmake_oci::layer::Layer;

/// Downloads at once.
const PULLS: usize = 4;
/// A smaller layer is here before its unpacking has begun.
const WORTH_STREAMING: u64 = 1 << 20;

/// What is done with a layer once it is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Index,
    Tree(Indexing),
}

/// How the layers of an image are used by a whole build.
#[derive(Clone, Copy, Default)]
struct Needs {
    /// Somebody looks at its files.
    index: bool,
    /// A RUN sees them.
    tree: bool,
}

struct Job {
    layer: Layer,
    wanted: Use,
}

/// What there is of a layer now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Brought {
    Blob,
    /// What it is wanted for as well.
    All,
}

pub struct Prefetch<'a> {
    engine: &'a Engine,
    layers: LayerAccess,
    /// Set when the last step has ended.
    is_over: Cancel,
    claim: Claim<'a>,
    /// Layers of bases that are new here.
    bases: Vec<Job>,
    later: Later,
}

/// Layers below a step that is being made, for a RUN that follows it.
struct Later {
    /// `None` when no step is left.
    send: Mutex<Option<Sender<Job>>>,
    receive: Receiver<Job>,
    seen: Mutex<HashSet<Digest>>,
}

impl<'a> Prefetch<'a> {
    /// Nothing is brought before [`Prefetch::run`], but whoever needs one of these layers waits for it already.
    pub fn new<'g>(
        engine: &'a Engine,
        layers: &LayerAccess,
        graphs: impl Iterator<Item = &'g StageGraph>,
        stop: &Cancel,
    ) -> Prefetch<'a> {
        let store = &layers.cx.store;
        let has_cache = layers.cache.is_some();
        let unread = |layer: &Layer| !store.has_index(&layer.diff_id);
        let bases = layers_of_bases(graphs).into_values();
        let bases = bases.filter_map(|(layer, needs)| {
            let wanted = needs.wanted(has_cache)?;
            unread(&layer).then_some(Job { layer, wanted })
        });
        let bases: Vec<Job> = bases.collect();
        let claim = engine
            .coming
            .claim(bases.iter().map(|job| job.layer.diff_id.clone()));
        let is_over = stop.child();
        let (send, receive) = unbounded();
        Prefetch {
            engine,
            layers: LayerAccess {
                cx: TargetContext {
                    store: store.stopped_by(&is_over),
                    cancel: is_over.clone(),
                    ..layers.cx.clone()
                },
                cache: layers.cache.clone(),
                coming: Arc::clone(&layers.coming),
            },
            is_over,
            claim,
            bases,
            later: Later {
                send: Mutex::new(Some(send)),
                receive,
                seen: Mutex::default(),
            },
        }
    }

    /// Until [`Prefetch::end`] is called.
    pub fn run(&self) {
        let bases: Vec<&Job> = self.bases.iter().collect();
        let bases = self.without_cached(bases);
        self.bring(&bases);
        while let Ok(job) = self.later.receive.recv() {
            let more = std::iter::once(job).chain(self.later.receive.try_iter());
            let more: Vec<Job> = more.collect();
            self.bring(&more.iter().collect::<Vec<_>>());
        }
    }

    /// A step on these layers has to be made, and a RUN comes after it.
    pub fn run_follows(&self, below: &[Layer]) {
        let send = self.later.send.lock();
        let send = send.unwrap_or_else(PoisonError::into_inner);
        let seen = self.later.seen.lock();
        let mut seen = seen.unwrap_or_else(PoisonError::into_inner);
        for layer in below {
            if seen.insert(layer.diff_id.clone())
                && let Some(send) = &*send
            {
                let wanted = Use::Tree(Indexing::Unwanted);
                let layer = layer.clone();
                drop(send.send(Job { layer, wanted }));
            }
        }
    }

    /// No step is left: what is still on its way is not needed any more.
    pub fn end(&self) {
        self.is_over.cancel();
        let send = self.later.send.lock();
        drop(send.unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Without layers whose index a cache has: it may have the results of all that would need the trees.
    fn without_cached<'j>(&self, mut jobs: Vec<&'j Job>) -> Vec<&'j Job> {
        let store = &self.layers.cx.store;
        if let Some(cache) = &self.layers.cache {
            let layers: Vec<&Layer> = jobs.iter().map(|job| &job.layer).collect();
            cache.bring_indexes(&self.layers.cx, &layers);
            jobs.retain(|job| {
                let is_there = store.has_index(&job.layer.diff_id);
                if is_there {
                    self.claim.release(&job.layer.diff_id);
                }
                !is_there
            });
        }
        jobs
    }

    /// Each is read as soon as it is here, while others still come.
    fn bring(&self, jobs: &[&Job]) {
        if jobs.is_empty() {
            return;
        }
        let store = &self.layers.cx.store;
        let missing = jobs
            .iter()
            .filter(|job| !store.holds(&job.layer.descriptor));
        let pulls = missing.count().clamp(1, PULLS);
        // An unpacker keeps two processors busy: one inflates, one hashes and makes files.
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let readers = processors.div_ceil(2).min(jobs.len());
        let next = AtomicUsize::new(0);
        let unpackers = AtomicUsize::new(processors);
        let (here, arrived) = unbounded::<&Job>();
        std::thread::scope(|scope| {
            for _ in 0..pulls {
                let here = here.clone();
                let (next, unpackers) = (&next, &unpackers);
                scope.spawn(move || {
                    while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        match self.bring_one(job, unpackers) {
                            Ok(Brought::Blob) => drop(here.send(job)),
                            // Whoever waits tries for itself, and fails with its place.
                            Ok(Brought::All) | Err(_) => self.claim.release(&job.layer.diff_id),
                        }
                    }
                });
            }
            drop(here);
            let read = |arrived: Receiver<&Job>| {
                for job in arrived {
                    // Whoever waits tries for itself, and fails with its place.
                    let _ = self.read(job);
                    self.claim.release(&job.layer.diff_id);
                }
            };
            for _ in 1..readers {
                let arrived = arrived.clone();
                scope.spawn(move || read(arrived));
            }
            read(arrived);
        });
    }

    /// Unpacks the layer while it comes, if it comes from elsewhere and one of the `unpackers` is free.
    fn bring_one(&self, job: &Job, unpackers: &AtomicUsize) -> Result<Brought> {
        let take = |free: usize| free.checked_sub(1);
        let streams = matches!(job.wanted, Use::Tree(_))
            && job.layer.descriptor.size >= WORTH_STREAMING
            && unpackers
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok();
        if !streams {
            self.layers.bring(&[&job.layer])?;
            return Ok(Brought::Blob);
        }
        let brought = self.bring_unpacking(job);
        unpackers.fetch_add(1, Ordering::Relaxed);
        brought
    }

    fn bring_unpacking(&self, job: &Job) -> Result<Brought> {
        let (begun, begins) = unbounded::<PathBuf>();
        let cx = &self.layers.cx;
        let layers = LayerAccess {
            cx: TargetContext {
                store: cx.store.announcing_blobs(move |path| {
                    drop(begun.send(path.to_path_buf()));
                }),
                ..cx.clone()
            },
            cache: self.layers.cache.clone(),
            coming: Arc::clone(&self.layers.coming),
        };
        std::thread::scope(|scope| {
            let unpacker = scope.spawn(|| {
                // The first only: a layer that comes a second time is unpacked once it is here.
                let path = begins.recv().ok()?;
                self.unpack(job, Blob::Arriving(path)).ok()
            });
            let brought = layers.bring(&[&job.layer]);
            // Nothing begins any more: of a layer that was here already, nothing has.
            drop(layers);
            let unpacked = unpacker.join().expect("unpacking does not panic");
            brought.map(|()| unpacked.unwrap_or(Brought::Blob))
        })
    }

    /// `Blob`: it is not indexed, although that was wanted.
    fn unpack(&self, job: &Job, blob: Blob) -> Result<Brought> {
        let Use::Tree(indexing) = job.wanted else {
            return Ok(Brought::Blob);
        };
        let worker = &self.engine.worker;
        let unpacked = worker.unpack(&job.layer, blob, indexing, &self.is_over);
        let has_index = || self.layers.cx.store.has_index(&job.layer.diff_id);
        if indexing == Indexing::Unwanted || has_index() {
            return unpacked.map(|()| Brought::All);
        }
        Ok(Brought::Blob)
    }

    fn read(&self, job: &Job) -> Result<()> {
        self.is_over.check()?;
        if self.unpack(job, Blob::Stored)? == Brought::Blob {
            self.layers.cx.store.index(&job.layer)?;
        }
        Ok(())
    }
}

impl Needs {
    /// A cache takes the index too, for machines that then need not pull the base.
    fn wanted(self, has_cache: bool) -> Option<Use> {
        match self {
            Needs { tree: true, index } => Some(Use::Tree(match index || has_cache {
                true => Indexing::Wanted,
                false => Indexing::Unwanted,
            })),
            Needs { index: true, .. } => Some(Use::Index),
            Needs { .. } => None,
        }
    }
}

/// By diff id.
fn layers_of_bases<'g>(
    graphs: impl Iterator<Item = &'g StageGraph>,
) -> BTreeMap<Digest, (Layer, Needs)> {
    let mut layers: BTreeMap<Digest, (Layer, Needs)> = BTreeMap::new();
    for graph in graphs {
        for (stage, more) in needs_of(graph) {
            let Start::Image(image) = &graph.stages[stage].start else {
                continue;
            };
            for layer in &image.layers {
                let entry = layers.entry(layer.diff_id.clone());
                let (_, needs) = entry.or_insert_with(|| (layer.clone(), Needs::default()));
                needs.index |= more.index;
                needs.tree |= more.tree;
            }
        }
    }
    layers
}

/// By the stage that begins with the image.
fn needs_of(graph: &StageGraph) -> BTreeMap<usize, Needs> {
    let first = |stage: usize| {
        let below = |stage: &usize| match graph.stages[*stage].start {
            Start::Stage(below) => Some(below),
            _ => None,
        };
        let chain = std::iter::successors(Some(stage), below);
        chain.last().expect("a chain begins with the stage itself")
    };
    let mut all: BTreeMap<usize, Needs> = BTreeMap::new();
    for (number, stage) in graph.stages.iter().enumerate() {
        for step in &stage.steps {
            let own = all.entry(first(number)).or_default();
            match is_run(step) {
                true => own.tree = true,
                false => own.index |= step.reads_below(),
            }
            for from in step.origins.values().filter_map(|origin| origin.stage()) {
                let other = all.entry(first(from)).or_default();
                other.index = true;
                other.tree |= is_run(step);
            }
        }
    }
    all
}

/// Whether one of these executes a command.
pub fn has_run(steps: &[StageStep]) -> bool {
    steps.iter().any(is_run)
}

fn is_run(step: &StageStep) -> bool {
    match &step.action {
        Action::Instruction(located) => matches!(located.value, Instruction::Run(_)),
        Action::Step(step) => matches!(step, Step::Run { .. }),
    }
}
