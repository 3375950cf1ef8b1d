//! Runs actions whose inputs are ready, at most `jobs` at once, and only those
//! that are stale when their turn comes.
//!
//! Knows the order and the state. Knows no container, registry or terminal:
//! work leaves through [`Runner`], news through [`Event`].

mod action;
mod critical;
mod decide;
mod failure;
mod options;
mod overtaken;
mod queue;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::fingerprint::{CacheKey, Inputs};
use crate::state::{AttemptStatus, Outcome, State};
use imgmake_event::{Event, Events, PlannedTarget, TargetOutcome};

use overtaken::Clock;

pub use action::{Action, Admission, Artifacts, Runner, Upstream, When};
pub use decide::{Decision, Reason, preview};
pub use failure::{Failure, FailureKind};
pub use options::{CacheUse, OnFailure, Options};

/// How a run ended: one entry for each action, in plan order.
#[derive(Debug)]
pub struct Summary {
    pub outcomes: Vec<TargetOutcome>,
    /// The first in plan order.
    pub failure: Option<(String, Failure)>,
    pub cancelled: bool,
}

/// Brings every action up to date. Dependencies stand before their dependents.
pub fn execute<R: Runner>(
    actions: &[Action],
    runner: &R,
    state: &State,
    options: &Options,
) -> Summary {
    announce(actions, &options.events);
    let run = Run {
        actions,
        runner,
        state,
        options,
        upstream: Upstream::new(actions),
        clock: Clock::new(actions.len()),
    };
    // One at a time, no order is faster than that of the file.
    let lengths = match options.jobs {
        0 | 1 => vec![0; actions.len()],
        _ => critical::lengths(actions, |target| state.took(target)),
    };
    let ended = queue::drain(actions, lengths, options, |action| run.attempt(action));
    run.tell_overtaken();
    summary(actions, ended, options)
}

fn announce(actions: &[Action], events: &Events) {
    let planned = |action: &Action| PlannedTarget {
        name: action.target.clone(),
        kind: action.kind,
        needs: action
            .needs
            .iter()
            .map(|n| actions[*n].target.clone())
            .collect(),
    };
    let targets = actions.iter().map(planned).collect();
    events.send(Event::Planned { targets });
}

fn summary(actions: &[Action], ended: Vec<queue::Ended>, options: &Options) -> Summary {
    let cancelled = options.cancel.is_cancelled();
    let first = first_failure(&ended);
    let is_stopped = |at: &usize| matches!(&ended[*at], queue::Ended::Failed(why) if why.kind == FailureKind::Cancelled);
    let stopped: BTreeSet<usize> = (0..ended.len()).filter(is_stopped).collect();
    let mut failure = None;
    let mut outcomes = Vec::with_capacity(ended.len());
    for (action, ended) in actions.iter().zip(ended) {
        let skipped = |because: usize| TargetOutcome::Skipped {
            dependency: actions[because].target.clone(),
        };
        let (outcome, is_reported) = match (ended, first) {
            (queue::Ended::Done(outcome), _) => (outcome, true),
            (queue::Ended::Failed(why), _) if why.kind == FailureKind::Cancelled => {
                (TargetOutcome::Cancelled, true)
            }
            (queue::Ended::Failed(why), _) => {
                let outcome = failed(&why);
                failure.get_or_insert((action.target.clone(), why));
                (outcome, true)
            }
            (queue::Ended::Skipped { because }, _) if stopped.contains(&because) => {
                (TargetOutcome::Cancelled, false)
            }
            (queue::Ended::Skipped { because }, _) => (skipped(because), false),
            (queue::Ended::NotTried, Some(because)) if !cancelled => (skipped(because), false),
            (queue::Ended::NotTried, _) => (TargetOutcome::Cancelled, false),
        };
        if !is_reported {
            options.events.send(Event::TargetFinished {
                target: action.target.clone(),
                outcome: outcome.clone(),
                took: Duration::ZERO,
            });
        }
        outcomes.push(outcome);
    }
    Summary {
        outcomes,
        failure,
        cancelled,
    }
}

fn failed(failure: &Failure) -> TargetOutcome {
    TargetOutcome::Failed {
        message: failure.message.clone(),
        form: failure.form,
    }
}

fn first_failure(ended: &[queue::Ended]) -> Option<usize> {
    ended.iter().position(|ended| match ended {
        queue::Ended::Failed(why) => why.kind != FailureKind::Cancelled,
        _ => false,
    })
}

struct Run<'a, R> {
    actions: &'a [Action],
    runner: &'a R,
    state: &'a State,
    options: &'a Options,
    upstream: Upstream<'a>,
    clock: Clock,
}

