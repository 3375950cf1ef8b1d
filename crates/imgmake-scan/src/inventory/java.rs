//! Java archives: `META-INF/maven/**/pom.properties`, else the manifest and the file's name; also
//! of jars inside jars (Spring Boot, WAR, EAR).

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::rc::Rc;

use super::package::{Package, PackageKind};
use super::{java_manifest, java_properties};
use imgmake_event::Cancel;

/// A jar in a jar in a jar is as deep as packagers go.
const DEEPEST: u32 = 3;
/// Bytes of all that is unpacked of one file: entries of a zip may share their packed bytes.
const LARGEST_UNPACKED: u64 = 2 << 30;
const LARGEST_PROPERTIES: u64 = 64 << 10;
/// Bytes that are read to find an archive's directory and all of it, since all of it is kept: the
/// largest runtimes have a fifth.
const LARGEST_DIRECTORY: u64 = 32 << 20;
/// What is read as a jar, by the end of its name in any case: also plug-ins of Jenkins, and
/// archives of services, of Karaf and of NetBeans.
const ENDINGS: [&str; 9] = [
    "jar", "war", "ear", "hpi", "jpi", "par", "sar", "kar", "nbm",
];

pub fn is_archive(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    ENDINGS.iter().any(|e| ending.eq_ignore_ascii_case(e))
}

/// What a jar tells.
#[derive(Debug, Default)]
pub struct Told {
    pub packages: Vec<Package>,
    /// What of it was not read, if anything.
    pub unread: Option<String>,
    /// Programs in it of which nothing tells what they are.
    pub nameless: Option<String>,
}

pub fn read(path: &str, file: &File, cancel: &Cancel) -> Told {
    read_at_most(LARGEST_UNPACKED, path, file, cancel)
}

/// A module for Java's linker: a zip behind four bytes. Those of Java itself are what they are part of.
pub fn read_module(path: &str, file: &File, cancel: &Cancel) -> Told {
    let told = read(path, file, cancel);
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_of_java = ["java.", "jdk."].iter().any(|of| name.starts_with(of));
    Told {
        nameless: told.nameless.filter(|_| !is_of_java),
        ..told
    }
}

/// A zip that is no jar by its name: what is in it, if Java can read that. What is no zip, or damaged, tells nothing.
pub fn read_zip(path: &str, file: &File, cancel: &Cancel) -> Told {
    match is_of_java(file) {
        true => read(path, file, cancel),
        false => Told::default(),
    }
}

fn is_of_java(file: &File) -> bool {
    let left = Rc::new(Cell::new(LARGEST_DIRECTORY));
    let counted = Counted {
        file: io::BufReader::new(file),
        left: Rc::clone(&left),
    };
    match zip::ZipArchive::new(counted) {
        Ok(archive) => archive.file_names().any(is_read),
        // Whoever reads it says so.
        Err(_) => left.get() == 0,
    }
}

/// What an archive has that is read, besides manifests.
fn is_read(name: &str) -> bool {
    name.ends_with(".class")
        || name.ends_with("/pom.properties")
        || is_archive(name)
        || is_zip(name)
}

fn is_zip(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    ending.eq_ignore_ascii_case("zip")
}

/// A `pom.properties` of an archive that was unpacked.
pub fn read_properties(bytes: &[u8]) -> Vec<Package> {
    properties(&String::from_utf8_lossy(bytes))
        .into_iter()
        .collect()
}

/// The same, of which so many bytes are unpacked.
pub(super) fn read_at_most(left: u64, path: &str, file: &File, cancel: &Cancel) -> Told {
    let mut jar = Jar {
        left,
        found: Vec::new(),
        unread: None,
        nameless: None,
        cancel: cancel.clone(),
    };
    jar.read(path, file, 0);
    jar.found.sort();
    jar.found.dedup();
    Told {
        packages: jar.found,
        unread: jar.unread,
        nameless: jar.nameless,
    }
}

/// What an archive tells of itself.
#[derive(Default)]
struct Itself {
    manifest: Option<Vec<u8>>,
    /// By Maven's own files: itself, and what was packed into it.
    told: Vec<Package>,
    has_classes: bool,
}

impl Itself {
    /// Whether Maven's files tell of the archive itself: those of what was packed into it alone do not.
    fn tells(&self, own: &Package) -> bool {
        self.told.iter().any(|told| {
            let artifact = told.name.rsplit(':').next().unwrap_or_default();
            let mut artifacts = own.artifacts.iter();
            told.version == own.version || artifacts.any(|a| a.eq_ignore_ascii_case(artifact))
        })
    }
}

struct Jar {
    left: u64,
    found: Vec<Package>,
    /// The first reason: what is damaged hides nothing of the rest.
    unread: Option<String>,
    /// The first.
    nameless: Option<String>,
    /// Whoever asked looks at it too: what was cut short is no jar that was read.
    cancel: Cancel,
}

