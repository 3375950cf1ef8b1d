//! The scan gate: what is in an image, what is known against it, and whether
//! that is acceptable. Knows images, layers, the store and archives. Knows no
//! manifest, no terminal, no clock and no environment: they come as values in a
//! [`ScanRequest`].
//!
//! Findings are cached by image digest, scanner and database digest; verdicts
//! never are: policy, ignores and dates are judged anew in every run.

mod advisory;
mod cache;
mod findings;
mod gate;
mod inventory;
mod policy;
mod purl;
mod report;
mod scanner;
mod subject;
#[cfg(test)]
mod tests;
mod version;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;

use imgmake_event::{Cancel, Events};
use imgmake_oci::image::{Descriptor, Digest, Platform};
use imgmake_oci::store::Store;

pub use findings::{Finding, FindingKind, Severity, SeverityError};
pub use inventory::Inventory;
pub use policy::{FixableOnly, Gate, IgnoreRule, Judged, Judgement, Policy, TextFile};

/// One `scan` target, ready to run.
#[derive(Clone, Debug)]
pub struct ScanRequest {
    /// The target's name, for events and reports.
    pub target: String,
    /// What to scan: manifests or indexes whose blobs, layers included, are in the store.
    pub images: Vec<ScanImage>,
    pub scanner: Scanner,
    pub policy: Policy,
    /// OSV databases for the built-in scanner: directories, `*.zip` or `*.json`.
    /// None named: what `imgmake db update` keeps under the store's `db/osv`.
    pub advisories: Vec<PathBuf>,
    /// Where each report goes; written to a temporary name, then renamed.
    pub reports: BTreeMap<ReportFormat, PathBuf>,
    /// For one run of an external scanner; it and its children are killed afterwards.
    pub timeout: Option<Duration>,
    /// The environment for external scanners; `PATH` finds them. Nothing else is inherited.
    pub environment: BTreeMap<OsString, OsString>,
    /// The directory of the manifest, from where the paths of a `command` are meant.
    pub directory: PathBuf,
    /// Columns for the table.
    pub width: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanImage {
    /// As people know it: the build target or the archive.
    pub name: String,
    pub root: Descriptor,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scanner {
    #[default]
    Builtin,
    Trivy,
    Grype,
    /// A command line for `sh -ec`, with `{archive}`, `{layout}` and `{report}` to fill in.
    Command(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReportFormat {
    Table,
    Json,
    Sarif,
    CycloneDx,
    Spdx,
    JUnit,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a report format: expected table, json, sarif, cyclonedx, spdx or junit")]
pub struct ReportFormatError(String);

impl FromStr for ReportFormat {
    type Err = ReportFormatError;

    fn from_str(text: &str) -> Result<ReportFormat, ReportFormatError> {
        Ok(match text {
            "table" => ReportFormat::Table,
            "json" => ReportFormat::Json,
            "sarif" => ReportFormat::Sarif,
            "cyclonedx" => ReportFormat::CycloneDx,
            "spdx" => ReportFormat::Spdx,
            "junit" => ReportFormat::JUnit,
            other => return Err(ReportFormatError(other.to_string())),
        })
    }
}

/// What the gate decided.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Every image passed and nothing else spoke against it.
    pub passed: bool,
    pub images: Vec<ImageVerdict>,
    /// Why the gate refuses, one sentence each; empty when it passed.
    pub refusals: Vec<String>,
    /// Those of the refusals for which no finding stands: a scanner that failed,
    /// an image that could not be read.
    pub failures: Vec<String>,
    /// What did not decide but should be read.
    pub warnings: Vec<String>,
    /// For people: findings by severity, then a summary line.
    pub table: String,
    /// What the images hold, by manifest digest, as far as somebody asked for it.
    pub inventories: BTreeMap<Digest, Inventory>,
}

/// The verdict on one named image; an index passes only if every child does.
#[derive(Clone, Debug)]
pub struct ImageVerdict {
    pub name: String,
    /// Of the manifest or index that was named.
    pub digest: Digest,
    pub passed: bool,
    pub platforms: Vec<PlatformVerdict>,
}

#[derive(Clone, Debug)]
pub struct PlatformVerdict {
    /// Of the manifest.
    pub digest: Digest,
    pub platform: Platform,
    pub passed: bool,
    pub findings: Vec<Judged>,
}

impl Verdict {
    /// The digests that a push may publish: of every image and child that passed
    /// in a gate that passed as a whole.
    pub fn passed_digests(&self) -> Vec<&Digest> {
        let images = self.images.iter().filter(|i| self.passed && i.passed);
        images
            .flat_map(|i| std::iter::once(&i.digest).chain(i.platforms.iter().map(|p| &p.digest)))
            .collect()
    }
}

/// Where `imgmake db update` keeps OSV databases, and where the built-in scanner
/// looks when a scan names none.
///
/// # Errors
/// The store cannot be written.
pub fn advisory_home(store: &Store) -> Result<PathBuf> {
    Ok(store.database()?.join("osv"))
}

/// What an advisory database holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseStatus {
    /// Of the content.
    pub digest: String,
    pub advisories: u64,
    /// When the newest advisory was modified, RFC 3339.
    pub newest: Option<String>,
}

/// Reads OSV databases into the index that scans use, unless it is there already.
///
/// # Errors
/// Paths that do not exist or hold no advisory; documents that are not OSV, by name.
pub fn import_advisories(
    paths: &[PathBuf],
    store: &Store,
    cancel: &Cancel,
) -> Result<DatabaseStatus> {
    let database = advisory::open(paths, &gate::index_home(store)?, cancel)?;
    Ok(DatabaseStatus {
        digest: database.digest().to_string(),
        advisories: database.advisories(),
        newest: database.newest().map(String::from),
    })
}

/// How many packages one file of an image tells of, by its path there.
///
/// # Errors
/// It cannot be read at all. What is wrong in it gives no packages.
pub fn packages_in(path: &str, content: &[u8]) -> Result<usize> {
    inventory::packages_in(path, content)
}

/// What a document of advisories says, as ecosystem, name and id of each statement.
///
/// # Errors
/// It is not OSV.
pub fn advisories_in(document: &[u8]) -> Result<Vec<(String, String, String)>> {
    let documents = advisory::Document::parse(document)?;
    let statements = documents
        .into_iter()
        .flat_map(advisory::Document::statements);
    Ok(statements.map(|s| (s.ecosystem, s.name, s.id)).collect())
}

/// How two versions of an ecosystem stand to each other, if both are ones.
pub fn compare_versions(ecosystem: &str, a: &str, b: &str) -> Option<std::cmp::Ordering> {
    version::Scheme::of_ecosystem(ecosystem).compare(a, b)
}

/// The severity that a CVSS vector of any version, or a number, stands for.
pub fn severity_of(vector: &str) -> Option<Severity> {
    advisory::score(vector).map(|rating| rating.severity)
}

/// Whether a file of ignore rules, or a VEX document, can be read as such.
pub fn understands_policy(file: &TextFile) -> bool {
    policy::understands(file)
}

/// Scans every image of the request, judges, and writes the reports.
///
/// A scanner that fails, is missing or times out gives a verdict that did not
/// pass, with the reason. Warnings are in the verdict only; reports that were
/// written are events too.
///
/// # Errors
/// Cancellation, ignore or VEX files that cannot be read as such, reports that
/// cannot be written. None of them is a pass either.
pub fn scan(
    request: &ScanRequest,
    store: &Store,
    events: &Events,
    cancel: &Cancel,
) -> Result<Verdict> {
    gate::scan(request, store, events, cancel)
}
