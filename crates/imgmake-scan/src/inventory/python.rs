//! Python's core metadata: `Name:` and `Version:` before the first blank line.

use super::package::{Package, PackageKind};

pub fn read(text: &str) -> Vec<Package> {
    let header = || text.lines().take_while(|l| !l.trim().is_empty());
    let get = |key: &str| {
        let field = header()
            .filter_map(|l| l.split_once(':'))
            .find(|(k, _)| k.eq_ignore_ascii_case(key));
        field
            .map(|(_, v)| v.trim().to_string())
            .filter(|v| !v.is_empty())
    };
    let (Some(name), Some(version)) = (get("Name"), get("Version")) else {
        return Vec::new();
    };
    vec![Package {
        license: get("License-Expression").or_else(|| get("License")),
        ..Package::new(PackageKind::Python, name, version)
    }]
}
