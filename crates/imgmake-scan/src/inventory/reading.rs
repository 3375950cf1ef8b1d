//! One file, read as what its name says it is.

use std::fs::File;
use std::io::{self, Read, Seek};

use super::classify::{Reading, meaning};
use super::distribution::Distribution;
use super::npm::Installed;
use super::package::Package;
use super::plug_n_play::Table;
use super::{
    apk, deno, dotnet, dpkg, egg, java, npm, npm_lock, plug_n_play, pnpm_lock, systems, yarn_lock,
};
use super::{php, python, python_lock, release, rpm, ruby, rust};
use crate::error::Result;
use imgmake_event::Cancel;

/// Bytes of a file that is read as text; dpkg's largest databases have a tenth.
const LARGEST_TEXT: u64 = 64 << 20;
/// What one file tells.
#[derive(Clone, Debug, Default)]
pub struct Fact {
    pub packages: Vec<Package>,
    pub lockfile: bool,
    pub distribution: Option<Distribution>,
    /// A package database that could not be read, and why.
    pub gap: Option<String>,
    /// Why what is in another file that tells of packages is not known, or not all of it.
    pub unread: Option<String>,
    /// The file beside it in which that is which it should tell.
    pub beside: Option<&'static str>,
    /// Why what it is is not known, though it is some package: unless a package of the
    /// distribution brought it.
    pub nameless: Option<String>,
    /// What a file besides os-release says of the release.
    pub release: Option<String>,
    /// The directory in which the package is that it should tell of.
    pub directory: Option<String>,
    /// Files that a package of the distribution brought, of those that tell of packages.
    pub owned: Vec<Vec<u8>>,
    /// Packages of which dpkg knows that they were removed.
    pub removed: Vec<String>,
}

impl Fact {
    pub fn says_something(&self) -> bool {
        !self.packages.is_empty()
            || self.distribution.is_some()
            || self.gap.is_some()
            || self.unread.is_some()
            || self.beside.is_some()
            || self.nameless.is_some()
            || self.release.is_some()
            || self.directory.is_some()
            || !self.owned.is_empty()
            || !self.removed.is_empty()
    }
}

pub fn read_as(
    reading: Reading,
    path: &str,
    size: u64,
    content: &mut dyn Read,
    cancel: &Cancel,
) -> Result<Fact> {
    let mut fact = Fact {
        lockfile: reading.is_lockfile(),
        ..Fact::default()
    };
    if let Some(why) = too_large(reading, size) {
        fact.settle(reading, Err(why));
        return Ok(fact);
    }
    match reading {
        Reading::RpmSqlite => {
            fact.settle(reading, rpm::read_sqlite(&spool(content)?, None, cancel));
        }
        // Read together with its database.
        Reading::RpmSqliteLog => {}
        Reading::RpmNdb => fact.settle(reading, rpm::read_ndb(&spool(content)?, cancel)),
        Reading::RpmBerkeley => {
            fact.settle(reading, rpm::read_berkeley(&spool(content)?, cancel));
        }
        Reading::Jar => {
            fact.take_jar(java::read(path, &spool(content)?, cancel));
        }
        Reading::JavaModule => {
            fact.take_jar(java::read_module(path, &spool(content)?, cancel));
        }
        Reading::Egg => fact.settle(reading, egg::read(&spool(content)?)),
        Reading::ApkBinary => {
            let why = "its format (apk-tools 3) is not read";
            fact.settle(reading, Err(why.to_string()));
        }
        _ => {
            let mut bytes = Vec::with_capacity(size as usize);
            content.read_to_end(&mut bytes)?;
            if reading == Reading::OsRelease {
                fact.distribution = Distribution::parse(&String::from_utf8_lossy(&bytes));
            } else if reading == Reading::Release {
                fact.release = release::said(&bytes);
            } else if reading == Reading::EggLink {
                match egg::read_link(&bytes) {
                    Ok(directory) => fact.directory = Some(directory),
                    Err(why) => fact.unread = Some(why),
                }
            } else if reading == Reading::DenoLock {
                match deno::read(&bytes) {
                    Ok(told) => (fact.packages, fact.unread) = (told.packages, told.unread),
                    Err(error) => fact.unread = Some(error.to_string()),
                }
            } else if reading == Reading::DpkgFiles {
                fact.owned = dpkg::read_files(&bytes, |path| meaning(path).is_some());
            } else if reading == Reading::NpmPackage {
                match npm::read_installed(path, &bytes) {
                    Ok(Installed::Package(package)) => fact.packages = vec![package],
                    Ok(Installed::Own) => {}
                    Ok(Installed::Nameless) => fact.nameless = Some("it has no `version`".into()),
                    Err(error) => fact.unread = Some(error.to_string()),
                }
            } else if matches!(reading, Reading::PlugNPlay | Reading::PlugNPlayData) {
                let read = match reading {
                    Reading::PlugNPlay => plug_n_play::read_program(&bytes),
                    _ => plug_n_play::read_data(&bytes).map(Table::Here),
                };
                match read {
                    Ok(Table::Here(told)) => {
                        (fact.packages, fact.unread) = (told.packages, told.unread);
                    }
                    Ok(Table::Beside(name)) => fact.beside = Some(name),
                    Err(why) => fact.unread = Some(why),
                }
            } else {
                fact.settle(reading, read_text(reading, path, &bytes));
                if reading == Reading::DpkgStatus {
                    fact.removed = dpkg::removed(&bytes);
                }
                if reading == Reading::Chisel && fact.unread.is_none() {
                    fact.unread =
                        Some("it does not name source packages, of which advisories speak".into());
                }
            }
        }
    }
    Ok(fact)
}

