//! An ignore rule, from wherever it comes, and what it applies to.

use jiff::civil::Date;

use super::glob;
use super::settings::IgnoreRule;
use crate::findings::{Finding, FindingKind};
use crate::purl;

/// An ignore rule from anywhere.
#[derive(Clone, Debug)]
pub struct Rule {
    pub id: String,
    /// The last day on which it holds.
    pub until: Option<Date>,
    pub reason: Option<String>,
    pub origin: String,
    pub kind: Option<FindingKind>,
    /// Where any of these matches; everywhere without any.
    pub paths: Vec<String>,
    pub purls: Vec<String>,
}

impl Rule {
    pub fn new(id: &str, origin: String) -> Rule {
        Rule {
            id: id.to_string(),
            until: None,
            reason: None,
            origin,
            kind: None,
            paths: Vec::new(),
            purls: Vec::new(),
        }
    }

    pub fn applies(&self, finding: &Finding) -> bool {
        let path = finding.path.as_deref().unwrap_or_default();
        let purl = finding.purl.as_deref().unwrap_or_default();
        finding.carries(&self.id)
            && self.kind.is_none_or(|k| k == finding.kind)
            && (self.paths.is_empty() || self.paths.iter().any(|p| glob::matches(p, path)))
            && (self.purls.is_empty() || self.purls.iter().any(|p| purl::covers(p, purl)))
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
        Rule {
            until: rule.until,
            reason: rule.reason.clone(),
            ..Rule::new(&rule.id, rule.origin.clone())
        }
    }
}
