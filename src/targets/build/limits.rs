//! What RUN may use, and how a RUN that was killed for it is shown.

use super::super::failure::causes;
use super::super::task::BuildTask;
use imgmake_core::execute::{Failure, FailureKind};
use imgmake_core::manifest::{Diagnostic, LimitsNode};
use imgmake_sandbox::{Exceeded, Limit, Limits};

/// A RUN that was killed for a limit is shown at the limit.
pub(super) fn exceeded(task: &BuildTask<'_>, error: &anyhow::Error) -> Option<Failure> {
    let Exceeded(limit) = causes(error).find_map(|cause| cause.downcast_ref())?;
    let LimitsNode {
        memory,
        processes,
        disk,
        time,
    } = &task.target.limits;
    let span = match limit {
        Limit::Memory(_) => memory.as_ref().map(|limit| limit.span),
        Limit::Processes(_) => processes.as_ref().map(|limit| limit.span),
        Limit::Disk(_) => disk.as_ref().map(|limit| limit.span),
        Limit::Time(_) => time.as_ref().map(|limit| limit.span),
    };
    let kind = match limit {
        Limit::Time(_) => FailureKind::Timeout,
        _ => FailureKind::Failed,
    };
    let diagnostic = Diagnostic::at(span?, format!("{error:#}"), "the limit");
    Some(task.runner.project.failed_at(task.name, kind, diagnostic))
}

pub(super) fn limits(node: &LimitsNode) -> Limits {
    Limits {
        memory: node.memory.as_ref().map(|limit| limit.value),
        processes: node.processes.as_ref().map(|limit| limit.value),
        disk: node.disk.as_ref().map(|limit| limit.value),
        time: node.time.as_ref().map(|limit| limit.value),
    }
}
