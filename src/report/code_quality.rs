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
    let said = without_places(&message, file);
    let identity = format!("{name}\0{file}\0{said}");
    json!({
        "description": message,
        "check_name": format!("imgmake/{name}"),
        "fingerprint": &blake3::hash(identity.as_bytes()).to_hex()[..32],
        "severity": severity,
        "location": {"path": file, "lines": {"begin": line}},
    })
}

/// A message without the lines that it names of a file: `Dockerfile:4:` in front, ` --> imgmake.kdl:3:5` below, and
/// the numbers beside quoted lines.
fn without_places(message: &str, file: &str) -> String {
    let lines = message.lines().map(|line| {
        let place = line
            .strip_prefix(file)
            .and_then(|rest| rest.strip_prefix(':'));
        if let Some(rest) = place {
            return rest
                .trim_start_matches(|c: char| c.is_ascii_digit() || c == ':')
                .to_string();
        }
        let words = line.trim_start();
        if words.starts_with("--> ") {
            return "-->".to_string();
        }
        let after_number = words.trim_start_matches(|c: char| c.is_ascii_digit());
        match after_number.trim_start() {
            quoted if quoted.starts_with('|') => quoted.to_string(),
            _ => line.to_string(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_stays_the_same_when_its_place_moves() {
        let fingerprint = |message: &str| {
            let issue = issue(("minor", Some("app"), message), "imgmake.kdl");
            issue["fingerprint"].as_str().unwrap().to_string()
        };
        for (one, other) in [
            (
                "Dockerfile:4: StageNameCasing: x",
                "Dockerfile:14: StageNameCasing: x",
            ),
            (
                "wrong\n --> a.kdl:3:5\n  |\n3 | build x\n  | ^^^",
                "wrong\n  --> a.kdl:13:5\n   |\n13 | build x\n   | ^^^",
            ),
        ] {
            assert_eq!(fingerprint(one), fingerprint(other), "{one}");
        }
        for other in ["Dockerfile:4: y", "other:4: x", "x"] {
            assert_ne!(
                fingerprint("Dockerfile:4: x"),
                fingerprint(other),
                "{other}"
            );
        }
    }
}
