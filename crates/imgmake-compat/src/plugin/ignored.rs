//! Paths whose changes stay out of the image: kaniko's `--ignore-path` and its variables.

use super::Refusal;
use crate::error::invalid;

pub(super) const VAR_RUN: &str = "/var/run";

/// The paths, cleaned of what names nothing. `name` is the flag's or the variable's.
///
/// # Errors
/// The whole root, or a path with `..`.
pub(super) fn paths(
    name: &str,
    written: &[String],
    notes: &mut Vec<String>,
) -> Result<Vec<String>, Refusal> {
    let mut paths = Vec::new();
    for path in written.iter().map(|path| path.trim()) {
        let parts: Vec<&str> = path
            .split('/')
            .filter(|p| !matches!(*p, "" | "."))
            .collect();
        if parts.contains(&"..") || (parts.is_empty() && !path.is_empty()) {
            return Err(Refusal::new(
                invalid("path to ignore", format!("{name}={path}")),
                "give an absolute path in the image, such as /var/cache",
            ));
        }
        match path.starts_with('/') {
            true => paths.push(path.to_string()),
            false if path.is_empty() => {}
            false => notes.push(format!(
                "{name}={path} has no effect: it is not an absolute path"
            )),
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_names_nothing_is_noted_and_one_that_names_everything_refused() {
        let mut notes = Vec::new();
        let written = ["/a", " /b/ ", "c", ""].map(String::from);
        assert_eq!(
            paths("--ignore-path", &written, &mut notes).unwrap(),
            ["/a", "/b/"]
        );
        assert!(
            notes.len() == 1 && notes[0].starts_with("--ignore-path=c "),
            "{notes:?}"
        );
        for path in ["/", "/./", ".", "/a/../.."] {
            let refused = paths("PLUGIN_IGNORE_PATH", &[path.to_string()], &mut notes);
            assert!(
                refused.unwrap_err().to_string().contains(path),
                "{path} was taken"
            );
        }
    }
}
