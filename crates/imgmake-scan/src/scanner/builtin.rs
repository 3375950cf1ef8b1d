//! The built-in scanner: the inventory asked against the advisory database, and
//! what the inventory itself tells of secrets and hygiene.

use std::collections::BTreeMap;

use super::Scanned;
use crate::advisory::{self, Database, Hit};
use crate::error::Result;
use crate::inventory::{self, Distribution, Inventory, Located, OddityRule, PackageKind};
use crate::subject::Child;
use crate::{Finding, FindingKind, Severity, purl};
use imgmake_oci::image::Reference;

const SOURCE: &str = "builtin";

pub fn scan(inventory: &Inventory, child: &Child, database: &Database) -> Result<Scanned> {
    let mut scanned = Scanned {
        gaps: inventory.gaps.clone(),
        database_date: database.newest().map(String::from),
        ..Scanned::default()
    };
    vulnerabilities(inventory, database, &mut scanned)?;
    if let Some(first) = inventory.left_out.first() {
        let count = match inventory.left_out.len() {
            1 => format!("the lock file `/{first}`"),
            many => format!("{many} lock files, `/{first}` among them,"),
        };
        scanned.warnings.push(format!(
            "{count} inside of installed packages not read: for the development of those packages"
        ));
    }
    let unread = inventory.unread.iter();
    scanned
        .unjudged
        .extend(unread.map(|what| format!("packages in {what}: not judged")));
    scanned.findings.extend(secrets(inventory));
    scanned.findings.extend(hygiene(inventory, child));
    scanned.unjudged.sort();
    scanned.unjudged.dedup();
    scanned.findings.sort_by(Finding::order);
    scanned.findings.dedup();
    Ok(scanned)
}

impl Scanned {
    fn note_date(&mut self, ecosystem: &str, database: &Database) {
        let base = advisory::base(ecosystem);
        if !self.ecosystem_dates.contains_key(base) {
            let newest = database.newest_of(base).map(String::from);
            self.ecosystem_dates.insert(base.to_string(), newest);
        }
    }
}

fn vulnerabilities(
    inventory: &Inventory,
    database: &Database,
    scanned: &mut Scanned,
) -> Result<()> {
    let release = distribution_ecosystem(inventory, database, scanned);
    // Packages whose versions nobody can order, with the advisories that wait.
    let mut unjudged: BTreeMap<String, usize> = BTreeMap::new();
    let mut uncovered: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unpublished: BTreeMap<&str, usize> = BTreeMap::new();
    // Of another package manager than the distribution's.
    let mut foreign: BTreeMap<&str, usize> = BTreeMap::new();
    for located in &inventory.packages {
        let package = &located.package;
        let own = package.kind.ecosystem();
        if let Some(own) = own.filter(|own| !database.covers(own)) {
            let uncovered = match package.kind.is_published() {
                true => &mut uncovered,
                false => &mut unpublished,
            };
            *uncovered.entry(own).or_default() += 1;
            continue;
        }
        let Some(ecosystem) = own.or(release.as_deref()) else {
            continue;
        };
        if own.is_none() && !Distribution::installs(ecosystem, package.kind) {
            *foreign.entry(package.kind.purl_type()).or_default() += 1;
            continue;
        }
        scanned.note_date(ecosystem, database);
        let mut hits = Vec::new();
        for (name, version) in asked_for(located, ecosystem, database) {
            let answer = database.ask(ecosystem, name, version)?;
            if !answer.unjudged.is_empty() {
                let key = format!("{ecosystem} package {name} has version `{version}`");
                *unjudged.entry(key).or_default() += answer.unjudged.len();
            }
            scanned.unjudged.extend(answer.unclear.into_iter().map(|id| {
                format!("advisory {id} of {ecosystem} does not say which versions of {name} it is about: not judged")
            }));
            hits.extend(answer.hits);
        }
        let purl = purl::of(package, inventory.distribution.as_ref());
        scanned.findings.extend(
            hits.into_iter()
                .map(|hit| finding(hit, located, &purl, ecosystem)),
        );
    }
    scanned
        .unjudged
        .extend(unpublished.into_iter().map(|(of, count)| {
            let packages = packages(count);
            format!("{packages} of {of} not judged: no advisories for them are known")
        }));
    scanned
        .unjudged
        .extend(foreign.into_iter().map(|(of, count)| {
            let (packages, release) = (packages(count), release.as_deref().unwrap_or_default());
            format!("{packages} in the format {of} not judged: {release} has none of them")
        }));
    let uncovered = uncovered.into_iter();
    scanned.unjudged.extend(
        uncovered.map(|(ecosystem, count)| without_advisories(count, ecosystem, ecosystem)),
    );
    scanned
        .unjudged
        .extend(unjudged.into_iter().map(|(package, count)| {
            let advisories = match count {
                1 => "an advisory is".to_string(),
                many => format!("{many} advisories are"),
            };
            format!("{package}, which is not a version of that ecosystem: {advisories} not judged")
        }));
    Ok(())
}

