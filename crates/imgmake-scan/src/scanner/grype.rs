//! Grype, asked for JSON.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use serde::Deserialize;

use super::{Finding, Scanned, Severity, first_line, left_out, reported_by};

pub fn arguments(archive: &Path) -> Vec<OsString> {
    let mut image = OsString::from("docker-archive:");
    image.push(archive);
    vec![image, "-o".into(), "json".into(), "--quiet".into()]
}

#[derive(Deserialize)]
pub struct Report {
    matches: Vec<Match>,
    /// What its own settings, and rules that it brings along, took out of `matches`.
    #[serde(rename = "ignoredMatches", default)]
    ignored: Option<Vec<Match>>,
    #[serde(default)]
    descriptor: Descriptor,
}

#[derive(Deserialize, Default)]
struct Descriptor {
    #[serde(default)]
    db: Option<Db>,
}

/// `built` stands here up to version 0.87, inside `status` since.
#[derive(Deserialize)]
struct Db {
    built: Option<String>,
    status: Option<DbStatus>,
}

#[derive(Deserialize)]
struct DbStatus {
    built: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Match {
    vulnerability: Vulnerability,
    #[serde(default)]
    related_vulnerabilities: Option<Vec<Related>>,
    artifact: Artifact,
}

#[derive(Deserialize)]
struct Vulnerability {
    id: String,
    #[serde(default)]
    severity: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    fix: Fix,
    #[serde(default)]
    cvss: Option<Vec<Cvss>>,
}

#[derive(Deserialize, Default)]
struct Fix {
    #[serde(default)]
    versions: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Cvss {
    #[serde(default)]
    metrics: Metrics,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Metrics {
    base_score: Option<f64>,
}

#[derive(Deserialize)]
struct Related {
    id: String,
}

#[derive(Deserialize)]
struct Artifact {
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    purl: String,
    #[serde(default)]
    locations: Option<Vec<Location>>,
}

#[derive(Deserialize)]
struct Location {
    path: String,
}

pub fn findings(report: Report) -> Scanned {
    let db = report.descriptor.db;
    let built = db.and_then(|db| db.status.and_then(|s| s.built).or(db.built));
    let ignored = report.ignored.into_iter().flatten();
    let ignored: Vec<String> = ignored
        .map(|m| format!("{} in {}", m.vulnerability.id, m.artifact.name))
        .collect();
    Scanned {
        warnings: left_out("Grype", &ignored).into_iter().collect(),
        findings: report.matches.into_iter().map(Match::finding).collect(),
        database_date: built,
        ..Scanned::default()
    }
    .settled()
}

impl Match {
    fn finding(self) -> Finding {
        let v = self.vulnerability;
        let related = self
            .related_vulnerabilities
            .into_iter()
            .flatten()
            .map(|r| r.id);
        let locations = self.artifact.locations.into_iter().flatten();
        let mut paths = locations.map(|l| l.path.trim_start_matches('/').to_string());
        let path = paths.next();
        let scores = v.cvss.iter().flatten().filter_map(|c| c.metrics.base_score);
        let mut aliases: Vec<String> = related.filter(|id| *id != v.id).collect();
        aliases.sort();
        aliases.dedup();
        Finding {
            aliases,
            package: self.artifact.name,
            version: self.artifact.version,
            purl: Some(self.artifact.purl).filter(|p| !p.is_empty()),
            path,
            other_paths: paths.collect(),
            fixed: v
                .fix
                .versions
                .and_then(|versions| versions.into_iter().next()),
            severity: Severity::of_word(&v.severity),
            score: scores.fold(None, |worst: Option<f64>, s| {
                Some(worst.map_or(s, |w| w.max(s)))
            }),
            title: first_line(&v.description),
            ..reported_by(&format!("grype: {}", v.namespace), &v.id)
        }
    }
}

/// It looks for a newer database in every run, unless told not to.
pub fn is_settled(environment: &BTreeMap<OsString, OsString>) -> bool {
    let update = environment.get(OsStr::new("GRYPE_DB_AUTO_UPDATE"));
    update.is_some_and(|v| v == "false")
}
