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

/// `packages.config`: `<package id="Name" version="1.2.3" />` in `<packages>`.
///
/// # Errors
/// It is not such a document, or a package has no version.
pub fn read_config(text: &str) -> Result<Vec<Package>, String> {
    let text = without_comments(text)?;
    if !text.contains("<packages") {
        return Err("it has no `<packages>`".to_string());
    }
    let mut found = Vec::new();
    for element in text.split('<').skip(1) {
        let mut words =
            element.splitn(2, |c: char| c.is_ascii_whitespace() || c == '/' || c == '>');
        if words.next() != Some("package") {
            continue;
        }
        let rest = words.next().unwrap_or_default();
        let get = |name: &str| attribute(rest, name).filter(|value| !value.is_empty());
        if get("developmentDependency").is_some_and(|v| v.eq_ignore_ascii_case("true")) {
            continue;
        }
        let name = get("id").ok_or("a package has no `id`")?;
        let version = get("version").ok_or_else(|| format!("`{name}` has no version"))?;
        found.push(Package::new(PackageKind::NuGet, name, version));
    }
    Ok(found)
}

fn without_comments(text: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, comment)) = rest.split_once("<!--") {
        plain.push_str(before);
        let end = comment.split_once("-->");
        rest = end.ok_or("a comment in it has no end")?.1;
    }
    plain.push_str(rest);
    Ok(plain)
}

/// The value of an attribute of an element. Ids and versions have no characters that XML writes otherwise.
fn attribute(element: &str, name: &str) -> Option<String> {
    let mut rest = element;
    loop {
        let (key, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, more) = after[1..].split_once(quote)?;
        if key.split_ascii_whitespace().next_back() == Some(name) {
            return Some(value.trim().to_string());
        }
        rest = more;
    }
}

fn without_version(name: &str) -> serde_json::Error {
    serde::de::Error::custom(format!("`{name}` has no version"))
}
