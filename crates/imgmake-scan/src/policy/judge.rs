//! One finding, one judgement.

use anyhow::Result;
use time::Date;

use super::{FixableOnly, Gate, IgnoreRule, Judged, Judgement, Policy, glob, ignore_file, vex};
use crate::{Finding, FindingKind, Severity, purl};
use imgmake_oci::image::Digest;

/// Which image the findings are about, as VEX products name it.
#[derive(Clone, Debug)]
pub struct Subject {
    pub name: String,
    /// Of the manifest, and of the index that it belongs to.
    pub digests: Vec<Digest>,
}

/// An ignore rule from anywhere.
#[derive(Clone, Debug)]
pub struct Rule {
    pub id: String,
    /// The last day on which it holds.
    pub until: Option<Date>,
    pub reason: Option<String>,
    pub origin: String,
    pub kind: Option<FindingKind>,
    /// Of a section that speaks of nothing we find.
    pub inert: bool,
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
            inert: false,
            paths: Vec::new(),
            purls: Vec::new(),
        }
    }

    fn applies(&self, finding: &Finding) -> bool {
        let path = finding.path.as_deref().unwrap_or_default();
        let purl = finding.purl.as_deref().unwrap_or_default();
        finding.is_named(&self.id)
            && self.kind.is_none_or(|k| k == finding.kind)
            && (self.paths.is_empty() || self.paths.iter().any(|p| glob::matches(p, path)))
            && (self.purls.is_empty() || self.purls.iter().any(|p| purl::covers(p, purl)))
    }

    fn because(&self) -> String {
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

/// A policy with its files read, ready to judge.
pub struct Rules<'a> {
    policy: &'a Policy,
    rules: Vec<Rule>,
    statements: Vec<vex::Statement>,
}

impl<'a> Rules<'a> {
    /// # Errors
    /// Ignore files and VEX documents that are not what they should be, with the place.
    pub fn new(policy: &'a Policy) -> Result<Rules<'a>> {
        let mut rules: Vec<Rule> = policy.ignores.iter().map(Rule::from).collect();
        for file in &policy.ignore_files {
            rules.extend(ignore_file::read(file)?);
        }
        let mut statements = Vec::new();
        for file in &policy.vex {
            statements.extend(vex::read(file)?);
        }
        Ok(Rules {
            policy,
            rules,
            statements,
        })
    }

    pub fn judge(&self, finding: Finding, subject: &Subject) -> Judged {
        let judgement = self.judgement(&finding, subject);
        Judged { finding, judgement }
    }

    fn judgement(&self, finding: &Finding, subject: &Subject) -> Judgement {
        let today = self.policy.now.date();
        let (holding, expired): (Vec<&Rule>, Vec<&Rule>) = self
            .rules
            .iter()
            .filter(|r| r.applies(finding))
            .partition(|r| r.until.is_none_or(|until| today <= until));
        if let Some(rule) = holding.first() {
            return Judgement::Ignored(rule.because());
        }
        if let Some(reason) = vex::cleared(&self.statements, finding, subject) {
            return Judgement::Ignored(reason.to_string());
        }
        match (self.on_its_own(finding), expired.first()) {
            (Judgement::Refused(why), Some(rule)) => Judgement::Refused(format!(
                "{why}; its ignore rule expired: it held until {} ({})",
                rule.until.expect("only rules with a date expire"),
                rule.because()
            )),
            (judgement, _) => judgement,
        }
    }

    /// What threshold and gates say, without any exception.
    fn on_its_own(&self, finding: &Finding) -> Judgement {
        let policy = self.policy;
        match finding.kind {
            FindingKind::Hygiene => return Judgement::Tolerated("a hint".into()),
            FindingKind::Secret if policy.secrets == Gate::Warn => {
                return Judgement::Tolerated("secrets only warn here".into());
            }
            FindingKind::Secret => return Judgement::Refused("a secret in the image".into()),
            FindingKind::Vulnerability => {}
        }
        let severity = finding.severity;
        if severity == Severity::Unknown && policy.unknown == Gate::Warn {
            return Judgement::Tolerated("of unknown severity".into());
        }
        if severity != Severity::Unknown && severity < policy.threshold {
            return Judgement::Tolerated(format!("{severity} is below {}", policy.threshold));
        }
        if policy.fixable == FixableOnly::Yes && finding.fixed.is_none() {
            return Judgement::Tolerated("no fixed version exists".into());
        }
        Judgement::Refused(if severity == Severity::Unknown {
            "unknown severity is not accepted here".into()
        } else {
            format!("{severity} reaches the threshold {}", policy.threshold)
        })
    }
}
