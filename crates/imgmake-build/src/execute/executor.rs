//! Runs programs: each stage as far as what it needs is finished, at most `jobs` at once, those of all platforms
//! together; steps in order, each from the step cache when its key is known there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::define::definition::Loaded;
use crate::define::evaluate::{self, Todo};
use crate::define::graph::{Origin, Program, ProgramStage, ProgramStep, Start, at_line};
use crate::define::state::{ImageLayer, ImageState, OwnershipClass, StepLayer, pull, read_indexes};
use crate::execute::cache::{Depth, Offer, StepKind};
use crate::execute::schedule::{Reached, run_all};
use crate::files::context::ContextTree;
use crate::files::copy::Tree;
use crate::run::prepare::{Mounted, Prepared, prepare};
use crate::run::worker::TreeSource;
use crate::{BuildRequest, Engine};
use imgmake_dockerfile::Run;
use imgmake_event::{Cancel, Event, StepOutcome};
use imgmake_oci::layer::LayerBlob;

/// One platform's run.
pub struct Execution<'a> {
    pub engine: &'a Engine,
    pub request: &'a BuildRequest,
    pub loaded: &'a Loaded,
    pub program: &'a Program,
    pub shared: &'a Shared,
    /// The target's stage and those that it begins with.
    in_image: BTreeSet<usize>,
    finished: Vec<OnceLock<ImageState>>,
}

/// What the platforms of a build have in common.
#[derive(Default)]
pub struct Shared {
    pub run: AtomicUsize,
    pub cached: AtomicUsize,
    /// Of those, from a cache in a registry.
    pub found: AtomicUsize,
    /// Set when the run is cancelled, and when a stage fails: the others need not go on.
    pub stop: Cancel,
    next: AtomicU32,
    taken_args: Mutex<BTreeSet<String>>,
    contexts: Mutex<BTreeMap<PathBuf, Arc<ContextTree>>>,
}

impl Shared {
    pub fn taken_args(&self) -> BTreeSet<String> {
        locked(&self.taken_args).clone()
    }
}

/// A stage whose next step waits for other stages.
struct Paused {
    state: ImageState,
    next: usize,
}

