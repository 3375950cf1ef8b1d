//! One finding, one judgement.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::baseline::Baseline;
use super::judgement::{Judged, Judgement, Subject};
use super::lists::Lists;
use super::rule::Rule;
use super::settings::Policy;
use super::{aliases, ignore_file, threshold, vex};
use crate::Finding;
use crate::basis::Basis;
use crate::error::Result;

/// A policy with its files read, ready to judge.
pub struct Rules<'a> {
    policy: &'a Policy,
    rules: Vec<Rule>,
    statements: Vec<vex::Statement>,
    lists: Lists,
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
    pub fn new(policy: &'a Policy, lists: Lists) -> Result<Rules<'a>> {
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
            lists,
        })
    }

    /// Exceptions reach exactly the advisories that carry their ids; what is left of those about
    /// one vulnerability is one finding, which is judged as a whole. In the order of reports.
    pub fn judge(
        &self,
        findings: Vec<Finding>,
        told: Told,
        subject: &Subject,
        baseline: Option<&Baseline>,
    ) -> Vec<Judged> {
        let merge = match told {
            Told::ByAdvisories => aliases::merge,
            Told::ByScanners => std::convert::identity,
        };
        let mut standing = Vec::new();
        let mut excepted: BTreeMap<Judgement, Vec<Finding>> = BTreeMap::new();
        for finding in findings {
            let exception = self.exception(&finding, subject);
            match exception.or_else(|| self.not_new(&finding, baseline?)) {
                Some(exception) => excepted.entry(exception).or_default().push(finding),
                None => standing.push(finding),
            }
        }
        let standing = merge(standing).into_iter().map(|finding| {
            let judgement = self.judgement(&finding);
            self.judged(finding, judgement)
        });
        let excepted = excepted.into_iter().flat_map(|(judgement, findings)| {
            let merged = merge(findings).into_iter();
            merged.map(move |finding| self.judged(finding, judgement.clone()))
        });
        let mut judged: Vec<Judged> = standing.chain(excepted).collect();
        judged.sort_by(|a, b| a.finding.order(&b.finding));
        judged
    }

    fn judged(&self, finding: Finding, judgement: Judgement) -> Judged {
        Judged {
            epss: self.lists.probability(&finding),
            is_exploited: self.lists.is_exploited(&finding),
            finding,
            judgement,
        }
    }

    /// From when on one that is tolerated for its age refuses.
    pub fn due(&self, judged: &Judged) -> Option<Timestamp> {
        let is_tolerated = matches!(judged.judgement, Judgement::Tolerated(_));
        is_tolerated.then(|| threshold::due(&judged.finding, self.policy))?
    }

    /// Until when one is ignored that is ignored by rules with a last day alone.
    pub fn ignored_until(&self, judged: &Judged) -> Option<Timestamp> {
        if !matches!(judged.judgement, Judgement::Ignored(_)) {
            return None;
        }
        let (holding, _) = self.applying(&judged.finding);
        let days: Option<Vec<Date>> = holding.iter().map(|rule| rule.until).collect();
        let last = days?.into_iter().max()?;
        let end = last.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?;
        Some(end.timestamp())
    }

    /// Which files the lists are from.
    pub fn bases(&self) -> &[Basis] {
        &self.lists.bases
    }

    /// Whether a rule would ignore it that holds no longer.
    pub fn is_expired(&self, finding: &Finding) -> bool {
        let (_, expired) = self.applying(finding);
        !expired.is_empty()
    }

    /// Why a finding does not count, if it does not.
    fn exception(&self, finding: &Finding, subject: &Subject) -> Option<Judgement> {
        let (holding, _) = self.applying(finding);
        let rule = holding.first().map(|rule| rule.because());
        let vex = || vex::cleared(&self.statements, finding, subject).map(String::from);
        rule.or_else(vex).map(Judgement::Ignored)
    }

    /// What would refuse, and is in the other image as well; neither what is malicious or
    /// exploited, nor what was ignored until a day that is over.
    fn not_new(&self, finding: &Finding, baseline: &Baseline) -> Option<Judgement> {
        let is_tolerable = !finding.is_malicious()
            && !self.lists.is_exploited(finding)
            && !self.is_expired(finding);
        let refuses = || {
            matches!(
                threshold::judge(finding, self.policy, &self.lists),
                Judgement::Refused(_)
            )
        };
        let is_old = is_tolerable && baseline.has(finding) && refuses();
        is_old.then(|| Judgement::Tolerated(format!("not new: {} has it, too", baseline.name)))
    }

    fn judgement(&self, finding: &Finding) -> Judgement {
        let (_, expired) = self.applying(finding);
        let own = threshold::judge(finding, self.policy, &self.lists);
        match (own, expired.first()) {
            (Judgement::Refused(why), Some(rule)) => Judgement::Refused(format!(
                "{why}; its ignore rule expired: it was valid until {} ({})",
                rule.until.expect("only rules with a date expire"),
                rule.because()
            )),
            (judgement, _) => judgement,
        }
    }

    /// The rules for a finding: those that hold, and those that expired.
    fn applying(&self, finding: &Finding) -> (Vec<&Rule>, Vec<&Rule>) {
        let today = self.policy.now.to_zoned(TimeZone::UTC).date();
        let is_exploited = self.lists.is_exploited(finding);
        let rules = self
            .rules
            .iter()
            .filter(|rule| rule.applies(finding, is_exploited));
        rules.partition(|rule| rule.until.is_none_or(|until| today <= until))
    }
}
