//! Python's lock files: `poetry.lock`, `uv.lock`, `pdm.lock`, `pylock.toml`, `Pipfile.lock`. Groups for development are
//! left out where the format tells.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::json;
use super::package::{Package, PackageKind};

/// Poetry and PDM write `metadata`, uv `version`, `pylock.toml` has `lock-version`, also where there is no package.
#[derive(Deserialize)]
struct Lock {
    #[serde(alias = "packages")]
    package: Option<Vec<Entry>>,
    metadata: Option<toml::Value>,
    #[serde(alias = "lock-version")]
    version: Option<toml::Value>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    /// None of a project itself.
    version: Option<String>,
    /// Poetry up to version 1.4.
    category: Option<String>,
    /// Poetry from version 2.
    groups: Option<Vec<String>>,
    source: Option<toml::Table>,
    /// Of `pylock.toml`: what is not of an index need have no version.
    directory: Option<toml::Value>,
    vcs: Option<toml::Value>,
    archive: Option<toml::Value>,
}

/// `poetry.lock` and `uv.lock`, which are alike.
pub fn read_toml(text: &str) -> Result<Vec<Package>, toml::de::Error> {
    let lock: Lock = toml::from_str(text)?;
    let packages = match (lock.package, lock.metadata.or(lock.version)) {
        (None, None) => return Err(serde::de::Error::missing_field("package")),
        (packages, _) => packages.unwrap_or_default(),
    };
    let used = packages.into_iter().filter(Entry::is_used);
    used.map(|entry| {
        let missing = || serde::de::Error::custom(format!("`{}` has no `version`", entry.name));
        let version = entry.version.ok_or_else(missing)?;
        Ok(Package::new(PackageKind::Python, entry.name, version))
    })
    .collect()
}

impl Entry {
    fn is_used(&self) -> bool {
        let own = ["editable", "virtual", "directory"];
        let elsewhere = [&self.directory, &self.vcs, &self.archive];
        if self.version.is_none() && elsewhere.iter().any(|place| place.is_some()) {
            return false;
        }
        let is_own = |source: &toml::Table| own.iter().any(|key| source.contains_key(*key));
        let groups = self.groups.as_deref().unwrap_or_default();
        self.category.as_deref() != Some("dev")
            && (groups.is_empty() || groups.iter().any(|group| group != "dev"))
            && !self.source.as_ref().is_some_and(is_own)
    }
}

#[derive(Deserialize)]
struct Pipfile {
    default: BTreeMap<String, Pinned>,
}

#[derive(Deserialize)]
struct Pinned {
    /// None of what comes from a repository or a path.
    version: Option<String>,
    #[serde(flatten)]
    others: BTreeMap<String, serde_json::Value>,
}

impl Pinned {
    fn is_from_elsewhere(&self) -> bool {
        let keys = ["git", "hg", "svn", "bzr", "path", "file", "editable"];
        keys.iter().any(|key| self.others.contains_key(*key))
    }
}

pub fn read_pipfile(bytes: &[u8]) -> Result<Vec<Package>, serde_json::Error> {
    let lock: Pipfile = json::read(bytes)?;
    let pinned = lock.default.into_iter();
    pinned
        .filter(|(_, pinned)| pinned.version.is_some() || !pinned.is_from_elsewhere())
        .map(|(name, pinned)| {
            let missing = || serde::de::Error::custom(format!("`{name}` has no `version`"));
            let version = pinned.version.ok_or_else(missing)?;
            let version = version.trim_start_matches('=').to_string();
            Ok(Package::new(PackageKind::Python, name, version))
        })
        .collect()
}
