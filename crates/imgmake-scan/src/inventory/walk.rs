//! One layer, read from front to back: its entries, and what its files tell by their own names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{Cursor, Read, Seek};

use super::classify::{Meaning, Reading, meaning};
use super::file_id::FileId;
use super::names::Name;
use super::package::PackageKind;
use super::reading::{Fact, LARGEST_SPOOLED, read_as, spool, too_large};
use super::secrets::{self, Broken, Secret};
use super::{golang, java, rust};
use crate::error::{Context, Result};
use imgmake_event::Cancel;
use imgmake_oci::image::{Descriptor, Digest};
use imgmake_oci::layer::{self, Entry, EntryKind, IndexEntry, LayerReader, Whiteout};
use imgmake_oci::store::{BlobReader, Store};

/// Enough to see what a file is.
const HEAD: u64 = 4096;

pub struct LayerFacts {
    pub layer: Digest,
    /// What is in the layer; in `content` of a file stands its [`FileId`].
    pub entries: Vec<IndexEntry>,
    /// What files tell, read as their own names in the layer say.
    pub facts: BTreeMap<FileId, Fact>,
    /// What those names say.
    pub meanings: BTreeMap<FileId, Meaning>,
    pub secrets: Vec<Secret>,
}

/// `number` counts the layers of the image.
pub fn read_layer(
    number: usize,
    layer: &Descriptor,
    store: &Store,
    cancel: &Cancel,
) -> Result<LayerFacts> {
    let mut walk = Walk::of(number, &layer.digest, cancel);
    each_entry(layer, store, cancel, |_, entry, content| {
        walk.take(entry, content)
    })?;
    let auditable = std::mem::take(&mut walk.auditable);
    if !auditable.is_empty() {
        each_entry(layer, store, cancel, |number, _, content| {
            match auditable.contains(&number) {
                true => walk.take_auditable(number, content),
                false => Ok(()),
            }
        })?;
    }
    Ok(walk.facts)
}

/// Reads files of a layer once more, as further names of theirs say.
pub fn read_named(
    layer: &Descriptor,
    names: &[&Name],
    store: &Store,
    cancel: &Cancel,
) -> Result<Vec<Named>> {
    let mut by_entry: BTreeMap<u32, Vec<&Name>> = BTreeMap::new();
    for name in names {
        by_entry.entry(name.file.entry).or_default().push(name);
    }
    let mut read = Vec::new();
    each_entry(layer, store, cancel, |number, entry, content| {
        let Some(names) = by_entry.get(&number) else {
            return Ok(());
        };
        read.extend(read_names(names, entry.size(), content, cancel)?);
        Ok(())
    })?;
    Ok(read)
}

/// Reads a file as each of its names says. A copy of it is made where one of them needs it: what is
/// too large for all of them is not copied. As passwords it is read once at most.
fn read_names(
    names: &[&Name],
    size: u64,
    content: &mut dyn Read,
    cancel: &Cancel,
) -> Result<Vec<Named>> {
    let is_copied = names.iter().any(|name| match name.meaning {
        Meaning::Packages(Reading::RpmSqliteLog) | Meaning::Passwords => false,
        Meaning::Packages(reading) => too_large(reading, size).is_none(),
    });
    let mut copy = match is_copied {
        true => Some(spool(content)?),
        false => None,
    };
    let read = names.iter().map(|name| match &mut copy {
        Some(copy) => {
            copy.rewind()?;
            read_name(name, size, copy, cancel)
        }
        None => read_name(name, size, content, cancel),
    });
    read.collect()
}

/// What a file tells by a further name.
pub struct Named {
    pub file: FileId,
    pub meaning: Meaning,
    pub fact: Fact,
    /// Rules that it breaks.
    pub secrets: Vec<Broken>,
}

fn read_name(name: &Name, size: u64, file: &mut dyn Read, cancel: &Cancel) -> Result<Named> {
    let (mut fact, mut found) = (Fact::default(), Vec::new());
    match name.meaning {
        Meaning::Packages(reading) => {
            let path = String::from_utf8_lossy(&name.path);
            fact = read_as(reading, &path, size, file, cancel)?;
        }
        Meaning::Passwords => {
            let path = String::from_utf8_lossy(&name.path);
            found = secrets::scan_passwords(&path, file)?;
        }
    }
    Ok(Named {
        file: name.file,
        meaning: name.meaning,
        fact,
        secrets: found,
    })
}

/// How many packages one file tells of, by its path.
pub fn packages_in(path: &str, content: &[u8]) -> Result<usize> {
    let never = Cancel::default();
    let mut walk = Walk::of(0, &Digest::of(content), &never);
    let entry = Entry::file(path, 0o644, content.len() as u64);
    walk.take(&entry, &mut &content[..])?;
    if !walk.auditable.is_empty() {
        walk.take_auditable(0, &mut &content[..])?;
    }
    let facts = walk.facts.facts.values();
    Ok(facts.map(|fact| fact.packages.len()).sum())
}

