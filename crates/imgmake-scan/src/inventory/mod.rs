//! What is in an image: packages with the file and layer that tell of them,
//! secrets, and files that invite trouble. Straight from the layer blobs, each
//! read once; knows no advisory and no policy.

mod apk;
mod classify;
mod distribution;
mod dotnet;
mod dpkg;
mod golang;
mod java;
mod merge;
mod npm;
mod npm_lock;
mod php;
mod python;
mod rpm;
mod ruby;
mod rust;
mod secrets;
mod sqlite;
#[cfg(test)]
mod tests;
mod walk;

use rayon::prelude::*;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use imgmake_event::Cancel;
use imgmake_oci::image::{Descriptor, Digest};
use imgmake_oci::store::Store;

pub use distribution::Distribution;
pub use secrets::{Secret, in_text as secrets_in};

/// A package as some file in the image names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    pub kind: PackageKind,
    pub name: String,
    pub version: String,
    /// Name and version of the source package that distributions' advisories speak of.
    pub source: Option<(String, String)>,
    pub architecture: Option<String>,
    pub licence: Option<String>,
}

impl Package {
    pub fn new(kind: PackageKind, name: impl Into<String>, version: impl Into<String>) -> Package {
        Package {
            kind,
            name: name.into(),
            version: version.into(),
            source: None,
            architecture: None,
            licence: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PackageKind {
    Dpkg,
    Apk,
    Rpm,
    Go,
    Cargo,
    Npm,
    Python,
    Gem,
    Composer,
    Maven,
    NuGet,
}

impl PackageKind {
    /// The type of a package URL.
    pub fn purl_type(self) -> &'static str {
        match self {
            PackageKind::Dpkg => "deb",
            PackageKind::Apk => "apk",
            PackageKind::Rpm => "rpm",
            PackageKind::Go => "golang",
            PackageKind::Cargo => "cargo",
            PackageKind::Npm => "npm",
            PackageKind::Python => "pypi",
            PackageKind::Gem => "gem",
            PackageKind::Composer => "composer",
            PackageKind::Maven => "maven",
            PackageKind::NuGet => "nuget",
        }
    }

    /// The OSV ecosystem; none for packages of a distribution.
    pub fn ecosystem(self) -> Option<&'static str> {
        match self {
            PackageKind::Dpkg | PackageKind::Apk | PackageKind::Rpm => None,
            PackageKind::Go => Some("Go"),
            PackageKind::Cargo => Some("crates.io"),
            PackageKind::Npm => Some("npm"),
            PackageKind::Python => Some("PyPI"),
            PackageKind::Gem => Some("RubyGems"),
            PackageKind::Composer => Some("Packagist"),
            PackageKind::Maven => Some("Maven"),
            PackageKind::NuGet => Some("NuGet"),
        }
    }
}

/// A package and where it was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Located {
    pub package: Package,
    /// Of the file that names it.
    pub path: String,
    /// The digest of the layer blob that holds this file.
    pub layer: Digest,
}

/// A file that deserves a look, in the final tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oddity {
    pub rule: OddityRule,
    pub path: String,
    pub layer: Digest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OddityRule {
    SetUserId,
    WorldWritable,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    pub distribution: Option<Distribution>,
    /// Sorted, each once.
    pub packages: Vec<Located>,
    /// In any layer, deleted later or not.
    pub secrets: Vec<Secret>,
    pub oddities: Vec<Oddity>,
    /// Package databases that are there but could not be read: whoever relies on
    /// the inventory must refuse.
    pub gaps: Vec<String>,
    pub warnings: Vec<String>,
}

/// How many packages one file tells of.
///
/// # Errors
/// It cannot be read at all.
pub fn packages_in(path: &str, content: &[u8]) -> Result<usize> {
    walk::packages_in(path, content)
}

/// Takes the inventory of an image from its layers, bottom first.
///
/// # Errors
/// Layers that are missing or damaged; cancellation.
pub fn take(layers: &[Descriptor], store: &Store, cancel: &Cancel) -> Result<Inventory> {
    let read: Result<Vec<walk::LayerFacts>> = layers
        .par_iter()
        .map(|layer| walk::read_layer(layer, store, cancel))
        .collect();
    Ok(merge::merge(read?))
}
