//! A package as some file in an image names it.

use serde::{Deserialize, Serialize};

/// A package as some file in the image names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    pub kind: PackageKind,
    pub name: String,
    pub version: String,
    /// Name and version of the source package that distributions' advisories speak of.
    pub source: Option<(String, String)>,
    /// Of a jar whose group is a guess: artifacts that it may be, of any group.
    pub artifacts: Vec<String>,
    pub architecture: Option<String>,
    pub license: Option<String>,
}

impl Package {
    pub fn new(kind: PackageKind, name: impl Into<String>, version: impl Into<String>) -> Package {
        Package {
            kind,
            name: name.into(),
            version: version.into(),
            source: None,
            artifacts: Vec::new(),
            architecture: None,
            license: None,
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
    Bitnami,
    Conda,
    Opkg,
    Pacman,
    Portage,
    WordPress,
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
            PackageKind::Bitnami => "bitnami",
            PackageKind::Conda => "conda",
            PackageKind::Opkg => "opkg",
            PackageKind::Pacman => "alpm",
            PackageKind::Portage => "ebuild",
            PackageKind::WordPress => "wordpress",
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
            PackageKind::Bitnami => Some("Bitnami"),
            PackageKind::Conda => Some("conda"),
            PackageKind::Opkg => Some("opkg"),
            PackageKind::Pacman => Some("pacman"),
            PackageKind::Portage => Some("Portage"),
            PackageKind::WordPress => Some("WordPress"),
        }
    }

    /// Whether the database of a distribution tells of it.
    pub fn is_of_distribution(self) -> bool {
        matches!(
            self,
            PackageKind::Dpkg
                | PackageKind::Apk
                | PackageKind::Rpm
                | PackageKind::Opkg
                | PackageKind::Pacman
                | PackageKind::Portage
        )
    }

    /// Whether OSV has advisories for it, or for the distributions that use it.
    pub fn is_published(self) -> bool {
        !matches!(
            self,
            PackageKind::Conda
                | PackageKind::Opkg
                | PackageKind::Pacman
                | PackageKind::Portage
                | PackageKind::WordPress
        )
    }
}
