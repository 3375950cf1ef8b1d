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
    /// With the sum of each text.
    secrets: HashSet<(Key, [u8; 32])>,
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
        let (secrets, others): (Vec<&Finding>, Vec<&Finding>) =
            findings.iter().partition(|f| f.kind == FindingKind::Secret);
        Baseline {
            name,
            known: others.into_iter().flat_map(keys).collect(),
            secrets: secrets.into_iter().flat_map(secret_keys).collect(),
        }
    }

    /// Each advisory by its own id: what is an alias of it may be worse. A secret by its text,
    /// since another one in the same place is another secret; where nobody knows it, it is new.
    /// [`Finding::sums`] has more than one where a rule finds several.
    pub fn has(&self, finding: &Finding) -> bool {
        match finding.kind {
            FindingKind::Secret => {
                let mut keys = secret_keys(finding).peekable();
                keys.peek().is_some() && keys.all(|key| self.secrets.contains(&key))
            }
            _ => keys(finding).any(|key| self.known.contains(&key)),
        }
    }
}

/// A secret has no version: one key, by its place.
fn secret_keys(finding: &Finding) -> impl Iterator<Item = (Key, [u8; 32])> {
    let sums = finding.sums.iter();
    sums.flat_map(|sum| keys(finding).map(|key| (key, *sum)))
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
