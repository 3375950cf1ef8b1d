//! What is known against packages: OSV documents in, an index on disk, and the
//! question "is this version of this package affected?". Knows version orders;
//! knows no image.

mod disguise;
mod documents;
mod import;
mod index;
mod osv;
mod range;
mod rating;
mod sources;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_names;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use imgmake_oci::store::Store;

use super::Severity;
use super::error::Result;

pub use import::{Extended, extend, gather, open};
pub use index::{Database, base};
pub use osv::Document;
use range::Range;
pub use rating::score;
pub use sources::{Staged, is_advisory_file, signature};

/// One advisory as it concerns one package of one ecosystem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub id: String,
    pub aliases: Vec<String>,
    /// What it is about, if that is more than one vulnerability.
    pub upstream: Vec<String>,
    /// What distributions that do not use `upstream` say that they are about.
    pub related: Vec<String>,
    /// As written, with the release: `Debian:12`.
    pub ecosystem: String,
    pub severity: Severity,
    pub score: Option<f64>,
    pub title: String,
    /// RFC 3339, as it says.
    pub published: Option<String>,
    /// Positions in the package's table of version texts, ascending.
    pub versions: Vec<u32>,
    pub ranges: Vec<Range>,
}

/// An advisory that concerns the version asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    pub id: String,
    pub aliases: Vec<String>,
    pub upstream: Vec<String>,
    pub related: Vec<String>,
    pub severity: Severity,
    pub score: Option<f64>,
    pub title: String,
    pub published: Option<String>,
    /// The first fixed version after the one asked for.
    pub fixed: Option<String>,
}

/// The answer about one package.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    pub hits: Vec<Hit>,
    /// Advisories whose ranges cannot be compared with the version.
    pub unjudged: Vec<String>,
    /// Advisories that do not say which versions they are about.
    pub unclear: Vec<String>,
}

/// The name under which an ecosystem's packages are compared: one that is written in another case is not another
/// package (and PyPI does not tell `_`, `.` and `-` apart). npm has old packages whose names differ in
/// nothing else: [`names`] says under which an advisory about one is found.
pub fn canonical_name(ecosystem: &str, name: &str) -> String {
    let name = name.trim();
    match base(ecosystem) {
        "PyPI" => {
            let mut canonical = String::with_capacity(name.len());
            for c in name.chars() {
                let c = if matches!(c, '_' | '.') {
                    '-'
                } else {
                    c.to_ascii_lowercase()
                };
                if c != '-' || !canonical.ends_with('-') {
                    canonical.push(c);
                }
            }
            canonical
        }
        "npm" => name.to_string(),
        _ => name.to_lowercase(),
    }
}

/// Under which names an advisory about `name` is found: also that which npm gives every new package,
/// since whoever wrote it may have meant that one.
fn names(ecosystem: &str, name: &str) -> impl Iterator<Item = String> {
    let canonical = canonical_name(ecosystem, name);
    let lower = canonical.to_lowercase();
    let other = (lower != canonical).then_some(lower);
    std::iter::once(canonical).chain(other)
}

/// Where `imgmake db update` keeps OSV databases, and where the built-in scanner
/// looks when a scan names none.
///
/// # Errors
/// The store cannot be written.
pub fn advisory_home(store: &Store) -> Result<PathBuf> {
    Ok(store.database()?.join("osv"))
}
