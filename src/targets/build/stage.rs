//! A stage that the manifest names and the Dockerfile does not have.

use super::super::failure::{causes, failure};
use super::super::task::BuildTask;
use imgmake_build::BuildError;
use imgmake_core::execute::{Failure, FailureKind};
use imgmake_core::manifest::{Diagnostic, RecipeNode, Spanned};
use imgmake_dockerfile::{Kind, Mistake};

/// An error of the build; a stage that is not there is shown where the manifest names it.
pub(super) fn failed(task: &BuildTask<'_>, error: impl Into<anyhow::Error>) -> Failure {
    let error = error.into();
    not_found(task, &error).unwrap_or_else(|| failure(error))
}

fn not_found(task: &BuildTask<'_>, error: &anyhow::Error) -> Option<Failure> {
    if !task.runner.project.is_written() {
        return None;
    }
    let mistake = causes(error).find_map(|cause| match cause.downcast_ref() {
        Some(BuildError::Instruction(mistake)) => Some(mistake),
        _ => None,
    })?;
    let Mistake::Unknown {
        kind: Kind::Stage,
        name,
    } = &*mistake.mistake
    else {
        return None;
    };
    let written = named(task).find(|written| written.value == *name)?;
    let message = format!("stage `{name}` not found in the Dockerfile");
    let mut diagnostic = Diagnostic::at(written.span, message, "not a stage of it");
    if let Some(advice) = mistake.advice() {
        diagnostic = diagnostic.with_help(advice);
    }
    let project = task.runner.project;
    Some(project.failed_at(task.name, FailureKind::Usage, diagnostic))
}

/// `stage` and `also-stages`.
fn named<'a>(task: &'a BuildTask<'_>) -> impl Iterator<Item = &'a Spanned<String>> {
    let stage = match &task.target.recipe {
        RecipeNode::Dockerfile { stage, .. } => stage.as_ref(),
        RecipeNode::Steps { .. } => None,
    };
    stage.into_iter().chain(&task.target.also_stages)
}
