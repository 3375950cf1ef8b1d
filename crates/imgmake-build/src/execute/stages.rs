//! Stages of one platform, and how far each is.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use crate::define::graph::{StageGraph, StageStep};
use crate::define::state::ImageState;
use crate::files::source::Origin;

pub struct Stages<'a> {
    pub graph: &'a StageGraph,
    finished: Vec<OnceLock<ImageState>>,
}

impl<'a> Stages<'a> {
    pub fn new(graph: &'a StageGraph) -> Stages<'a> {
        Stages {
            graph,
            finished: graph.stages.iter().map(|_| OnceLock::new()).collect(),
        }
    }

    pub fn is_finished(&self, stage: usize) -> bool {
        self.finished[stage].get().is_some()
    }

    pub fn finish(&self, stage: usize, state: ImageState) {
        let _ = self.finished[stage].set(state);
    }

    /// A stage that a step reads.
    ///
    /// # Panics
    /// When it is not finished: no step begins before all that it needs is.
    pub fn finished(&self, stage: usize) -> &ImageState {
        self.finished[stage]
            .get()
            .expect("a step begins when all that it needs is finished")
    }

    /// The image, once all stages have run.
    pub fn image(&self) -> Option<&ImageState> {
        self.finished[self.graph.target].get()
    }

    /// Stages that a step reads and that are not finished.
    pub fn unfinished(&self, step: &StageStep) -> BTreeSet<usize> {
        let read = step.origins.values().chain([&step.context]);
        let stages = read.filter_map(Origin::stage);
        stages.filter(|n| !self.is_finished(*n)).collect()
    }
}
