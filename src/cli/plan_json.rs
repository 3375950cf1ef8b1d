//! `plan`, `why` and `check` for programs: the targets, what becomes of each, and why.

use serde_json::{Value, json};

use crate::targets::Project;
use imgmake_core::execute::{Action, Decision, Reason};
use imgmake_core::fingerprint::How;
use imgmake_core::manifest::VariableSource;

/// The whole answer, with a newline at its end. `is_forced`: of a run with `--force`.
pub fn text(
    project: &Project,
    actions: &[Action],
    decisions: &[Decision],
    is_forced: bool,
) -> String {
    let targets: Vec<Value> = decisions
        .iter()
        .map(|decision| target(project, actions, decision, is_forced))
        .collect();
    let variables = project.graph.manifest().variables.iter();
    // Values are not shown: one of an env-file may be a secret.
    let variables: Vec<Value> = variables
        .map(|one| json!({"name": one.name.value, "source": source(one.source)}))
        .collect();
    let answer = json!({"version": 1, "targets": targets, "variables": variables});
    let text = serde_json::to_string_pretty(&answer).expect("strings are JSON");
    text + "\n"
}

fn target(project: &Project, actions: &[Action], decision: &Decision, is_forced: bool) -> Value {
    let action = &actions[decision.action];
    let needs = action
        .needs
        .iter()
        .map(|need| actions[*need].target.as_str());
    let state = match decision.reasons.as_slice() {
        _ if is_forced => "stale",
        [] => "fresh",
        _ if decision.is_stale() => "stale",
        _ => "always",
    };
    let mut reasons: Vec<Value> = decision.reasons.iter().map(reason).collect();
    if is_forced {
        reasons = vec![reason(&Reason::Forced)];
    }
    let place = project.graph.find(&action.target);
    let place = place.and_then(|id| project.place(project.graph.target(id).name.span.start));
    json!({
        "name": action.target,
        "kind": action.kind,
        "place": place,
        "needs": needs.collect::<Vec<_>>(),
        "state": state,
        "reasons": reasons,
    })
}

fn reason(reason: &Reason) -> Value {
    let kind = match reason {
        Reason::NotBuiltYet => "not-built-yet",
        Reason::Interrupted => "interrupted",
        Reason::FailedBefore => "failed-before",
        Reason::InputsChanged => "inputs-changed",
        Reason::InputsTouched => "inputs-touched",
        Reason::Forced => "forced",
        Reason::Always => "always",
        Reason::Input(_) => "input",
        Reason::Output(_) => "output",
        Reason::Upstream(_) => "dependency",
        Reason::Unreadable(_) => "unreadable",
    };
    let mut value = json!({"kind": kind, "text": reason.to_string()});
    match reason {
        Reason::Input(change) => {
            value["input"] = json!({
                "kind": change.kind,
                "name": change.name,
                "change": match change.how {
                    How::Changed => "changed",
                    How::Added => "added",
                    How::Removed => "removed",
                },
            });
        }
        Reason::Upstream(target) => value["target"] = json!(target),
        _ => {}
    }
    value
}

fn source(source: VariableSource) -> &'static str {
    match source {
        VariableSource::CommandLine => "command-line",
        VariableSource::Environment => "environment",
        VariableSource::EnvFile => "env-file",
        VariableSource::Default => "manifest",
    }
}