/// Why a file of this size is not read, if so: it is known before its bytes are looked at.
pub fn too_large(reading: Reading, size: u64) -> Option<String> {
    match reading {
        // Read together with its database.
        Reading::RpmSqliteLog | Reading::ApkBinary => None,
        Reading::RpmSqlite
        | Reading::RpmNdb
        | Reading::RpmBerkeley
        | Reading::Jar
        | Reading::JavaModule
        | Reading::Egg => {
            (size > LARGEST_SPOOLED).then(|| format!("larger than {} GiB", LARGEST_SPOOLED >> 30))
        }
        _ => (size > LARGEST_TEXT).then(|| format!("larger than {} MiB", LARGEST_TEXT >> 20)),
    }
}

fn read_text(reading: Reading, path: &str, bytes: &[u8]) -> Result<Vec<Package>, String> {
    let text = || String::from_utf8_lossy(bytes);
    let json = |e: serde_json::Error| e.to_string();
    match reading {
        Reading::DpkgStatus => dpkg::read(bytes),
        Reading::ApkInstalled => apk::read(bytes),
        Reading::CargoLock => rust::read_lock(&text()).map_err(|e| e.message().to_string()),
        Reading::NpmLock => npm_lock::read_npm(bytes).map_err(json),
        Reading::YarnLock => yarn_lock::read(&text()),
        Reading::PnpmLock => pnpm_lock::read(&text()),
        Reading::Pacman => systems::read_pacman(bytes),
        Reading::Portage => systems::read_portage(path, bytes),
        Reading::Opkg => systems::read_opkg(bytes),
        Reading::Conda => systems::read_conda(bytes),
        Reading::RpmManifest => systems::read_rpm_manifest(bytes),
        Reading::Chisel => systems::read_chisel(bytes),
        Reading::Bitnami => systems::read_bitnami(bytes),
        Reading::WordPress => systems::read_wordpress(bytes),
        Reading::WordPressPlugin => systems::read_wordpress_plugin(path, bytes),
        Reading::BunLock => npm_lock::read_bun(bytes).map_err(json),
        Reading::PoetryLock => python_lock::read_toml(&text()).map_err(|e| e.message().to_string()),
        Reading::PipfileLock => python_lock::read_pipfile(bytes).map_err(json),
        Reading::NuGetLock => dotnet::read_lock(bytes).map_err(json),
        Reading::NuGetConfig => dotnet::read_config(&text()),
        Reading::PomProperties => {
            let says = "it has no `groupId`, no `artifactId` or no `version`";
            some(java::read_properties(bytes), says)
        }
        Reading::PythonMetadata => {
            some(python::read(&text()), "it has no `Name:` or no `Version:`")
        }
        Reading::GemSpec => some(
            ruby::read_specification(&text()),
            "it tells no name or no version",
        ),
        Reading::GemfileLock => ruby::read_lock(&text()),
        Reading::BunBinaryLock => {
            Err("it is binary: `bun install --save-text-lockfile` writes `bun.lock`".to_string())
        }
        Reading::ComposerLock | Reading::ComposerInstalled => php::read(bytes).map_err(json),
        Reading::DotnetDeps => dotnet::read(bytes).map_err(json),
        Reading::OsRelease
        | Reading::Release
        | Reading::ApkBinary
        | Reading::EggLink
        | Reading::DenoLock
        | Reading::JavaModule
        | Reading::DpkgFiles
        | Reading::NpmPackage
        | Reading::RpmSqlite
        | Reading::RpmSqliteLog
        | Reading::RpmNdb
        | Reading::RpmBerkeley
        | Reading::Jar
        | Reading::PlugNPlay
        | Reading::PlugNPlayData
        | Reading::Egg => {
            unreachable!("the caller reads these itself")
        }
    }
}

/// What is one package's must tell of it.
fn some(found: Vec<Package>, or: &str) -> Result<Vec<Package>, String> {
    match found.is_empty() {
        true => Err(or.to_string()),
        false => Ok(found),
    }
}

impl Fact {
    pub fn take_jar(&mut self, told: java::Told) {
        self.packages = told.packages;
        self.unread = told.unread;
        self.nameless = told.nameless;
    }

    fn settle(&mut self, reading: Reading, read: Result<Vec<Package>, String>) {
        match read {
            Ok(packages) => self.packages = packages,
            Err(why) if reading.is_database() => self.gap = Some(why),
            Err(why) => self.unread = Some(why),
        }
    }
}

/// Bytes of a database, jar or program: they are read from a temporary file.
pub const LARGEST_SPOOLED: u64 = 4 << 30;

/// A nameless file, for formats that are read back and forth.
pub fn spool(content: &mut dyn Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(content, &mut file)?;
    file.rewind()?;
    Ok(file)
}
