//! Modules of Go programs, from the build information that Go links into every
//! executable (`debug/buildinfo`), found while the file streams by.

use std::io::{self, Read};

use memchr::memmem;

use super::package::{Package, PackageKind};

const MAGIC: &[u8; 14] = b"\xff Go buildinf:";
const HEADER: usize = 32;
/// The linker aligns the blob so.
const ALIGNMENT: u64 = 16;
const INLINE_STRINGS: u8 = 2;
const WINDOW: usize = 256 << 10;
/// Bytes; module lists of the largest programs have about 200 KiB.
const LONGEST_LIST: u64 = 4 << 20;

#[derive(Debug, Default, PartialEq)]
pub struct Found {
    pub packages: Vec<Package>,
    /// A Go program from before 1.18, whose strings only a loader could find.
    pub old: bool,
    /// The name of the section that `cargo auditable` writes occurs.
    pub rust: bool,
    /// The name of a section that Go's linker writes occurs.
    pub go: bool,
}

/// Reads an executable to its end.
pub fn scan(mut file: impl Read) -> io::Result<Found> {
    let (go, rust) = (
        memmem::Finder::new(MAGIC),
        memmem::Finder::new(b".dep-v0\0"),
    );
    let sections = [".go.buildinfo\0", ".gopclntab\0"].map(memmem::Finder::new);
    let mut found = Found::default();
    let mut window = Vec::with_capacity(WINDOW);
    // Of the window's first byte in the file.
    let mut offset = 0u64;
    loop {
        let more = fill(&mut file, &mut window, WINDOW)?;
        found.rust |= rust.find(&window).is_some();
        found.go |= sections.iter().any(|name| name.find(&window).is_some());
        if found.packages.is_empty()
            && let Some(at) = aligned(&go, &window, offset)
        {
            window.drain(..at);
            offset += at as u64;
            read_blob(&mut file, &mut window, &mut found)?;
        }
        if !more {
            return Ok(found);
        }
        let spent = window.len().saturating_sub(HEADER);
        window.drain(..spent);
        offset += spent as u64;
    }
}

/// Fills the window up to `size`; false at the end of the file.
fn fill(file: &mut impl Read, window: &mut Vec<u8>, size: usize) -> io::Result<bool> {
    let wanted = size.saturating_sub(window.len()) as u64;
    let read = file.by_ref().take(wanted).read_to_end(window)?;
    Ok(read as u64 == wanted)
}

/// Programs that read build information hold the magic as data too, but not aligned
/// with room for a header behind it.
fn aligned(magic: &memmem::Finder, window: &[u8], offset: u64) -> Option<usize> {
    magic
        .find_iter(window)
        .find(|at| (offset + *at as u64).is_multiple_of(ALIGNMENT) && window.len() >= at + HEADER)
}

fn read_blob(file: &mut impl Read, window: &mut Vec<u8>, found: &mut Found) -> io::Result<()> {
    if window[15] & INLINE_STRINGS == 0 {
        found.old = true;
        window.drain(..MAGIC.len());
        return Ok(());
    }
    let mut at = HEADER;
    let version = string(file, window, &mut at)?;
    let list = string(file, window, &mut at)?;
    // Go on behind the magic, so that it is not found again.
    window.drain(..MAGIC.len().min(window.len()));
    if let (Some(version), Some(list)) = (version, list) {
        found.packages = packages(&version, &list);
    }
    Ok(())
}

