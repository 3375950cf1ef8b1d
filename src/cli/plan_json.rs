//! `plan`, `why` and `check` for programs: the targets, what becomes of each, and why.

use serde_json::{Value, json};

use crate::targets::Project;
use imgmake_core::execute::{Action, Decision, Reason};
use imgmake_core::fingerprint::How;
use imgmake_core::graph::TargetId;
use imgmake_core::manifest::{Spanned, TargetKind, VariableSource};

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
        .map(|one| {
            json!({
                "name": one.name.value,
                "source": source(one.source),
                "place": project.place(one.name.span.start),
            })
        })
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
    let mut value = json!({
        "name": action.target,
        "kind": action.kind,
        "place": null,
        "needs": needs.collect::<Vec<_>>(),
        "state": state,
        "reasons": reasons,
    });
    if let Some(id) = project.graph.find(&action.target) {
        add_resolved(project, id, &mut value);
    }
    value
}

/// What the manifest says of a target.
pub fn add_resolved(project: &Project, id: TargetId, value: &mut Value) {
    let target = project.graph.target(id);
    let texts = |list: &[Spanned<String>]| -> Vec<String> {
        list.iter().map(|one| one.value.clone()).collect()
    };
    value["place"] = json!(project.place(target.name.span.start));
    value["description"] = json!(target.description);
    value["outputs"] = json!(project.graph.outputs(id));
    value["variables"] = json!(target.used_variables);
    match &target.kind {
        TargetKind::Run(run) => value["inputs"] = json!(texts(&run.inputs)),
        TargetKind::Build(build) => {
            value["tags"] = json!(texts(&build.tags));
            value["platforms"] = json!(texts(&build.platforms));
        }
        TargetKind::Scan(_) | TargetKind::Push(_) => {}
    }
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
