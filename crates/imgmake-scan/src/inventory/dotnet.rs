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
    #[serde(rename = "type", default)]
    kind: String,
}

pub fn read_lock(bytes: &[u8]) -> Result<Vec<Package>, serde_json::Error> {
    let lock: Lock = json::read(bytes)?;
    let locked = lock.dependencies.into_values().flatten();
    let published = locked.filter(|(_, locked)| !locked.kind.eq_ignore_ascii_case("project"));
    let packages = published.map(|(name, locked)| {
        let version = locked.resolved.ok_or_else(|| without_version(&name))?;
        Ok(Package::new(PackageKind::NuGet, name, version))
    });
    let mut packages = packages.collect::<Result<Vec<Package>, serde_json::Error>>()?;
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
    let is_published = |l: &Library| matches!(l.kind.as_str(), "package" | "runtimepack");
    let packages = libraries.iter().filter(|(_, l)| is_published(l));
    packages
        .map(|(key, _)| {
            // The runtime itself, of a program that brings it along.
            let named = key.strip_prefix("runtimepack.").unwrap_or(key);
            let named = named
                .rsplit_once('/')
                .filter(|(_, version)| !version.is_empty());
            let (name, version) = named.ok_or_else(|| without_version(key))?;
            Ok(Package::new(PackageKind::NuGet, name, version))
        })
        .collect()
}

fn without_version(name: &str) -> serde_json::Error {
    serde::de::Error::custom(format!("`{name}` has no version"))
}
