//! `deno.lock`: packages of npm and of JSR, and modules by their addresses.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::json;
use super::package::{Package, PackageKind};

/// The newest format whose shape is known.
const NEWEST: u64 = 5;

#[derive(Deserialize)]
struct Lock {
    /// Text, as Deno writes it.
    version: Value,
    #[serde(default)]
    packages: Parts,
    #[serde(flatten)]
    parts: Parts,
}

/// Beneath `packages` in version 3, by themselves since.
#[derive(Default, Deserialize)]
struct Parts {
    npm: Option<Value>,
    jsr: Option<BTreeMap<String, Value>>,
    /// By address, with its hash.
    remote: Option<BTreeMap<String, Value>>,
}

/// What a lock file tells.
#[derive(Debug)]
pub struct Told {
    pub packages: Vec<Package>,
    /// What it has of which nobody publishes advisories.
    pub unread: Option<String>,
}

/// # Errors
/// It is not such a document, or of another version.
pub fn read(bytes: &[u8]) -> Result<Told, serde_json::Error> {
    let lock: Lock = json::read(bytes)?;
    let version = match &lock.version {
        Value::String(text) => text.parse().ok(),
        version => version.as_u64(),
    };
    if !version.is_some_and(|version| (2..=NEWEST).contains(&version)) {
        let why = format!(
            "unknown `version` {}: 2 to {NEWEST} are expected",
            lock.version
        );
        return Err(unknown(&why));
    }
    let mut packages = Vec::new();
    for npm in [&lock.packages.npm, &lock.parts.npm].into_iter().flatten() {
        // Version 2 has `specifiers` and `packages` in it.
        let listed = npm.get("packages").unwrap_or(npm);
        let listed = listed
            .as_object()
            .ok_or_else(|| unknown("`npm` is not a table"))?;
        for key in listed.keys() {
            packages.push(package(key)?);
        }
    }
    let count = |of: fn(&Parts) -> usize| of(&lock.packages) + of(&lock.parts);
    let jsr = count(|parts| parts.jsr.as_ref().map_or(0, BTreeMap::len));
    let remote = count(|parts| parts.remote.as_ref().map_or(0, BTreeMap::len));
    let others = [
        (jsr, "packages of JSR"),
        (remote, "modules by their addresses"),
    ];
    let others = others.into_iter().filter(|(count, _)| *count > 0);
    let others: Vec<String> = others
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    Ok(Told {
        packages,
        unread: (!others.is_empty()).then(|| {
            format!(
                "{}, for which no advisories are known",
                others.join(" and ")
            )
        }),
    })
}

/// `@scope/name@1.2.3`, with what it was resolved beside: `name@1.2.3_peer@4.5.6`.
fn package(key: &str) -> Result<Package, serde_json::Error> {
    let (scope, rest) = match key.strip_prefix('@') {
        Some(scoped) => ("@", scoped),
        None => ("", key),
    };
    let parts = rest.split_once('@');
    let (name, version) = parts.ok_or_else(|| unknown(&format!("`{key}` has no version")))?;
    let version = version.split('_').next().unwrap_or_default();
    if name.is_empty() || version.is_empty() {
        return Err(unknown(&format!("`{key}` has no name or no version")));
    }
    let name = format!("{scope}{name}");
    Ok(Package::new(PackageKind::Npm, name, version))
}

fn unknown(why: &str) -> serde_json::Error {
    serde::de::Error::custom(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<String> {
        let told = read(text.as_bytes()).unwrap();
        let packages = told.packages.iter();
        packages
            .map(|p| format!("{}@{}", p.name, p.version))
            .collect()
    }

    /// As Deno 1.30, 1.40 and 2 write it.
    #[test]
    fn packages_of_npm_are_found_in_each_version() {
        let expected = ["@scope/a@1.0.0", "b@2.0.0-rc.1"];
        for text in [
            r#"{"version":"2","remote":{},"npm":{"specifiers":{"b":"b@2.0.0-rc.1"},"packages":{"@scope/a@1.0.0":{"integrity":"x"},"b@2.0.0-rc.1":{}}}}"#,
            r#"{"version":"3","packages":{"specifiers":{},"npm":{"@scope/a@1.0.0":{},"b@2.0.0-rc.1":{}}},"remote":{}}"#,
            r#"{"version":"4","specifiers":{},"npm":{"@scope/a@1.0.0_b@2.0.0":{},"b@2.0.0-rc.1":{}},"workspace":{}}"#,
            r#"{"version":"5","npm":{"@scope/a@1.0.0":{},"b@2.0.0-rc.1":{}}}"#,
        ] {
            assert_eq!(named(text), expected, "{text}");
            assert_eq!(read(text.as_bytes()).unwrap().unread, None);
        }
    }

    #[test]
    fn what_has_no_advisories_is_named_and_another_version_is_refused() {
        let told = read(br#"{"version":"4","jsr":{"@std/fs@1.0.0":{}},"remote":{"https://example.com/a.ts":"x"}}"#).unwrap();
        let why =
            "1 packages of JSR and 1 modules by their addresses, for which no advisories are known";
        assert_eq!(told.unread.as_deref(), Some(why));
        for text in [
            r#"{"version":"6"}"#,
            r#"{"npm":{}}"#,
            r#"{"version":"4","npm":{"a":{}}}"#,
            r#"{"version":"4","npm":[]}"#,
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
