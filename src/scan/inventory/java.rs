//! Java archives: `META-INF/maven/**/pom.properties`, also of jars inside jars
//! (Spring Boot, WAR).

use std::fs::File;
use std::io::{self, Read, Seek};

use super::{Package, PackageKind};

/// A jar in a jar in a jar is as deep as packagers go.
const DEEPEST: u32 = 3;
/// Bytes of all nested archives of one file, unpacked: entries of a zip may share their packed bytes.
const LARGEST_NESTED: u64 = 2 << 30;
const LARGEST_PROPERTIES: u64 = 64 << 10;

pub fn read(file: &File) -> Result<Vec<Package>, zip::result::ZipError> {
    let mut found = Vec::new();
    let mut left = LARGEST_NESTED;
    read_archive(file, 0, &mut left, &mut found)?;
    found.sort();
    found.dedup();
    Ok(found)
}

fn read_archive(
    file: &File,
    depth: u32,
    left: &mut u64,
    found: &mut Vec<Package>,
) -> Result<(), zip::result::ZipError> {
    let mut archive = zip::ZipArchive::new(io::BufReader::new(file))?;
    for i in 0..archive.len() {
        let mut entry = archive.by_index(i)?;
        let name = entry.name().to_string();
        if name.ends_with("/pom.properties") {
            let mut text = String::new();
            let _ = entry
                .by_ref()
                .take(LARGEST_PROPERTIES)
                .read_to_string(&mut text)?;
            found.extend(properties(&text));
        } else if name.ends_with(".jar") && depth < DEEPEST {
            let mut nested = tempfile::tempfile()?;
            *left -= io::copy(&mut entry.by_ref().take(*left), &mut nested)?;
            if *left == 0 {
                return Err(io::Error::other("archives in it hold more than 2 GiB").into());
            }
            nested.rewind()?;
            read_archive(&nested, depth + 1, left, found)?;
        }
    }
    Ok(())
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
