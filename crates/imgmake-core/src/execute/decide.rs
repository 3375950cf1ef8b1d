//! Whether a target is stale, and why; for real (`stale`) and as a preview that
//! touches nothing (`preview`).

use super::action::{Action, Artifacts, Runner, Upstream, When};
use super::failure::Failure;
use crate::fingerprint::{CacheKey, Change, Inputs};
use crate::state::{AttemptStatus, State};
use std::fmt;

/// One reason to make a target again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    NotBuiltYet,
    Interrupted,
    FailedBefore,
    InputsChanged,
    /// An input was written while the target was made, and holds the same.
    InputsTouched,
    Forced,
    /// It is done in every run.
    Always,
    Input(Change),
    /// An output is gone or different.
    Output(String),
    /// A target that it depends on is made before it.
    Upstream(String),
    /// Its inputs cannot be read.
    Unreadable(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotBuiltYet => f.write_str("not built yet"),
            Reason::Interrupted => f.write_str("the last run was interrupted"),
            Reason::FailedBefore => f.write_str("the last run failed"),
            Reason::InputsChanged => {
                f.write_str("inputs changed during the build; result not recorded")
            }
            Reason::InputsTouched => f.write_str(
                "an input was written during the build, with the same content; done once more",
            ),
            Reason::Forced => f.write_str("forced"),
            Reason::Always => f.write_str("always"),
            Reason::Input(change) => change.fmt(f),
            Reason::Output(what) => f.write_str(what),
            Reason::Upstream(target) => write!(f, "dependency {target} will be rebuilt"),
            Reason::Unreadable(what) => f.write_str(what),
        }
    }
}

/// Changes for one line: three of them by name.
pub fn summarize(changes: &[Change]) -> String {
    let shown: Vec<String> = changes.iter().take(3).map(ToString::to_string).collect();
    let more = changes.len().saturating_sub(3);
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Every reason to make the target now, by its inputs and their key; none when it is fresh.
pub(super) fn stale<R: Runner>(
    runner: &R,
    state: &State,
    action: usize,
    target: &str,
    inputs: &Inputs,
    now: CacheKey,
) -> Result<Vec<Reason>, Failure> {
    let Some((key, status)) = state.recorded_key(target) else {
        return Ok(vec![not_built(state, target)]);
    };
    let mut reasons: Vec<Reason> = of_status(status).into_iter().collect();
    if key != now {
        let before = state.record(target).outcome;
        let before = before.expect("it has a key").explanation();
        let changes = before.changes(&inputs.explanation());
        reasons.extend(changes.into_iter().map(Reason::Input));
    }
    if reasons.is_empty() {
        let (_, outputs) = state.recorded(target).expect("it has a key");
        reasons.extend(runner.verify_outputs(action, &outputs)?.map(Reason::Output));
    }
    Ok(reasons)
}

/// The key by which a target is fresh, where that is known without reading its inputs. `None` says nothing.
pub(super) fn known_fresh<R: Runner>(
    runner: &R,
    state: &State,
    action: usize,
    target: &str,
    upstream: &Upstream<'_>,
) -> Result<Option<CacheKey>, Failure> {
    let Some((key, AttemptStatus::Finished)) = state.recorded_key(target) else {
        return Ok(None);
    };
    if runner.known_key(action, upstream) != Some(key) {
        return Ok(None);
    }
    let (_, outputs) = state.recorded(target).expect("it has a key");
    let lost = runner.verify_outputs(action, &outputs)?;
    Ok(lost.is_none().then_some(key))
}

fn of_status(status: AttemptStatus) -> Option<Reason> {
    match status {
        AttemptStatus::Finished => None,
        AttemptStatus::Interrupted => Some(Reason::Interrupted),
        AttemptStatus::Failed => Some(Reason::FailedBefore),
        AttemptStatus::InputsChanged => Some(Reason::InputsChanged),
        AttemptStatus::InputsTouched => Some(Reason::InputsTouched),
    }
}

/// Without an outcome there may still have been an attempt.
fn not_built(state: &State, target: &str) -> Reason {
    of_status(state.record(target).status).unwrap_or(Reason::NotBuiltYet)
}

/// What a run would do with one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub action: usize,
    /// Empty when it is fresh.
    pub reasons: Vec<Reason>,
}

impl Decision {
    /// Whether something is out of date: what is done in every run anyway is not.
    pub fn is_stale(&self) -> bool {
        self.reasons.iter().any(|reason| *reason != Reason::Always)
    }
}

/// What a run would do, as far as it can be told before: a target whose upstream
/// is made again may turn out fresh when that gives what it gave before.
pub fn preview<R: Runner>(actions: &[Action], runner: &R, state: &State) -> Vec<Decision> {
    let upstream = Upstream::new(actions);
    let mut decisions: Vec<Decision> = Vec::with_capacity(actions.len());
    for (at, action) in actions.iter().enumerate() {
        let first = action
            .needs
            .iter()
            .find(|need| decisions[**need].is_stale() || never_done(actions, **need, &upstream));
        let mut reasons = match action.when {
            When::Always => vec![Reason::Always],
            When::Stale => own_reasons(at, action, runner, state, &upstream),
        };
        if let Some(need) = first
            && action.when == When::Stale
        {
            // What it reads may not be there yet, or may be about to change.
            reasons.retain(|reason| !matches!(reason, Reason::Unreadable(_)));
            reasons.push(Reason::Upstream(actions[*need].target.clone()));
        }
        if let Some((digest, outputs)) = state.recorded(&action.target) {
            upstream.keep(at, Artifacts { digest, outputs });
        }
        decisions.push(Decision {
            action: at,
            reasons,
        });
    }
    decisions
}

/// Whether a target that is done in every run was done in none yet.
fn never_done(actions: &[Action], at: usize, upstream: &Upstream<'_>) -> bool {
    actions[at].when == When::Always && upstream.at(at).is_none()
}

fn own_reasons<R: Runner>(
    at: usize,
    action: &Action,
    runner: &R,
    state: &State,
    upstream: &Upstream<'_>,
) -> Vec<Reason> {
    if state.recorded_key(&action.target).is_none() {
        return vec![not_built(state, &action.target)];
    }
    if action.needs.iter().any(|need| upstream.at(*need).is_none()) {
        return Vec::new();
    }
    let target = &action.target;
    if let Ok(Some(_)) = known_fresh(runner, state, at, target, upstream) {
        return Vec::new();
    }
    let told = runner.inputs(at, upstream).and_then(|inputs| {
        let key = inputs.key();
        stale(runner, state, at, target, &inputs, key)
    });
    told.unwrap_or_else(|failure| vec![Reason::Unreadable(failure.message)])
}
