//! RUN, executed: its trees found, its key asked for, and the command run unless a cache has its layer.

use std::sync::Arc;

use super::cache::StepKind;
use super::engine::Engine;
use super::stages::Stages;
use super::step_runner::{BegunStep, StepRunner};
use crate::define::graph::StageStep;
use crate::define::state::{ImageState, OwnershipClass};
use crate::error::{BuildError, Result};
use crate::files::context::ContextTree;
use crate::files::source::Origin;
use crate::files::tree::{Tree, relative, show};
use crate::run::mounted::Mounted;
use crate::run::output::{self, RunningStep};
use crate::run::prepare::{Prepared, prepare};
use crate::run::worker::{Network, TreeSource};
use imgmake_dockerfile::Run;
use imgmake_event::StepOutcome;
use imgmake_guard::offline;
use imgmake_oci::layer::Layer;

/// Runs commands of the stages of one platform.
pub struct RunSteps<'a> {
    pub engine: &'a Engine,
    pub steps: &'a StepRunner<'a>,
    pub stages: &'a Stages<'a>,
}

impl RunSteps<'_> {
    pub fn run(
        &self,
        state: &mut ImageState,
        run: &Run,
        step: &StageStep,
        begun: &BegunStep,
    ) -> Result<StepOutcome> {
        let mut class = state
            .class
            .max(OwnershipClass::of(self.engine.worker.isolation()?));
        let mut readable: Vec<usize> = Vec::new();
        let prepared = {
            let mut mounted = |from: Option<&str>, source: &str| {
                let mounted = self.mounted(from, source, step, &mut class)?;
                if let Origin::Stage(n) = step.origin(from) {
                    readable.push(*n);
                }
                Ok(mounted)
            };
            prepare(
                run,
                state,
                self.steps.request,
                self.steps.definition.epoch.seconds,
                &mut mounted,
            )?
        };
        (state.class, state.has_run_layer) = (class, true);
        let Prepared {
            mut request,
            mut key,
            absent,
            history,
        } = prepared;
        key.text(class.name());
        let (layer, outcome) = self
            .steps
            .cached(Some(begun), &key.hex(), StepKind::Run, state.role, || {
                if let Some(error) = absent {
                    return Err(error);
                }
                if offline::is_forbidden() && request.network != Network::None {
                    return Err(BuildError::forbidden(
                        "a RUN that may use the network",
                        "`--offline` is set, and its result is not in the store; if it needs no network, write `RUN --network=none`, or `network none` in the target",
                    ));
                }
                let mut needed: Vec<&Layer> = state.layers.iter().collect();
                for stage in &readable {
                    needed.extend(&self.stages.finished(*stage).layers);
                }
                self.steps.layers.pull(&needed)?;
                request.layers = state.layers.clone();
                request.cache_scope = self.engine.cache_scope.clone();
                output::run(
                    &self.engine.worker,
                    &self.steps.layers.cx,
                    &self.steps.stop,
                    &RunningStep {
                        request: &request,
                        line: step.line,
                        text: &step.text,
                        id: begun.id,
                    },
                )
            })?;
        self.steps.layers.push_layer(state, layer, history)?;
        Ok(outcome)
    }

    /// The tree that a mount's `from` names.
    fn mounted(
        &self,
        from: Option<&str>,
        source: &str,
        step: &StageStep,
        class: &mut OwnershipClass,
    ) -> Result<Mounted> {
        let directory = match step.origin(from) {
            Origin::Stage(number) => {
                let mut state = self.stages.finished(*number).clone();
                *class = (*class).max(state.class);
                let source = match state.layers.is_empty() {
                    true => TreeSource::Empty,
                    false => TreeSource::Layers(state.layers.clone()),
                };
                let name = match from {
                    Some(name) => format!("`{name}`"),
                    None => "the context".to_string(),
                };
                return Ok(Mounted {
                    tree: Arc::new(self.steps.layers.tree(&mut state, name)?),
                    source,
                    context: None,
                    hashes: self.steps.file_hashes(),
                });
            }
            Origin::Directory(directory) => Some(directory.as_path()),
            Origin::Context => None,
        };
        let tree = self.steps.context(directory)?;
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
            hashes: self.steps.file_hashes(),
            tree,
        })
    }
}

/// The paths of a context that a mount of `source` shows.
fn kept_beneath(tree: &ContextTree, source: &str) -> Result<Vec<String>> {
    let path = tree.resolve(&relative(source))?;
    let mut paths = vec![path.clone()];
    if tree.get(&path)?.is_some_and(|n| n.is_directory()) {
        paths.extend(tree.walk(&path)?.into_iter().map(|n| n.path));
    }
    let named = |path: Vec<u8>| {
        String::from_utf8(path).map_err(|e| {
            let what = format!("`{}` in a mounted context", show(e.as_bytes()));
            BuildError::unsupported(what, "names must be UTF-8")
        })
    };
    paths.into_iter().map(named).collect()
}
