//! `only-new`: what another image has as well is not new.

use std::collections::HashSet;

use crate::purl;
use crate::{Finding, FindingKind};

/// The findings of the image with which one is compared.
#[derive(Debug)]
pub struct Baseline {
    /// As the report names it, with its digest.
    pub name: String,
    known: HashSet<Key>,
}

/// One finding, by whatever it is found again in another image.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    kind: FindingKind,
    id: String,
    package: String,
    /// Version, or place: what was moved and what was upgraded without a fix is not new.
    trait_of: Trait,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Trait {
    Version(String),
    Place(String),
}

impl Baseline {
    pub fn new(name: String, findings: &[Finding]) -> Baseline {
        Baseline {
            name,
            known: findings.iter().flat_map(keys).collect(),
        }
    }

    /// Each advisory by its own id: what is an alias of it may be worse.
    pub fn has(&self, finding: &Finding) -> bool {
        keys(finding).any(|key| self.known.contains(&key))
    }
}

fn keys(finding: &Finding) -> impl Iterator<Item = Key> {
    let purl = finding.purl.as_deref().unwrap_or_default();
    let package = match (purl, finding.package.as_str()) {
        // Which secret, where there is no file: the title names the variable.
        ("", "") => finding.title.clone(),
        ("", package) => package.to_string(),
        (purl, _) => purl::Parts::of(purl).name,
    };
    let version = Some(&finding.version).filter(|version| !version.is_empty());
    let place = finding.path.as_deref().unwrap_or_default();
    // Paths of installed packages contain the version.
    let place = match version {
        Some(version) => place.replace(version, "*"),
        None => place.to_string(),
    };
    let version = version.cloned().map(Trait::Version);
    let traits = version.into_iter().chain([Trait::Place(place)]);
    let (kind, id) = (finding.kind, finding.id.clone());
    traits.map(move |trait_of| Key {
        kind,
        id: id.clone(),
        package: package.clone(),
        trait_of,
    })
}
