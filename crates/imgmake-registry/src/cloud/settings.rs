//! A cloud's settings, as the manifest and the environment give them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::super::{RegistryError, Secret};

pub(super) type Environment = BTreeMap<String, String>;

/// Options by their names in the manifest.
pub(super) struct Settings {
    values: BTreeMap<String, Secret>,
}

impl Settings {
    pub(super) fn read(
        kind: &str,
        options: &BTreeMap<String, Secret>,
        known: &[&str],
    ) -> Result<Settings, RegistryError> {
        let mut values = BTreeMap::new();
        for (name, value) in options {
            let name = name.replace('_', "-");
            if !known.contains(&name.as_str()) {
                return Err(RegistryError::configuration(format!(
                    "`auth {kind}` has no option `{name}`; it has {}",
                    known.join(", ")
                )));
            }
            if !value.0.is_empty() {
                values.insert(name, value.clone());
            }
        }
        Ok(Settings { values })
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|v| v.0.as_str())
    }

    pub(super) fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|n| self.get(n))
    }
}

pub(super) fn filled<'e>(environment: &'e Environment, name: &str) -> Option<&'e str> {
    environment
        .get(name)
        .map(String::as_str)
        .filter(|v| !v.is_empty())
}

pub(super) fn read_file(path: &str, what: &str) -> Result<String, RegistryError> {
    fs::read_to_string(path)
        .map_err(|e| RegistryError::configuration(format!("cannot read {what} `{path}`: {e}")))
}

/// A document given as text, as base64 of it, or as the path of a file.
pub(super) fn document(value: &str, opening: &str, what: &str) -> Result<String, RegistryError> {
    let value = value.trim();
    if value.starts_with(opening) {
        return Ok(value.to_string());
    }
    let packed: String = value.split_whitespace().collect();
    let unpacked = STANDARD
        .decode(packed)
        .ok()
        .and_then(|b| String::from_utf8(b).ok());
    if let Some(text) = unpacked.filter(|t| t.trim_start().starts_with(opening)) {
        return Ok(text);
    }
    if value.len() < 4096 && Path::new(value).is_file() {
        return read_file(value, what);
    }
    Err(RegistryError::configuration(format!(
        "{what} is neither the document, nor base64 of it, nor a file"
    )))
}

pub(super) fn address(text: &str) -> Result<Url, RegistryError> {
    Url::parse(text)
        .ok()
        .filter(|u| matches!(u.scheme(), "http" | "https"))
        .ok_or_else(|| {
            RegistryError::configuration(format!("`{text}` is not an http or https address"))
        })
}
