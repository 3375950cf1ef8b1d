//! Python's eggs as files: a zip with `EGG-INFO/PKG-INFO` in it.

use std::fs::File;

use super::package::Package;
use super::python;
use imgmake_guard::bounded;

/// Bytes of a description.
const LARGEST: u64 = 16 << 20;

/// # Errors
/// It is no such zip.
pub fn read(file: &File) -> Result<Vec<Package>, String> {
    let mut archive = zip::ZipArchive::new(file).map_err(|error| error.to_string())?;
    let entry = archive
        .by_name("EGG-INFO/PKG-INFO")
        .map_err(|error| format!("`EGG-INFO/PKG-INFO`: {error}"))?;
    let bytes = bounded::take(entry, LARGEST).map_err(|error| error.to_string())?;
    match python::read(&String::from_utf8_lossy(&bytes)) {
        packages if packages.is_empty() => Err("it has no `Name:` or no `Version:`".into()),
        packages => Ok(packages),
    }
}

/// `name.egg-link`: the directory of a package that was installed to be worked on, in the first line.
///
/// # Errors
/// It names none.
pub fn read_link(bytes: &[u8]) -> Result<String, String> {
    let text = String::from_utf8_lossy(bytes);
    let first = text.lines().next().unwrap_or_default().trim();
    match first.strip_prefix('/') {
        Some(directory) => Ok(directory.trim_end_matches('/').to_string()),
        None => Err("it names no directory".to_string()),
    }
}
