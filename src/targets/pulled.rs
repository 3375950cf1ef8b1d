//! Directories with what was pulled, named by digest: each is written aside and renamed, held by a
//! shared lock while somebody reads it, and removed when nobody has asked for it for a time.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use imgmake_guard::bounded;
use imgmake_oci::store::is_still;
use tempfile::TempDir;

/// How long a directory stays that nobody asks for.
const UNUSED: Duration = Duration::from_secs(3 * 86400);
/// How long a run may write one.
const UNFINISHED: Duration = Duration::from_secs(86400);

/// The name by which it was asked for last: no file of it has such a name.
const NAMED: &str = ".name";
/// Bytes of a name.
const LONGEST: u64 = 4096;

/// Remembers by which name a directory was asked for.
pub fn name(directory: &Path, name: &str) -> io::Result<()> {
    if named(directory).as_deref() == Some(name) {
        return Ok(());
    }
    let parent = directory.parent().unwrap_or(directory);
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(parent)?;
    file.write_all(name.as_bytes())?;
    file.persist(directory.join(NAMED))?;
    Ok(())
}

fn named(directory: &Path) -> Option<String> {
    let file = File::open(directory.join(NAMED)).ok()?;
    let bytes = bounded::take(file, LONGEST).ok()?;
    String::from_utf8(bytes).ok()
}

/// A directory with what was pulled.
pub struct Pulled {
    /// In hex.
    pub digest: String,
    /// By which it was asked for last.
    pub name: Option<String>,
    pub bytes: u64,
}

/// All of them, in order.
pub fn list(parent: &Path) -> Vec<Pulled> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut found: Vec<Pulled> = directories
        .map(|entry| Pulled {
            digest: entry.file_name().to_string_lossy().into_owned(),
            name: named(&entry.path()),
            bytes: size(&entry.path()),
        })
        .filter(|pulled| !pulled.digest.starts_with('.'))
        .collect();
    found.sort_by(|a, b| (&a.name, &a.digest).cmp(&(&b.name, &b.digest)));
    found
}

/// Of its files.
pub fn size(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let files = entries
        .filter_map(|entry| entry.metadata().ok())
        .filter(fs::Metadata::is_file);
    files.map(|metadata| metadata.len()).sum()
}

/// The lock of a directory that has exactly these files. None if there is none, or one that is
/// damaged.
pub fn hold(directory: &Path, files: &BTreeMap<String, u64>) -> io::Result<Option<File>> {
    let open = match File::open(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        open => open?,
    };
    open.lock_shared()?;
    // Whoever removes it has renamed it before.
    if !is_still(&open, directory) || !has_exactly(directory, files)? {
        return Ok(None);
    }
    open.set_modified(SystemTime::now())?;
    Ok(Some(open))
}

/// Gives what was made its name, and holds it. What another run made meanwhile is as good; what is
/// damaged goes.
pub fn put(made: TempDir, directory: &Path, files: &BTreeMap<String, u64>) -> io::Result<File> {
    if let Some(lock) = hold(directory, files)? {
        return Ok(lock);
    }
    if directory.exists() {
        remove(directory);
    }
    match fs::rename(made.path(), directory) {
        Ok(()) => drop(made.keep()),
        Err(_) if directory.is_dir() => {}
        Err(error) => return Err(error),
    }
    let lost = || io::Error::other("another run changed it meanwhile: run it again");
    hold(directory, files)?.ok_or_else(lost)
}

/// Removes what nobody has asked for, and what killed runs left.
pub fn remove_unused(parent: &Path, now: SystemTime) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_unfinished = entry.file_name().as_encoded_bytes().starts_with(b".");
        let limit = if is_unfinished { UNFINISHED } else { UNUSED };
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        if !changed.is_ok_and(|changed| changed + limit < now) {
            continue;
        }
        let path = entry.path();
        let Ok(open) = File::open(&path) else {
            continue;
        };
        // A run that reads it holds it.
        if open.try_lock().is_ok() && is_still(&open, &path) {
            remove(&path);
        }
    }
}

/// Renamed first: nobody finds a part of it under its name, however this ends.
fn remove(path: &Path) {
    let Some(parent) = path.parent() else { return };
    let aside = tempfile::Builder::new().prefix(".old-").tempdir_in(parent);
    // Losing the race against another run that removes it is fine.
    if let Ok(aside) = aside {
        let _ = fs::rename(path, aside.path());
    }
}

fn has_exactly(directory: &Path, files: &BTreeMap<String, u64>) -> io::Result<bool> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == NAMED {
            continue;
        }
        if !metadata.is_file() {
            return Ok(false);
        }
        found.insert(name, metadata.len());
    }
    Ok(found == *files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(parent: &Path, text: &str) -> TempDir {
        let made = tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(parent)
            .unwrap();
        fs::write(made.path().join("a.jsonl"), text).unwrap();
        made
    }

    fn names(parent: &Path) -> Vec<String> {
        let entries = fs::read_dir(parent).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.collect()
    }

    #[test]
    fn a_directory_is_whole_or_made_again() {
        let keep = tempfile::tempdir().unwrap();
        let parent = keep.path();
        let files = BTreeMap::from([("a.jsonl".to_string(), 2)]);
        let at = parent.join("1f");
        assert!(hold(&at, &files).unwrap().is_none());
        // As a run leaves it that is killed while it removes or copies.
        fs::create_dir(&at).unwrap();
        assert!(hold(&at, &files).unwrap().is_none());
        fs::write(at.join("a.jsonl"), "{").unwrap();
        assert!(hold(&at, &files).unwrap().is_none());
        drop(put(made(parent, "{}"), &at, &files).unwrap());
        assert!(hold(&at, &files).unwrap().is_some());
        assert_eq!(names(parent), ["1f"]);
        name(&at, "host/osv:1").unwrap();
        name(&at, "host/osv:2").unwrap();
        assert!(hold(&at, &files).unwrap().is_some());
        let listed = list(parent);
        assert_eq!((listed.len(), listed[0].bytes), (1, 12));
        assert_eq!(listed[0].name.as_deref(), Some("host/osv:2"));
        fs::write(at.join("b.jsonl"), "{}").unwrap();
        assert!(hold(&at, &files).unwrap().is_none());
    }

    #[test]
    fn what_is_read_stays_and_what_is_old_goes() {
        let keep = tempfile::tempdir().unwrap();
        let parent = keep.path();
        let files = BTreeMap::from([("a.jsonl".to_string(), 2)]);
        let (read, old) = (parent.join("1"), parent.join("2"));
        let lock = put(made(parent, "{}"), &read, &files).unwrap();
        drop(put(made(parent, "{}"), &old, &files).unwrap());
        fs::create_dir(parent.join(".new-killed")).unwrap();
        remove_unused(parent, SystemTime::now());
        assert_eq!(names(parent).len(), 3);
        remove_unused(parent, SystemTime::now() + UNUSED + UNFINISHED);
        assert_eq!(names(parent), ["1"]);
        assert_eq!(fs::read_to_string(read.join("a.jsonl")).unwrap(), "{}");
        drop(lock);
        remove_unused(parent, SystemTime::now() + UNUSED + UNFINISHED);
        assert_eq!(names(parent), [""; 0]);
    }
}