impl Jar {
    fn read(&mut self, path: &str, file: &File, depth: u32) {
        let left = Rc::new(Cell::new(LARGEST_DIRECTORY));
        let counted = Counted {
            file: io::BufReader::new(file),
            left: Rc::clone(&left),
        };
        let mut archive = match zip::ZipArchive::new(counted) {
            Ok(archive) => archive,
            Err(_) if left.get() == 0 => {
                let bound = LARGEST_DIRECTORY >> 20;
                return self.leave_out(format!("an archive's directory of more than {bound} MiB"));
            }
            Err(error) => return self.leave_out(error),
        };
        left.set(u64::MAX);
        let mut itself = Itself::default();
        let before = self.found.len();
        for at in 0..archive.len() {
            if self.left == 0 {
                return;
            }
            if let Err(cancelled) = self.cancel.check() {
                return self.leave_out(cancelled);
            }
            let read = archive.by_index(at).map_err(io::Error::from);
            if let Err(error) = read.and_then(|mut entry| {
                let name = entry.name().to_string();
                self.entry(&name, &mut entry, depth, &mut itself)
            }) {
                self.leave_out(error);
            }
        }
        // What a zip is that holds jars says nothing of them.
        let is_jar = is_archive(path) || itself.manifest.is_some() || itself.has_classes;
        let own = java_manifest::package(path, itself.manifest.as_deref()).filter(|_| is_jar);
        let is_known = own.is_some() || self.found.len() > before;
        self.found.extend(own.filter(|own| !itself.tells(own)));
        if itself.has_classes && !is_known && self.unread.is_none() {
            let inside = match depth {
                0 => String::new(),
                _ => format!("`{path}` in it: "),
            };
            let why = "neither its name, its manifest nor a `pom.properties` tells a version";
            self.nameless
                .get_or_insert_with(|| format!("{inside}{why}"));
        }
    }

    fn entry(
        &mut self,
        name: &str,
        entry: &mut dyn Read,
        depth: u32,
        itself: &mut Itself,
    ) -> io::Result<()> {
        if name.eq_ignore_ascii_case("META-INF/MANIFEST.MF") {
            let mut text = Vec::new();
            self.unpack(&mut entry.take(java_manifest::LARGEST), &mut text)?;
            itself.manifest = Some(text);
        } else if name.ends_with("/pom.properties") {
            let mut text = Vec::new();
            self.unpack(&mut entry.take(LARGEST_PROPERTIES + 1), &mut text)?;
            if text.len() as u64 > LARGEST_PROPERTIES {
                let bound = LARGEST_PROPERTIES >> 10;
                self.leave_out(format!("a `pom.properties` of more than {bound} KiB"));
            }
            let told = read_properties(&text);
            if told.is_empty() && name.starts_with("META-INF/maven/") {
                self.leave_out(format!(
                    "`{name}` tells no group, no artifact or no version"
                ));
            }
            itself.told.extend(told.iter().cloned());
            self.found.extend(told);
        } else if name.ends_with(".class") {
            itself.has_classes = true;
        } else if is_archive(name) || is_zip(name) {
            if depth == DEEPEST {
                self.leave_out(format!("nested archives, more than {DEEPEST} deep"));
                return Ok(());
            }
            let mut nested = tempfile::tempfile()?;
            self.unpack(entry, &mut nested)?;
            if self.left > 0 && (is_archive(name) || is_of_java(&nested)) {
                nested.rewind()?;
                self.read(name, &nested, depth + 1);
            }
        }
        Ok(())
    }

    fn unpack(&mut self, from: &mut dyn Read, to: &mut dyn Write) -> io::Result<()> {
        self.left -= io::copy(&mut self.cancel.reader(from.take(self.left)), to)?;
        if self.left == 0 {
            let why = "its content unpacks to more than any jar has".to_string();
            self.unread = Some(why);
        }
        Ok(())
    }

    fn leave_out(&mut self, what: impl ToString) {
        self.unread.get_or_insert_with(|| what.to_string());
    }
}

/// A file of which so many bytes are read.
struct Counted<'a> {
    file: io::BufReader<&'a File>,
    left: Rc<Cell<u64>>,
}

impl Read for Counted<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(bytes)?;
        let left = self.left.get().saturating_sub(read as u64);
        self.left.set(left);
        match left {
            0 => Err(io::Error::from(io::ErrorKind::FileTooLarge)),
            _ => Ok(read),
        }
    }
}

impl Seek for Counted<'_> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }

    // What is buffered stays, where the file's own seek would drop it.
    fn stream_position(&mut self) -> io::Result<u64> {
        self.file.stream_position()
    }

    fn seek_relative(&mut self, offset: i64) -> io::Result<()> {
        self.file.seek_relative(offset)
    }
}

fn properties(text: &str) -> Option<Package> {
    let fields = java_properties::read(text);
    let get = |key: &str| {
        let field = fields.iter().rev().find(|(name, _)| name == key);
        field
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    };
    let (group, artifact, version) = (get("groupId")?, get("artifactId")?, get("version")?);
    Some(Package::new(
        PackageKind::Maven,
        format!("{group}:{artifact}"),
        version,
    ))
}