/// One file of a layer, unless it is too large.
pub fn copy_of(
    file: FileId,
    layer: &Descriptor,
    store: &Store,
    cancel: &Cancel,
) -> Result<Option<File>> {
    let mut found = None;
    each_entry(layer, store, cancel, |number, entry, content| {
        if number == file.entry && entry.size() <= LARGEST_SPOOLED {
            found = Some(spool(content)?);
        }
        Ok(())
    })?;
    Ok(found)
}

fn each_entry(
    layer: &Descriptor,
    store: &Store,
    cancel: &Cancel,
    visit: impl FnMut(u32, &Entry, &mut dyn Read) -> Result<()>,
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
    mut visit: impl FnMut(u32, &Entry, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let context = || format!("cannot read layer {}", layer.digest);
    let plain = layer::decompress(cancel.reader(blob)).with_context(context)?;
    let mut reader = LayerReader::new(plain).stopped_by(cancel);
    let mut number = 0;
    while let Some(entry) = reader.next_entry().with_context(context)? {
        cancel.check()?;
        visit(number, &entry, &mut reader).with_context(|| {
            format!(
                "layer {}: `{}`",
                layer.digest,
                String::from_utf8_lossy(&entry.path)
            )
        })?;
        // A file that a cancellation cut short is not damaged.
        cancel.check()?;
        number += 1;
    }
    Ok(())
}

/// The way through one layer.
struct Walk<'a> {
    number: u32,
    cancel: &'a Cancel,
    /// Where the layer's files are in its entries, by their names so far.
    files: HashMap<Vec<u8>, usize>,
    /// Programs that hold a list which only their section table leads to, by their numbers.
    auditable: BTreeSet<u32>,
    facts: LayerFacts,
}

