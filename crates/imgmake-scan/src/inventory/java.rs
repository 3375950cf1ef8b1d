//! Java archives: `META-INF/maven/**/pom.properties`, also of jars inside jars
//! (Spring Boot, WAR).

use std::fs::File;
use std::io::{self, Read, Seek, Write};

use super::package::{Package, PackageKind};
use imgmake_event::Cancel;

/// A jar in a jar in a jar is as deep as packagers go.
const DEEPEST: u32 = 3;
/// Bytes of all that is unpacked of one file: entries of a zip may share their packed bytes.
const LARGEST_UNPACKED: u64 = 2 << 30;
const LARGEST_PROPERTIES: u64 = 64 << 10;
/// What is read as a jar, by the end of its name.
pub const ENDINGS: [&str; 3] = [".jar", ".war", ".ear"];

/// Packages that a jar tells of, and what of it was not read, if anything.
pub fn read(file: &File, cancel: &Cancel) -> (Vec<Package>, Option<String>) {
    read_at_most(LARGEST_UNPACKED, file, cancel)
}

/// The same, of which so many bytes are unpacked.
pub(super) fn read_at_most(
    left: u64,
    file: &File,
    cancel: &Cancel,
) -> (Vec<Package>, Option<String>) {
    let mut jar = Jar {
        left,
        found: Vec::new(),
        unread: None,
        cancel: cancel.clone(),
    };
    jar.read(file, 0);
    jar.found.sort();
    jar.found.dedup();
    (jar.found, jar.unread)
}

struct Jar {
    left: u64,
    found: Vec<Package>,
    /// The first reason: what is damaged hides nothing of the rest.
    unread: Option<String>,
    /// Whoever asked looks at it too: what was cut short is no jar that was read.
    cancel: Cancel,
}

impl Jar {
    fn read(&mut self, file: &File, depth: u32) {
        let mut archive = match zip::ZipArchive::new(io::BufReader::new(file)) {
            Ok(archive) => archive,
            Err(error) => return self.leave_out(error),
        };
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
                self.entry(&name, &mut entry, depth)
            }) {
                self.leave_out(error);
            }
        }
    }

    fn entry(&mut self, name: &str, entry: &mut dyn Read, depth: u32) -> io::Result<()> {
        if name.ends_with("/pom.properties") {
            let mut text = Vec::new();
            self.unpack(&mut entry.take(LARGEST_PROPERTIES + 1), &mut text)?;
            if text.len() as u64 > LARGEST_PROPERTIES {
                let bound = LARGEST_PROPERTIES >> 10;
                self.leave_out(format!("a `pom.properties` of more than {bound} KiB"));
            }
            self.found
                .extend(properties(&String::from_utf8_lossy(&text)));
        } else if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            if depth == DEEPEST {
                self.leave_out(format!("archives in each other, more than {DEEPEST} deep"));
                return Ok(());
            }
            let mut nested = tempfile::tempfile()?;
            self.unpack(entry, &mut nested)?;
            if self.left > 0 {
                nested.rewind()?;
                self.read(&nested, depth + 1);
            }
        }
        Ok(())
    }

    fn unpack(&mut self, from: &mut dyn Read, to: &mut dyn Write) -> io::Result<()> {
        self.left -= io::copy(&mut self.cancel.reader(from.take(self.left)), to)?;
        if self.left == 0 {
            let why = "what is in it unpacks to more than any jar holds".to_string();
            self.unread = Some(why);
        }
        Ok(())
    }

    fn leave_out(&mut self, what: impl ToString) {
        self.unread.get_or_insert_with(|| what.to_string());
    }
}

fn properties(text: &str) -> Option<Package> {
    let get = |key: &str| {
        let mut fields = text.lines().filter_map(|l| l.split_once('='));
        fields.find(|(k, _)| k.trim() == key).map(|(_, v)| v.trim())
    };
    let (group, artifact, version) = (get("groupId")?, get("artifactId")?, get("version")?);
    Some(Package::new(
        PackageKind::Maven,
        format!("{group}:{artifact}"),
        version,
    ))
}
