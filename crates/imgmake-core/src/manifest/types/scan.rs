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
    /// What refuses an image, each by itself; of kinds that none is about, what refuses without any.
    pub fail_on: Vec<FailOn>,
    pub ignores: Vec<IgnoreNode>,
    /// The image whose findings are not new.
    pub only_new: Option<Spanned<String>>,
    /// The file of exploit predictions, and the one of exploited vulnerabilities.
    pub epss: Option<Spanned<String>>,
    pub kev: Option<Spanned<String>>,
    pub ignore_files: Vec<Spanned<String>>,
    pub vex_files: Vec<Spanned<String>>,
    /// Directory of OSV JSON files for the built-in scanner.
    pub advisories: Vec<Spanned<String>>,
    /// The artifact of a registry that is the database, instead.
    pub db: Option<Spanned<String>>,
    pub max_db_age: Option<Duration>,
    /// What nobody has judged passes.
    pub allow_unjudged: bool,
    pub reports: BTreeMap<String, Spanned<String>>,
    pub timeout: Option<Duration>,
}

impl ScanTarget {
    /// Files of the policy.
    pub fn files(&self) -> impl Iterator<Item = &Spanned<String>> {
        let lists = self.epss.iter().chain(&self.kev);
        self.ignore_files.iter().chain(&self.vex_files).chain(lists)
    }
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

/// What a finding may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KindNode {
    Vulnerability,
    Secret,
    Misconfiguration,
    License,
    Hygiene,
}

/// What refuses an image: findings to which all of it applies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailOn {
    /// Without one: vulnerabilities, misconfigurations and licenses.
    pub kind: Option<KindNode>,
    pub severity: Option<String>,
    pub fixable: bool,
    /// Whether findings that nobody rates refuse.
    pub unknown: bool,
    /// For how long an advisory has been known.
    pub older: Option<Duration>,
    /// The least probability of an exploit, in millionths.
    pub epss: Option<u32>,
    /// Only what is known to be exploited.
    pub kev: bool,
}

impl Default for FailOn {
    fn default() -> Self {
        FailOn {
            kind: None,
            severity: None,
            fixable: false,
            unknown: true,
            older: None,
            epss: None,
            kev: false,
        }
    }
}

/// Findings that do not count, and why: those to which all of it applies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IgnoreNode {
    pub id: Option<Spanned<String>>,
    pub kind: Option<KindNode>,
    /// A name, or a package URL; `*` in it is any text.
    pub package: Option<String>,
    /// Where it is in the image; `*` and `**` in it.
    pub path: Option<String>,
    /** YYYY-MM-DD */
    pub until: Option<Spanned<String>>,
    pub reason: Option<String>,
}
