//! Paths of a file in another directory, as the main file would write them (compose-go, `paths/resolve.go`).

use super::super::json::{Json, Kind, Name};
use super::super::problem::Problem;

/// Without `.` and `name/..`; what leaves the first directory keeps its `..`.
pub(super) fn clean(path: &str) -> String {
    let root = if path.starts_with('/') { "/" } else { "" };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if !root.is_empty() => {}
            part => parts.push(part),
        }
    }
    match (root, parts.is_empty()) {
        ("", true) => ".".to_string(),
        (root, _) => format!("{root}{}", parts.join("/")),
    }
}

/// A path of a file whose paths start in this directory.
pub(super) fn join(directory: &str, path: &str) -> String {
    match directory.is_empty() || path.starts_with('/') || path.starts_with("~/") {
        true => clean(path),
        false => clean(&format!("{directory}/{path}")),
    }
}

pub(super) fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((parent, _)) => parent,
        None => ".",
    }
}

/// `context`, `additional_contexts` and sockets of `ssh`.
pub(super) fn of_service(service: &mut Json, directory: &str) -> Result<(), Problem> {
    let Some(build) = member(service, "build").filter(|_| !directory.is_empty()) else {
        return Ok(());
    };
    if !matches!(build.kind, Kind::Object(_)) {
        return context(build, directory);
    }
    if let Some(value) = member(build, "context") {
        context(value, directory)?;
    }
    if let Some(value) = member(build, "additional_contexts") {
        each(value, directory, context)?;
    }
    if let Some(value) = member(build, "ssh") {
        each(value, directory, path)?;
    }
    Ok(())
}

/// `file` of a secret.
pub(super) fn of_secret(secret: &mut Json, directory: &str) -> Result<(), Problem> {
    match member(secret, "file") {
        Some(file) => path(file, directory),
        None => Ok(()),
    }
}

/// A build that names no context has that of its own file.
pub(super) fn default_context(service: &mut Json, directory: &str) {
    let Some(build) = member(service, "build").filter(|_| !directory.is_empty()) else {
        return;
    };
    let line = build.line;
    let Kind::Object(pairs) = &mut build.kind else {
        return;
    };
    if !pairs.iter().any(|(name, _)| name.text == "context") {
        let name = Name {
            line,
            text: "context".to_string(),
        };
        let kind = Kind::Text(directory.to_string());
        pairs.push((name, Json { line, kind }));
    }
}

fn member<'a>(value: &'a mut Json, key: &str) -> Option<&'a mut Json> {
    let Kind::Object(pairs) = &mut value.kind else {
        return None;
    };
    let mut pairs = pairs.iter_mut();
    pairs
        .find(|(name, _)| name.text == key)
        .map(|(_, value)| value)
}

/// The values of a map, or of a list of `NAME=value`.
fn each(
    value: &mut Json,
    directory: &str,
    change: fn(&mut Json, &str) -> Result<(), Problem>,
) -> Result<(), Problem> {
    match &mut value.kind {
        Kind::Object(pairs) => {
            for (_, value) in pairs {
                change(value, directory)?;
            }
        }
        Kind::List(list) => {
            for one in list {
                let Kind::Text(text) = &mut one.kind else {
                    continue;
                };
                let Some((name, value)) = text.split_once('=') else {
                    continue;
                };
                let mut value = Json {
                    line: one.line,
                    kind: Kind::Text(value.to_string()),
                };
                change(&mut value, directory)?;
                if let Kind::Text(value) = value.kind {
                    *text = format!("{name}={value}");
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// A directory; other kinds of contexts stay.
fn context(value: &mut Json, directory: &str) -> Result<(), Problem> {
    const OTHERS: [&str; 4] = ["service:", "target:", "github.com/", "git@"];
    let is_other =
        |text: &str| text.contains("://") || OTHERS.iter().any(|prefix| text.starts_with(prefix));
    match &value.kind {
        Kind::Text(text) if is_other(text) => Ok(()),
        _ => path(value, directory),
    }
}

fn path(value: &mut Json, directory: &str) -> Result<(), Problem> {
    let (Kind::Text(text) | Kind::Number(text)) = &mut value.kind else {
        return Ok(());
    };
    if directory.is_empty() || text.is_empty() {
        return Ok(());
    }
    // It may hold an absolute path or an address.
    if text.starts_with('$') && !text.starts_with("$$") {
        let message = format!(
            "the path `{text}` begins with a variable, and this file is in another directory, `{directory}`"
        );
        return Err(Problem::at(Some(value.line), message)
            .with_help(format!("write `./{text}` for a path in that directory")));
    }
    *text = join(directory, text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_said_from_the_first_directory() {
        for (directory, path, expected) in [
            ("", "./a", "a"),
            ("", ".", "."),
            ("sub", ".", "sub"),
            ("sub", "../a//b/", "a/b"),
            ("../common", "x", "../common/x"),
            ("../common", "../../x", "../../x"),
            ("sub", "/x/../y", "/y"),
            ("sub", "~/x", "~/x"),
            ("/abs", "../../../x", "/x"),
        ] {
            assert_eq!(join(directory, path), expected, "{directory} {path}");
        }
        assert_eq!(
            [parent("a/b.yaml"), parent("b.yaml"), parent("/b")],
            ["a", ".", "/"]
        );
    }
}
