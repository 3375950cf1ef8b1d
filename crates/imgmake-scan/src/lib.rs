//! The scan gate: what is in an image, what is known against it, and whether
//! that is acceptable. Knows images, layers, the store and archives. Knows no
//! manifest, no terminal, no clock and no environment: they come as values in a
//! [`ScanRequest`].
//!
//! Findings are cached by image digest, scanner and database digest; verdicts
//! never are: policy, ignores and dates are judged anew in every run.

mod advisory;
mod age;
mod attestation;
mod basis;
mod cache;
mod error;
mod findings;
mod gate;
mod inventory;
mod percent;
mod policy;
mod purl;
mod report;
mod request;
mod sbom;
mod scanner;
mod skew;
mod subject;
#[cfg(test)]
mod tests;
mod verdict;
mod version;

use std::path::{Path, PathBuf};

use imgmake_event::{Cancel, Events};
use imgmake_oci::store::Store;

pub use advisory::{Staged as StagedAdvisories, advisory_home, is_advisory_file};
pub use attestation::{
    Demand, GateName, Objection, VERDICT, accept, is_decisive, is_repeated, predicates, time_judged,
};
pub use basis::{Basis, BasisKind};
/// The version of what is found in images: what was made of findings or packages before means something else.
pub use cache::SEMANTICS as FINDINGS_VERSION;
pub use error::{ProgramFailure, Result, ScanError};
pub use findings::{Finding, FindingKind, Severity, SeverityError};
pub use gate::{GateOutcome, Passed};
pub use inventory::Inventory;
pub use policy::{
    FailRule, FixableOnly, Gate, IgnoreRule, Judged, Judgement, ListFile, Policy, TextFile,
    calendar_day,
};
pub use report::SbomFormat;
pub use request::{ReportFormat, ReportFormatError, ScanImage, ScanRequest, Scanner};
pub use sbom::{Sbom, sboms};
pub use verdict::{ImageVerdict, PlatformVerdict, Verdict};

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

/// Files that are to be in a directory of advisories, read together with the others in it.
pub struct Imported(advisory::Extended);

/// Reads files before they get their names in a directory of advisories.
///
/// # Errors
/// As for [`import_advisories`]; one of them holds no advisory.
pub fn read_staged(
    directory: &Path,
    staged: &[StagedAdvisories],
    cancel: &Cancel,
) -> Result<Imported> {
    Ok(Imported(advisory::extend(directory, staged, cancel)?))
}

impl Imported {
    /// Keeps the index of the directory, in which the files have their names now.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(self, store: &Store, cancel: &Cancel) -> Result<()> {
        self.0.keep(&gate::index_home(store)?, cancel)
    }
}

/// Writes the advisories of a directory as one file, a document in each line.
///
/// # Errors
/// As for [`import_advisories`]; it cannot be written.
pub fn gather_advisories(
    directory: &Path,
    to: &mut dyn std::io::Write,
    cancel: &Cancel,
) -> Result<()> {
    advisory::gather(directory, to, cancel)
}

/// The ecosystems, without releases, for whose packages an image needs advisories.
///
/// # Errors
/// Blobs that are not in the store or damaged; cancellation.
pub fn ecosystems(
    root: &imgmake_oci::image::Descriptor,
    store: &Store,
    cancel: &Cancel,
) -> Result<std::collections::BTreeSet<String>> {
    let mut found = std::collections::BTreeSet::new();
    for child in subject::children(root, store)? {
        let inventory = inventory::take(&child.manifest.layers, store, cancel)?;
        found.extend(scanner::builtin::ecosystems(&inventory));
    }
    Ok(found)
}

/// Whether a database of advisories is as it was: of exactly the files that a scan reads of it,
/// by way of whatever links.
///
/// # Errors
/// It does not exist, or something in it cannot be read.
pub fn advisories_signature(path: &Path, cancel: &Cancel) -> Result<[u8; 32]> {
    advisory::signature(path, cancel)
}

/// How many packages one file of an image tells of, by its path there.
///
/// # Errors
/// It cannot be read at all. What is wrong in it gives no packages.
pub fn packages_in(path: &str, content: &[u8]) -> Result<usize> {
    inventory::packages_in(path, content)
}

/// How many packages rpm's SQLite database tells of with its write-ahead log, if both are whole.
pub fn packages_in_logged(database: &[u8], log: &[u8]) -> Option<usize> {
    inventory::packages_in_logged(database, log).ok()
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

/// Whether a file can be read as a list of EPSS or as the KEV catalog.
pub fn understands_list(file: &ListFile) -> bool {
    policy::understands_list(file)
}

/// How many findings a scanner's report has: SARIF, or the JSON of Trivy or Grype.
///
/// # Errors
/// It is none of them.
pub fn findings_in(report: &[u8]) -> Result<usize> {
    scanner::command::count(report)
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
) -> Result<GateOutcome> {
    gate::scan(request, store, events, cancel)
}
