//! One layer, read once from front to back: what it adds, replaces and removes,
//! as far as an inventory cares.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek};

use super::classify::{Reading, classify};
use super::contents::OddityRule;
use super::distribution::Distribution;
use super::package::Package;
use super::secrets::{self, Secret};
use super::{apk, dotnet, dpkg, golang, java, npm, npm_lock};
use super::{php, python, rpm, ruby, rust};
use crate::error::{Context, Result};
use imgmake_event::Cancel;
use imgmake_oci::image::{Descriptor, Digest};
use imgmake_oci::layer::{self, Entry, EntryKind, LayerReader, Whiteout};
use imgmake_oci::store::{BlobReader, Store};

/// Bytes of a file that is read as text; dpkg's largest databases have a tenth.
const LARGEST_TEXT: u64 = 64 << 20;
/// Enough to see what a file is.
const HEAD: u64 = 4096;

pub struct LayerFacts {
    pub layer: Digest,
    pub changes: Vec<Change>,
    pub secrets: Vec<Secret>,
}

/// What a layer does to the tree below it. Paths as in [`Entry::path`].
pub enum Change {
    /// Gone, with everything under it.
    Remove(Vec<u8>),
    /// Everything under it is gone.
    Opaque(Vec<u8>),
    Found(Vec<u8>, Box<Fact>),
    /// The same file as another of this tree.
    Link {
        path: Vec<u8>,
        target: Vec<u8>,
    },
}

/// What one file tells.
#[derive(Clone, Default)]
pub struct Fact {
    pub packages: Vec<Package>,
    pub lockfile: bool,
    pub distribution: Option<Distribution>,
    pub oddity: Option<OddityRule>,
    /// A package database that could not be read, and why.
    pub gap: Option<String>,
    pub warning: Option<String>,
}

impl Fact {
    fn says_something(&self) -> bool {
        !self.packages.is_empty()
            || self.distribution.is_some()
            || self.oddity.is_some()
            || self.gap.is_some()
            || self.warning.is_some()
    }
}

pub fn read_layer(layer: &Descriptor, store: &Store, cancel: &Cancel) -> Result<LayerFacts> {
    let mut facts = LayerFacts {
        layer: layer.digest.clone(),
        changes: Vec::new(),
        secrets: Vec::new(),
    };
    // Programs that hold a list which only their section table leads to.
    let mut auditable = Vec::new();
    each_entry(layer, store, cancel, |entry, content| {
        facts.take(entry, content, &mut auditable, cancel)
    })?;
    if !auditable.is_empty() {
        each_entry(layer, store, cancel, |entry, content| {
            if auditable.contains(&entry.path) {
                facts.take_auditable(entry, content)?;
            }
            Ok(())
        })?;
    }
    Ok(facts)
}

/// How many packages one file tells of, by its path.
pub fn packages_in(path: &str, content: &[u8]) -> Result<usize> {
    let mut facts = LayerFacts {
        layer: Digest::of(content),
        changes: Vec::new(),
        secrets: Vec::new(),
    };
    let entry = Entry::file(path, 0o644, content.len() as u64);
    let mut auditable = Vec::new();
    let never = Cancel::default();
    facts.take(&entry, &mut &content[..], &mut auditable, &never)?;
    if !auditable.is_empty() {
        facts.take_auditable(&entry, &mut &content[..])?;
    }
    let found = facts.changes.iter().map(|change| match change {
        Change::Found(_, fact) => fact.packages.len(),
        _ => 0,
    });
    Ok(found.sum())
}