impl<R: Runner> Run<'_, R> {
    /// Whoever counts as fresh though another action changed its files after they were read.
    fn tell_overtaken(&self) {
        let (runner, upstream) = (self.runner, &self.upstream);
        let is_moved = |action: usize, key: CacheKey| {
            runner.reads_files(action)
                && match runner.inputs(action, upstream) {
                    Ok(now) => now.key() != key,
                    Err(failure) => failure.kind != FailureKind::Cancelled,
                }
        };
        for action in self.clock.overtaken(self.options, is_moved) {
            let target = &self.actions[action].target;
            // It is made again anyway: its key is another one.
            drop(self.state.attempt(target, AttemptStatus::InputsChanged));
            self.options.events.send(Event::Warning {
                target: Some(target.clone()),
                message: "inputs changed after they were read, while other targets were made; \
                          the next run makes it again"
                    .to_string(),
            });
        }
    }

    /// One action, from the question whether it is stale to its record.
    fn attempt(&self, action: usize) -> Result<TargetOutcome, Failure> {
        let began = Instant::now();
        let mut waited = Duration::ZERO;
        let result = self.bring_up_to_date(action, &mut waited);
        let outcome = match &result {
            Ok(outcome) => outcome.clone(),
            Err(failure) if failure.kind == FailureKind::Cancelled => TargetOutcome::Cancelled,
            Err(failure) => failed(failure),
        };
        self.options.events.send(Event::TargetFinished {
            target: self.actions[action].target.clone(),
            outcome,
            took: began.elapsed().saturating_sub(waited),
        });
        result
    }

    /// `waited`: how much of the time it waited for its admission.
    fn bring_up_to_date(
        &self,
        action: usize,
        waited: &mut Duration,
    ) -> Result<TargetOutcome, Failure> {
        self.check_cancelled()?;
        let began = Instant::now();
        let Action { target, when, .. } = &self.actions[action];
        if (self.options.cache, when) == (CacheUse::Fresh, &When::Stale) {
            let (runner, state, upstream) = (self.runner, self.state, &self.upstream);
            if let Some(key) = decide::known_fresh(runner, state, action, target, upstream)? {
                return Ok(self.is_up_to_date(action, began, key));
            }
        }
        let inputs = self.runner.inputs(action, &self.upstream)?;
        let key = inputs.key();
        let reasons = match (self.options.cache, when) {
            (CacheUse::Ignore, _) => vec![Reason::Forced],
            (CacheUse::Fresh, When::Always) => vec![Reason::Always],
            (CacheUse::Fresh, When::Stale) => {
                decide::stale(self.runner, self.state, action, target, &inputs, key)?
            }
        };
        if reasons.is_empty() {
            return Ok(self.is_up_to_date(action, began, key));
        }
        let before = self.state.recorded(target);
        let asked = Instant::now();
        let admission = self.runner.admit(action);
        *waited = asked.elapsed();
        let _admission = admission?;
        self.options.events.send(Event::TargetStarted {
            target: target.clone(),
            reasons: reasons.iter().map(ToString::to_string).collect(),
        });
        let inputs = match self.runner.fetch(action, &self.upstream)? {
            true => self.runner.inputs(action, &self.upstream)?,
            false => inputs,
        };
        let made = self.run(action, &inputs)?;
        let unchanged = before.is_some_and(|(digest, _)| digest == made.digest);
        self.upstream.keep(action, made);
        Ok(if unchanged {
            TargetOutcome::Unchanged
        } else {
            TargetOutcome::Done
        })
    }

    /// By inputs that were read from then on.
    fn is_up_to_date(&self, action: usize, since: Instant, key: CacheKey) -> TargetOutcome {
        let made = self.state.recorded(&self.actions[action].target);
        let (digest, outputs) = made.expect("what is not stale was made before");
        self.upstream.keep(action, Artifacts { digest, outputs });
        self.clock.read(action, since, key);
        TargetOutcome::UpToDate
    }

    fn run(&self, action: usize, inputs: &Inputs) -> Result<Artifacts, Failure> {
        let upstream = &self.upstream;
        let target = &self.actions[action].target;
        let before = self.state.status(target);
        self.state.started(target)?;
        let began = Instant::now();
        let made = self.runner.run(action, inputs, upstream);
        if self.runner.may_write_files(action) {
            self.clock.worked(action);
        }
        if made.is_ok() {
            self.state.set_took(target, began.elapsed());
        }
        let made = made.inspect_err(|failure| {
            // A cancelled target was interrupted, not wrong.
            if failure.kind != FailureKind::Cancelled {
                drop(self.state.attempt(target, AttemptStatus::Failed));
            }
        })?;
        // Whatever the work did not see must not be recorded as seen.
        let read = Instant::now();
        let after = self.runner.inputs(action, upstream);
        match after {
            Ok(after) if after.key() == inputs.key() => {
                // Touched once more, it is its own command that does so.
                if before != AttemptStatus::InputsTouched
                    && let Some(file) = after.touched_since(inputs)
                {
                    self.state.attempt(target, AttemptStatus::InputsTouched)?;
                    self.warn_of_a_touched_input(target, file);
                    return Ok(made);
                }
                let outcome = Outcome::new(inputs, made.digest, made.outputs.clone());
                self.state.finished(target, outcome)?;
                self.clock.read(action, read, after.key());
            }
            // Nobody looked at them: it was interrupted, as the state says.
            Err(failure) if failure.kind == FailureKind::Cancelled => return Err(failure),
            moved => {
                self.state.attempt(target, AttemptStatus::InputsChanged)?;
                self.warn_of_changed_inputs(target, inputs, moved);
            }
        }
        Ok(made)
    }

    fn warn_of_a_touched_input(&self, target: &str, file: &str) {
        self.options.events.send(Event::Warning {
            target: Some(target.to_string()),
            message: format!(
                "input {file} was written or replaced during the build and has the same content as before; \
                 result not recorded, the next run repeats it"
            ),
        });
    }

    fn warn_of_changed_inputs(
        &self,
        target: &str,
        before: &Inputs,
        after: Result<Inputs, Failure>,
    ) {
        let what = match after {
            Err(failure) => failure.message,
            Ok(after) => decide::summarize(&before.explanation().changes(&after.explanation())),
        };
        self.options.events.send(Event::Warning {
            target: Some(target.to_string()),
            message: format!(
                "inputs changed during the build ({what}); result not recorded, the next run repeats it"
            ),
        });
    }

    fn check_cancelled(&self) -> Result<(), Failure> {
        let cancelled = |_| Failure::new(FailureKind::Cancelled, "cancelled");
        self.options.cancel.check().map_err(cancelled)
    }
}
