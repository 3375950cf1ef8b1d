//! An ignore rule, from wherever it comes, and what it applies to.

use jiff::civil::Date;

use super::glob;
use super::settings::IgnoreRule;
use crate::findings::{Finding, FindingKind};
use crate::purl;

/// An ignore rule from anywhere.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Without one: every id that is neither malicious nor known to be exploited.
    pub id: Option<String>,
    /// The last day on which it holds.
    pub until: Option<Date>,
    pub reason: Option<String>,
    pub origin: String,
    pub kind: Option<FindingKind>,
    /// Where any of these matches; everywhere without any.
    pub paths: Vec<String>,
    pub purls: Vec<String>,
    /// A name of packages, with `*`, or a package URL.
    pub package: Option<String>,
}

impl Rule {
    pub fn new(id: &str, origin: String) -> Rule {
        Rule {
            id: Some(id.to_string()),
            until: None,
            reason: None,
            origin,
            kind: None,
            paths: Vec::new(),
            purls: Vec::new(),
            package: None,
        }
    }

    /// `is_exploited`: the finding is in the list of exploited vulnerabilities.
    pub fn applies(&self, finding: &Finding, is_exploited: bool) -> bool {
        let purl = finding.purl.as_deref().unwrap_or_default();
        let is_meant = match &self.id {
            Some(id) => finding.carries(id),
            None => !finding.is_malicious() && !is_exploited,
        };
        is_meant
            && self.is_of_package(finding)
            && self.kind.is_none_or(|k| k == finding.kind)
            && (self.paths.is_empty() || self.is_at(finding))
            && (self.purls.is_empty() || self.purls.iter().any(|p| purl::covers(p, purl)))
    }

    /// Every path is meant: a package in two places is in each of them. What has no path is
    /// nowhere, whatever a pattern matches.
    fn is_at(&self, finding: &Finding) -> bool {
        let is_meant =
            |path: &String| !path.is_empty() && self.paths.iter().any(|p| glob::matches(p, path));
        finding.path.as_ref().is_some_and(is_meant) && finding.other_paths.iter().all(is_meant)
    }

    fn is_of_package(&self, finding: &Finding) -> bool {
        let purl = finding.purl.as_deref().unwrap_or_default();
        self.package
            .as_deref()
            .is_none_or(|package| match package.starts_with("pkg:") {
                true => purl::covers(package, purl),
                // What is of no package is of none, whatever a pattern matches.
                false => !finding.package.is_empty() && glob::matches(package, &finding.package),
            })
    }

    pub fn because(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{} ({})", reason, self.origin),
            None => self.origin.clone(),
        }
    }
}

impl From<&IgnoreRule> for Rule {
    fn from(rule: &IgnoreRule) -> Rule {
        let IgnoreRule {
            id,
            kind,
            package,
            path,
            until,
            reason,
            origin,
        } = rule.clone();
        Rule {
            id,
            kind,
            until,
            reason,
            package,
            paths: path.into_iter().collect(),
            ..Rule::new("", origin)
        }
    }
}
