//! `pnpm-lock.yaml`, in the form that pnpm writes; what was written anew by something else is
//! refused, since nobody would see what is missing.

use super::npm_lock::is_version;
use super::package::{Package, PackageKind};

/// Keys under `packages:` are `name@1.2.3(peers)`, with a leading `/` before
/// version 9 and `/name/1.2.3_peers` before version 6. A long key is `? …`, with `:` on the next line.
///
/// # Errors
/// Lines that pnpm does not write.
pub fn read(text: &str) -> Result<Vec<Package>, String> {
    let lines = || (1..).zip(text.lines().map(str::trim_end));
    if !lines().any(|(_, line)| line.starts_with("lockfileVersion:")) {
        return Err("no `lockfileVersion:` is in it".into());
    }
    let is_section = |line: &str| {
        let name = line.split(':').next().unwrap_or_default();
        name.trim_matches(['"', '\'']) == "packages"
    };
    let Some((start, head)) = lines().find(|(_, line)| is_section(line)) else {
        return Ok(Vec::new());
    };
    match head {
        "packages:" => {}
        "packages: {}" => return Ok(Vec::new()),
        _ => return Err(format!("line {start} is not one that pnpm writes")),
    }
    let mut found: Vec<Option<Package>> = Vec::new();
    for (number, line) in lines().skip(start) {
        if line.is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let odd = || format!("line {number} is not one that pnpm writes");
        if line.starts_with(|c: char| c.is_ascii_alphabetic()) {
            break;
        }
        let inner = line.strip_prefix("  ").ok_or_else(odd)?;
        match inner.strip_prefix("  ") {
            Some("dev: true") => match found.last_mut() {
                Some(last) => *last = None,
                None => return Err(odd()),
            },
            Some(_) if found.is_empty() => return Err(odd()),
            Some(_) => {}
            None if inner.starts_with(' ') => return Err(odd()),
            None if inner == ":" => {}
            None => {
                let long = inner.strip_prefix("? ");
                let key = long.or_else(|| inner.strip_suffix(':')).ok_or_else(odd)?;
                found.push(package(key.trim_matches(['\'', '"'])));
            }
        }
    }
    if found.is_empty() {
        return Err(format!("nothing is under `packages:` on line {start}"));
    }
    Ok(found.into_iter().flatten().collect())
}

/// None of what no registry has: files, links, repositories.
fn package(key: &str) -> Option<Package> {
    if key.contains("://") {
        return None;
    }
    let key = key.strip_prefix('/').unwrap_or(key);
    let key = key.split('(').next()?;
    // Before version 6, peers follow the version after `_`.
    let plain =
        |text: &str| is_version(text) && !text.split('_').next().is_some_and(|v| v.contains('@'));
    let old = key.rsplit_once('/').filter(|(_, version)| plain(version));
    let (name, version) = match old {
        Some((name, version)) => (name, version.split('_').next()?),
        None => key.rsplit_once('@')?,
    };
    is_version(version).then(|| Package::new(PackageKind::Npm, name, version))
}
