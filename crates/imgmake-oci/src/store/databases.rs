//! What scans keep in `db/`: databases of advisories, their indexes, and findings that were made before.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;
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
/// held while it is renamed: nobody finds a part of it.
pub(super) fn remove(item: &Item, aside: &Path) -> io::Result<bool> {
    let path = &item.path;
    let open = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        open => open?,
    };
    let used_meanwhile = || {
        let modified = open.metadata().and_then(|meta| meta.modified());
        modified.is_ok_and(|now: SystemTime| now > item.used)
    };
    if open.try_lock().is_err() || used_meanwhile() {
        return Ok(false);
    }
    fs::rename(path, aside.join("database"))?;
    fs::remove_dir_all(aside)?;
    Ok(true)
}
