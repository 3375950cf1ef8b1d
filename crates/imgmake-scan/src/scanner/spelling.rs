//! Keys of reports that are not read and look as if they were: in another case, or twice. What is beneath them
//! would not be judged.

use imgmake_oci::image::check_keys;
use serde_json::Value;

/// Where objects stand in reports, those in lists each, and the keys of them that decide something.
const PLACES: [(&[&str], &[&str]); 12] = [
    (
        &[],
        &[
            "SchemaVersion",
            "Results",
            "Metadata",
            "runs",
            "version",
            "matches",
            "ignoredMatches",
            "descriptor",
        ],
    ),
    (&["Metadata"], &["OS"]),
    (
        &["Results"],
        &[
            "Target",
            "Vulnerabilities",
            "Secrets",
            "Misconfigurations",
            "Licenses",
            "ExperimentalModifiedFindings",
        ],
    ),
    (
        &["Results", "Vulnerabilities"],
        &[
            "VulnerabilityID",
            "PkgName",
            "InstalledVersion",
            "FixedVersion",
            "Severity",
        ],
    ),
    (&["Results", "Secrets"], &["RuleID", "Severity"]),
    (
        &["Results", "Misconfigurations"],
        &["ID", "Severity", "Status"],
    ),
    (&["Results", "Licenses"], &["Name", "Severity", "PkgName"]),
    (
        &["runs"],
        &[
            "tool",
            "results",
            "invocations",
            "externalPropertyFileReferences",
        ],
    ),
    (
        &["runs", "results"],
        &[
            "ruleId",
            "ruleIndex",
            "rule",
            "kind",
            "level",
            "baselineState",
            "locations",
            "properties",
        ],
    ),
    (
        &["runs", "invocations"],
        &[
            "executionSuccessful",
            "toolExecutionNotifications",
            "toolConfigurationNotifications",
        ],
    ),
    (&["matches"], &["vulnerability", "artifact"]),
    (&["matches", "vulnerability"], &["id", "severity", "fix"]),
];

/// That no key is one of these in another case.
pub fn check(report: &Value) -> Result<(), serde_json::Error> {
    PLACES
        .iter()
        .try_for_each(|(path, keys)| check_at(report, path, keys))
}

fn check_at(value: &Value, path: &[&str], keys: &[&str]) -> Result<(), serde_json::Error> {
    match (value, path) {
        (Value::Array(list), _) => list.iter().try_for_each(|one| check_at(one, path, keys)),
        (Value::Object(fields), []) => check_keys(fields, keys),
        (Value::Object(fields), [first, rest @ ..]) => match fields.get(*first) {
            Some(inside) => check_at(inside, rest, keys),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}
