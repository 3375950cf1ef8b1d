//! dpkg's status database, `deb-control(5)` paragraphs; also distroless's
//! `status.d`, one paragraph per file.

use std::borrow::Cow;

use super::package::{Package, PackageKind};

/// # Errors
/// What is no such database: an empty inventory would pass.
pub fn read(bytes: &[u8]) -> Result<Vec<Package>, String> {
    let text = as_text(bytes)?;
    let mut packages = Vec::new();
    let mut paragraph = Paragraph::default();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            packages.extend(std::mem::take(&mut paragraph).package()?);
            continue;
        }
        if paragraph.fields.is_empty() {
            paragraph.line = number;
        }
        if line.starts_with([' ', '\t']) && !paragraph.fields.is_empty() {
            continue;
        }
        match line.split_once(':') {
            Some((name, value)) if is_field(name) => paragraph.fields.push((name, value.trim())),
            _ => return Err(format!("line {number} is not a field `Name: value`")),
        }
    }
    packages.extend(paragraph.package()?);
    Ok(packages)
}

/// Packages of which the status says that they were removed and left files of settings.
pub fn removed(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let field = |line: &str, key: &str| -> Option<String> {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case(key);
        is_it.then(|| value.trim().to_string())
    };
    let mut removed = Vec::new();
    let (mut name, mut status) = (None, None);
    for line in text.lines().chain([""]) {
        if line.trim().is_empty() {
            let is_removed = status.take().is_some_and(|s: String| !is_present(&s));
            removed.extend(name.take().filter(|_| is_removed));
            continue;
        }
        name = name.or_else(|| field(line, "Package"));
        status = status.or_else(|| field(line, "Status"));
    }
    removed
}

/// The files of a package that matter, from its list: a path in each line, which begins with `/`, or
/// behind a sum.
pub fn read_files(bytes: &[u8], matters: impl Fn(&str) -> bool) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(bytes);
    let paths = text.lines().map(|line| {
        let path = line.split_once("  ").map_or(line, |(_, path)| path);
        path.trim_start_matches('/')
    });
    let paths = paths.filter(|path| matters(path));
    paths.map(|path| path.as_bytes().to_vec()).collect()
}

/// A package database as text. Old ones have names of people in other encodings; none has NUL.
pub fn as_text(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    if bytes.starts_with(b"\x1f\x8b") {
        return Err("it is compressed".into());
    }
    if bytes.contains(&0) || bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("it is not text in UTF-8".into());
    }
    Ok(String::from_utf8_lossy(bytes))
}

fn is_field(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic())
}

/// Its fields, continuation lines left out, and its first line.
#[derive(Default)]
struct Paragraph<'a> {
    fields: Vec<(&'a str, &'a str)>,
    line: usize,
}

impl<'a> Paragraph<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        let mut fields = self.fields.iter();
        let field = fields.find(|(k, _)| k.eq_ignore_ascii_case(key));
        field.map(|(_, v)| *v).filter(|v| !v.is_empty())
    }

    fn package(self) -> Result<Option<Package>, String> {
        if self.fields.is_empty() || !self.get("Status").is_none_or(is_present) {
            return Ok(None);
        }
        let of = |key: &str| {
            let missing = || format!("the paragraph on line {} has no `{key}`", self.line);
            self.get(key).ok_or_else(missing)
        };
        let (name, version) = (of("Package")?, of("Version")?);
        let source = self.get("Source");
        let source = source.map_or((name, version), |s| source_of(s, version));
        Ok(Some(Package {
            source: Some((source.0.to_string(), source.1.to_string())),
            architecture: self.get("Architecture").map(String::from),
            ..Package::new(PackageKind::Dpkg, name, version)
        }))
    }
}

/// Of `want flag status`, the status says what is on disk.
fn is_present(status: &str) -> bool {
    !matches!(
        status.split_ascii_whitespace().nth(2),
        Some("not-installed" | "config-files") | None
    )
}

/// `name` or `name (version)`.
fn source_of<'a>(field: &'a str, version: &'a str) -> (&'a str, &'a str) {
    match field.split_once('(') {
        Some((name, rest)) => (name.trim(), rest.trim_end_matches(')').trim()),
        None => (field, version),
    }
}
