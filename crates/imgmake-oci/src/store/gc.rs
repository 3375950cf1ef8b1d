//! What the store holds, and what of it may go.
//!
//! Age is the time since a file was last used: reading a blob or a step record
//! moves its time forward. A step record whose blob is gone is no record, so
//! blobs can be removed one by one; what named images need stays.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::{Context, OciError, Result};

use super::Store;
use crate::image::{Descriptor, Digest, ManifestOrIndex};
use imgmake_guard::confined::{Descent, names, open_directory};

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

/// What survives a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Used within this time.
    pub younger_than: Duration,
    /// Oldest first, things go until the store is this small, in bytes.
    pub at_most: Option<u64>,
}

/// What a collection removed, and what only the helper process can remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    pub files: u64,
    pub bytes: u64,
    pub trees: Vec<PathBuf>,
}

pub(super) struct Item {
    pub(super) path: PathBuf,
    bytes: u64,
    used: SystemTime,
    tree: bool,
}

impl Store {
    /// Sizes per folder. Trees that belong to user namespaces count as far as they can be read.
    pub fn usage(&self) -> Usage {
        let folders = [
            "blobs", "indexes", "layers", "steps", "images", "trees", "cache", "db", "tmp",
        ];
        let count = |folder: &'static str| {
            let (bytes, files) = measure(&self.root().join(folder));
            (folder, bytes, files)
        };
        Usage {
            folders: folders.into_iter().map(count).collect(),
        }
    }

    /// Removes what nothing has used for long. Needs the store for itself.
    ///
    /// # Errors
    /// Another run uses the store.
    pub fn collect(&self, keep: Keep) -> Result<Garbage> {
        let lock = self
            .inner
            .lock
            .as_ref()
            .expect("only the process that opened a store collects");
        lock.unlock().with_context(|| self.cannot_write())?;
        if lock.try_lock().is_err() {
            lock.lock_shared().with_context(|| self.cannot_write())?;
            let obstacle = format!("another run uses the store `{}`", self.root().display());
            return Err(OciError::conflict(
                obstacle,
                "collect again when it is done",
            ));
        }
        let collected = self.collect_alone(keep);
        lock.unlock().with_context(|| self.cannot_write())?;
        lock.lock_shared().with_context(|| self.cannot_write())?;
        collected
    }

    fn collect_alone(&self, keep: Keep) -> Result<Garbage> {
        let now = SystemTime::now();
        let mut items = self.items();
        items.sort_by_key(|item| item.used);
        let mut total = self.usage().bytes();
        let mut garbage = Garbage::default();
        for item in items {
            let old = now.duration_since(item.used).unwrap_or_default() >= keep.younger_than;
            let too_much = keep.at_most.is_some_and(|most| total > most);
            if !old && !too_much {
                continue;
            }
            total = total.saturating_sub(item.bytes);
            garbage.bytes += item.bytes;
            if item.tree {
                garbage.trees.push(item.path);
            } else {
                fs::remove_file(&item.path)
                    .with_context(|| format!("cannot remove `{}`", item.path.display()))?;
                garbage.files += 1;
            }
        }
        Ok(garbage)
    }

    /// Everything that may go.
    fn items(&self) -> Vec<Item> {
        let named = self.named_blobs();
        let mut items = Vec::new();
        for folder in ["blobs/sha256", "blobs/sha512", "steps", "indexes", "layers"] {
            let in_use = |path: &Path| {
                folder.starts_with("blobs")
                    && path
                        .file_name()
                        .is_some_and(|n| named.contains(&*n.to_string_lossy()))
            };
            items.extend(
                entries(&self.root().join(folder))
                    .into_iter()
                    .filter(|item| !in_use(&item.path)),
            );
        }
        for folder in ["trees", "cache"] {
            for map in entries(&self.root().join(folder)) {
                items.extend(entries(&map.path).into_iter().map(|item| {
                    let bytes = measure(&item.path).0;
                    Item {
                        tree: true,
                        bytes,
                        ..item
                    }
                }));
            }
        }
        items
    }

    /// Hex digests of every blob that a named image needs.
    fn named_blobs(&self) -> BTreeSet<String> {
        let mut blobs = BTreeSet::new();
        let mut waiting: Vec<Descriptor> = self
            .all_images(self.is_shared())
            .into_iter()
            .map(|(_, manifest)| manifest)
            .collect();
        while let Some(descriptor) = waiting.pop() {
            if !blobs.insert(descriptor.digest.hex().to_string()) {
                continue;
            }
            waiting.extend(self.children(&descriptor));
        }
        blobs
    }

    fn children(&self, descriptor: &Descriptor) -> Vec<Descriptor> {
        use crate::image::media_type::{is_index, is_manifest};
        if !is_manifest(&descriptor.media_type) && !is_index(&descriptor.media_type) {
            return Vec::new();
        }
        let read = |digest: &Digest| self.read_blob(digest, 4 << 20).ok();
        match read(&descriptor.digest)
            .and_then(|bytes| ManifestOrIndex::parse(&bytes, Some(&descriptor.media_type)).ok())
        {
            Some(ManifestOrIndex::Manifest(manifest)) => {
                let mut children = manifest.layers;
                children.push(manifest.config);
                children
            }
            Some(ManifestOrIndex::Index(index)) => index.manifests,
            None => Vec::new(),
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
                tree: false,
            })
        })
        .collect()
}

/// Bytes and files below a path, however deep, links not followed, unreadable folders
/// left out.
pub(super) fn measure(path: &Path) -> (u64, u64) {
    match (fs::symlink_metadata(path), open_directory(path)) {
        (Ok(meta), Ok(root)) if meta.is_dir() => measure_below(Descent::new(root)),
        (Ok(meta), _) if !meta.is_dir() => (meta.len(), 1),
        _ => (0, 0),
    }
}

fn measure_below(mut walk: Descent) -> (u64, u64) {
    let (mut bytes, mut files) = (0, 0);
    // Per level: the directories in it that were not looked into yet.
    let mut left = vec![count(&walk, &mut bytes, &mut files)];
    while let Some(directories) = left.last_mut() {
        match directories.pop() {
            Some(name) if walk.enter(&name).is_ok() => {
                left.push(count(&walk, &mut bytes, &mut files));
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
fn count(walk: &Descent, bytes: &mut u64, files: &mut u64) -> Vec<Vec<u8>> {
    let mut directories = Vec::new();
    for name in names(walk.here()).unwrap_or_default() {
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        let Ok(stat) = rustix::fs::statat(walk.here(), &*name, flags) else {
            continue;
        };
        if rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory {
            directories.push(name);
        } else {
            *bytes += u64::try_from(stat.st_size).unwrap_or(0);
            *files += 1;
        }
    }
    directories
}
