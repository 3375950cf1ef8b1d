//! npm's lock files, versions 1 to 3, and Bun's.
//! Development dependencies are left out where the format tells.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::json;
use super::package::{Package, PackageKind};

/// The newest format whose shape is known.
const NEWEST: u64 = 3;
const NEWEST_OF_BUN: u64 = 1;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lock {
    /// Missing in what npm before version 5 wrote.
    lockfile_version: Option<u64>,
    /// Versions 2 and 3: keyed by path.
    packages: Option<BTreeMap<String, Entry>>,
    /// Versions 1 and 2: keyed by name.
    dependencies: Option<BTreeMap<String, Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    name: Option<String>,
    version: Option<String>,
    #[serde(default)]
    dev: bool,
    #[serde(default)]
    link: bool,
    dependencies: Option<serde_json::Value>,
}

pub fn read_npm(bytes: &[u8]) -> Result<Vec<Package>, serde_json::Error> {
    let lock: Lock = json::read(bytes)?;
    if lock
        .lockfile_version
        .is_some_and(|version| version > NEWEST)
    {
        return Err(unknown("`lockfileVersion` is newer than 3"));
    }
    let mut found = Vec::new();
    match (lock.packages, lock.dependencies) {
        (Some(packages), _) => by_path(packages, &mut found)?,
        (None, Some(dependencies)) => by_name(dependencies, &mut found)?,
        // Of a project without dependencies.
        (None, None) if lock.lockfile_version == Some(1) => {}
        (None, None) => return Err(unknown("it has neither `packages` nor `dependencies`")),
    }
    Ok(found)
}

fn unknown(why: &str) -> serde_json::Error {
    serde::de::Error::custom(why)
}

fn by_path(
    packages: BTreeMap<String, Entry>,
    found: &mut Vec<Package>,
) -> Result<(), serde_json::Error> {
    for (path, entry) in packages {
        let Some((_, last)) = path.rsplit_once("node_modules/") else {
            continue;
        };
        if entry.dev || entry.link {
            continue;
        }
        let missing = || unknown(&format!("`{path}` has no `version`"));
        let version = entry.version.ok_or_else(missing)?;
        let name = entry.name.unwrap_or_else(|| last.to_string());
        found.push(Package::new(PackageKind::Npm, name, version));
    }
    Ok(())
}

fn by_name(
    dependencies: BTreeMap<String, Entry>,
    found: &mut Vec<Package>,
) -> Result<(), serde_json::Error> {
    for (name, entry) in dependencies {
        if entry.dev {
            continue;
        }
        let version = entry.version.as_deref().unwrap_or_default();
        // `npm:real@1.0.0` installs `real` under another name.
        let real = version
            .strip_prefix("npm:")
            .and_then(|v| v.rsplit_once('@'));
        let (name, version) = real.unwrap_or((&name, version));
        if version.is_empty() {
            return Err(unknown(&format!("`{name}` has no `version`")));
        }
        let version = of_tarball(version).unwrap_or(version);
        if is_version(version) {
            found.push(Package::new(PackageKind::Npm, name, version));
        }
        if let Some(nested) = entry.dependencies {
            by_name(serde_json::from_value(nested)?, found)?;
        }
    }
    Ok(())
}

/// `1.0.0` of `https://registry.example/name/-/name-1.0.0.tgz`, as registries name files.
fn of_tarball(address: &str) -> Option<&str> {
    let file = address.split_once("/-/")?.1.strip_suffix(".tgz")?;
    let mut dashes = file.match_indices('-').map(|(at, _)| &file[at + 1..]);
    dashes.find(|version| is_version(version))
}

/// Not a URL, a file or a tarball.
pub fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BunLock {
    lockfile_version: Option<u64>,
    packages: BTreeMap<String, Vec<serde_json::Value>>,
}

/// `bun.lock`: JSON with trailing commas; packages are `"name": ["name@1.2.3", …]`.
pub fn read_bun(bytes: &[u8]) -> Result<Vec<Package>, serde_json::Error> {
    let lock: BunLock = json::read(&json::without_trailing_commas(bytes))?;
    if lock
        .lockfile_version
        .is_some_and(|version| version > NEWEST_OF_BUN)
    {
        return Err(unknown("`lockfileVersion` is newer than 1"));
    }
    let specs = lock.packages.values().filter_map(|list| list.first());
    let specs = specs.filter_map(|spec| spec.as_str()?.rsplit_once('@'));
    Ok(specs
        .filter(|(name, version)| !name.is_empty() && is_version(version))
        .map(|(name, version)| Package::new(PackageKind::Npm, name, version))
        .collect())
}
