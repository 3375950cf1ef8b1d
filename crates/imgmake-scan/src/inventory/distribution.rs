//! Which distribution an image is, from `os-release(5)`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// `ID`: `debian`.
    pub id: String,
    /// `VERSION_ID`: `12`; empty for rolling releases.
    pub version: String,
    pub name: String,
    /// `VERSION_CODENAME`.
    codename: String,
    cpe: String,
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
            codename: get("VERSION_CODENAME"),
            cpe: get("CPE_NAME"),
            id,
        })
    }

    /// The OSV ecosystem with its release, if there is one.
    pub fn ecosystem(&self) -> Option<String> {
        let major = self.version.split('.').next().unwrap_or_default();
        Some(match self.id.as_str() {
            "debian" => format!("Debian:{}", self.debian_release()),
            "ubuntu" => format!("Ubuntu:{}", self.version),
            "alpine" => format!("Alpine:{}", self.alpine_branch()),
            "wolfi" => "Wolfi".to_string(),
            "chainguard" => "Chainguard".to_string(),
            "almalinux" => format!("AlmaLinux:{major}"),
            "rocky" => format!("Rocky Linux:{major}"),
            "rhel" => format!("Red Hat:enterprise_linux:{major}"),
            "opensuse-leap" => format!("openSUSE:Leap {}", self.version),
            "opensuse-tumbleweed" => "openSUSE:Tumbleweed".to_string(),
            "sles" => format!(
                "SUSE:Linux Enterprise Server {}",
                self.version.replace('.', " SP")
            ),
            "mageia" => format!("Mageia:{major}"),
            "photon" => format!("Photon OS:{}", self.version),
            "azurelinux" | "mariner" => format!("Azure Linux:{major}"),
            _ => return None,
        })
    }

    /// Testing and unstable carry only a code name.
    fn debian_release(&self) -> &str {
        if !self.version.is_empty() {
            return self.version.split('.').next().unwrap_or_default();
        }
        match self.codename.as_str() {
            "bullseye" => "11",
            "bookworm" => "12",
            "trixie" => "13",
            "forky" => "14",
            "duke" => "15",
            other => other,
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

fn field(line: &str) -> Option<(&str, String)> {
    let (key, value) = line.trim().split_once('=')?;
    let value = value.trim();
    let quoted = ['"', '\'']
        .iter()
        .find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
    Some((key, quoted.unwrap_or(value).replace('\\', "")))
}
