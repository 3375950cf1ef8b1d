//! One finding, one judgement.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::judgement::{Judged, Judgement, Subject};
use super::rule::Rule;
use super::settings::{FixableOnly, Gate, Policy};
use super::{aliases, ignore_file, vex};
use crate::error::Result;
use crate::{Finding, FindingKind, Severity};

/// A policy with its files read, ready to judge.
pub struct Rules<'a> {
    policy: &'a Policy,
    rules: Vec<Rule>,
    statements: Vec<vex::Statement>,
}

/// Where findings come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Each is one advisory; several may be about one vulnerability.
    ByAdvisories,
    /// Another program has put them together, and calls them as it likes.
    ByScanners,
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

    /// Exceptions reach exactly the advisories that carry their ids; what is left of those about
    /// one vulnerability is one finding, which is judged as a whole. In the order of reports.
    pub fn judge(&self, findings: Vec<Finding>, told: Told, subject: &Subject) -> Vec<Judged> {
        let merge = match told {
            Told::ByAdvisories => aliases::merge,
            Told::ByScanners => std::convert::identity,
        };
        let mut standing = Vec::new();
        let mut ignored: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
        for finding in findings {
            match self.exception(&finding, subject) {
                Some(reason) => ignored.entry(reason).or_default().push(finding),
                None => standing.push(finding),
            }
        }
        let standing = merge(standing).into_iter().map(|finding| {
            let judgement = self.judgement(&finding);
            Judged { finding, judgement }
        });
        let ignored = ignored.into_iter().flat_map(|(reason, findings)| {
            let merged = merge(findings).into_iter();
            merged.map(move |finding| Judged {
                finding,
                judgement: Judgement::Ignored(reason.clone()),
            })
        });
        let mut judged: Vec<Judged> = standing.chain(ignored).collect();
        judged.sort_by(|a, b| a.finding.order(&b.finding));
        judged
    }

    /// Whether a rule would ignore it that holds no longer.
    pub fn is_expired(&self, finding: &Finding) -> bool {
        let (_, expired) = self.applying(finding);
        !expired.is_empty()
    }

    /// Why a finding does not count, if it does not.
    fn exception(&self, finding: &Finding, subject: &Subject) -> Option<String> {
        let (holding, _) = self.applying(finding);
        let rule = holding.first().map(|rule| rule.because());
        rule.or_else(|| vex::cleared(&self.statements, finding, subject).map(String::from))
    }

    fn judgement(&self, finding: &Finding) -> Judgement {
        let (_, expired) = self.applying(finding);
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
        if policy.fixable == FixableOnly::Yes && waits && !finding.is_malicious() {
            return Judgement::Tolerated("no fixed version exists".into());
        }
        Judgement::Refused(if severity == Severity::Unknown {
            "unknown severity is not accepted here".into()
        } else {
            format!("{severity} reaches the threshold {}", policy.threshold)
        })
    }
}
