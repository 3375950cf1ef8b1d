//! npm packages as they are installed: `node_modules/*/package.json`.

use serde::Deserialize;
use serde_json::Value;

use super::json;
use super::package::{Package, PackageKind};

#[derive(Deserialize)]
struct Document {
    name: Option<String>,
    version: Option<String>,
    license: Option<Value>,
}

/// Files without name or version mark directories for tools; they are no packages.
pub fn read_installed(bytes: &[u8]) -> Result<Vec<Package>, serde_json::Error> {
    let document: Document = json::read(bytes)?;
    let (Some(name), Some(version)) = (document.name, document.version) else {
        return Ok(Vec::new());
    };
    Ok(vec![Package {
        license: document.license.and_then(|l| l.as_str().map(String::from)),
        ..Package::new(PackageKind::Npm, name, version)
    }])
}
