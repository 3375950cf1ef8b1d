//! Attempts at a target: how long one may take, and how often it is tried.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::failure::failure;
use super::runner::TargetRunner;
use crate::report::duration;
use imgmake_core::execute::{Failure, FailureKind};
use imgmake_core::graph::TargetId;
use imgmake_core::manifest::{Diagnostic, Spanned};

/// Does the work of a target until it succeeds, is refused, or was tried often enough.
///
/// # Errors
/// The last attempt's.
pub fn run<T>(
    runner: &TargetRunner<'_>,
    id: TargetId,
    act: impl Fn(&TargetRunner<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    repeated(runner, id, |failure| may_pass(failure.kind), act)
}

/// What is looked up before the work: another attempt helps where the other end was at fault, and
/// a missing file is missing at once.
///
/// # Errors
/// The last attempt's.
pub fn look_up<T>(
    runner: &TargetRunner<'_>,
    id: TargetId,
    act: impl Fn(&TargetRunner<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let is_outside = |failure: &Failure| {
        failure.is_transient || matches!(failure.kind, FailureKind::Registry | FailureKind::Timeout)
    };
    repeated(runner, id, is_outside, act)
}

fn repeated<T>(
    runner: &TargetRunner<'_>,
    id: TargetId,
    is_worth_it: impl Fn(&Failure) -> bool,
    act: impl Fn(&TargetRunner<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let retries = runner.target(id).attempts.retries;
    let (mut pause, longest) = runner.project.graph.manifest().settings.retry.backoff;
    for attempt in 1..=retries {
        match limited(runner, id, &act) {
            Err(failure) if is_worth_it(&failure) => {
                let why = failure.message.trim().lines().next().unwrap_or_default();
                let message = format!(
                    "attempt {attempt} of {} failed ({why}); the next one begins in {}",
                    retries + 1,
                    duration(pause)
                );
                runner.warn(runner.name(id), message);
            }
            result => return result,
        }
        if runner.tools.cancel.wait(pause) {
            return Err(Failure::new(FailureKind::Cancelled, "stopped"));
        }
        pause = (pause * 2).min(longest);
    }
    limited(runner, id, &act)
}

/// A verdict of a gate does not change by asking again.
fn may_pass(kind: FailureKind) -> bool {
    match kind {
        FailureKind::Failed | FailureKind::Registry | FailureKind::Timeout => true,
        FailureKind::Usage | FailureKind::Gate | FailureKind::Cancelled => false,
    }
}

/// One attempt, stopped when its time is over.
fn limited<T>(
    runner: &TargetRunner<'_>,
    id: TargetId,
    act: &impl Fn(&TargetRunner<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let Some(limit) = &runner.target(id).attempts.timeout else {
        return act(runner);
    };
    let cancel = runner.tools.cancel.child();
    let tools = runner.tools.within(&cancel).map_err(failure)?;
    let part = runner.with_tools(&tools);
    let is_over = AtomicBool::new(false);
    let (working, ended) = mpsc::channel::<()>();
    let result = std::thread::scope(|scope| {
        let (is_over, cancel) = (&is_over, &cancel);
        scope.spawn(move || {
            if ended.recv_timeout(limit.value) == Err(RecvTimeoutError::Timeout) {
                is_over.store(true, Ordering::SeqCst);
                cancel.cancel();
            }
        });
        let result = act(&part);
        drop(working);
        result
    });
    match result {
        Err(_) if is_over.load(Ordering::SeqCst) && !runner.tools.cancel.is_cancelled() => {
            Err(timed_out(runner, id, limit))
        }
        result => result,
    }
}

fn timed_out(runner: &TargetRunner<'_>, id: TargetId, limit: &Spanned<Duration>) -> Failure {
    let message = format!("it took longer than {}", duration(limit.value));
    let diagnostic = Diagnostic::at(limit.span, message, "the limit");
    let kind = FailureKind::Timeout;
    runner.project.failed_at(runner.name(id), kind, diagnostic)
}
