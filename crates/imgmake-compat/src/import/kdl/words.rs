//! Words and names as a manifest has them.

use std::fmt::Write as _;

/// Dockerfiles that the bake file holds lie beside the manifest.
pub(super) fn beside(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    path.strip_prefix(".imgmake/bake/")
        .unwrap_or(path)
        .to_string()
}

/// Whether a name begins with a registry, as the grammar of names says.
pub(super) fn has_host(name: &str) -> bool {
    let first = name.split_once('/').map(|(first, _)| first);
    first.is_some_and(|first| first.contains(['.', ':']) || first == "localhost")
}

/// Host, repository and tag of a name. What looks like a separator inside a mark is not one.
pub(super) fn parts(name: &str, has_host: bool) -> (String, String, String) {
    let mut plain = String::new();
    let mut inside = false;
    for c in name.chars() {
        inside |= c == '\u{e000}';
        // As long as it was, so that places stay.
        match inside {
            true => plain.extend(std::iter::repeat_n('x', c.len_utf8())),
            false => plain.push(c),
        }
        inside &= c != '\u{e001}';
    }
    let end = plain.rfind(':').filter(|at| !plain[*at..].contains('/'));
    let (whole, tag) = match end {
        Some(at) => (&name[..at], &name[at + 1..]),
        None => (name, "latest"),
    };
    match plain[..whole.len()].find('/') {
        Some(at) if has_host => (name[..at].into(), whole[at + 1..].into(), tag.into()),
        Some(_) => ("docker.io".into(), whole.into(), tag.into()),
        None => ("docker.io".into(), format!("library/{whole}"), tag.into()),
    }
}

/// A name without quotes where KDL reads it so.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let keyword = ["true", "false", "null", "inf", "nan"].contains(&text);
    match starts && !keyword && text.chars().all(plain) {
        true => text.to_string(),
        false => quoted(text),
    }
}

pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// What KDL takes for the end of a line, or not at all since it turns text around.
fn may_not_stand(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// As KDL writes it; `${` would be a variable.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.replace("${", "$${").chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || may_not_stand(c) => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}