/// `ecosystem` is what `imgmake db update` would be asked for.
fn without_advisories(count: usize, of: &str, ecosystem: &str) -> String {
    let (packages, ecosystem) = (packages(count), advisory::base(ecosystem));
    format!(
        "{packages} of {of} not judged: the advisory database has no entries for it; fetch them with `imgmake db update \"{ecosystem}\"`, or add them to `advisories`"
    )
}

/// What `imgmake db update` would be asked for: without releases.
pub fn ecosystems(inventory: &Inventory) -> Vec<String> {
    let of_distribution = inventory.distribution.iter().flat_map(|d| {
        let ecosystems = d.ecosystems();
        ecosystems.first().map(|e| advisory::base(e).to_string())
    });
    let packages = || {
        inventory
            .packages
            .iter()
            .map(|l| l.package.kind.ecosystem())
    };
    let has_own = packages().any(|own| own.is_none());
    let published = inventory
        .packages
        .iter()
        .filter(|l| l.package.kind.is_published());
    let own = published
        .filter_map(|l| l.package.kind.ecosystem())
        .map(String::from);
    own.chain(of_distribution.filter(|_| has_own)).collect()
}

fn packages(count: usize) -> String {
    match count {
        1 => "a package".to_string(),
        many => format!("{many} packages"),
    }
}

/// The ecosystem of the distribution's own packages; what stands in its way is said.
fn distribution_ecosystem(
    inventory: &Inventory,
    database: &Database,
    scanned: &mut Scanned,
) -> Option<String> {
    let of_distribution = inventory
        .packages
        .iter()
        .filter(|l| l.package.kind.ecosystem().is_none());
    let count = of_distribution.count();
    if count == 0 {
        // Whoever removes the database removes all that was to be judged.
        let known = inventory.distribution.iter();
        scanned
            .unjudged
            .extend(known.filter(|d| !d.ecosystems().is_empty()).map(|d| {
                format!(
                    "the packages of {} not judged: no database of them is in the image, or it is empty",
                    d.name
                )
            }));
        return None;
    }
    let Some(distribution) = &inventory.distribution else {
        scanned.unjudged.push(format!(
            "{} of an unknown distribution not judged: /etc/os-release not found",
            packages(count)
        ));
        return None;
    };
    let ecosystems = distribution.ecosystems();
    if let Some(covered) = ecosystems.iter().find(|e| database.covers(e)) {
        return Some(covered.clone());
    }
    scanned.unjudged.push(match ecosystems.first() {
        Some(ecosystem) => without_advisories(count, ecosystem, ecosystem),
        None => format!(
            "{} of {} not judged: no advisories for this distribution are known",
            packages(count),
            distribution.name
        ),
    });
    None
}

/// Names and versions under which advisories may speak of a package: the source
/// package's; rpm distributions use either.
fn asked_for<'a>(
    located: &'a Located,
    ecosystem: &str,
    database: &'a Database,
) -> Vec<(&'a str, &'a str)> {
    let package = &located.package;
    let own = (package.name.as_str(), package.version.as_str());
    let source = package
        .source
        .as_ref()
        .map(|(n, v)| (n.as_str(), v.as_str()));
    match (package.kind, source) {
        (PackageKind::Rpm, Some(source)) if source != own => vec![own, source],
        (PackageKind::Maven, source) => {
            let told = std::iter::once(own).chain(source);
            let mut told: Vec<_> = told
                .filter(|(name, _)| database.knows(ecosystem, name))
                .collect();
            // The group is a guess: an artifact of this name may be that of any group.
            if told.is_empty() {
                let artifacts = package.artifacts.iter();
                let named = artifacts.flat_map(|artifact| database.artifacts(ecosystem, artifact));
                told.extend(named.map(|name| (name, package.version.as_str())));
                told.sort_unstable();
                told.dedup();
            }
            told
        }
        (_, Some(source)) => vec![source],
        (_, None) => vec![own],
    }
}

