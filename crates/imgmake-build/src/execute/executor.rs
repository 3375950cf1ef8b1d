//! Runs stage graphs: each stage as far as what it needs is finished, at most `jobs` at once, those of all platforms
//! together; steps in order, each from the step cache when its key is known there.

use std::collections::BTreeSet;

use super::cache::CacheExport;
use super::engine::Engine;
use super::file_step::FileSteps;
use super::prefetch::{Prefetch, has_run};
use super::run_step::RunSteps;
use super::schedule::{Poll, run_all};
use super::squash::convert_layers;
use super::stages::Stages;
use super::step_runner::StepRunner;
use crate::define::evaluate::{self, Todo};
use crate::define::graph::{Stage, StageGraph, StageStep, Start, at_line, line_of};
use crate::define::state::{ImageState, StageRole};
use crate::error::{BuildError, Place, Result};
use imgmake_oci::image::Platform;
use imgmake_oci::layer::Layer;

/// One platform's run.
pub struct Execution<'a> {
    engine: &'a Engine,
    steps: &'a StepRunner<'a>,
    stages: Stages<'a>,
    /// The target's stage and those that it begins with.
    in_image: BTreeSet<usize>,
}

/// A stage whose next step waits for other stages.
struct StageProgress {
    state: ImageState,
    next: usize,
}

/// What may come while a step works.
struct Ahead<'a> {
    prefetch: &'a Prefetch<'a>,
    run_follows: bool,
}

impl Ahead<'_> {
    fn a_step_is_made(&self, below: &[Layer]) {
        if self.run_follows {
            self.prefetch.run_follows(below);
        }
    }
}

