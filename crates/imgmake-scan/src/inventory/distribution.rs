//! Which distribution an image is, from `os-release(5)`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::package::PackageKind;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// `ID`: `debian`.
    pub id: String,
    /// `VERSION_ID`: `12`; empty for rolling releases.
    pub version: String,
    pub name: String,
    /// `VERSION`: `24.03 (LTS-SP1)`.
    long_version: String,
    /// `ID_LIKE`: what it was made from, the nearest first.
    like: Vec<String>,
    /// `VERSION_CODENAME`.
    codename: String,
    /// `DEBIAN_CODENAME` and `UBUNTU_CODENAME`: of the release that a derivative was made from.
    debian_codename: String,
    ubuntu_codename: String,
}

impl Distribution {
    pub fn parse(text: &str) -> Option<Distribution> {
        let fields: BTreeMap<&str, String> = text.lines().filter_map(field).collect();
        let get = |key: &str| fields.get(key).cloned().unwrap_or_default();
        let id = get("ID");
        let name = [get("PRETTY_NAME"), get("NAME"), id.clone()];
        (!id.is_empty()).then(|| Distribution {
            version: get("VERSION_ID"),
            name: name.into_iter().find(|n| !n.is_empty()).unwrap_or_default(),
            long_version: get("VERSION"),
            like: get("ID_LIKE")
                .split_whitespace()
                .map(String::from)
                .collect(),
            codename: get("VERSION_CODENAME"),
            debian_codename: get("DEBIAN_CODENAME"),
            ubuntu_codename: get("UBUNTU_CODENAME"),
            id,
        })
    }

    /// The OSV ecosystems with their releases: its own, then those of what it was made from.
    pub fn ecosystems(&self) -> Vec<String> {
        let like = self.like.iter().filter_map(|id| self.like_ecosystem(id));
        self.ecosystem().into_iter().chain(like).collect()
    }

    /// Whether packages of this kind can be those of which an ecosystem's advisories speak.
    pub fn installs(ecosystem: &str, kind: PackageKind) -> bool {
        let own = match ecosystem.split(':').next().unwrap_or_default() {
            "Debian" | "Ubuntu" | "Echo" => PackageKind::Dpkg,
            "Alpine"
            | "Wolfi"
            | "Chainguard"
            | "MinimOS"
            | "Alpaquita"
            | "BellSoft Hardened Containers" => PackageKind::Apk,
            _ => PackageKind::Rpm,
        };
        kind == own
    }

    /// Without releases, and with the same packages: images of Chainguard are made of Wolfi's.
    pub fn is_rolling(&self) -> bool {
        matches!(self.id.as_str(), "wolfi" | "chainguard")
    }

    fn ecosystem(&self) -> Option<String> {
        let major = self.major();
        Some(match self.id.to_ascii_lowercase().as_str() {
            "debian" => format!("Debian:{}", self.debian_release()),
            "ubuntu" => format!("Ubuntu:{}", self.version),
            "alpine" => format!("Alpine:{}", self.alpine_branch()),
            "wolfi" => "Wolfi".to_string(),
            "chainguard" => "Chainguard".to_string(),
            "minimos" => "MinimOS".to_string(),
            "echo" => "Echo".to_string(),
            "alpaquita" => format!("Alpaquita:{}", self.alpaquita_stream()),
            "bellsoft-hardened-containers" => {
                format!("BellSoft Hardened Containers:{}", self.alpaquita_stream())
            }
            "almalinux" => format!("AlmaLinux:{major}"),
            "rocky" => format!("Rocky Linux:{major}"),
            "rhel" => format!("Red Hat:enterprise_linux:{major}"),
            "openeuler" => format!("openEuler:{}", self.openeuler_release()),
            "opensuse-leap" => format!("openSUSE:Leap {}", self.version),
            "opensuse-tumbleweed" => "openSUSE:Tumbleweed".to_string(),
            "sles" | "sled" | "sles_sap" | "sle_hpc" => {
                format!("SUSE:Linux Enterprise Server {}", self.suse_release())
            }
            "suse-microos" | "sle-micro" => format!("SUSE:Linux Enterprise Micro {}", self.version),
            "sl-micro" => format!("SUSE:Linux Micro {}", self.version),
            "mageia" => format!("Mageia:{major}"),
            "photon" => format!("Photon OS:{}", self.version),
            "azurelinux" | "mariner" => format!("Azure Linux:{major}"),
            _ => return None,
        })
    }