fn finding(hit: Hit, located: &Located, purl: &str, ecosystem: &str) -> Finding {
    Finding {
        kind: FindingKind::Vulnerability,
        id: hit.id,
        aliases: hit.aliases,
        upstream: hit.upstream,
        related: hit.related,
        package: located.package.name.clone(),
        version: located.package.version.clone(),
        purl: Some(purl.to_string()),
        path: Some(located.path.clone()),
        other_paths: located.other_paths.clone(),
        layer: Some(located.layer.clone()),
        fixed: hit.fixed,
        severity: hit.severity,
        score: hit.score,
        source: format!("{SOURCE}: {ecosystem}"),
        title: hit.title,
        published: hit.published,
        sums: Vec::new(),
    }
}

fn about_image(kind: FindingKind, id: &str, severity: Severity, title: &str) -> Finding {
    Finding {
        kind,
        id: id.to_string(),
        aliases: Vec::new(),
        upstream: Vec::new(),
        related: Vec::new(),
        package: String::new(),
        version: String::new(),
        purl: None,
        path: None,
        other_paths: Vec::new(),
        layer: None,
        fixed: None,
        severity,
        score: None,
        source: SOURCE.to_string(),
        title: title.to_string(),
        published: None,
        sums: Vec::new(),
    }
}

fn secrets(inventory: &Inventory) -> impl Iterator<Item = Finding> {
    inventory.secrets.iter().map(|secret| Finding {
        path: Some(secret.path.clone()),
        layer: Some(secret.layer.clone()),
        sums: secret.sums.clone(),
        ..about_image(
            FindingKind::Secret,
            &secret.rule,
            Severity::High,
            "a secret in a layer: anyone who can pull the image can read it, even if a later layer deletes the file",
        )
    })
}

fn hygiene(inventory: &Inventory, child: &Child) -> Vec<Finding> {
    let config = &child.config;
    let mut found = Vec::new();
    let mut add = |id: &str, severity, title: &str| {
        found.push(about_image(FindingKind::Hygiene, id, severity, title));
    };
    if matches!(
        config.config.user.split(':').next(),
        None | Some("" | "0" | "root")
    ) {
        add(
            "runs-as-root",
            Severity::Medium,
            "the image runs as root: set another USER",
        );
    }
    let check = config.config.healthcheck.as_ref();
    if check.is_none_or(|h| h.test.is_empty()) {
        add(
            "no-healthcheck",
            Severity::Low,
            "the image has no HEALTHCHECK",
        );
    }
    let base = child
        .manifest
        .annotations
        .get("org.opencontainers.image.base.name");
    if base.is_some_and(|name| is_latest(name)) {
        add(
            "latest-base",
            Severity::Low,
            "the base image has the tag `latest`, which changes: name a version",
        );
    }
    for variable in &config.config.env {
        for broken in inventory::secrets_in(variable.as_bytes()) {
            let name = variable.split('=').next().unwrap_or_default();
            let title = format!(
                "a secret in the environment variable {name}: anyone who can pull the image can read it"
            );
            let kind = FindingKind::Secret;
            found.push(Finding {
                sums: broken.sums,
                ..about_image(kind, &broken.rule, Severity::High, &title)
            });
        }
    }
    found.extend(inventory.oddities.iter().map(|oddity| {
        let (id, title) = match oddity.rule {
            OddityRule::SetUserId => ("setuid-file", "runs with its owner's rights for every user"),
            OddityRule::WorldWritable => ("world-writable-file", "every user can change it"),
        };
        Finding {
            path: Some(oddity.path.clone()),
            layer: Some(oddity.layer.clone()),
            ..about_image(FindingKind::Hygiene, id, Severity::Low, title)
        }
    }));
    found
}

fn is_latest(name: &str) -> bool {
    let reference = name.parse::<Reference>();
    reference.is_ok_and(|r| r.digest.is_none() && r.tag_or_latest() == Some("latest"))
}
