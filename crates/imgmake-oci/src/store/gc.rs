//! What of the store may go.
//!
//! Age is the time since something was last used: reading a blob, a step record or a name
//! moves its time forward. A step record whose blob is gone is no record, so blobs can be
//! removed one by one. A name keeps its image for as long as the name is used.
//!
//! While other runs use the store, only what none of them can have seen is removed: whoever
//! relies on a file has moved its time forward, or found it moved less than [`TOUCH_AFTER`] before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::{Context, Result};

use super::Store;
use super::blob::TOUCH_AFTER;
use super::databases;
use super::temporary;
use super::usage::{Item, entries, measure};
use crate::image::{Descriptor, Digest, ManifestOrIndex};

/// How long other runs may have been at work, when none of them says since when.
const LONGEST_RUN: Duration = Duration::from_secs(24 * 3600);

/// What survives a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep<'a> {
    /// Used within this time.
    pub younger_than: Duration,
    /// Oldest first, things go until the store is this small, in bytes.
    pub at_most: Option<u64>,
    /// Only names and cache mounts of this project are looked at, and what its images alone need.
    pub project: Option<&'a str>,
}

/// What a collection removed, and what stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    pub files: u64,
    pub unpacked_layers: u64,
    pub cache_mounts: u64,
    /// Of advisories: those of `imgmake db` count as one.
    pub databases: u64,
    pub bytes: u64,
    /// Names of images.
    pub names: Vec<String>,
    /// Where unpacked layers and cache mounts lie now: no run finds them there, and only the helper process can
    /// delete what a user namespace owns. A later run does, if nobody else does.
    pub aside: Vec<PathBuf>,
    pub kept: Kept,
}

/// What stays, in bytes, by what holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Other runs use the store.
    pub running: u64,
    /// Names of images hold it.
    pub named: u64,
    /// Used within the time to keep.
    pub recent: u64,
    /// The names, each with its project.
    pub names: Vec<(String, Option<String>)>,
}

#[derive(Clone, Copy)]
enum What {
    File,
    UnpackedLayer,
    CacheMount,
    Database,
    Name(usize),
}

impl What {
    fn is_tree(self) -> bool {
        matches!(self, What::UnpackedLayer | What::CacheMount)
    }
}

struct Candidate {
    item: Item,
    what: What,
    is_named: bool,
}

impl Candidate {
    /// Whether another run may use it, if there is one: what was used since then.
    fn is_in_use(&self, in_use_since: Option<SystemTime>) -> bool {
        match self.what.is_tree() {
            true => in_use_since.is_some(),
            false => in_use_since.is_some_and(|since| self.item.used >= since),
        }
    }
}

/// A name with everything that its image needs.
struct Holder {
    name: String,
    project: Option<String>,
    used: SystemTime,
    path: PathBuf,
    blobs: BTreeSet<String>,
}

