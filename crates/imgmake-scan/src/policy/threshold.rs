//! What refuses by itself, before exceptions: `fail-on`.

use jiff::{SignedDuration, Timestamp};

use super::judgement::Judgement;
use super::lists::Lists;
use super::settings::{FailRule, FixableOnly, Gate, Policy};
use crate::skew::SKEW;
use crate::{Finding, FindingKind, Severity};

/// What `fail-on` says of a finding, without any exception.
pub fn judge(finding: &Finding, policy: &Policy, lists: &Lists) -> Judgement {
    // Whatever is asked for: no version of an attack is acceptable.
    if finding.is_malicious() {
        return Judgement::Refused("a malicious package".into());
    }
    let mut rules = policy
        .fail_on
        .iter()
        .filter(|rule| is_about(rule, finding.kind));
    let Some(first) = rules.next() else {
        return without_rules(finding, policy, lists);
    };
    let mut tolerated = None;
    for rule in std::iter::once(first).chain(rules) {
        match apply(rule, finding, policy.now, lists) {
            Judgement::Tolerated(why) => tolerated = tolerated.or(Some(why)),
            refused => return refused,
        }
    }
    Judgement::Tolerated(tolerated.expect("there is a rule, and no rule refused"))
}

/// When a finding that is tolerated for its age is so no longer.
pub fn due(finding: &Finding, policy: &Policy) -> Option<Timestamp> {
    let rules = policy
        .fail_on
        .iter()
        .filter(|rule| is_about(rule, finding.kind));
    let dates = rules.filter_map(|rule| age_reached(rule, finding, policy.now));
    dates.filter(|date| *date > policy.now).min()
}

fn without_rules(finding: &Finding, policy: &Policy, lists: &Lists) -> Judgement {
    match finding.kind {
        FindingKind::Hygiene => Judgement::Tolerated("a hint".into()),
        FindingKind::Secret => Judgement::Tolerated("secrets only cause a warning".into()),
        FindingKind::Vulnerability | FindingKind::Misconfiguration | FindingKind::License => {
            apply(&FailRule::default(), finding, policy.now, lists)
        }
    }
}

fn is_about(rule: &FailRule, kind: FindingKind) -> bool {
    match (rule.kind, kind) {
        (Some(own), kind) => own == kind,
        (None, FindingKind::Vulnerability) => true,
        // Lists of exploits know vulnerabilities only.
        (None, FindingKind::Misconfiguration | FindingKind::License) => {
            rule.epss.is_none() && !rule.kev
        }
        (None, FindingKind::Secret | FindingKind::Hygiene) => false,
    }
}

fn threshold(rule: &FailRule, kind: FindingKind) -> Option<Severity> {
    let takes_any = matches!(kind, FindingKind::Secret | FindingKind::Hygiene)
        || rule.epss.is_some()
        || rule.kev;
    rule.severity.or((!takes_any).then_some(Severity::High))
}

fn apply(rule: &FailRule, finding: &Finding, now: Timestamp, lists: &Lists) -> Judgement {
    let tolerated = |why: String| Judgement::Tolerated(why);
    let severity = finding.severity;
    let threshold = threshold(rule, finding.kind);
    if let Some(threshold) = threshold {
        if severity == Severity::Unknown && rule.unknown == Gate::Warn {
            return tolerated("of unknown severity".into());
        }
        if severity != Severity::Unknown && severity < threshold {
            return tolerated(format!("{severity} is below {threshold}"));
        }
    }
    if finding.kind == FindingKind::Vulnerability {
        // Only vulnerabilities wait for somebody else's fix, and have a day when they became known.
        if rule.fixable == FixableOnly::Yes && finding.fixed.is_none() {
            return tolerated("no fixed version exists".into());
        }
        if let Some(date) = age_reached(rule, finding, now).filter(|date| *date > now) {
            let day = date.strftime("%Y-%m-%d");
            return tolerated(format!("known for a short time: it counts from {day}"));
        }
    }
    if rule.kev && !lists.is_exploited(finding) {
        return tolerated("not known to be exploited".into());
    }
    if let Some(least) = rule.epss {
        match lists.probability(finding) {
            Some(probability) if probability < least => {
                return tolerated(format!("EPSS {probability} is below {least}"));
            }
            None if rule.unknown == Gate::Warn => {
                return tolerated("of unknown EPSS".into());
            }
            Some(_) | None => {}
        }
    }
    Judgement::Refused(reason(rule, finding, threshold, lists))
}

fn reason(
    rule: &FailRule,
    finding: &Finding,
    threshold: Option<Severity>,
    lists: &Lists,
) -> String {
    if rule.kev {
        return "known to be exploited".into();
    }
    if let Some(least) = rule.epss {
        return match lists.probability(finding) {
            Some(probability) => format!("EPSS {probability} reaches {least}"),
            None => "it has no EPSS, and unknown ones are not accepted here".into(),
        };
    }
    match (finding.kind, finding.severity, threshold) {
        (FindingKind::Secret, _, _) => "a secret in the image".into(),
        (_, Severity::Unknown, Some(_)) => "unknown severity is not accepted here".into(),
        (_, severity, Some(threshold)) => format!("{severity} reaches the threshold {threshold}"),
        (kind, _, None) => format!("no {kind} finding is accepted here"),
    }
}

/// From when on an advisory is as old as the rule wants; whose date is unknown, or in the
/// future, is old.
fn age_reached(rule: &FailRule, finding: &Finding, now: Timestamp) -> Option<Timestamp> {
    let published: Timestamp = finding.published.as_deref()?.parse().ok()?;
    if published > now + SKEW {
        return None;
    }
    let age = SignedDuration::try_from(rule.older?).ok()?;
    published.checked_add(age).ok()
}
