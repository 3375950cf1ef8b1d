//! Alpine's installed database: `P:` name, `V:` version, `o:` origin, `A:`
//! architecture, `L:` license, a blank line after each package.

use super::package::{Package, PackageKind};

pub fn read(text: &str) -> Vec<Package> {
    text.split("\n\n").filter_map(package).collect()
}

fn package(paragraph: &str) -> Option<Package> {
    let get = |key: char| {
        let mut lines = paragraph.lines();
        lines.find_map(|l| l.strip_prefix(key)?.strip_prefix(':').map(str::trim))
    };
    let (name, version) = (get('P')?, get('V')?);
    let origin = get('o').filter(|o| !o.is_empty()).unwrap_or(name);
    Some(Package {
        source: Some((origin.to_string(), version.to_string())),
        architecture: get('A').map(String::from),
        license: get('L').map(String::from),
        ..Package::new(PackageKind::Apk, name, version)
    })
}
