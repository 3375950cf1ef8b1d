//! Scanners: each turns one image into findings. None of them judges.

pub mod builtin;
pub mod command;
mod external;
mod grype;
mod handover;
mod output;
mod process;
mod sarif;
mod sarif_rules;
mod spelling;
#[cfg(test)]
mod tests;
mod trivy;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Finding, FindingKind, Severity};
use imgmake_guard::printable;

pub use external::scan as external;

/// What a scanner found in one image. Cached; a verdict never is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scanned {
    pub findings: Vec<Finding>,
    /// What the scanner should have looked into but could not: a refusal.
    pub gaps: Vec<String>,
    /// What is in the image and nothing is known about: a refusal, unless it is allowed.
    pub unjudged: Vec<String>,
    pub warnings: Vec<String>,
    /// The scanner's own exit code spoke against the image.
    pub gate: Option<String>,
    /// How old its knowledge is, RFC 3339.
    pub database_date: Option<String>,
    /// The same of each ecosystem that was asked, where it is known apart.
    pub ecosystem_dates: BTreeMap<String, Option<String>>,
}

impl Scanned {
    /// In the order of reports, each finding once.
    fn settled(mut self) -> Scanned {
        self.findings.sort_by(Finding::order);
        self.findings.dedup();
        self
    }
}

/// A vulnerability as other programs tell it, to be filled in.
fn reported_by(source: &str, id: &str) -> Finding {
    Finding {
        kind: FindingKind::Vulnerability,
        id: id.to_string(),
        aliases: Vec::new(),
        upstream: Vec::new(),
        related: Vec::new(),
        package: String::new(),
        version: String::new(),
        purl: None,
        path: None,
        other_paths: Vec::new(),
        layer: None,
        fixed: None,
        severity: Severity::Unknown,
        score: None,
        source: source.to_string(),
        title: String::new(),
        published: None,
        sums: Vec::new(),
    }
}

/// What a scanner found and left out by its own rules: nobody here has judged it.
fn left_out(scanner: &str, findings: &[String]) -> Option<String> {
    (!findings.is_empty()).then(|| {
        format!(
            "{scanner} left {} out by its own rules: {}",
            match findings.len() {
                1 => "1 finding".to_string(),
                many => format!("{many} findings"),
            },
            printable::list(findings)
        )
    })
}

/// The first line of a text, for people.
fn first_line(text: &str) -> String {
    let line = text
        .lines()
        .find(|l| !l.trim().is_empty())
        .unwrap_or_default();
    line.trim().chars().take(160).collect()
}
