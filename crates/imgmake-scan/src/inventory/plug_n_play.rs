//! Yarn's Plug'n'Play: `.pnp.cjs` and `.pnp.data.json` stand for an installation.

use serde_json::Value;

use super::json;
use super::package::{Package, PackageKind};

/// # Errors
/// It is not such a table.
pub fn read_data(bytes: &[u8]) -> Result<Vec<Package>, String> {
    let data: Value = json::read(bytes).map_err(|error| error.to_string())?;
    packages(&data)
}

/// A program with the same table in it: `const RAW_RUNTIME_STATE =` and a string of JavaScript
/// that goes on over several lines, or the table itself (`hydrateRuntimeState({…}`) in older ones.
///
/// # Errors
/// The table is not found in it.
pub fn read_program(bytes: &[u8]) -> Result<Vec<Package>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text in UTF-8")?;
    if let Some((_, after)) = text.split_once("RAW_RUNTIME_STATE") {
        let quoted = after.trim_start().strip_prefix('=').map(str::trim_start);
        let quoted = quoted.and_then(|text| text.strip_prefix('\''));
        let string = quoted.and_then(unquoted).ok_or("its table is no string")?;
        return read_data(string.as_bytes());
    }
    let (_, after) = text
        .split_once("hydrateRuntimeState(")
        .ok_or("no `RAW_RUNTIME_STATE` is in it")?;
    let mut values = serde_json::Deserializer::from_str(after).into_iter::<Value>();
    match values.next() {
        Some(Ok(data)) => packages(&data),
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

/// `packageRegistryData`: `[["name", [["npm:1.2.3", {…}], …]], …]`, references also
/// `virtual:…#npm:1.2.3`; those of `workspace:` are the project's own.
fn packages(data: &Value) -> Result<Vec<Package>, String> {
    let table = data.get("packageRegistryData").and_then(Value::as_array);
    let table = table.ok_or("it has no `packageRegistryData`")?;
    let mut found = Vec::new();
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
            let plain = reference
                .rsplit_once('#')
                .map_or(reference, |(_, plain)| plain);
            let Some(version) = plain.strip_prefix("npm:") else {
                continue;
            };
            // `alias@npm:real@1.0.0`
            let (name, version) = match version.rsplit_once('@') {
                Some((real, version)) if !real.is_empty() => (real, version),
                _ => (name, version),
            };
            found.push(Package::new(PackageKind::Npm, name, version));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}
