//! `pnpm-lock.yaml`, in the form that pnpm writes; what was written anew by something else is
//! refused, since nobody would see what is missing.

use super::npm_lock::is_version;
use super::package::{Package, PackageKind};

/// pnpm 11 and later write two documents, that of their own tools and then that of the project.
///
/// # Errors
/// Lines that pnpm does not write.
pub fn read(text: &str) -> Result<Vec<Package>, String> {
    let mut documents: Vec<Vec<Line<'_>>> = vec![Vec::new()];
    for (number, line) in (1..).zip(text.lines().map(str::trim_end)) {
        match line {
            "---" => documents.push(Vec::new()),
            _ if line.starts_with("---") || line.starts_with("...") => return Err(odd(number)),
            _ => documents
                .last_mut()
                .expect("there is one")
                .push((number, line)),
        }
    }
    // Before the first mark there may be nothing.
    if documents.len() > 1 && documents[0].iter().all(|(_, line)| is_blank(line)) {
        documents.remove(0);
    }
    let mut found = Vec::new();
    for document in &documents {
        found.extend(read_document(document)?);
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The newest version whose form is known: pnpm 9 and later.
const NEWEST: u32 = 9;

/// With its number in the file.
type Line<'a> = (usize, &'a str);

fn odd(number: usize) -> String {
    format!("line {number} is not one that pnpm writes")
}

fn is_blank(line: &str) -> bool {
    line.is_empty() || line.trim_start().starts_with('#')
}

/// Keys under `packages:` are `name@1.2.3(peers)`, with a leading `/` before
/// version 9 and `/name/1.2.3_peers` before version 6. A long key is `? …`, with `:` on the next line.
fn read_document(lines: &[Line<'_>]) -> Result<Vec<Package>, String> {
    if !lines
        .iter()
        .any(|(_, line)| line.starts_with("lockfileVersion:"))
    {
        return Err(match lines.first() {
            None | Some((1, _)) => "`lockfileVersion:` not found in it".into(),
            Some((first, _)) => {
                format!("`lockfileVersion:` not found in the document on line {first}")
            }
        });
    }
    let version = lines
        .iter()
        .find_map(|(_, line)| line.strip_prefix("lockfileVersion:"));
    let version = version.unwrap_or_default().trim().trim_matches(['\'', '"']);
    let major = version.split('.').next().unwrap_or_default();
    if !major.parse::<u32>().is_ok_and(|major| major <= NEWEST) {
        return Err(format!("unknown `lockfileVersion` `{version}`"));
    }
    let is_section = |line: &str| {
        let name = line.split(':').next().unwrap_or_default();
        name.trim_matches(['"', '\'']) == "packages"
    };
    let mut sections = (0..lines.len()).filter(|at| is_section(lines[*at].1));
    let Some(at) = sections.next() else {
        return Ok(Vec::new());
    };
    if let Some(again) = sections.next() {
        return Err(odd(lines[again].0));
    }
    let (start, head) = lines[at];
    match head {
        "packages:" => {}
        "packages: {}" => return Ok(Vec::new()),
        _ => return Err(odd(start)),
    }
    let mut found: Vec<Option<Package>> = Vec::new();
    for (number, line) in &lines[at + 1..] {
        if is_blank(line) {
            continue;
        }
        let odd = || odd(*number);
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
        return Err(format!("`packages:` on line {start} is empty"));
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
