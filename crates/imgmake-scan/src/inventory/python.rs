//! Python's core metadata: `Name:` and `Version:` before the first blank line.

use super::package::{Package, PackageKind};

pub fn read(text: &str) -> Vec<Package> {
    let header = || text.lines().take_while(|l| !l.trim().is_empty());
    let get = |key: &str| {
        let field = header()
            .filter_map(|l| l.split_once(':'))
            .find(|(k, _)| k.eq_ignore_ascii_case(key));
        field
            .map(|(_, v)| v.trim().to_string())
            .filter(|v| !v.is_empty())
    };
    let (Some(name), Some(version)) = (get("Name"), get("Version")) else {
        return Vec::new();
    };
    vec![Package {
        license: get("License-Expression").or_else(|| get("License")),
        ..Package::new(PackageKind::Python, name, version)
    }]
}

/// A package by the name of the directory that describes it: `name-1.0.dist-info`,
/// `name-1.0-py3.11.egg-info`.
pub fn of_directory(path: &str) -> Option<Package> {
    let name = path.rsplit('/').next()?;
    let stem = name
        .strip_suffix(".dist-info")
        .or_else(|| name.strip_suffix(".egg-info"))?;
    let mut dashes = stem.match_indices('-').map(|(at, _)| at);
    let at = dashes.find(|at| stem[at + 1..].starts_with(|c: char| c.is_ascii_digit()))?;
    let version = &stem[at + 1..];
    let version = version.split("-py").next().unwrap_or(version);
    let is_named = !stem[..at].is_empty();
    is_named.then(|| Package::new(PackageKind::Python, &stem[..at], version))
}