/// A length as unsigned varint, then so many bytes.
fn string(
    file: &mut impl Read,
    window: &mut Vec<u8>,
    at: &mut usize,
) -> io::Result<Option<Vec<u8>>> {
    let _ = fill(file, window, *at + 10)?;
    let mut length = 0u64;
    for shift in (0..63).step_by(7) {
        let Some(byte) = window.get(*at) else {
            return Ok(None);
        };
        *at += 1;
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    if length > LONGEST_LIST {
        return Ok(None);
    }
    let end = *at + length as usize;
    let _ = fill(file, window, end)?;
    let text = window.get(*at..end).map(<[u8]>::to_vec);
    *at = end;
    Ok(text)
}

/// `dep\tpath\tversion\tsum` lines; `=>` replaces the module before it. The list
/// stands between two markers of 16 bytes.
fn packages(version: &[u8], list: &[u8]) -> Vec<Package> {
    let version = String::from_utf8_lossy(version);
    // `devel go1.24-abcdef` is a version that nobody can order: it is not judged.
    let version = match version.strip_prefix("go") {
        Some(release) => standard_library(release),
        None if version.starts_with("devel ") => version.into_owned(),
        None => return Vec::new(),
    };
    let list = list
        .get(16..list.len().saturating_sub(16))
        .unwrap_or_default();
    let list = String::from_utf8_lossy(list);
    let mut found = vec![Package::new(PackageKind::Go, "stdlib", version)];
    let mut own = None;
    for line in list.lines() {
        let mut fields = line.split('\t');
        let (kind, path, version) = (fields.next(), fields.next(), fields.next());
        let (Some(kind), Some(path)) = (kind, path) else {
            continue;
        };
        let package = Package::new(PackageKind::Go, path, version.unwrap_or_default());
        match kind {
            // Built where it was written, nobody knows which version it is: if there are advisories about it,
            // they are not judged.
            "mod" => {
                own = Some(path.to_string());
                let version = match package.version.is_empty() {
                    true => "(devel)".to_string(),
                    false => package.version,
                };
                found.push(Package::new(PackageKind::Go, path, version));
            }
            "dep" => found.push(package),
            // A directory has no version: what it replaces is what it most likely is a copy of.
            "=>" if package.version.is_empty() || package.version == "(devel)" => {}
            "=>" if found.len() > 1 => {
                found.pop();
                found.push(package);
            }
            _ => {}
        }
    }
    let is_own = |p: &Package| own.as_deref() == Some(p.name.as_str());
    found.retain(|p| !p.version.is_empty() && (p.version != "(devel)" || is_own(p)));
    found
}

/// `1.21rc2` is SemVer's `1.21.0-rc2`; what stands after a blank is an experiment.
fn standard_library(version: &str) -> String {
    let version = version.split([' ', '-']).next().unwrap_or_default();
    match version.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => format!("{}.0-{}", &version[..at], &version[at..]),
        None => version.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(before: usize, list: &str) -> Vec<u8> {
        let mut bytes = vec![0x7f; before];
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[8, INLINE_STRINGS]);
        bytes.resize(before + HEADER, 0);
        bytes.push(8);
        bytes.extend_from_slice(b"go1.21.3");
        let list = [&[b'<'; 16][..], list.as_bytes(), &[b'>'; 16]].concat();
        let length = list.len();
        bytes.extend_from_slice(&[(length & 0x7f) as u8 | 0x80, (length >> 7) as u8]);
        bytes.extend_from_slice(&list);
        bytes.extend_from_slice(&[0; 1000]);
        bytes
    }

    #[test]
    fn modules_are_found_wherever_the_linker_put_them() {
        let list = format!(
            "path\tcmd/x\nmod\texample.com/x\t(devel)\t\ndep\tgolang.org/x/net\tv0.1.0\th1:a\ndep\texample.com/old\tv1.0.0\n=>\texample.com/new\tv1.1.0\th1:b\nbuild\t-compiler=gc{}\n",
            "x".repeat(200)
        );
        for before in [
            0,
            64,
            WINDOW - 16,
            WINDOW - 32,
            WINDOW - 64,
            3 * WINDOW + 16,
        ] {
            let found = scan(&program(before, &list)[..]).unwrap();
            let named: Vec<_> = found
                .packages
                .iter()
                .map(|p| format!("{}@{}", p.name, p.version))
                .collect();
            assert_eq!(
                named,
                [
                    "stdlib@1.21.3",
                    "example.com/x@(devel)",
                    "golang.org/x/net@v0.1.0",
                    "example.com/new@v1.1.0"
                ],
                "{before}"
            );
        }
    }

    #[test]
    fn a_module_from_a_directory_counts_as_what_it_replaces() {
        let list = b"<<<<<<<<<<<<<<<<mod\tx\t(devel)\t\ndep\ta.org/b\tv0.1.0\n=>\t./fork\t(devel)\t\n>>>>>>>>>>>>>>>>";
        for (version, own) in [
            ("go1.21.3", "1.21.3"),
            ("devel go1.23-abcdef", "devel go1.23-abcdef"),
        ] {
            let found = packages(version.as_bytes(), list);
            let expected = [
                Package::new(PackageKind::Go, "stdlib", own),
                Package::new(PackageKind::Go, "x", "(devel)"),
                Package::new(PackageKind::Go, "a.org/b", "v0.1.0"),
            ];
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_magic_as_mere_data_is_no_program() {
        let mut bytes = [0; 40];
        bytes[3..17].copy_from_slice(MAGIC);
        assert_eq!(scan(&bytes[..]).unwrap(), Found::default());
    }

    #[test]
    fn a_release_candidate_is_before_its_release() {
        assert_eq!(standard_library("1.21rc2"), "1.21.0-rc2");
        assert_eq!(standard_library("1.22.1 X:boringcrypto"), "1.22.1");
    }
}