impl Walk<'_> {
    fn of<'a>(number: usize, layer: &Digest, cancel: &'a Cancel) -> Walk<'a> {
        Walk {
            number: u32::try_from(number).expect("an image has less than four billion layers"),
            cancel,
            files: HashMap::new(),
            auditable: BTreeSet::new(),
            facts: LayerFacts {
                layer: layer.clone(),
                entries: Vec::new(),
                facts: BTreeMap::new(),
                meanings: BTreeMap::new(),
                secrets: Vec::new(),
            },
        }
    }

    /// Entries are taken in their order, each of them.
    fn take(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<()> {
        let at = self.facts.entries.len();
        let id = self.id(u32::try_from(at).expect("a layer has less than four billion entries"));
        let mut taken = IndexEntry {
            entry: Entry {
                xattrs: BTreeMap::new(),
                ..entry.clone()
            },
            content: None,
        };
        let is_whiteout = Whiteout::parse(&entry.path).is_some();
        match &entry.kind {
            EntryKind::File { size } if !is_whiteout => {
                self.read_file(id, entry, *size, content)?;
                taken.content = Some(id.to_content());
                self.files.insert(entry.path.clone(), at);
            }
            // The file that has the name now: a later entry may take it.
            EntryKind::HardLink { target } if !is_whiteout => {
                if let Some(target) = self.files.get(target) {
                    taken = self.facts.entries[*target].clone();
                    taken.entry.path.clone_from(&entry.path);
                    self.files.insert(entry.path.clone(), at);
                }
            }
            _ => {}
        }
        self.facts.entries.push(taken);
        Ok(())
    }

    fn id(&self, entry: u32) -> FileId {
        FileId {
            layer: self.number,
            entry,
        }
    }

    fn read_file(
        &mut self,
        id: FileId,
        entry: &Entry,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<()> {
        let path = String::from_utf8_lossy(&entry.path);
        let meaning = meaning(&path);
        if let Some(meaning) = meaning {
            self.facts.meanings.insert(id, meaning);
        }
        let fact = match meaning {
            Some(Meaning::Packages(reading)) => {
                read_as(reading, &path, size, content, self.cancel)?
            }
            Some(Meaning::Passwords) | None => self.read_any(id, &path, size, content)?,
        };
        if fact.says_something() {
            self.facts.facts.insert(id, fact);
        }
        Ok(())
    }

    /// A file whose name says nothing of packages.
    fn read_any(
        &mut self,
        id: FileId,
        path: &str,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<Fact> {
        let mut head = Vec::new();
        content.take(HEAD).read_to_end(&mut head)?;
        let mut fact = Fact::default();
        if head.starts_with(ZIP) && size <= LARGEST_SPOOLED {
            let file = spool(&mut Cursor::new(&head).chain(content))?;
            fact.take_jar(match is_jar(&head) {
                true => java::read(path, &file, self.cancel),
                false => java::read_zip(path, &file, self.cancel),
            });
            return Ok(fact);
        } else if is_jar(&head) {
            fact.unread = Some(format!("larger than {} GiB", LARGEST_SPOOLED >> 30));
        }
        let is_elf = head.starts_with(b"\x7fELF");
        if !is_elf && !is_program_of_another_system(&head) {
            // A program of a script and a zip behind it starts by itself.
            let is_long_script = head.starts_with(b"#!") && size > HEAD;
            let may_hold_zip = is_long_script || find(&head, ZIP);
            let found = if may_hold_zip && size <= LARGEST_SPOOLED {
                let mut file = spool(&mut Cursor::new(head).chain(content))?;
                fact.take_jar(java::read_zip(path, &file, self.cancel));
                file.rewind()?;
                let mut head = Vec::new();
                file.by_ref().take(HEAD).read_to_end(&mut head)?;
                secrets::scan(path, head, &mut file)?
            } else {
                secrets::scan(path, head, content)?
            };
            self.facts
                .secrets
                .extend(found.into_iter().map(|broken| Secret {
                    rule: broken.rule,
                    path: path.to_string(),
                    layer: self.facts.layer.clone(),
                    sums: broken.sums,
                }));
            return Ok(fact);
        }
        let is_packed = is_packed(&head);
        let found = golang::scan(Cursor::new(head).chain(content))?;
        let found_list = found.rust;
        let rust = found.rust || (found.go && found.packages.is_empty() && !found.old);
        let mut fact = program(found);
        if is_packed {
            fact.unread = Some("packed by UPX: what it was built from is not known".into());
        }
        if !is_elf && found_list {
            fact.unread = Some("its list of crates is read in ELF files alone".into());
        } else if is_elf && rust && size <= LARGEST_SPOOLED {
            self.auditable.insert(id.entry);
        } else if is_elf && rust {
            let bound = LARGEST_SPOOLED >> 30;
            fact.unread = Some(format!("larger than {bound} GiB"));
        }
        Ok(fact)
    }

    fn take_auditable(&mut self, number: u32, content: &mut dyn Read) -> Result<()> {
        let file = spool(content)?;
        let crates = rust::read_program(&file);
        let sections = [".go.buildinfo", ".gopclntab"];
        let is_go = || {
            let mut sections = sections.iter();
            sections.any(|name| rust::has_section(&file, name.as_bytes()))
        };
        let is_known = |fact: &Fact| {
            let mut packages = fact.packages.iter();
            fact.unread.is_some() || packages.any(|package| package.kind == PackageKind::Go)
        };
        let id = self.id(number);
        if !self.facts.facts.get(&id).is_some_and(is_known) && is_go() {
            let why = "built by Go, and what it was built from is not in it";
            self.facts.facts.entry(id).or_default().unread = Some(why.into());
        }
        match crates {
            Some(Ok(packages)) => {
                let fact = self.facts.facts.entry(id).or_default();
                fact.packages.extend(packages);
            }
            Some(Err(why)) => self.facts.facts.entry(id).or_default().unread = Some(why),
            None => {}
        }
        Ok(())
    }
}

/// What the first file in a zip begins with.
const ZIP: &[u8] = b"PK\x03\x04";

fn find(bytes: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(bytes, what).is_some()
}

/// A jar that is not called so: `jar` writes its manifest first, others a class.
fn is_jar(head: &[u8]) -> bool {
    let first = || {
        let rest = head.strip_prefix(ZIP)?;
        let length = u16::from_le_bytes(rest.get(22..24)?.try_into().ok()?);
        rest.get(26..)?.get(..usize::from(length))
    };
    first().is_some_and(|name| name.starts_with(b"META-INF/") || name.ends_with(b".class"))
}

/// A program for Windows, macOS or WebAssembly: images carry them for others to download.
fn is_program_of_another_system(head: &[u8]) -> bool {
    const MAGIC: [&[u8]; 6] = [
        b"MZ",
        b"\xfe\xed\xfa\xce",
        b"\xce\xfa\xed\xfe",
        b"\xcf\xfa\xed\xfe",
        b"\xca\xfe\xba\xbe",
        b"\0asm",
    ];
    head.contains(&0) && MAGIC.iter().any(|magic| head.starts_with(magic))
}

/// UPX writes its mark behind the program headers.
fn is_packed(head: &[u8]) -> bool {
    let front = &head[..head.len().min(1024)];
    memchr::memmem::find(front, b"UPX!").is_some()
}

fn program(found: golang::Found) -> Fact {
    let old = "built by Go before 1.18: the modules in it are not known";
    Fact {
        unread: (found.old && found.packages.is_empty()).then(|| old.to_string()),
        packages: found.packages,
        ..Fact::default()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    struct Untouched;

    impl Read for Untouched {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("read"))
        }
    }

    #[test]
    fn a_file_that_is_too_large_for_all_of_its_names_is_not_copied() {
        let name = |path: &str, reading| Name {
            file: FileId { layer: 0, entry: 0 },
            path: path.into(),
            others: Vec::new(),
            meaning: Meaning::Packages(reading),
        };
        let status = name("var/lib/dpkg/status", Reading::DpkgStatus);
        let jar = name("app/x.jar", Reading::Jar);
        let never = Cancel::default();
        let read = read_names(&[&status, &jar], 64 << 30, &mut Untouched, &never).unwrap();
        assert_eq!(read[0].fact.gap.as_deref(), Some("larger than 64 MiB"));
        assert_eq!(read[1].fact.unread.as_deref(), Some("larger than 4 GiB"));
    }
}
