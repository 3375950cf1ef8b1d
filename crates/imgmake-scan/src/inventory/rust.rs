//! Rust crates: `Cargo.lock`, and the list that `cargo auditable` links into
//! programs as the section `.dep-v0` (zlib over JSON).

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use serde::Deserialize;

use super::package::{Package, PackageKind};

#[derive(Deserialize)]
struct Lock {
    package: Option<Vec<Entry>>,
    /// Of the project, before Cargo 0.20.
    root: Option<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    version: String,
    source: Option<String>,
}

/// Crates without a source are the workspace's own.
pub fn read_lock(text: &str) -> Result<Vec<Package>, toml::de::Error> {
    let lock: Lock = toml::from_str(text)?;
    let packages = match (lock.package, lock.root) {
        // The project itself is always in it.
        (None, None) => return Err(serde::de::Error::missing_field("package")),
        (packages, _) => packages.unwrap_or_default(),
    };
    Ok(crates(packages.into_iter().filter(|p| {
        p.source
            .as_deref()
            .is_some_and(|s| s.starts_with("registry+") || s.starts_with("sparse+"))
    })))
}

fn crates(entries: impl Iterator<Item = Entry>) -> Vec<Package> {
    entries
        .map(|e| Package::new(PackageKind::Cargo, e.name, e.version))
        .collect()
}

#[derive(Deserialize)]
struct Auditable {
    packages: Vec<AuditableEntry>,
}

#[derive(Deserialize)]
struct AuditableEntry {
    name: String,
    version: String,
    source: String,
    #[serde(default)]
    kind: Option<String>,
}

/// Bytes of JSON; what is larger was not written by `cargo auditable`.
const LONGEST_LIST: u64 = 16 << 20;

/// Crates that a program was linked from; build dependencies are not in it. None if it has no list.
///
/// # Errors
/// The list cannot be read.
pub fn read_program(file: &File) -> Option<Result<Vec<Package>, String>> {
    let section = section(file, b".dep-v0")?;
    let list = section.and_then(|section| read_list(&section));
    Some(list.ok_or_else(|| "the list of `cargo auditable` in it is damaged".to_string()))
}

fn read_list(section: &[u8]) -> Option<Vec<Package>> {
    let mut json = Vec::new();
    let inflated = flate2::read::ZlibDecoder::new(section);
    inflated.take(LONGEST_LIST).read_to_end(&mut json).ok()?;
    let list: Auditable = serde_json::from_slice(&json).ok()?;
    let linked = list
        .packages
        .into_iter()
        .filter(|p| p.kind.as_deref() != Some("build"));
    let published = linked.filter(|p| p.source == "crates.io" || p.source == "registry");
    Some(crates(published.map(|p| Entry {
        name: p.name,
        version: p.version,
        source: None,
    })))
}

/// Whether an ELF file has a section of this name.
pub fn has_section(file: &File, wanted: &[u8]) -> bool {
    section(file, wanted).is_some()
}

/// The bytes of a section of a little-endian ELF file of 64 or 32 bits, if there is one, and if
/// they can be read.
fn section(file: &File, wanted: &[u8]) -> Option<Option<Vec<u8>>> {
    let mut header = [0u8; 64];
    let length = file.read_at(&mut header, 0).ok()?;
    if length < 52 || &header[..4] != b"\x7fELF" || header[5] != 1 {
        return None;
    }
    let layout = Layout::of(header[4])?;
    let table = layout.word(&header, layout.section_offset)?;
    let (count, names) = (
        u64::from(half(&header, layout.count)?),
        u64::from(half(&header, layout.count + 2)?),
    );
    let at = |i: u64| -> Option<Vec<u8>> {
        part(file, table.checked_add(i * layout.entry)?, layout.entry)
    };
    let bounds = |entry: &[u8]| {
        Some((
            layout.word(entry, layout.offset)?,
            layout.word(entry, layout.size)?,
        ))
    };
    let (offset, size) = bounds(&at(names)?)?;
    let names = part(file, offset, size)?;
    (0..count).find_map(|i| {
        let entry = at(i)?;
        let name = u32::from_le_bytes(entry.get(..4)?.try_into().ok()?) as usize;
        let name = names.get(name..)?.split(|b| *b == 0).next()?;
        let (offset, size) = bounds(&entry)?;
        (name == wanted).then(|| part(file, offset, size))
    })
}

/// Where the fields stand that differ between the two classes of ELF.
struct Layout {
    wide: bool,
    section_offset: usize,
    count: usize,
    entry: u64,
    offset: usize,
    size: usize,
}

impl Layout {
    fn of(class: u8) -> Option<Layout> {
        match class {
            2 => Some(Layout {
                wide: true,
                section_offset: 40,
                count: 60,
                entry: 64,
                offset: 24,
                size: 32,
            }),
            1 => Some(Layout {
                wide: false,
                section_offset: 32,
                count: 48,
                entry: 40,
                offset: 16,
                size: 20,
            }),
            _ => None,
        }
    }

    fn word(&self, bytes: &[u8], at: usize) -> Option<u64> {
        if self.wide {
            Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
        } else {
            Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?).into())
        }
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn part(file: &File, offset: u64, size: u64) -> Option<Vec<u8>> {
    if size > LONGEST_LIST {
        return None;
    }
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}
