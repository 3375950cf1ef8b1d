//! dpkg's status database, `deb-control(5)` paragraphs; also distroless's
//! `status.d`, one paragraph per file.

use super::package::{Package, PackageKind};

pub fn read(text: &str) -> Vec<Package> {
    paragraphs(text).filter_map(|p| package(&p)).collect()
}

/// Fields of one paragraph, continuation lines left out.
type Paragraph<'a> = Vec<(&'a str, &'a str)>;

fn paragraphs(text: &str) -> impl Iterator<Item = Paragraph<'_>> {
    let mut lines = text.lines().peekable();
    std::iter::from_fn(move || {
        lines.peek()?;
        let fields = lines.by_ref().take_while(|l| !l.trim().is_empty());
        let fields = fields.filter(|l| !l.starts_with([' ', '\t']));
        Some(
            fields
                .filter_map(|l| l.split_once(':'))
                .map(|(k, v)| (k, v.trim()))
                .collect(),
        )
    })
}

fn package(paragraph: &Paragraph) -> Option<Package> {
    let get = |key: &str| {
        let mut fields = paragraph.iter();
        fields
            .find(|(k, _)| k.eq_ignore_ascii_case(key))
            .map(|(_, v)| *v)
    };
    if !get("Status").is_none_or(is_present) {
        return None;
    }
    let (name, version) = (get("Package")?, get("Version")?);
    let source = get("Source").map_or((name, version), |s| source(s, version));
    Some(Package {
        source: Some((source.0.to_string(), source.1.to_string())),
        architecture: get("Architecture").map(String::from),
        ..Package::new(PackageKind::Dpkg, name, version)
    })
}

/// Of `want flag status`, the status says what is on disk.
fn is_present(status: &str) -> bool {
    !matches!(
        status.split_ascii_whitespace().nth(2),
        Some("not-installed" | "config-files") | None
    )
}

/// `name` or `name (version)`.
fn source<'a>(field: &'a str, version: &'a str) -> (&'a str, &'a str) {
    match field.split_once('(') {
        Some((name, rest)) => (name.trim(), rest.trim_end_matches(')').trim()),
        None => (field, version),
    }
}