    /// Only where it says which release it was made from: the numbers of a derivative are its own.
    fn like_ecosystem(&self, id: &str) -> Option<String> {
        let either = |a: &str, b: &str, table: fn(&str) -> Option<&'static str>| {
            table(a).or_else(|| table(b))
        };
        match id {
            "debian" => either(&self.debian_codename, &self.codename, debian)
                .map(|release| format!("Debian:{release}")),
            "ubuntu" => either(&self.ubuntu_codename, &self.codename, ubuntu)
                .map(|release| format!("Ubuntu:{release}")),
            // Rebuilds have the number of what they rebuild.
            "rhel" if self.id != "amzn" => {
                Some(format!("Red Hat:enterprise_linux:{}", self.major()))
            }
            _ => None,
        }
    }

    fn major(&self) -> &str {
        self.version.split('.').next().unwrap_or_default()
    }

    /// Testing and unstable carry only a code name.
    fn debian_release(&self) -> &str {
        match self.version.is_empty() {
            false => self.major(),
            true => debian(&self.codename).unwrap_or(&self.codename),
        }
    }

    /// `15 SP5` of 15.5; from 16 on, versions are written as they are.
    fn suse_release(&self) -> String {
        let has_packs = self.major().parse::<u32>().is_ok_and(|major| major < 16);
        match has_packs {
            true => self.version.replace('.', " SP"),
            false => self.version.clone(),
        }
    }

    /// `24.03-LTS-SP1` of `24.03 (LTS-SP1)`.
    fn openeuler_release(&self) -> String {
        let inside = self.long_version.split_once('(');
        let edition = inside.map_or("", |(_, rest)| rest.trim_end_matches(')').trim());
        match edition.is_empty() {
            true => self.version.clone(),
            false => format!("{}-{edition}", self.version),
        }
    }

    fn alpaquita_stream(&self) -> &str {
        match self.major().bytes().all(|b| b.is_ascii_digit()) && !self.version.is_empty() {
            true => self.major(),
            false => "stream",
        }
    }

    fn alpine_branch(&self) -> String {
        let mut parts = self.version.split('.');
        match (parts.next(), parts.next()) {
            (Some(major), Some(minor)) if minor.bytes().all(|b| b.is_ascii_digit()) => {
                format!("v{major}.{minor}")
            }
            _ => "edge".to_string(),
        }
    }
}

/// Whether a release, by its number or its name, has this name.
pub fn is_codename(codename: &str, release: &str) -> bool {
    codename == release || debian(codename) == Some(release)
}

fn debian(codename: &str) -> Option<&'static str> {
    Some(match codename {
        "stretch" => "9",
        "buster" => "10",
        "bullseye" => "11",
        "bookworm" => "12",
        "trixie" => "13",
        "forky" => "14",
        "duke" => "15",
        _ => return None,
    })
}

fn ubuntu(codename: &str) -> Option<&'static str> {
    Some(match codename {
        "trusty" => "14.04",
        "xenial" => "16.04",
        "bionic" => "18.04",
        "focal" => "20.04",
        "jammy" => "22.04",
        "noble" => "24.04",
        "oracular" => "24.10",
        "plucky" => "25.04",
        "questing" => "25.10",
        "resolute" => "26.04",
        _ => return None,
    })
}

fn field(line: &str) -> Option<(&str, String)> {
    let (key, value) = line.trim().split_once('=')?;
    let value = value.trim();
    let quoted = ['"', '\'']
        .iter()
        .find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
    Some((key, quoted.unwrap_or(value).replace('\\', "")))
}
