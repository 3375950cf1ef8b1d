//! Findings as GitLab's code quality report, a subset of Code Climate's
//! (<https://docs.gitlab.com/ci/testing/code_quality/>, "Code Quality report format").

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::document::{each, sentence};
use crate::{Judgement, Severity, Verdict};

/// What is ignored is no issue, and what several platforms have is one.
pub fn document(verdict: &Verdict) -> Value {
    let mut said = BTreeSet::new();
    let mut issues = Vec::new();
    for (image, _, judged) in each(verdict) {
        let finding = &judged.finding;
        let why = match &judged.judgement {
            Judgement::Refused(why) => Some(why),
            Judgement::Tolerated(_) => None,
            Judgement::Ignored(_) => continue,
        };
        let place = finding.path.as_deref().unwrap_or(&image.name);
        // Without the version, so that it stays the same finding after an upgrade that does not help.
        let identity = [&image.name, &finding.id, &finding.package, place];
        let identity = identity.join("\0");
        if !said.insert(identity.clone()) {
            continue;
        }
        let why = why.map(|why| format!(" (refused: {why})"));
        issues.push(json!({
            "description": format!("{}: {}{}", image.name, sentence(finding), why.unwrap_or_default()),
            "check_name": finding.id,
            "fingerprint": &blake3::hash(identity.as_bytes()).to_hex()[..32],
            "severity": severity(finding.severity),
            "location": {"path": place, "lines": {"begin": 1}},
        }));
    }
    // Refusals that no finding stands for: a scanner that failed.
    for failure in &verdict.failures {
        issues.push(json!({
            "description": failure,
            "check_name": "imgmake/scan",
            "fingerprint": &blake3::hash(failure.as_bytes()).to_hex()[..32],
            "severity": "blocker",
            "location": {"path": "imgmake.kdl", "lines": {"begin": 1}},
        }));
    }
    Value::Array(issues)
}

/// GitLab has five words.
fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "blocker",
        Severity::High => "critical",
        Severity::Medium => "major",
        Severity::Low => "minor",
        Severity::None | Severity::Unknown => "info",
    }
}
