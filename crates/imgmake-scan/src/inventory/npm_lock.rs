//! npm's lock files, versions 1 to 3, Yarn's (classic and Berry), pnpm's and Bun's.
//! Development dependencies are left out where the format tells.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::json;
use super::package::{Package, PackageKind};

#[derive(Deserialize)]
struct Lock {
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
    let mut found = Vec::new();
    match (lock.packages, lock.dependencies) {
        (Some(packages), _) => by_path(packages, &mut found),
        (None, Some(dependencies)) => by_name(dependencies, &mut found)?,
        (None, None) => {}
    }
    Ok(found)
}

fn by_path(packages: BTreeMap<String, Entry>, found: &mut Vec<Package>) {
    for (path, entry) in packages {
        let Some((_, last)) = path.rsplit_once("node_modules/") else {
            continue;
        };
        if entry.dev || entry.link {
            continue;
        }
        if let Some(version) = entry.version {
            let name = entry.name.unwrap_or_else(|| last.to_string());
            found.push(Package::new(PackageKind::Npm, name, version));
        }
    }
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
        if is_version(version) {
            found.push(Package::new(PackageKind::Npm, name, version));
        }
        if let Some(nested) = entry.dependencies {
            by_name(serde_json::from_value(nested)?, found)?;
        }
    }
    Ok(())
}

/// Not a URL, a file or a tarball.
fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

/// Entries start at the margin with their patterns, `"name@range", name@range:`;
/// then comes `  version "1.2.3"` (classic) or `  version: 1.2.3` (Berry).
pub fn read_yarn(text: &str) -> Vec<Package> {
    let mut found = Vec::new();
    let mut name = None;
    for line in text.lines() {
        if !line.starts_with([' ', '#']) && line.ends_with(':') {
            name = pattern_name(line);
        } else if let Some(version) = line.strip_prefix("  version") {
            let version = version.trim_start_matches(':').trim().trim_matches('"');
            if let Some(name) = name.take().filter(|_| is_version(version)) {
                found.push(Package::new(PackageKind::Npm, name, version));
            }
        }
    }
    found.retain(|p| !p.version.ends_with("-use.local"));
    found
}

fn pattern_name(line: &str) -> Option<String> {
    let first = line
        .trim_end_matches(':')
        .split(',')
        .next()?
        .trim()
        .trim_matches('"');
    // `alias@npm:real@^1` installs `real`.
    let first = match first.split_once("@npm:") {
        Some((_, real)) if real.trim_start_matches('@').contains('@') => real,
        _ => first,
    };
    let at = first.char_indices().skip(1).find(|(_, c)| *c == '@')?.0;
    Some(first[..at].to_string())
}

/// Keys under `packages:` are `name@1.2.3(peers)`, with a leading `/` before
/// version 9 and `/name/1.2.3_peers` before version 6.
pub fn read_pnpm(text: &str) -> Vec<Package> {
    let after = text
        .lines()
        .skip_while(|l| l.trim_end() != "packages:")
        .skip(1);
    let section = after.take_while(|l| l.is_empty() || l.starts_with(' '));
    let mut found: Vec<Option<Package>> = Vec::new();
    for line in section.filter_map(|l| l.strip_prefix("  ")) {
        if let Some(key) = line.trim_end().strip_suffix(':')
            && !line.starts_with(' ')
        {
            found.push(pnpm_key(key.trim_matches('\'')));
        } else if line.trim_end() == "  dev: true"
            && let Some(last) = found.last_mut()
        {
            *last = None;
        }
    }
    found.into_iter().flatten().collect()
}

#[derive(Deserialize)]
struct BunLock {
    #[serde(default)]
    packages: BTreeMap<String, Vec<serde_json::Value>>,
}

/// `bun.lock`: JSON with trailing commas; packages are `"name": ["name@1.2.3", …]`.
pub fn read_bun(bytes: &[u8]) -> Result<Vec<Package>, serde_json::Error> {
    let lock: BunLock = json::read(&json::without_trailing_commas(bytes))?;
    let specs = lock.packages.values().filter_map(|list| list.first());
    let specs = specs.filter_map(|spec| spec.as_str()?.rsplit_once('@'));
    Ok(specs
        .filter(|(name, version)| !name.is_empty() && is_version(version))
        .map(|(name, version)| Package::new(PackageKind::Npm, name, version))
        .collect())
}

fn pnpm_key(key: &str) -> Option<Package> {
    let key = key.strip_prefix('/').unwrap_or(key);
    let key = key.split('(').next()?;
    // Before version 6, peers follow the version after `_`.
    let plain =
        |text: &str| is_version(text) && !text.split('_').next().is_some_and(|v| v.contains('@'));
    let old = key.rsplit_once('/').filter(|(_, version)| plain(version));
    let (name, version) = match old {
        Some((name, version)) => (name, version.split('_').next()?),
        None => key.rsplit_once('@')?,
    };
    is_version(version).then(|| Package::new(PackageKind::Npm, name, version))
}
