//! One finding, one judgement.

use jiff::tz::TimeZone;

use super::judgement::{Judged, Judgement, Subject};
use super::rule::Rule;
use super::settings::{FixableOnly, Gate, Policy};
use super::{ignore_file, vex};
use crate::error::Result;
use crate::{Finding, FindingKind, Severity};

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

    /// Whether a rule would ignore it that holds no longer.
    pub fn is_expired(&self, finding: &Finding) -> bool {
        let (_, expired) = self.applying(finding);
        !expired.is_empty()
    }

    fn judgement(&self, finding: &Finding, subject: &Subject) -> Judgement {
        let (holding, expired) = self.applying(finding);
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

    /// The rules for a finding: those that hold, and those that expired.
    fn applying(&self, finding: &Finding) -> (Vec<&Rule>, Vec<&Rule>) {
        let today = self.policy.now.to_zoned(TimeZone::UTC).date();
        let rules = self.rules.iter().filter(|rule| rule.applies(finding));
        rules.partition(|rule| rule.until.is_none_or(|until| today <= until))
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
            FindingKind::Vulnerability | FindingKind::Misconfiguration | FindingKind::License => {}
        }
        let severity = finding.severity;
        if severity == Severity::Unknown && policy.unknown == Gate::Warn {
            return Judgement::Tolerated("of unknown severity".into());
        }
        if severity != Severity::Unknown && severity < policy.threshold {
            return Judgement::Tolerated(format!("{severity} is below {}", policy.threshold));
        }
        // Only vulnerabilities wait for somebody else's fix.
        let waits = finding.kind == FindingKind::Vulnerability && finding.fixed.is_none();
        if policy.fixable == FixableOnly::Yes && waits {
            return Judgement::Tolerated("no fixed version exists".into());
        }
        Judgement::Refused(if severity == Severity::Unknown {
            "unknown severity is not accepted here".into()
        } else {
            format!("{severity} reaches the threshold {}", policy.threshold)
        })
    }
}
