//! What a manifest may say of what is acceptable.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::findings::Severity;

/// One policy for all scanners.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Findings at or above it refuse.
    pub threshold: Severity,
    pub fixable: FixableOnly,
    /// Vulnerabilities whose severity nobody states.
    pub unknown: Gate,
    /// What nobody has judged: packages without advisories, versions that nobody can order.
    pub unjudged: Gate,
    pub secrets: Gate,
    pub ignores: Vec<IgnoreRule>,
    /// `.trivyignore` texts, plain or YAML (by content).
    pub ignore_files: Vec<TextFile>,
    /// OpenVEX documents.
    pub vex: Vec<TextFile>,
    pub max_database_age: Option<Duration>,
    /// The moment at which expiry and age are judged, UTC.
    pub now: Timestamp,
}

impl Policy {
    /// What a gate without `fail-on` does: refuses at high, and what nobody rated or judged.
    pub fn new(now: Timestamp) -> Policy {
        Policy {
            threshold: Severity::High,
            fixable: FixableOnly::No,
            unknown: Gate::Refuse,
            unjudged: Gate::Refuse,
            secrets: Gate::Warn,
            ignores: Vec::new(),
            ignore_files: Vec::new(),
            vex: Vec::new(),
            max_database_age: None,
            now,
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

/// `ignore "ID" until="…" reason="…"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoreRule {
    /// An id or alias.
    pub id: String,
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

/// A day as people write it: `2026-12-31`, and nothing else.
pub fn calendar_day(text: &str) -> Option<Date> {
    let day: Date = text.parse().ok()?;
    (day.to_string() == text).then_some(day)
}
