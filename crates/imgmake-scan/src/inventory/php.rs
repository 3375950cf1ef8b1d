//! PHP: `composer.lock` and `vendor/composer/installed.json`.

use serde::Deserialize;

use super::json;
use super::package::{Package, PackageKind};

#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    /// Composer 2 and the lock file.
    Object { packages: Vec<Entry> },
    /// Composer 1.
    List(Vec<Entry>),
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    version: String,
}

pub fn read(bytes: &[u8]) -> Result<Vec<Package>, serde_json::Error> {
    let (Document::Object { packages } | Document::List(packages)) = json::read(bytes)?;
    if packages.iter().any(|p| p.version.is_empty()) {
        return Err(serde::de::Error::custom("a package has no version"));
    }
    Ok(packages
        .into_iter()
        .map(|p| {
            let version = p.version.strip_prefix('v').unwrap_or(&p.version);
            Package::new(PackageKind::Composer, &p.name, version)
        })
        .collect())
}
