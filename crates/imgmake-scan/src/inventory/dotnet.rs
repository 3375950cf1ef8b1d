//! .NET: `*.deps.json`, whose `libraries` are keyed `Name/1.2.3`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::package::{Package, PackageKind};

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    libraries: BTreeMap<String, Library>,
}

#[derive(Deserialize)]
struct Library {
    #[serde(rename = "type", default)]
    kind: String,
}

pub fn read(bytes: &[u8]) -> Result<Vec<Package>, serde_json::Error> {
    let document: Document = serde_json::from_slice(bytes)?;
    let packages = document
        .libraries
        .iter()
        .filter(|(_, l)| l.kind == "package");
    Ok(packages
        .filter_map(|(key, _)| key.rsplit_once('/'))
        .map(|(name, version)| Package::new(PackageKind::NuGet, name, version))
        .collect())
}
