//! What an inventory says of an image: packages with the file and layer that tell of them,
//! secrets, and files that invite trouble.

use serde::{Deserialize, Serialize};

use imgmake_oci::image::Digest;

use super::distribution::Distribution;
use super::package::Package;
use super::secrets::Secret;

/// A package and where it was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Located {
    pub package: Package,
    /// Of the file that names it.
    pub path: String,
    /// The digest of the layer blob that holds this file.
    pub layer: Digest,
    /// Of links that lead to that file, and of lock files that name the package elsewhere.
    pub other_paths: Vec<String>,
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
    /// Other files that tell of packages and could not be read, or not all of them: what is in
    /// them is not judged.
    pub unread: Vec<String>,
    /// Paths of lock files inside of installed packages, which serve the development of those.
    pub left_out: Vec<String>,
}
