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
    #[serde(default)]
    private: bool,
}

/// None, where it is no package of a registry: without a version, and `private`. A name that is
/// missing is that of the directory, as for npm.
///
/// # Errors
/// It is no such document.
pub fn read_installed(path: &str, bytes: &[u8]) -> Result<Installed, serde_json::Error> {
    let document: Document = json::read(bytes)?;
    let version = document.version.filter(|version| !version.is_empty());
    let Some(version) = version else {
        return Ok(match document.private {
            true => Installed::Own,
            false => Installed::Nameless,
        });
    };
    let name = document.name.filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| directory(path));
    Ok(Installed::Package(Package {
        license: document.license.and_then(|l| l.as_str().map(String::from)),
        ..Package::new(PackageKind::Npm, name, version)
    }))
}

pub enum Installed {
    Package(Package),
    /// Of a project that publishes nothing.
    Own,
    Nameless,
}

/// `@scope/name` of `…/node_modules/@scope/name/package.json`.
fn directory(path: &str) -> String {
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let inside = directory.rsplit("node_modules/").next();
    inside.unwrap_or_default().to_string()
}
