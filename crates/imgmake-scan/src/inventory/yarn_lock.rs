//! `yarn.lock`, classic and Berry. Both have a form of their own that Yarn writes; what was
//! written anew by something else is refused, since nobody would see what is missing.

use super::npm_lock::is_version;
use super::package::{Package, PackageKind};

/// Entries start at the margin with their patterns, `"name@range", name@range:`;
/// then comes `  version "1.2.3"` (classic) or `  version: 1.2.3` (Berry). A long pattern is
/// `? "…"`, with `:` on a line of its own.
///
/// # Errors
/// Lines that Yarn does not write, an entry without a version.
pub fn read(text: &str) -> Result<Vec<Package>, String> {
    let mut found = Vec::new();
    let mut entry: Option<Entry> = None;
    let mut long = None;
    let is_marked = text
        .lines()
        .any(|line| line.starts_with("# yarn lockfile v") || line.starts_with("__metadata:"));
    if !is_marked {
        return Err("it has neither `# yarn lockfile v1` nor `__metadata:`".into());
    }
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_end();
        if line.is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        if let Some(said) = line.strip_prefix("  version") {
            let version = said.trim_start_matches(':').trim().trim_matches('"');
            let Some(entry) = entry.as_mut() else {
                return Err(format!("line {number} does not belong to an entry"));
            };
            entry.version = Some(version.to_string());
        } else if let Some(pattern) = line.strip_prefix("? ") {
            long = Some(pattern);
        } else if !line.starts_with(' ') {
            let Some(pattern) = line.strip_suffix(':') else {
                return Err(format!("line {number} is not one that Yarn writes"));
            };
            let pattern = match pattern {
                "" => long
                    .take()
                    .ok_or_else(|| format!("line {number} has no name"))?,
                pattern => pattern,
            };
            finish(entry.take(), &mut found)?;
            entry = Some(Entry::new(pattern, number)?);
        } else if !line.starts_with("  ") || entry.is_none() {
            return Err(format!("line {number} is not one that Yarn writes"));
        }
    }
    finish(entry, &mut found)?;
    Ok(found)
}

struct Entry {
    /// None of the file's own description.
    name: Option<String>,
    version: Option<String>,
    line: usize,
}

impl Entry {
    fn new(pattern: &str, line: usize) -> Result<Entry, String> {
        let name = match pattern {
            "__metadata" => None,
            pattern => Some(
                pattern_name(pattern)
                    .ok_or_else(|| format!("line {line} does not name a package"))?,
            ),
        };
        Ok(Entry {
            name,
            version: None,
            line,
        })
    }
}

fn finish(entry: Option<Entry>, found: &mut Vec<Package>) -> Result<(), String> {
    let Some(Entry {
        name: Some(name),
        version,
        line,
    }) = entry
    else {
        return Ok(());
    };
    let version = version.ok_or_else(|| format!("the entry on line {line} has no version"))?;
    // Not a link, a file or a package of the project itself.
    if is_version(&version) && !version.ends_with("-use.local") {
        found.push(Package::new(PackageKind::Npm, name, version));
    }
    Ok(())
}

fn pattern_name(pattern: &str) -> Option<String> {
    let first = pattern.split(',').next()?.trim().trim_matches('"');
    // `alias@npm:real@^1` installs `real`.
    let first = match first.split_once("@npm:") {
        Some((_, real)) if real.trim_start_matches('@').contains('@') => real,
        _ => first,
    };
    let at = first.char_indices().skip(1).find(|(_, c)| *c == '@')?.0;
    Some(first[..at].to_string())
}
