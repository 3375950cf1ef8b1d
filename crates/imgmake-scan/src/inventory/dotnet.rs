//! .NET: `*.deps.json`, whose `libraries` are keyed `Name/1.2.3`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::json;
use super::package::{Package, PackageKind};

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    libraries: BTreeMap<String, Library>,
}

#[derive(Deserialize)]
struct Library {
    #[serde(rename = "type", default)]
    kind: String,
}

/// `packages.lock.json`, by framework.
#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    dependencies: BTreeMap<String, BTreeMap<String, Locked>>,
}

#[derive(Deserialize)]
struct Locked {
    /// None of a project.
    resolved: Option<String>,
}

pub fn read_lock(bytes: &[u8]) -> Result<Vec<Package>, serde_json::Error> {
    let lock: Lock = json::read(bytes)?;
    let locked = lock.dependencies.into_values().flatten();
    let mut packages: Vec<Package> = locked
        .filter_map(|(name, locked)| Some(Package::new(PackageKind::NuGet, name, locked.resolved?)))
        .collect();
    packages.sort();
    packages.dedup();
    Ok(packages)
}

pub fn read(bytes: &[u8]) -> Result<Vec<Package>, serde_json::Error> {
    let document: Document = json::read(bytes)?;
    let packages = document
        .libraries
        .iter()
        .filter(|(_, l)| l.kind == "package");
    Ok(packages
        .filter_map(|(key, _)| key.rsplit_once('/'))
        .map(|(name, version)| Package::new(PackageKind::NuGet, name, version))
        .collect())
}