/// Runs the executions of all platforms.
///
/// # Errors
/// The first stage that failed; the others stop at their next step.
pub fn run_together(
    engine: &Engine,
    executions: &[Execution<'_>],
    steps: &StepRunner<'_>,
) -> Result<()> {
    let graphs = executions.iter().map(|execution| execution.stages.graph);
    let (layers, stop) = (&steps.layers, &steps.stop);
    let prefetch = Prefetch::new(engine, layers, graphs, stop);
    let tasks: Vec<(usize, usize)> = executions
        .iter()
        .enumerate()
        .flat_map(|(n, e)| (0..e.stages.graph.stages.len()).map(move |stage| (n, stage)))
        .collect();
    let resume = |task: usize, progress: Option<StageProgress>| {
        let (execution, stage) = tasks[task];
        let polled = executions[execution].resume(stage, progress, &prefetch)?;
        Ok(match polled {
            Poll::Finished => Poll::Finished,
            // Stages of one execution are neighbors among the tasks.
            Poll::Waits { progress, needs } => Poll::Waits {
                progress,
                needs: needs.iter().map(|n| task - stage + n).collect(),
            },
        })
    };
    std::thread::scope(|scope| {
        scope.spawn(|| prefetch.run());
        let ran = run_all(tasks.len(), steps.request.jobs, &steps.stop, resume);
        prefetch.end();
        ran
    })
}

/// The target's stage, the one that it begins with, and so on down.
fn in_image(graph: &StageGraph) -> BTreeSet<usize> {
    let below = |stage: &usize| match graph.stages[*stage].start {
        Start::Stage(below) => Some(below),
        _ => None,
    };
    std::iter::successors(Some(graph.target), below).collect()
}

impl<'a> Execution<'a> {
    pub fn new(
        engine: &'a Engine,
        steps: &'a StepRunner<'a>,
        graph: &'a StageGraph,
    ) -> Execution<'a> {
        steps.take_args(graph.taken_args.iter().cloned());
        Execution {
            engine,
            steps,
            stages: Stages::new(graph),
            in_image: in_image(graph),
        }
    }

    /// The image of the target's stage, once all stages have run.
    ///
    /// # Errors
    /// It did not finish, or its layers cannot be brought into the form that was asked for.
    pub fn into_image(self) -> Result<ImageState> {
        let image = self.stages.image().cloned();
        let image =
            image.ok_or_else(|| BuildError::internal("the target's stage did not finish"))?;
        convert_layers(self.steps, self.stages.graph, image)
    }

    /// Runs a stage's steps until one needs a stage that is not finished.
    fn resume(
        &self,
        number: usize,
        progress: Option<StageProgress>,
        prefetch: &Prefetch<'_>,
    ) -> Result<Poll<StageProgress>> {
        let stage = &self.stages.graph.stages[number];
        let StageProgress { mut state, next } = match progress {
            Some(progress) => progress,
            None => match stage.start {
                Start::Stage(base) if !self.stages.is_finished(base) => {
                    let needs = BTreeSet::from([base]);
                    return Ok(Poll::Waits {
                        progress: None,
                        needs,
                    });
                }
                _ => StageProgress {
                    state: self.begin(number)?,
                    next: 0,
                },
            },
        };
        for (at, step) in stage.steps.iter().enumerate().skip(next) {
            let needs = self.stages.unfinished(step);
            if !needs.is_empty() {
                let progress = Some(StageProgress { state, next: at });
                return Ok(Poll::Waits { progress, needs });
            }
            self.steps.stop.check()?;
            let ahead = Ahead {
                prefetch,
                run_follows: has_run(&stage.steps[at + 1..]),
            };
            self.step(&mut state, step, (&stage.name, &stage.platform), &ahead)
                .map_err(|e| step.at(&self.stages.graph.file, e))?;
        }
        self.export_base(stage);
        self.stages.finish(number, state);
        Ok(Poll::Finished)
    }

    fn begin(&self, number: usize) -> Result<ImageState> {
        let stage = &self.stages.graph.stages[number];
        let base = match stage.start {
            Start::Stage(base) => Some(self.stages.finished(base)),
            _ => None,
        };
        let mut state = evaluate::start(stage, base, self.steps.definition.epoch.seconds);
        state.role = match self.in_image.contains(&number) {
            true => StageRole::Final,
            false => StageRole::Intermediate,
        };
        if let Start::Directory(directory) = &stage.start {
            self.file_steps(line_of(&self.stages.graph.file, stage.line))
                .whole_directory(&mut state, directory)
                .map_err(|e| at_line(&self.stages.graph.file, stage.line, e))?;
        }
        Ok(state)
    }

    /// What a base's layers hold, for machines that then need not pull them.
    fn export_base(&self, stage: &Stage) {
        let layers = &self.steps.layers;
        let (Some(cache), Start::Image(image)) = (&layers.cache, &stage.start) else {
            return;
        };
        for layer in &image.layers {
            if layers.cx.store.has_index(&layer.diff_id) {
                cache.export(&layers.cx, CacheExport::index(layer));
            }
        }
    }

    fn step(
        &self,
        state: &mut ImageState,
        step: &StageStep,
        stage: (&str, &Platform),
        ahead: &Ahead<'_>,
    ) -> Result<()> {
        let mut taken = BTreeSet::new();
        let todo = evaluate::step(
            state,
            step,
            self.stages.graph,
            self.steps.request,
            &mut taken,
        )?;
        self.steps.take_args(taken);
        match todo {
            Todo::Nothing => Ok(()),
            Todo::Files(work) => self.steps.reported(&step.text, stage, |begun| {
                let place = step.place(&self.stages.graph.file);
                let on_made = |below: &[Layer]| ahead.a_step_is_made(below);
                self.file_steps(place)
                    .run(state, &work, Some(begun), &on_made)
            }),
            Todo::Run(run) => self.steps.reported(&step.text, stage, |begun| {
                let runs = RunSteps {
                    engine: self.engine,
                    steps: self.steps,
                    stages: &self.stages,
                };
                runs.run(state, &run, step, begun)
            }),
        }
    }

    fn file_steps(&self, place: Place) -> FileSteps<'_> {
        FileSteps {
            steps: self.steps,
            stages: &self.stages,
            place,
        }
    }
}
