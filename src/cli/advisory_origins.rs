//! From where the files of advisories in the user's store were fetched: in `.from-NAME` beside
//! each, which no reader of advisories looks at. What was imported has none.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use imgmake_guard::bounded;

/// Bytes of an URL.
const LONGEST: u64 = 64 << 10;
/// How long a file may be on its way.
const UNFINISHED: Duration = Duration::from_secs(86400);

fn place(home: &Path, name: &str) -> PathBuf {
    home.join(format!(".from-{name}"))
}

/// The ecosystem or URL from which a file was fetched.
pub fn of(home: &Path, name: &str) -> Result<Option<String>> {
    let place = place(home, name);
    let told = || format!("cannot read `{}`", place.display());
    let file = match fs::File::open(&place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.with_context(told)?,
    };
    let bytes = bounded::take(file, LONGEST).with_context(told)?;
    Ok(String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.is_empty()))
}

pub fn keep(home: &Path, name: &str, source: &str) -> Result<()> {
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(home)?;
    file.write_all(source.as_bytes())?;
    file.persist(place(home, name))?;
    Ok(())
}

pub fn forget(home: &Path, name: &str) -> Result<()> {
    let place = place(home, name);
    match fs::remove_file(&place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("cannot remove `{}`", place.display())),
    }
}

/// What killed runs left.
pub fn remove_unfinished(home: &Path, now: SystemTime) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let is_new = entry.file_name().as_encoded_bytes().starts_with(b".new-");
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        if is_new && changed.is_ok_and(|changed| changed + UNFINISHED < now) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_fetched_is_known_and_what_is_unfinished_goes() {
        let keep_alive = tempfile::tempdir().unwrap();
        let home = keep_alive.path();
        assert_eq!(of(home, "npm.zip").unwrap(), None);
        keep(home, "npm.zip", "npm").unwrap();
        assert_eq!(of(home, "npm.zip").unwrap().as_deref(), Some("npm"));
        forget(home, "npm.zip").unwrap();
        forget(home, "npm.zip").unwrap();
        assert_eq!(of(home, "npm.zip").unwrap(), None);
        fs::write(home.join(".new-1-a.jsonl"), "{").unwrap();
        fs::write(home.join("a.jsonl"), "{}").unwrap();
        remove_unfinished(home, SystemTime::now());
        assert!(home.join(".new-1-a.jsonl").exists());
        remove_unfinished(home, SystemTime::now() + 2 * UNFINISHED);
        assert!(!home.join(".new-1-a.jsonl").exists() && home.join("a.jsonl").exists());
    }
}
