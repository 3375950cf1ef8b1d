//! SARIF 2.1.0, with what code hosts read beyond the standard:
//! `security-severity`, `partialFingerprints`, `suppressions`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::document::{each, sentence, sentences};
use crate::{Finding, FindingKind, ImageVerdict, Judged, Judgement, Severity, Verdict};

pub fn document(verdict: &Verdict) -> Value {
    // Rules sorted by id; the first finding of an id describes it.
    let mut rules: BTreeMap<&str, &Finding> = BTreeMap::new();
    for (_, _, judged) in each(verdict) {
        rules.entry(&judged.finding.id).or_insert(&judged.finding);
    }
    let position: BTreeMap<&str, usize> =
        rules.keys().enumerate().map(|(i, id)| (*id, i)).collect();
    let results = each(verdict)
        .map(|(image, _, judged)| result(image, judged, position[judged.finding.id.as_str()]));
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "imgmake",
                "version": env!("CARGO_PKG_VERSION"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules.values().map(|f| rule(f)).collect::<Vec<_>>(),
            }},
            "invocations": [{
                "executionSuccessful": true,
                "exitCode": if verdict.passed { 0 } else { 3 },
                "toolExecutionNotifications": verdict.refusals.iter().map(|r| json!({
                    "level": "error", "message": { "text": r },
                })).collect::<Vec<_>>(),
            }],
            "results": results.collect::<Vec<_>>(),
            "properties": { "bases": sentences(verdict) },
        }],
    })
}

fn level(finding: &Finding) -> &'static str {
    match (finding.kind, finding.severity) {
        (FindingKind::Hygiene, _) => "note",
        (_, Severity::Critical | Severity::High) => "error",
        (_, Severity::Medium | Severity::Unknown) => "warning",
        (_, Severity::Low | Severity::None) => "note",
    }
}

fn rule(finding: &Finding) -> Value {
    let title = if finding.title.is_empty() {
        &finding.id
    } else {
        &finding.title
    };
    let mut rule = json!({
        "id": finding.id,
        "shortDescription": { "text": without_links(title) },
        "fullDescription": { "text": without_links(title) },
        "defaultConfiguration": { "level": level(finding) },
        "properties": {
            "tags": [match finding.kind {
                FindingKind::Vulnerability => "vulnerability",
                FindingKind::Secret => "secret",
                FindingKind::Hygiene => "hygiene",
                FindingKind::Misconfiguration => "misconfiguration",
                FindingKind::License => "license",
            }, "security"],
            "precision": "very-high",
            "security-severity": format!("{:.1}", score(finding)),
        },
    });
    let prefixes = [
        "CVE-", "GHSA-", "GO-", "PYSEC-", "RUSTSEC-", "DSA-", "USN-", "ALPINE-", "DEBIAN-",
    ];
    if prefixes.iter().any(|prefix| finding.id.starts_with(prefix)) {
        rule["helpUri"] = json!(format!("https://osv.dev/vulnerability/{}", finding.id));
    }
    rule
}

/// Code hosts rank by number; a word stands for the middle of its range.
fn score(finding: &Finding) -> f64 {
    finding.score.unwrap_or(match finding.severity {
        Severity::Unknown | Severity::None => 0.0,
        Severity::Low => 2.0,
        Severity::Medium => 5.5,
        Severity::High => 8.0,
        Severity::Critical => 9.5,
    })
}

fn result(image: &ImageVerdict, judged: &Judged, rule: usize) -> Value {
    let finding = &judged.finding;
    let place = finding.path.as_deref().unwrap_or(&image.name);
    let identity = [
        image.name.as_str(),
        &finding.id,
        &finding.package,
        &finding.version,
        place,
    ];
    let mut result = json!({
        "ruleId": finding.id,
        "ruleIndex": rule,
        "level": level(finding),
        "message": { "text": without_links(&sentence(finding)) },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": uri(place) },
                "region": { "startLine": 1 },
            },
            "logicalLocations": [{ "fullyQualifiedName": format!("{}:/{place}", image.name) }],
        }],
        "partialFingerprints": {
            "imgmake/v1": blake3::hash(identity.join("\0").as_bytes()).to_hex().as_str(),
        },
    });
    if let Judgement::Ignored(why) = &judged.judgement {
        result["suppressions"] = json!([{ "kind": "external", "justification": why }]);
    }
    result
}

/// Readers make links of `[text](place)` in messages (3.11.6); the words are somebody else's.
fn without_links(text: &str) -> String {
    text.replace("](", "] (")
}

/// A relative reference: RFC 3986's unreserved characters and `/` stand for themselves.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(byte as char);
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}
