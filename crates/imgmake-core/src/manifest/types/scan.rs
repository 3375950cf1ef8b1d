//! `scan` targets: what is judged, by whom, by which policy.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::archive::ArchiveImage;
use super::push::IndexNode;
use super::span::Spanned;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScanTarget {
    pub from: ScanFrom,
    pub scanner: ScannerNode,
    pub fail_on: FailOn,
    pub ignores: Vec<IgnoreNode>,
    pub ignore_files: Vec<Spanned<String>>,
    pub vex_files: Vec<Spanned<String>>,
    /// Directory of OSV JSON files for the built-in scanner.
    pub advisories: Vec<Spanned<String>>,
    pub max_db_age: Option<Duration>,
    /// What nobody has judged passes.
    pub allow_unjudged: bool,
    pub reports: BTreeMap<String, Spanned<String>>,
    pub timeout: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ScanFrom {
    /** Globs over target names. */
    Images(Vec<Spanned<String>>),
    Tar {
        path: Spanned<String>,
        pick: Option<ArchiveImage>,
    },
    Image(Spanned<String>),
    Index(IndexNode),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum ScannerNode {
    #[default]
    Builtin,
    Trivy,
    Grype,
    Command(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailOn {
    pub severity: Option<String>,
    pub fixable: bool,
    /// Whether findings that nobody rates refuse.
    pub unknown: bool,
}

impl Default for FailOn {
    fn default() -> Self {
        FailOn {
            severity: None,
            fixable: false,
            unknown: true,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IgnoreNode {
    pub id: Spanned<String>,
    /** YYYY-MM-DD */
    pub until: Option<Spanned<String>>,
    pub reason: Option<String>,
}
