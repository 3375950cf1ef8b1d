//! One list of findings, whichever scanner made it.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use imgmake_guard::printable::{self, Colors};
use imgmake_oci::image::Digest;

/// Qualitative severity (CVSS v3.1 section 5), lowest first; what databases call
/// negligible is `None`. `Unknown` is below
/// everything in order, but whether it passes is the policy's decision.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Severity {
    #[default]
    Unknown,
    None,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// The rating of a CVSS v3 or v4 score.
    pub fn of_score(score: f64) -> Severity {
        match score {
            s if s <= 0.0 => Severity::None,
            s if s < 4.0 => Severity::Low,
            s if s < 7.0 => Severity::Medium,
            s if s < 9.0 => Severity::High,
            _ => Severity::Critical,
        }
    }

    /// What databases and scanners call severities, in any case.
    pub fn of_word(word: &str) -> Severity {
        match word.to_ascii_lowercase().as_str() {
            "none" | "negligible" | "unimportant" => Severity::None,
            "low" | "minor" | "note" => Severity::Low,
            "medium" | "moderate" | "warning" => Severity::Medium,
            "high" | "important" | "error" => Severity::High,
            "critical" => Severity::Critical,
            _ => Severity::Unknown,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Severity::Unknown => "unknown",
            Severity::None => "none",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid severity `{0}`: expected negligible, low, medium, high or critical")]
pub struct SeverityError(String);

/// A threshold as a user writes it.
impl FromStr for Severity {
    type Err = SeverityError;

    fn from_str(text: &str) -> Result<Severity, SeverityError> {
        match text.to_ascii_lowercase().as_str() {
            "none" | "negligible" => Ok(Severity::None),
            "low" => Ok(Severity::Low),
            "medium" => Ok(Severity::Medium),
            "high" => Ok(Severity::High),
            "critical" => Ok(Severity::Critical),
            _ => Err(SeverityError(text.to_string())),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingKind {
    Vulnerability,
    /// A key, token or password file in a layer, even one that a later layer deletes.
    Secret,
    /// A setting that a scanner's check refuses.
    Misconfiguration,
    /// A license that a scanner rates.
    License,
    /// How the image is made: runs as root, setuid files, no HEALTHCHECK.
    Hygiene,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            FindingKind::Vulnerability => "vulnerability",
            FindingKind::Secret => "secret",
            FindingKind::Misconfiguration => "misconfiguration",
            FindingKind::License => "license",
            FindingKind::Hygiene => "hygiene",
        })
    }
}

/// One thing that is known against an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    pub kind: FindingKind,
    /// `CVE-…`, `GHSA-…`, or the rule of a secret or hygiene check.
    pub id: String,
    pub aliases: Vec<String>,
    /// What an advisory of a distribution is about, where that is more than one vulnerability.
    pub upstream: Vec<String>,
    /// What it may be about as well: lists of exploits ask for it, exceptions do not.
    pub related: Vec<String>,
    pub package: String,
    pub version: String,
    pub purl: Option<String>,
    /// Of the file that told of the package, without a leading `/`.
    pub path: Option<String>,
    /// Of further files that tell of it, and further names of that one.
    pub other_paths: Vec<String>,
    /// The digest of the layer blob that the file came with.
    pub layer: Option<Digest>,
    /// The first version without it.
    pub fixed: Option<String>,
    pub severity: Severity,
    /// CVSS base score.
    pub score: Option<f64>,
    /// Which database or scanner said so.
    pub source: String,
    /// One line for people.
    pub title: String,
    /// When an advisory was published, RFC 3339.
    pub published: Option<String>,
    /// Of the texts of a secret, if known: by them it is found again in another image. Shown
    /// nowhere, since a short password could be guessed from it.
    pub sums: Vec<[u8; 32]>,
}

impl Finding {
    /// With texts that can be shown: names and titles are those of images, advisories and
    /// scanners, and none of them begins a line, moves a cursor or reorders what stands beside it.
    #[must_use]
    pub fn printable(mut self) -> Finding {
        let texts = [
            &mut self.id,
            &mut self.package,
            &mut self.version,
            &mut self.source,
            &mut self.title,
        ];
        let optional = [
            &mut self.purl,
            &mut self.path,
            &mut self.fixed,
            &mut self.published,
        ];
        let texts = texts.into_iter().chain(&mut self.aliases);
        let texts = texts.chain(&mut self.upstream).chain(&mut self.related);
        let texts = texts.chain(&mut self.other_paths);
        for text in texts.chain(optional.into_iter().flatten()) {
            let shown = printable_line(text);
            if shown != *text {
                *text = shown;
            }
        }
        self
    }

    pub fn is_named(&self, id: &str) -> bool {
        self.id.eq_ignore_ascii_case(id) || self.aliases.iter().any(|a| a.eq_ignore_ascii_case(id))
    }

    /// The package itself is the attack: no version of it is a fix.
    pub fn is_malicious(&self) -> bool {
        is_malicious(&self.id) || self.aliases.iter().any(|a| is_malicious(a))
    }

    /// Whether an advisory is the one that is meant by an id, or is about it among others.
    pub fn carries(&self, id: &str) -> bool {
        self.is_named(id) || self.upstream.iter().any(|u| u.eq_ignore_ascii_case(id))
    }

    /// Worst first, then by what a reader looks for; never by where it came from
    /// in memory.
    pub fn order(&self, other: &Finding) -> Ordering {
        let key = |f: &Finding| (f.kind, std::cmp::Reverse(f.severity));
        key(self)
            .cmp(&key(other))
            .then_with(|| self.id.cmp(&other.id))
            .then_with(|| self.package.cmp(&other.package))
            .then_with(|| self.version.cmp(&other.version))
            .then_with(|| self.path.cmp(&other.path))
    }
}

/// One line of somebody else's text, as it can be shown.
pub fn printable_line(text: &str) -> String {
    printable::line(&text.replace('\t', " "), Colors::Removed).into_owned()
}

/// Ids of the malicious packages repository of the OpenSSF.
pub fn is_malicious(id: &str) -> bool {
    id.starts_with("MAL-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_rate_as_the_cvss_specification_says() {
        for (score, rating) in [
            (0.0, Severity::None),
            (0.1, Severity::Low),
            (3.9, Severity::Low),
            (4.0, Severity::Medium),
            (6.9, Severity::Medium),
            (7.0, Severity::High),
            (8.9, Severity::High),
            (9.0, Severity::Critical),
            (10.0, Severity::Critical),
        ] {
            assert_eq!(Severity::of_score(score), rating, "{score}");
        }
    }

    #[test]
    fn a_threshold_must_be_a_known_word() {
        assert_eq!("HIGH".parse(), Ok(Severity::High));
        assert!("hihg".parse::<Severity>().is_err());
        assert!("unknown".parse::<Severity>().is_err());
    }
}
