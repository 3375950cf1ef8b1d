//! Warnings and failures of a run as GitLab's code quality report, a subset of Code Climate's
//! (<https://docs.gitlab.com/ci/testing/code_quality/>, "Code Quality report format").

use serde_json::{Value, json};

use super::annotation::place;
use super::summary::Summary;
use imgmake_event::TargetOutcome;
use imgmake_guard::printable::{self, Colors};

/// What has a place in a file. `manifest` is the file of what names none.
pub(super) fn document(summary: &Summary, manifest: &str) -> String {
    let failed = summary
        .targets()
        .filter_map(|(target, outcome, _)| match outcome {
            TargetOutcome::Failed { message, .. } => {
                Some(("major", Some(target), message.as_str()))
            }
            _ => None,
        });
    let warned = summary
        .warned()
        .map(|(target, message)| ("minor", target, message));
    let issues: Vec<Value> = warned
        .chain(failed)
        .map(|one| issue(one, manifest))
        .collect();
    let text = serde_json::to_string_pretty(&issues).expect("strings are JSON");
    format!("{}\n", printable::json(&text))
}

fn issue((severity, target, message): (&str, Option<&str>, &str), manifest: &str) -> Value {
    let message = printable::message(message, Colors::Removed);
    let (file, line, _) = place(&message).unwrap_or((manifest, 1, None));
    let name = target.unwrap_or("imgmake");
    // The place may move: what is said stays the same finding.
    let identity = format!("{name}\0{file}\0{message}");
    json!({
        "description": message,
        "check_name": format!("imgmake/{name}"),
        "fingerprint": &blake3::hash(identity.as_bytes()).to_hex()[..32],
        "severity": severity,
        "location": {"path": file, "lines": {"begin": line}},
    })
}