fn each_entry(
    layer: &Descriptor,
    store: &Store,
    cancel: &Cancel,
    visit: impl FnMut(&Entry, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    store
        .with_blob(&layer.digest, |blob| {
            each_of_blob(layer, blob, cancel, visit)
        })
        .with_context(|| format!("cannot read layer {}", layer.digest))
}

fn each_of_blob(
    layer: &Descriptor,
    blob: &mut BlobReader,
    cancel: &Cancel,
    mut visit: impl FnMut(&Entry, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let context = || format!("cannot read layer {}", layer.digest);
    let plain = layer::decompress(cancel.reader(blob)).with_context(context)?;
    let mut reader = LayerReader::new(plain).stopped_by(cancel);
    while let Some(entry) = reader.next_entry().with_context(context)? {
        cancel.check()?;
        visit(&entry, &mut reader).with_context(|| {
            format!(
                "layer {}: `{}`",
                layer.digest,
                String::from_utf8_lossy(&entry.path)
            )
        })?;
        // A file that a cancellation cut short is not damaged.
        cancel.check()?;
    }
    Ok(())
}

impl LayerFacts {
    fn take(
        &mut self,
        entry: &Entry,
        content: &mut dyn Read,
        auditable: &mut Vec<Vec<u8>>,
        cancel: &Cancel,
    ) -> Result<()> {
        if let Some(whiteout) = Whiteout::parse(&entry.path) {
            self.changes.extend(change_of(whiteout));
            return Ok(());
        }
        if entry.kind == EntryKind::Directory {
            return Ok(());
        }
        self.changes.push(Change::Remove(entry.path.clone()));
        match &entry.kind {
            EntryKind::HardLink { target } => self.changes.push(Change::Link {
                path: entry.path.clone(),
                target: target.clone(),
            }),
            EntryKind::File { size } => {
                let fact = self.read_file(entry, *size, content, auditable, cancel)?;
                if fact.says_something() {
                    self.changes
                        .push(Change::Found(entry.path.clone(), Box::new(fact)));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn read_file(
        &mut self,
        entry: &Entry,
        size: u64,
        content: &mut dyn Read,
        auditable: &mut Vec<Vec<u8>>,
        cancel: &Cancel,
    ) -> Result<Fact> {
        let path = String::from_utf8_lossy(&entry.path);
        let mut fact = match classify(&path) {
            Some(reading) => read_as(reading, size, content, cancel)?,
            None => {
                let mut head = Vec::new();
                content.take(HEAD).read_to_end(&mut head)?;
                if head.starts_with(b"\x7fELF") {
                    let found = golang::scan(Cursor::new(head).chain(content))?;
                    let rust = found.rust;
                    let mut fact = program(found);
                    if rust && size <= LARGEST_SPOOLED {
                        auditable.push(entry.path.clone());
                    } else if rust {
                        let bound = LARGEST_SPOOLED >> 30;
                        fact.warning = Some(format!("not read: larger than {bound} GiB"));
                    }
                    fact
                } else {
                    let found = secrets::scan(&path, size, head, content)?;
                    self.secrets.extend(found.into_iter().map(|rule| Secret {
                        rule,
                        path: path.to_string(),
                        layer: self.layer.clone(),
                    }));
                    Fact::default()
                }
            }
        };
        fact.oddity = oddity(entry.mode);
        Ok(fact)
    }

    fn take_auditable(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<()> {
        let Some(packages) = rust::read_program(&spool(content)?) else {
            return Ok(());
        };
        let earlier = self
            .changes
            .iter_mut()
            .rev()
            .find_map(|change| match change {
                Change::Found(path, fact) if *path == entry.path => Some(fact),
                _ => None,
            });
        match earlier {
            Some(fact) => fact.packages.extend(packages),
            None => self.changes.push(Change::Found(
                entry.path.clone(),
                Box::new(Fact {
                    packages,
                    ..Fact::default()
                }),
            )),
        }
        Ok(())
    }
}

/// What a whiteout changes. aufs' own bookkeeping removes nothing, as when the image is unpacked.
fn change_of(whiteout: Whiteout) -> Option<Change> {
    match whiteout {
        Whiteout::Removes(path) => Some(Change::Remove(path)),
        Whiteout::Opaque(directory) => Some(Change::Opaque(directory)),
        Whiteout::Reserved => None,
    }
}

fn oddity(mode: u32) -> Option<OddityRule> {
    if mode & 0o4000 != 0 && mode & 0o111 != 0 {
        Some(OddityRule::SetUserId)
    } else if mode & 0o002 != 0 {
        Some(OddityRule::WorldWritable)
    } else {
        None
    }
}

fn program(found: golang::Found) -> Fact {
    let old = "built by Go before 1.18: the modules in it are not known";
    Fact {
        warning: (found.old && found.packages.is_empty()).then(|| old.to_string()),
        packages: found.packages,
        ..Fact::default()
    }
}

fn read_as(reading: Reading, size: u64, content: &mut dyn Read, cancel: &Cancel) -> Result<Fact> {
    let mut fact = Fact {
        lockfile: reading.is_lockfile(),
        ..Fact::default()
    };
    match reading {
        Reading::RpmSqlite | Reading::RpmNdb | Reading::Jar if size > LARGEST_SPOOLED => {
            fact.settle(
                reading,
                Err(format!("larger than {} GiB", LARGEST_SPOOLED >> 30)),
            );
        }
        Reading::RpmSqlite => fact.settle(reading, rpm::read_sqlite(&spool(content)?, cancel)),
        Reading::RpmNdb => fact.settle(reading, rpm::read_ndb(&spool(content)?, cancel)),
        Reading::RpmBerkeley => {
            let why = "Berkeley DB is not read; `rpmdb --rebuilddb` of rpm 4.16 or later makes SQLite of it";
            fact.settle(reading, Err(why.to_string()));
        }
        Reading::Jar => {
            let (packages, unread) = java::read(&spool(content)?, cancel);
            fact.packages = packages;
            fact.warning = unread.map(|what| format!("not read: {what}"));
        }
        _ if size > LARGEST_TEXT => {
            fact.settle(
                reading,
                Err(format!("larger than {} MiB", LARGEST_TEXT >> 20)),
            );
        }
        _ => {
            let mut bytes = Vec::with_capacity(size as usize);
            content.read_to_end(&mut bytes)?;
            if reading == Reading::OsRelease {
                fact.distribution = Distribution::parse(&String::from_utf8_lossy(&bytes));
            } else {
                fact.settle(reading, read_text(reading, &bytes));
            }
        }
    }
    Ok(fact)
}

fn read_text(reading: Reading, bytes: &[u8]) -> Result<Vec<Package>, String> {
    let text = || String::from_utf8_lossy(bytes);
    let json = |e: serde_json::Error| e.to_string();
    match reading {
        Reading::DpkgStatus => Ok(dpkg::read(&text())),
        Reading::ApkInstalled => Ok(apk::read(&text())),
        Reading::CargoLock => rust::read_lock(&text()).map_err(|e| e.message().to_string()),
        Reading::NpmPackage => npm::read_installed(bytes).map_err(json),
        Reading::NpmLock => npm_lock::read_npm(bytes).map_err(json),
        Reading::YarnLock => Ok(npm_lock::read_yarn(&text())),
        Reading::PnpmLock => Ok(npm_lock::read_pnpm(&text())),
        Reading::PythonMetadata => Ok(python::read(&text())),
        Reading::GemSpec => Ok(ruby::read_specification(&text())),
        Reading::GemfileLock => Ok(ruby::read_lock(&text())),
        Reading::ComposerLock | Reading::ComposerInstalled => php::read(bytes).map_err(json),
        Reading::DotnetDeps => dotnet::read(bytes).map_err(json),
        Reading::OsRelease
        | Reading::RpmSqlite
        | Reading::RpmNdb
        | Reading::RpmBerkeley
        | Reading::Jar => {
            unreachable!("the caller reads these itself")
        }
    }
}

impl Fact {
    fn settle(&mut self, reading: Reading, read: Result<Vec<Package>, String>) {
        match read {
            Ok(packages) => self.packages = packages,
            Err(why) if reading.is_database() => self.gap = Some(why),
            Err(why) => self.warning = Some(format!("not read: {why}")),
        }
    }
}

/// Bytes of a database, jar or program: they are read from a temporary file.
const LARGEST_SPOOLED: u64 = 4 << 30;

/// A nameless file, for formats that are read back and forth.
fn spool(content: &mut dyn Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(content, &mut file)?;
    file.rewind()?;
    Ok(file)
}
