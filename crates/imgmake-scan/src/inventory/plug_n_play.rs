//! Yarn's Plug'n'Play: `.pnp.cjs` and `.pnp.data.json` stand for an installation.

use serde_json::Value;

use super::json;
use super::package::{Package, PackageKind};
use crate::percent;
use imgmake_guard::printable;

/// What a table tells.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    pub packages: Vec<Package>,
    /// What in it is of no registry.
    pub unread: Option<String>,
}

/// Where the table of a program is.
#[derive(Debug, PartialEq, Eq)]
pub enum Table {
    Here(Told),
    /// In the file of that name beside it.
    Beside(&'static str),
}

const DATA: &str = ".pnp.data.json";
/// How many references that cannot be judged are named.
const NAMED: usize = 3;
/// Patches of patches.
const DEEPEST: usize = 8;

/// # Errors
/// It is not such a table.
pub fn read_data(bytes: &[u8]) -> Result<Told, String> {
    let data: Value = json::read(bytes).map_err(|error| error.to_string())?;
    packages(&data)
}

/// A program with the same table in it: `const RAW_RUNTIME_STATE =` and a string of JavaScript
/// that goes on over several lines, or the table itself (`hydrateRuntimeState({…}`) in older ones.
/// With `pnpEnableInlining: false`, it asks for the other file (`hydrateRuntimeState(require(…`).
///
/// # Errors
/// The table is not found in it.
pub fn read_program(bytes: &[u8]) -> Result<Table, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text in UTF-8")?;
    if let Some((_, after)) = text.split_once("RAW_RUNTIME_STATE") {
        let quoted = after.trim_start().strip_prefix('=').map(str::trim_start);
        let quoted = quoted.and_then(|text| text.strip_prefix('\''));
        let string = quoted.and_then(unquoted).ok_or("its table is no string")?;
        return read_data(string.as_bytes()).map(Table::Here);
    }
    let (_, after) = text
        .split_once("hydrateRuntimeState(")
        .ok_or("`RAW_RUNTIME_STATE` not found in it")?;
    if after.trim_start().starts_with("require(") {
        return Ok(Table::Beside(DATA));
    }
    let mut values = serde_json::Deserializer::from_str(after).into_iter::<Value>();
    match values.next() {
        Some(Ok(data)) => packages(&data).map(Table::Here),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("its table is empty".into()),
    }
}

/// A string of JavaScript up to its end.
fn unquoted(text: &str) -> Option<String> {
    let mut string = String::with_capacity(text.len());
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '\'' => return Some(string),
            '\\' => match chars.next()? {
                // The line goes on.
                '\n' => {}
                'n' => string.push('\n'),
                't' => string.push('\t'),
                c @ ('\\' | '\'' | '"') => string.push(c),
                _ => return None,
            },
            c => string.push(c),
        }
    }
}

/// `packageRegistryData`: `[["name", [["npm:1.2.3", {…}], …]], …]`.
fn packages(data: &Value) -> Result<Told, String> {
    let table = data.get("packageRegistryData").and_then(Value::as_array);
    let table = table.ok_or("it has no `packageRegistryData`")?;
    let mut found = Vec::new();
    let mut others = Vec::new();
    for entry in table {
        let parts = entry.as_array().filter(|parts| parts.len() == 2);
        let [name, references] = parts.ok_or("an entry is no pair")?.as_slice() else {
            unreachable!("only pairs were let through")
        };
        let references = references.as_array().ok_or("an entry has no references")?;
        // The project itself has no name.
        let Some(name) = name.as_str() else { continue };
        for reference in references {
            let reference = reference.get(0).and_then(Value::as_str);
            let reference = reference.ok_or_else(|| format!("`{name}` has no reference"))?;
            match origin(name, reference, DEEPEST) {
                Origin::Registry(name, version) => {
                    found.push(Package::new(PackageKind::Npm, name, version));
                }
                Origin::Project => {}
                Origin::Other => others.push(format!("`{name}@{reference}`")),
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(Told {
        packages: found,
        unread: of_no_registry(others),
    })
}

fn of_no_registry(mut others: Vec<String>) -> Option<String> {
    let more = others.len().saturating_sub(NAMED);
    others.truncate(NAMED);
    if more > 0 {
        others.push(format!("{more} more"));
    }
    (!others.is_empty()).then(|| format!("of no registry: {}", printable::list(others)))
}

/// Where a package is from.
enum Origin {
    /// Its name there, and its version.
    Registry(String, String),
    /// `workspace:`, `link:`, `portal:`: a directory of the project.
    Project,
    Other,
}

/// `npm:1.2.3`, `npm:real@1.2.3` of an alias, `virtual:…#` and another, `patch:` and an encoded
/// locator (`patch:a@npm%3A1.2.3#a.patch`); each with parameters after `::`.
fn origin(name: &str, reference: &str, depth: usize) -> Origin {
    let local = ["workspace:", "link:", "portal:"];
    if local.iter().any(|start| reference.starts_with(start)) {
        return Origin::Project;
    }
    if depth == 0 {
        return Origin::Other;
    }
    if let Some(rest) = reference.strip_prefix("virtual:") {
        return match rest.split_once('#') {
            Some((_, plain)) => origin(name, plain, depth - 1),
            None => Origin::Other,
        };
    }
    if let Some(rest) = reference.strip_prefix("patch:") {
        let (locator, parameters) = rest.split_once('#').unwrap_or((rest, ""));
        let locator = percent::decode(locator);
        // The `@` of a scope is no end.
        let end = locator.char_indices().skip(1).find(|(_, c)| *c == '@');
        let Some((end, _)) = end else {
            return Origin::Other;
        };
        let (name, inner) = (&locator[..end], &locator[end + 1..]);
        return match (origin(name, inner, depth - 1), stated_version(parameters)) {
            (Origin::Registry(name, _), Some(version)) => Origin::Registry(name, version),
            (origin, _) => origin,
        };
    }
    let Some(version) = reference.strip_prefix("npm:") else {
        return Origin::Other;
    };
    let version = version.split("::").next().unwrap_or_default();
    let (name, version) = match version.rsplit_once('@') {
        Some((real, version)) if !real.is_empty() => (real, version),
        _ => (name, version),
    };
    Origin::Registry(name.to_string(), version.to_string())
}

/// `…::version=1.2.3&hash=…`
fn stated_version(parameters: &str) -> Option<String> {
    let (_, parameters) = parameters.rsplit_once("::")?;
    let version = parameters
        .split('&')
        .find_map(|p| p.strip_prefix("version="));
    version.map(percent::decode).filter(|v| !v.is_empty())
}