impl Store {
    /// Removes what nothing has used for long, and nothing that another run may use.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn collect(&self, keep: Keep) -> Result<Garbage> {
        let lock = self
            .inner
            .lock
            .as_ref()
            .expect("only the process that opened a store collects");
        lock.unlock().with_context(|| self.cannot_write())?;
        let alone = lock.try_lock().is_ok();
        if !alone {
            lock.lock_shared().with_context(|| self.cannot_write())?;
        }
        let collected = self.collect_unused(keep, (!alone).then(|| self.in_use_since()));
        if alone {
            lock.unlock().with_context(|| self.cannot_write())?;
            lock.lock_shared().with_context(|| self.cannot_write())?;
        }
        collected
    }

    /// When the oldest of the other runs may have used something first.
    fn in_use_since(&self) -> SystemTime {
        let now = SystemTime::now();
        let own = self.inner.process.get().map(|process| process.path());
        let begun = temporary::begun(&self.root().join("tmp"), own);
        let begun = begun.unwrap_or(now - LONGEST_RUN);
        begun
            .checked_sub(TOUCH_AFTER)
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }

    fn collect_unused(&self, keep: Keep, in_use_since: Option<SystemTime>) -> Result<Garbage> {
        let now = SystemTime::now();
        let holders = self.holders();
        let mut candidates = self.candidates(&holders, keep.project);
        // A name goes before what it holds.
        candidates.sort_by_key(|one| (one.item.used, !matches!(one.what, What::Name(_))));
        // What cannot go does not count, or all the rest would go for it in vain.
        let in_use = candidates.iter().filter(|one| one.is_in_use(in_use_since));
        let in_use: u64 = in_use.map(|one| one.item.bytes).sum();
        let mut total = self.usage().bytes().saturating_sub(in_use);
        let mut garbage = Garbage::default();
        for candidate in candidates {
            let in_use = candidate.is_in_use(in_use_since);
            let Candidate {
                item,
                what,
                is_named,
            } = candidate;
            let old = now.duration_since(item.used).unwrap_or_default() >= keep.younger_than;
            let too_much = keep.at_most.is_some_and(|most| total > most);
            let goes = (old || too_much) && !in_use;
            let is_gone = match what.is_tree() {
                _ if !goes => false,
                true => {
                    garbage.aside.push(self.put_aside(&item.path)?);
                    true
                }
                false if matches!(what, What::Database) => self.remove_database(&item)?,
                false => self.remove(&item, in_use_since.is_some())?,
            };
            if !is_gone {
                let kept = &mut garbage.kept;
                let sum = match what {
                    _ if old || too_much => &mut kept.running,
                    _ if is_named => &mut kept.named,
                    _ => &mut kept.recent,
                };
                *sum += item.bytes;
                if let What::Name(at) = what {
                    let holder = &holders[at];
                    let named = (holder.name.clone(), holder.project.clone());
                    kept.names.push(named);
                }
                continue;
            }
            let bytes = item.bytes + self.remove_blocks_of(&item.path);
            total = total.saturating_sub(bytes);
            garbage.bytes += bytes;
            match what {
                What::UnpackedLayer => garbage.unpacked_layers += 1,
                What::CacheMount => garbage.cache_mounts += 1,
                What::Database => garbage.databases += 1,
                What::File => garbage.files += 1,
                What::Name(at) => garbage.names.push(holders[at].name.clone()),
            }
        }
        garbage.bytes += self.remove_blocks_without_blob();
        garbage.kept.names.sort();
        garbage.names.sort();
        Ok(garbage)
    }

    /// Takes a tree to where no run looks for it, at once and while no other run uses the store: deleting it
    /// takes long, and a run that begins meanwhile must not find a part of it.
    fn put_aside(&self, tree: &Path) -> Result<PathBuf> {
        let aside = self.temporary_dir()?;
        fs::rename(tree, aside.join("tree"))
            .with_context(|| format!("cannot remove `{}`", tree.display()))?;
        Ok(aside)
    }

    /// Removes a file. Beside other runs it is taken aside first: one that was used meanwhile goes back, and
    /// who looks for it in between finds that it is not there.
    fn remove(&self, item: &Item, beside: bool) -> Result<bool> {
        let path = &item.path;
        let failed = || format!("cannot remove `{}`", path.display());
        let gone = |removed: io::Result<()>| match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.with_context(failed),
        };
        if !beside {
            return gone(fs::remove_file(path)).map(|()| true);
        }
        let aside = self.process_dir()?.path().join("aside");
        let modified = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified());
        gone(fs::rename(path, &aside))?;
        let used_meanwhile = modified(&aside).is_ok_and(|now| now > item.used);
        match used_meanwhile && !path.exists() {
            true => gone(fs::rename(&aside, path)).map(|()| false),
            false => gone(fs::remove_file(&aside)).map(|()| true),
        }
    }

    /// Everything that may go, each with the last use of it or of a name that holds it.
    fn candidates(&self, holders: &[Holder], project: Option<&str>) -> Vec<Candidate> {
        let is_looked_at = |of: Option<&str>| project.is_none() || of == project;
        let mut held: BTreeMap<&str, SystemTime> = BTreeMap::new();
        let mut foreign: BTreeSet<&str> = BTreeSet::new();
        let mut found = Vec::new();
        for (at, holder) in holders.iter().enumerate() {
            for blob in &holder.blobs {
                let used = held.entry(blob).or_insert(holder.used);
                *used = holder.used.max(*used);
            }
            if !is_looked_at(holder.project.as_deref()) {
                foreign.extend(holder.blobs.iter().map(String::as_str));
                continue;
            }
            let item = Item {
                path: holder.path.clone(),
                bytes: 0,
                used: holder.used,
            };
            found.push(Candidate {
                item,
                what: What::Name(at),
                is_named: true,
            });
        }
        for folder in ["blobs/sha256", "blobs/sha512"] {
            let items = entries(&self.root().join(folder)).into_iter();
            // In a shared store anybody can make a directory there.
            for mut item in items.filter(|item| !item.path.is_dir()) {
                let name = item.path.file_name().unwrap_or_default().to_string_lossy();
                let by_name = held.get(&*name).copied();
                let is_own = by_name.is_some() && !foreign.contains(&*name);
                if project.is_some() && !is_own {
                    continue;
                }
                item.used = by_name.map_or(item.used, |used| used.max(item.used));
                found.push(Candidate {
                    item,
                    what: What::File,
                    is_named: by_name.is_some(),
                });
            }
        }
        found.extend(self.files_of_nobody(project));
        found.extend(self.of_scans(project));
        found.extend(self.trees(project));
        found
    }

    /// Records and logs, which belong to no project.
    fn files_of_nobody(&self, project: Option<&str>) -> Vec<Candidate> {
        let folders: &[&str] = match project {
            Some(_) => &[],
            None => &["steps", "indexes", "layers", "logs"],
        };
        let folders = folders.iter().map(|folder| self.root().join(folder));
        let items = folders.flat_map(|folder| entries(&folder));
        let files = items.filter(|item| item.path.is_file());
        files
            .map(|item| Candidate {
                item,
                what: What::File,
                is_named: false,
            })
            .collect()
    }

    /// Findings, indexes and databases of advisories. A shared store has none: they are in the user's own.
    fn of_scans(&self, project: Option<&str>) -> Vec<Candidate> {
        if project.is_some() || self.is_shared() {
            return Vec::new();
        }
        let items = databases::items(&self.root().join("db")).into_iter();
        items
            .map(|(item, is_database)| Candidate {
                item,
                what: match is_database {
                    true => What::Database,
                    false => What::File,
                },
                is_named: false,
            })
            .collect()
    }

    /// A scan that reads a database holds its lock.
    fn remove_database(&self, item: &Item) -> Result<bool> {
        let path = item.path.display();
        databases::remove(item, || self.temporary_dir())
            .with_context(|| format!("cannot remove `{path}`"))
    }

    /// Unpacked layers and cache mounts.
    fn trees(&self, project: Option<&str>) -> Vec<Candidate> {
        let mut items = Vec::new();
        if project.is_none() {
            for map in entries(&self.root().join("trees")) {
                items.extend(entries(&map.path).into_iter().map(|item| {
                    let bytes = measure(&item.path).0;
                    (Item { bytes, ..item }, What::UnpackedLayer)
                }));
            }
        }
        let mounts = self.cache_mounts().into_iter();
        let mounts =
            mounts.filter(|mount| project.is_none() || mount.project.as_deref() == project);
        items.extend(mounts.filter_map(|mount| {
            let modified = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
            let made = modified(&mount.path)?;
            // Every use of a cache takes its lock.
            let locked = modified(&mount.path.join("lock")).unwrap_or(made);
            let item = Item {
                bytes: mount.bytes,
                used: made.max(locked),
                path: mount.path,
            };
            Some((item, What::CacheMount))
        }));
        items
            .into_iter()
            .map(|(item, what)| Candidate {
                item,
                what,
                is_named: false,
            })
            .collect()
    }

    /// Every name, and the hex digests of every blob that its image needs.
    fn holders(&self) -> Vec<Holder> {
        let names = self.all_images(self.is_shared()).into_iter();
        names
            .filter_map(|named| {
                let path = self.name_path(&named.name);
                let used = fs::metadata(&path).and_then(|meta| meta.modified()).ok()?;
                Some(Holder {
                    blobs: self.blobs_of(named.manifest),
                    name: named.name,
                    project: named.project,
                    used,
                    path,
                })
            })
            .collect()
    }

    fn blobs_of(&self, root: Descriptor) -> BTreeSet<String> {
        let mut blobs = BTreeSet::new();
        let mut waiting = vec![root];
        while let Some(descriptor) = waiting.pop() {
            if blobs.insert(descriptor.digest.hex().to_string()) {
                waiting.extend(self.children(&descriptor));
            }
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
