//! What a manifest may say of what is acceptable.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::findings::{FindingKind, Severity};

/// One policy for all scanners.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What refuses; of kinds that none is about, what refuses without any.
    pub fail_on: Vec<FailRule>,
    /// What nobody has judged: packages without advisories, versions that nobody can order.
    pub unjudged: Gate,
    pub ignores: Vec<IgnoreRule>,
    /// `.trivyignore` texts, plain or YAML (by content).
    pub ignore_files: Vec<TextFile>,
    /// OpenVEX documents.
    pub vex: Vec<TextFile>,
    /// Predictions of exploits, as FIRST publishes them: CSV, or that in gzip.
    pub epss: Option<ListFile>,
    /// The catalog of known exploited vulnerabilities, as CISA publishes it in JSON.
    pub kev: Option<ListFile>,
    pub max_database_age: Option<Duration>,
    /// The moment at which expiry and age are judged, UTC.
    pub now: Timestamp,
}

impl Policy {
    /// What a gate without `fail-on` does: refuses at high, and what nobody rated or judged.
    pub fn new(now: Timestamp) -> Policy {
        Policy {
            fail_on: Vec::new(),
            unjudged: Gate::Refuse,
            ignores: Vec::new(),
            ignore_files: Vec::new(),
            vex: Vec::new(),
            epss: None,
            kev: None,
            max_database_age: None,
            now,
        }
    }
}

/// `fail-on …`: findings to which all of it applies refuse.
#[derive(Clone, Debug, PartialEq)]
pub struct FailRule {
    /// Without one: vulnerabilities, misconfigurations and licenses.
    pub kind: Option<FindingKind>,
    /// Findings at or above it. Without one: any secret and hint, and whatever the lists of
    /// exploits are asked about; else high.
    pub severity: Option<Severity>,
    pub fixable: FixableOnly,
    /// Findings whose severity nobody states, or which the list of predictions does not have.
    pub unknown: Gate,
    /// Advisories that were published this long ago.
    pub older: Option<Duration>,
    /// The least probability of an exploit.
    pub epss: Option<f64>,
    /// Only what is known to be exploited.
    pub kev: bool,
}

impl Default for FailRule {
    fn default() -> FailRule {
        FailRule {
            kind: None,
            severity: None,
            fixable: FixableOnly::No,
            unknown: Gate::Refuse,
            older: None,
            epss: None,
            kev: false,
        }
    }
}

/// Whether findings without a fixed version pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FixableOnly {
    #[default]
    No,
    Yes,
}

/// What a class of findings does to the verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gate {
    #[default]
    Warn,
    Refuse,
}

/// `ignore "ID" package="…" path="…" until="…" reason="…"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoreRule {
    /// An id or alias.
    pub id: Option<String>,
    pub kind: Option<FindingKind>,
    /// A name, with `*`, or a package URL.
    pub package: Option<String>,
    /// In the image, with `*` and `**`.
    pub path: Option<String>,
    /// The last day on which the rule holds.
    pub until: Option<Date>,
    pub reason: Option<String>,
    /// Where it is written, for messages.
    pub origin: String,
}

/// A file that the caller has read; `name` is for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFile {
    pub name: String,
    pub text: String,
}

/// A list that somebody publishes, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListFile {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// A day as people write it: `2026-12-31`, and nothing else.
pub fn calendar_day(text: &str) -> Option<Date> {
    let day: Date = text.parse().ok()?;
    (day.to_string() == text).then_some(day)
}
