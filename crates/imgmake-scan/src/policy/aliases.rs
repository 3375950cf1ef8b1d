//! Advisories that are about one vulnerability of one package, shown as one finding. Exceptions
//! were applied to each of them before: what is merged stands or falls together.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::findings::{Finding, FindingKind};
use crate::purl;

/// Findings that name each other become one: under the CVE number if there is one, with the
/// worst severity and the last fix.
pub fn merge(findings: Vec<Finding>) -> Vec<Finding> {
    let mut kept = Vec::new();
    let mut groups: Vec<Option<Vec<Finding>>> = Vec::new();
    let mut places: BTreeMap<(Of, String), usize> = BTreeMap::new();
    for finding in findings {
        if finding.kind != FindingKind::Vulnerability || finding.package.is_empty() {
            kept.push(finding);
            continue;
        }
        let of = Of::new(&finding);
        let names: Vec<String> = names(&finding).cloned().collect();
        let known = names
            .iter()
            .filter_map(|n| places.get(&(of.clone(), n.clone())));
        let known: BTreeSet<usize> = known.copied().collect();
        let mut group: Vec<Finding> = Vec::new();
        for other in known {
            group.extend(
                groups[other]
                    .take()
                    .expect("names lead to the group that has them"),
            );
        }
        group.push(finding);
        let at = groups.len();
        for name in group.iter().flat_map(self::names) {
            places.insert((of.clone(), name.clone()), at);
        }
        groups.push(Some(group));
    }
    for group in groups.into_iter().flatten() {
        let united = group.into_iter().reduce(unite);
        kept.push(named_by_cve(united.expect("no group is empty")));
    }
    kept
}

/// The package that a finding is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Of {
    package: String,
    version: String,
    purl: Option<String>,
    path: Option<String>,
    layer: Option<String>,
}

impl Of {
    fn new(finding: &Finding) -> Of {
        Of {
            package: finding.package.clone(),
            version: finding.version.clone(),
            purl: finding.purl.clone(),
            path: finding.path.clone(),
            layer: finding.layer.as_ref().map(ToString::to_string),
        }
    }
}

fn names(finding: &Finding) -> impl Iterator<Item = &String> {
    std::iter::once(&finding.id).chain(&finding.aliases)
}

fn unite(a: Finding, b: Finding) -> Finding {
    let (worse, other) = if b.severity > a.severity {
        (b, a)
    } else {
        (a, b)
    };
    let scheme = purl::scheme(worse.purl.as_deref().unwrap_or_default());
    let later = |a: &String, b: &String| scheme.compare(a, b).is_some_and(Ordering::is_gt);
    let fixed = match (worse.fixed, other.fixed) {
        (Some(a), Some(b)) => Some(if later(&b, &a) { b } else { a }),
        (a, b) => a.or(b),
    };
    let mut aliases = [worse.aliases, other.aliases, vec![other.id]].concat();
    aliases.retain(|a| *a != worse.id);
    Finding {
        title: if worse.title.is_empty() {
            other.title
        } else {
            worse.title
        },
        score: worse.score.or(other.score),
        published: earlier(worse.published, other.published),
        fixed,
        aliases: once_each(aliases),
        upstream: once_each([worse.upstream, other.upstream].concat()),
        related: once_each([worse.related, other.related].concat()),
        other_paths: once_each([worse.other_paths, other.other_paths].concat()),
        ..worse
    }
}

/// Since when something is known; whose date is unknown may have been known for long.
fn earlier(a: Option<String>, b: Option<String>) -> Option<String> {
    let time = |text: &String| text.parse::<jiff::Timestamp>().ok();
    let (a, b) = (a?, b?);
    Some(if time(&b)? < time(&a)? { b } else { a })
}

fn once_each(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names.dedup();
    names
}

fn named_by_cve(mut finding: Finding) -> Finding {
    if finding.id.starts_with("CVE-") {
        return finding;
    }
    if let Some(at) = finding.aliases.iter().position(|a| a.starts_with("CVE-")) {
        std::mem::swap(&mut finding.id, &mut finding.aliases[at]);
        finding.aliases.sort();
    }
    finding
}
