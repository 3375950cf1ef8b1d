//! Alpine's installed database: `P:` name, `V:` version, `o:` origin, `A:`
//! architecture, `L:` license, a blank line after each package.

use super::dpkg::as_text;
use super::package::{Package, PackageKind};

/// # Errors
/// What is no such database: an empty inventory would pass.
pub fn read(bytes: &[u8]) -> Result<Vec<Package>, String> {
    let text = as_text(bytes)?;
    let mut packages = Vec::new();
    let mut paragraph = Vec::new();
    for (number, line) in (1..).zip(text.lines()).chain([(0, "")]) {
        match (line.as_bytes(), line.trim().is_empty()) {
            (_, true) => packages.extend(package(&std::mem::take(&mut paragraph))?),
            ([key, b':', ..], _) if key.is_ascii_alphabetic() => paragraph.push((number, line)),
            _ => return Err(format!("line {number} is not a field `X:value`")),
        }
    }
    Ok(packages)
}

fn package(paragraph: &[(usize, &str)]) -> Result<Option<Package>, String> {
    let Some((first, _)) = paragraph.first() else {
        return Ok(None);
    };
    let get = |key: char| {
        let mut lines = paragraph.iter();
        let value = lines.find_map(|(_, l)| l.strip_prefix(key)?.strip_prefix(':').map(str::trim));
        value.filter(|value| !value.is_empty())
    };
    let of = |key| get(key).ok_or_else(|| format!("the package on line {first} has no `{key}:`"));
    let (name, version) = (of('P')?, of('V')?);
    let origin = get('o').unwrap_or(name);
    Ok(Some(Package {
        source: Some((origin.to_string(), version.to_string())),
        architecture: get('A').map(String::from),
        license: get('L').map(String::from),
        ..Package::new(PackageKind::Apk, name, version)
    }))
}
