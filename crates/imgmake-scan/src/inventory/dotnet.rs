//! .NET: `*.deps.json`, whose `libraries` are keyed `Name/1.2.3`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::json;
use super::package::{Package, PackageKind};

/// Without either, it is no file of .NET.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    libraries: Option<BTreeMap<String, Library>>,
    runtime_target: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Library {
    #[serde(rename = "type", default)]
    kind: String,
}

/// `packages.lock.json`, by framework.
#[derive(Deserialize)]
struct Lock {
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
    let libraries = match (document.libraries, document.runtime_target) {
        (None, Some(_)) => return Err(serde::de::Error::missing_field("libraries")),
        (libraries, _) => libraries.unwrap_or_default(),
    };
    let packages = libraries.iter().filter(|(_, l)| l.kind == "package");
    Ok(packages
        .filter_map(|(key, _)| key.rsplit_once('/'))
        .map(|(name, version)| Package::new(PackageKind::NuGet, name, version))
        .collect())
}
