//! What the store holds: bytes and files, by folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Store;
use imgmake_guard::confined::{Descent, names, open_directory};
use rustix::fs::Stat;

/// Bytes and files per folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub folders: Vec<(&'static str, u64, u64)>,
}

impl Usage {
    /// Bytes in all folders.
    pub fn bytes(&self) -> u64 {
        self.folders.iter().map(|(_, bytes, _)| bytes).sum()
    }
}

/// A file or directory of a folder, and when it was last used.
pub(super) struct Item {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) used: SystemTime,
}

impl Store {
    /// Sizes per folder. Trees that belong to user namespaces count as far as they can be read.
    pub fn usage(&self) -> Usage {
        let folders = [
            "blobs", "blocks", "indexes", "layers", "steps", "images", "trees", "cache", "db",
            "logs", "tmp",
        ];
        let count = |folder: &'static str| {
            let (bytes, files) = measure(&self.root().join(folder));
            (folder, bytes, files)
        };
        Usage {
            folders: folders.into_iter().map(count).collect(),
        }
    }
}

pub(super) fn entries(directory: &Path) -> Vec<Item> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let meta = entry.metadata().ok()?;
            let used = meta.modified().ok()?;
            Some(Item {
                path: entry.path(),
                bytes: meta.len(),
                used,
            })
        })
        .collect()
}

/// Bytes and files below a path, however deep, links not followed, unreadable folders
/// left out.
pub(super) fn measure(path: &Path) -> (u64, u64) {
    match (fs::symlink_metadata(path), open_directory(path)) {
        (Ok(meta), Ok(root)) if meta.is_dir() => measure_below(Descent::new(root), length),
        (Ok(meta), _) if !meta.is_dir() => (meta.len(), 1),
        _ => (0, 0),
    }
}

/// How much of the disk is taken by what is below a directory, however deep: what is not written of a file takes nothing.
pub fn size_on_disk(directory: &Path) -> u64 {
    let taken = |stat: &Stat| u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
    open_directory(directory).map_or(0, |root| measure_below(Descent::new(root), taken).0)
}

fn length(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn measure_below(mut walk: Descent, size: impl Fn(&Stat) -> u64) -> (u64, u64) {
    let (mut bytes, mut files) = (0, 0);
    // Per level: the directories in it that were not looked into yet.
    let mut left = vec![count(&walk, &size, &mut bytes, &mut files)];
    while let Some(directories) = left.last_mut() {
        match directories.pop() {
            Some(name) if walk.enter(&name).is_ok() => {
                left.push(count(&walk, &size, &mut bytes, &mut files));
            }
            Some(_) => {}
            None => {
                left.pop();
                if walk.leave().is_err() {
                    break;
                }
            }
        }
    }
    (bytes, files)
}

/// Counts what is in the directory that the walk is in; gives the directories.
fn count(
    walk: &Descent,
    size: impl Fn(&Stat) -> u64,
    bytes: &mut u64,
    files: &mut u64,
) -> Vec<Vec<u8>> {
    let mut directories = Vec::new();
    for name in names(walk.here()).unwrap_or_default() {
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        let Ok(stat) = rustix::fs::statat(walk.here(), &*name, flags) else {
            continue;
        };
        if rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory {
            directories.push(name);
        } else {
            *bytes += size(&stat);
            *files += 1;
        }
    }
    directories
}
