//! One scan, ready to run: images, scanner, policy, reports, all as values.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use imgmake_oci::image::Descriptor;

use crate::policy::Policy;

/// One `scan` target, ready to run.
#[derive(Clone, Debug)]
pub struct ScanRequest {
    /// The target's name, for events and reports.
    pub target: String,
    /// What to scan: manifests or indexes whose blobs, layers included, are in the store.
    pub images: Vec<ScanImage>,
    pub scanner: Scanner,
    pub policy: Policy,
    /// `only-new`: what it has as well is tolerated. Its blobs are in the store, too.
    pub baseline: Option<ScanImage>,
    /// OSV databases for the built-in scanner: directories, `*.zip` or `*.json`.
    /// None named: what `imgmake db update` keeps under the store's `db/osv`.
    pub advisories: Vec<PathBuf>,
    /// What reports call them: an artifact of a registry, with its digest. By default their paths.
    pub advisories_name: Option<String>,
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

impl Scanner {
    /// As a manifest calls it.
    pub fn word(&self) -> &'static str {
        match self {
            Scanner::Builtin => "builtin",
            Scanner::Trivy => "trivy",
            Scanner::Grype => "grype",
            Scanner::Command(_) => "command",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReportFormat {
    Table,
    Json,
    Sarif,
    CycloneDx,
    Spdx,
    JUnit,
    Html,
    /// GitLab's.
    CodeQuality,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid report format `{0}`: expected table, json, sarif, cyclonedx, spdx, junit, html or code-quality"
)]
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
            "html" => ReportFormat::Html,
            "code-quality" => ReportFormat::CodeQuality,
            other => return Err(ReportFormatError(other.to_string())),
        })
    }
}
