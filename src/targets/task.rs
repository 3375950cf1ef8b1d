//! One target of a run, and what every kind of target can do.

use super::runner::TargetRunner;
use imgmake_core::execute::{Artifacts, Failure, Upstream};
use imgmake_core::fingerprint::Inputs;
use imgmake_core::graph::TargetId;
use imgmake_core::manifest::{BuildTarget, PushTarget, RunTarget, ScanTarget, Span, Spanned};
use imgmake_core::state::Output;

/// A target of one kind, with what it is run with.
pub struct Task<'a, T> {
    pub runner: &'a TargetRunner<'a>,
    pub id: TargetId,
    pub name: &'a str,
    pub target: &'a T,
}

impl<'a, T> Task<'a, T> {
    pub fn new(runner: &'a TargetRunner<'a>, id: TargetId, target: &'a T) -> Task<'a, T> {
        Task {
            runner,
            id,
            name: runner.name(id),
            target,
        }
    }

    /// A failure at a value of the manifest.
    pub fn problem(
        &self,
        value: &Spanned<String>,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Failure {
        self.failure(value.span, message, label)
    }

    /// A failure at a place in the manifest.
    pub fn failure(
        &self,
        place: Span,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Failure {
        let project = self.runner.project;
        project.failure(self.name, place, message, label)
    }

    /// A file of the manifest that cannot be read.
    pub fn unreadable(&self, path: &Spanned<String>, error: &std::io::Error) -> Failure {
        self.runner.project.unreadable(self.name, path, error)
    }
}

pub type BuildTask<'a> = Task<'a, BuildTarget>;
pub type ScanTask<'a> = Task<'a, ScanTarget>;
pub type PushTask<'a> = Task<'a, PushTarget>;
pub type CommandTask<'a> = Task<'a, RunTarget>;

/// What differs between builds, scans, pushes and commands.
pub trait Runnable {
    /// Everything that the target depends on, besides its variables and what is upstream.
    ///
    /// # Errors
    /// Something cannot be read.
    fn inputs(&self, upstream: &Upstream<'_>, inputs: &mut Inputs) -> Result<(), Failure>;

    /// Why one thing that was recorded is no longer there or no longer the same; `None` when it is.
    ///
    /// # Errors
    /// It cannot be found out.
    fn verify_output(&self, output: &Output) -> Result<Option<String>, Failure>;

    /// Does the work; outputs are in place when it returns. `seen` is what [`Runnable::inputs`]
    /// and its surroundings gave.
    ///
    /// # Errors
    /// The work failed.
    fn run(&self, seen: &Inputs, upstream: &Upstream<'_>) -> Result<Artifacts, Failure>;

    /// Why what was recorded is no longer there; `None` when all of it is.
    ///
    /// # Errors
    /// As for [`Runnable::verify_output`].
    fn verify_outputs(&self, outputs: &[Output]) -> Result<Option<String>, Failure> {
        for output in outputs {
            if let Some(lost) = self.verify_output(output)? {
                return Ok(Some(lost));
            }
        }
        Ok(None)
    }
}
