//! What scans keep in `db/`: databases of advisories, their indexes, and findings that were made before.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::usage::{Item, entries, measure};

/// Everything that may go, and whether it is a database: all that `imgmake db` keeps is one, since a scan asks all
/// of it, and so is each that came from a registry.
pub(super) fn items(db: &Path) -> Vec<(Item, bool)> {
    let mut found = Vec::new();
    for folder in ["findings", "index"] {
        let files = entries(&db.join(folder)).into_iter();
        let files = files.filter(|item| !item.path.is_dir());
        found.extend(files.map(|item| (item, false)));
    }
    let own = entries(db).into_iter();
    let own = own.filter(|item| item.path.ends_with("osv"));
    for item in own.chain(entries(&db.join("pulled"))) {
        if is_directory(&item.path) {
            let bytes = measure(&item.path).0;
            found.push((Item { bytes, ..item }, true));
        }
    }
    found
}

fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// Removes a database unless somebody reads it, or asked for it meanwhile. It is renamed before it is deleted, and
/// held while it is renamed: nobody finds a part of it. `aside` makes the directory for that.
pub(super) fn remove<E: From<io::Error>>(
    item: &Item,
    aside: impl FnOnce() -> Result<PathBuf, E>,
) -> Result<bool, E> {
    let path = &item.path;
    let open = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        open => open?,
    };
    let used_meanwhile = || {
        let modified = open.metadata().and_then(|meta| meta.modified());
        modified.is_ok_and(|now: SystemTime| now > item.used)
    };
    if open.try_lock().is_err() || used_meanwhile() || !is_still(&open, path) {
        return Ok(false);
    }
    let aside = aside()?;
    fs::rename(path, aside.join("database"))?;
    fs::remove_dir_all(aside)?;
    Ok(true)
}

/// Whether a name leads to what was opened: a scan that finds a damaged database puts another in its place.
pub fn is_still(open: &File, path: &Path) -> bool {
    let place = |meta: fs::Metadata| (meta.dev(), meta.ino());
    match (open.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(there)) => place(open) == place(there),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_the_place_of_another_stays() {
        let ground = tempfile::tempdir().unwrap();
        let (path, other) = (ground.path().join("db"), ground.path().join("other"));
        fs::create_dir(&path).unwrap();
        let open = File::open(&path).unwrap();
        assert!(is_still(&open, &path));
        fs::rename(&path, &other).unwrap();
        assert!(!is_still(&open, &path));
        fs::create_dir(&path).unwrap();
        assert!(!is_still(&open, &path));
    }
}