/// Runs the executions of all platforms.
///
/// # Errors
/// The first stage that failed; the others stop at their next step.
pub fn run_together(executions: &[Execution<'_>], jobs: usize, shared: &Shared) -> Result<()> {
    let tasks: Vec<(usize, usize)> = executions
        .iter()
        .enumerate()
        .flat_map(|(n, e)| (0..e.program.stages.len()).map(move |stage| (n, stage)))
        .collect();
    let go_on = |task: usize, paused: Option<Paused>| {
        let (execution, stage) = tasks[task];
        let reached = executions[execution].go_on(stage, paused)?;
        Ok(match reached {
            Reached::Finished => Reached::Finished,
            // Stages of one execution are neighbours among the tasks.
            Reached::Waits { progress, needs } => Reached::Waits {
                progress,
                needs: needs.iter().map(|n| task - stage + n).collect(),
            },
        })
    };
    std::thread::scope(|scope| {
        let (finished, told) = std::sync::mpsc::channel::<()>();
        if let Some(first) = executions.first() {
            scope.spawn(move || pass_cancellation_on(&first.engine.cancel, &shared.stop, &told));
        }
        scope.spawn(|| executions.iter().for_each(Execution::prefetch));
        let result = run_all(tasks.len(), jobs, &shared.stop, go_on);
        drop(finished);
        result
    })
}

fn pass_cancellation_on(from: &Cancel, to: &Cancel, finished: &std::sync::mpsc::Receiver<()>) {
    use std::sync::mpsc::RecvTimeoutError::Timeout;
    while finished.recv_timeout(Duration::from_millis(20)) == Err(Timeout) {
        if from.is_cancelled() {
            to.cancel();
        }
    }
}

/// The target's stage, the one that it begins with, and so on down.
fn in_image(program: &Program) -> BTreeSet<usize> {
    let below = |stage: &usize| match program.stages[*stage].start {
        Start::Stage(below) => Some(below),
        _ => None,
    };
    std::iter::successors(Some(program.target), below).collect()
}

/// Our locks are held for look-ups only; a panic in between cannot leave half a value.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl<'a> Execution<'a> {
    pub fn new(
        engine: &'a Engine,
        request: &'a BuildRequest,
        loaded: &'a Loaded,
        program: &'a Program,
        shared: &'a Shared,
    ) -> Execution<'a> {
        locked(&shared.taken_args).extend(program.taken_args.iter().cloned());
        Execution {
            engine,
            request,
            loaded,
            program,
            shared,
            finished: program.stages.iter().map(|_| OnceLock::new()).collect(),
            in_image: in_image(program),
        }
    }

    /// The image of the target's stage, once all stages have run.
    ///
    /// # Errors
    /// It did not finish, or its layers cannot be brought into the form that was asked for.
    pub fn into_image(self) -> Result<ImageState> {
        let image = self.finished[self.program.target].get().cloned();
        self.in_form(image.context("the target's stage did not finish")?)
    }

    /// Bases that some step will read come while other stages work. What fails here fails again, with its
    /// place, in the step that needs it.
    fn prefetch(&self) {
        for stage in &self.program.stages {
            let Start::Image(image) = &stage.start else {
                continue;
            };
            let unread: Vec<&ImageLayer> = image
                .layers
                .iter()
                .filter(|l| !self.engine.store.has_index(&l.diff_id))
                .collect();
            let stopped = || self.shared.stop.is_cancelled() || self.engine.cancel.is_cancelled();
            if unread.is_empty() || stopped() || !stage.steps.iter().any(ProgramStep::reads_below) {
                continue;
            }
            let _ = read_indexes(self.engine, &self.request.target, &unread);
        }
    }

    pub(crate) fn finished(&self, stage: usize) -> &ImageState {
        self.finished[stage]
            .get()
            .expect("a step begins when all that it needs is finished")
    }

    /// Runs a stage's steps until one needs a stage that is not finished.
    fn go_on(&self, number: usize, paused: Option<Paused>) -> Result<Reached<Paused>> {
        let stage = &self.program.stages[number];
        let Paused { mut state, next } = match paused {
            Some(paused) => paused,
            None => match stage.start {
                Start::Stage(base) if self.finished[base].get().is_none() => {
                    let needs = BTreeSet::from([base]);
                    return Ok(Reached::Waits {
                        progress: None,
                        needs,
                    });
                }
                _ => Paused {
                    state: self.begin(number)?,
                    next: 0,
                },
            },
        };
        for (at, step) in stage.steps.iter().enumerate().skip(next) {
            let needs = self.unfinished(step);
            if !needs.is_empty() {
                let progress = Some(Paused { state, next: at });
                return Ok(Reached::Waits { progress, needs });
            }
            self.engine.cancel.check()?;
            self.shared.stop.check()?;
            self.step(&mut state, step, &stage.name)
                .map_err(|e| step.at(&self.program.file, e))?;
        }
        self.offer_base(stage);
        let _ = self.finished[number].set(state);
        Ok(Reached::Finished)
    }

    fn begin(&self, number: usize) -> Result<ImageState> {
        let stage = &self.program.stages[number];
        let base = match stage.start {
            Start::Stage(base) => Some(self.finished(base)),
            _ => None,
        };
        let mut state = evaluate::start(stage, base, self.loaded.epoch);
        state.depth = match self.in_image.contains(&number) {
            true => Depth::Final,
            false => Depth::Intermediate,
        };
        if let Start::Directory(directory) = &stage.start {
            self.whole_directory(&mut state, directory)
                .map_err(|e| at_line(&self.program.file, stage.line, e))?;
        }
        Ok(state)
    }

    /// What a base's layers hold, for machines that then need not pull them.
    fn offer_base(&self, stage: &ProgramStage) {
        let (Some(cache), Start::Image(image)) = (&self.engine.cache, &stage.start) else {
            return;
        };
        for layer in &image.layers {
            if self.engine.store.has_index(&layer.diff_id) {
                let offer = Offer::index(&layer.blob());
                cache.offer(self.engine, &self.request.target, offer);
            }
        }
    }

    fn unfinished(&self, step: &ProgramStep) -> BTreeSet<usize> {
        let stages = step.origins.values().filter_map(Origin::stage);
        stages
            .filter(|n| self.finished[*n].get().is_none())
            .collect()
    }

    fn step(&self, state: &mut ImageState, step: &ProgramStep, stage: &str) -> Result<()> {
        let todo = {
            let mut taken = BTreeSet::new();
            let todo = evaluate::step(state, step, self.program, self.request, &mut taken)?;
            locked(&self.shared.taken_args).extend(taken);
            todo
        };
        match todo {
            Todo::Nothing => Ok(()),
            Todo::Files(work) => self.reported(&step.text, stage, |_| self.files(state, &work)),
            Todo::Run(run) => self.reported(&step.text, stage, |id| {
                self.run_command(state, &run, step, id)
            }),
        }
    }

    pub(crate) fn reported(
        &self,
        text: &str,
        stage: &str,
        act: impl FnOnce(u32) -> Result<StepOutcome>,
    ) -> Result<()> {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let target = self.request.target.clone();
        self.engine.events.send(Event::StepStarted {
            target: target.clone(),
            id,
            stage: stage.to_string(),
            text: text.to_string(),
        });
        let started = Instant::now();
        let result = act(id);
        let outcome = match &result {
            Ok(outcome) => outcome.clone(),
            Err(error) => StepOutcome::Failed {
                message: format!("{error:#}"),
            },
        };
        match outcome {
            StepOutcome::Done => self.shared.run.fetch_add(1, Ordering::Relaxed),
            StepOutcome::Cached => self.shared.cached.fetch_add(1, Ordering::Relaxed),
            StepOutcome::Failed { .. } => 0,
        };
        self.engine.events.send(Event::StepFinished {
            target,
            id,
            outcome,
            took: started.elapsed(),
        });
        result.map(drop)
    }

    /// The layer of a key, made when the store does not have it.
    pub(crate) fn cached(
        &self,
        key: &str,
        kind: StepKind,
        depth: Depth,
        make: impl FnOnce() -> Result<LayerBlob>,
    ) -> Result<(StepLayer, StepOutcome)> {
        // Of all targets of this run: those of a matrix share most steps.
        let turn = self.engine.store.turn(key);
        let _turn = locked(&turn);
        if !self.request.no_cache {
            if let Some(layer) = self.recorded(key) {
                let layer = StepLayer::own(self.engine, &layer)?;
                self.offer(key, kind, depth, &layer);
                return Ok((layer, StepOutcome::Cached));
            }
            if let Some(layer) = self.found(key, kind, depth) {
                self.record(key, &layer.layer.blob())?;
                return Ok((layer, StepOutcome::Cached));
            }
        }
        let made = make()?;
        self.record(key, &made)?;
        let layer = StepLayer::own(self.engine, &made)?;
        self.offer(key, kind, depth, &layer);
        Ok((layer, StepOutcome::Done))
    }

    fn record(&self, key: &str, layer: &LayerBlob) -> Result<()> {
        let record = postcard::to_stdvec(layer).context("a step record is plain data")?;
        self.engine.store.put_step(key, &record)
    }

    /// The layer of a key, from another machine.
    fn found(&self, key: &str, kind: StepKind, depth: Depth) -> Option<StepLayer> {
        let cache = self.engine.cache.as_ref()?;
        let target = &self.request.target;
        let found = cache.step(self.engine, target, key, kind)?;
        cache.offer_found(self.engine, target, key, &found, depth);
        self.shared.found.fetch_add(1, Ordering::Relaxed);
        Some(StepLayer {
            layer: found.layer,
            empty: found.empty,
        })
    }

    fn offer(&self, key: &str, kind: StepKind, depth: Depth, layer: &StepLayer) {
        if let Some(cache) = &self.engine.cache
            && cache.wants(kind, depth)
        {
            let replace = self.request.no_cache;
            let offer = Offer::step(key, &layer.layer.blob(), layer.empty, depth, replace);
            cache.offer(self.engine, &self.request.target, offer);
        }
    }

    /// A record counts only while its blob is there.
    fn recorded(&self, key: &str) -> Option<LayerBlob> {
        let record = self.engine.store.step(key)?;
        let layer: LayerBlob = postcard::from_bytes(&record).ok()?;
        self.engine
            .store
            .holds(&layer.descriptor())
            .then_some(layer)
    }

    pub(crate) fn context(&self, named: Option<&Path>) -> Result<Arc<ContextTree>> {
        let place = named.unwrap_or(&self.request.context).to_path_buf();
        let mut known = locked(&self.shared.contexts);
        if let Some(tree) = known.get(&place) {
            return Ok(tree.clone());
        }
        let tree = self.loaded.context(self.request, named)?;
        let tree = Arc::new(tree.stopped_by(&self.shared.stop));
        known.insert(place, tree.clone());
        Ok(tree)
    }

    fn run_command(
        &self,
        state: &mut ImageState,
        run: &Run,
        step: &ProgramStep,
        id: u32,
    ) -> Result<StepOutcome> {
        let mut class = state
            .class
            .max(OwnershipClass::of(self.engine.worker.tier()?));
        let mut shown: Vec<usize> = Vec::new();
        let prepared = {
            let mut mounted = |from: Option<&str>, source: &str| {
                let mounted = self.mounted(from, source, step, &mut class)?;
                if let Some(Origin::Stage(n)) = from.and_then(|f| step.origins.get(f)) {
                    shown.push(*n);
                }
                Ok(mounted)
            };
            prepare(run, state, self.request, self.loaded.epoch, &mut mounted)?
        };
        (state.class, state.ran) = (class, true);
        let Prepared {
            mut request,
            mut key,
            history,
        } = prepared;
        key.text(class.name());
        let (layer, outcome) = self.cached(&key.hex(), StepKind::Run, state.depth, || {
            let mut needed: Vec<&ImageLayer> = state.layers.iter().collect();
            for stage in &shown {
                needed.extend(&self.finished(*stage).layers);
            }
            pull(self.engine, &self.request.target, &needed)?;
            request.layers = state.blobs();
            request.cache_scope = self.engine.cache_scope.clone();
            crate::run::output::run(self, &request, step, id)
        })?;
        state.push_layer(self.engine, &self.request.target, layer, history)?;
        Ok(outcome)
    }

    /// The tree that a mount's `from` names.
    fn mounted(
        &self,
        from: Option<&str>,
        source: &str,
        step: &ProgramStep,
        class: &mut OwnershipClass,
    ) -> Result<Mounted> {
        let origin = from.map(|name| {
            step.origins
                .get(name)
                .expect("every from was resolved before the build began")
        });
        let directory = match origin {
            Some(Origin::Stage(number)) => {
                let mut state = self.finished(*number).clone();
                *class = (*class).max(state.class);
                let source = match state.layers.is_empty() {
                    true => TreeSource::Empty,
                    false => TreeSource::Layers(state.blobs()),
                };
                let name = format!("`{}`", from.unwrap_or_default());
                return Ok(Mounted {
                    tree: Arc::new(state.tree(self.engine, &self.request.target, name)?),
                    source,
                    context: None,
                    cancel: self.shared.stop.clone(),
                });
            }
            Some(Origin::Directory(directory)) => Some(directory.as_path()),
            None => None,
        };
        let tree = self.context(directory)?;
        let only = match tree.hides_something() {
            false => None,
            true => Some(kept_beneath(&tree, source)?),
        };
        Ok(Mounted {
            source: TreeSource::Host {
                dir: tree.directory.display().to_string(),
                only,
            },
            context: Some(tree.clone()),
            cancel: self.shared.stop.clone(),
            tree,
        })
    }
}

/// The paths of a context that a mount of `source` shows.
fn kept_beneath(tree: &ContextTree, source: &str) -> Result<Vec<String>> {
    let path = tree.resolve(&crate::files::copy::tree::relative(source))?;
    let mut paths = vec![path.clone()];
    if tree.get(&path)?.is_some_and(|n| n.is_directory()) {
        paths.extend(tree.walk(&path)?.into_iter().map(|n| n.path));
    }
    let named = |path: Vec<u8>| {
        String::from_utf8(path).map_err(|e| {
            anyhow::anyhow!(
                "`{}`: a mounted context cannot hold names that are not UTF-8",
                crate::files::copy::tree::show(e.as_bytes())
            )
        })
    };
    paths.into_iter().map(named).collect()
}
