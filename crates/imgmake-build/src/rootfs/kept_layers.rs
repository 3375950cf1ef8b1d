//! Unpacked layers in the store: made once, under a temporary name, renamed when whole.

use std::collections::{BTreeSet, HashMap};
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::arriving::Blob;
use super::inflate::read_layer;
use super::stack::{Stack, Unpacked, corrections};
use super::tree::{Tree, Whiteouts};
use super::{Devices, Marks};
use crate::error::{BuildError, Context, Result};
use imgmake_event::Cancel;
use imgmake_guard::confined::{remove_tree, remove_unfinished};
use imgmake_guard::modes::{self, PRIVATE, VISIBLE};
use imgmake_oci::image::Digest;
use imgmake_oci::layer::{Index, Layer};
use imgmake_oci::store::{Damaged, Store};

/// The record of a kept tree. Its existence says that the tree is complete; it lists the parent
/// directories that the layer itself did not contain.
const IMPLIED: &str = "implied";

/// Whether an unpacked layer's index is of use to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Indexing {
    Wanted,
    Unwanted,
}

/// Trees of one id map.
pub struct Trees {
    store: Store,
    id_map: String,
    pub marks: Marks,
    devices: Devices,
    squash: bool,
    in_progress: Mutex<HashMap<Digest, Arc<Mutex<()>>>>,
    warnings: Mutex<Vec<String>>,
}

impl Trees {
    pub fn new(
        store: Store,
        id_map: String,
        marks: Marks,
        devices: Devices,
        squash: bool,
    ) -> Trees {
        Trees {
            store,
            id_map,
            marks,
            devices,
            squash,
            in_progress: Mutex::new(HashMap::new()),
            warnings: Mutex::new(Vec::new()),
        }
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What becomes of device nodes in these trees.
    pub fn devices(&self) -> Devices {
        self.devices
    }

    pub fn id_map(&self) -> &str {
        &self.id_map
    }

    /// Unpacks a layer for steps that come later; with `indexing`, the store gets its index if it has none.
    ///
    /// # Errors
    /// As [`Trees::stack`]; the layer links into lower ones, or what arrives is not the layer.
    pub fn unpack_ahead(
        &self,
        layer: &Layer,
        blob: &Blob,
        indexing: Indexing,
        cancel: &Cancel,
    ) -> Result<()> {
        let unpacked = self.unpack(layer, blob, &layer.diff_id, &[], indexing, cancel);
        unpacked.map(drop)
    }

    /// Unpacks what is not unpacked yet. `layers` bottom first.
    ///
    /// # Errors
    /// A blob is missing, damaged or not what its diff id says; the disk is full.
    pub fn stack(&self, layers: &[Layer], cancel: &Cancel) -> Result<Stack> {
        let unpacked = self.unpack_all(layers, cancel)?;
        let (corrections, root_like) = corrections(&unpacked);
        // The kernel refuses a directory named twice. Of a layer that appears twice only the
        // topmost place matters.
        let mut seen = std::collections::BTreeSet::new();
        let lowers = unpacked.into_iter().rev().map(|u| u.tree.join("fs"));
        Ok(Stack {
            lowers: lowers.filter(|l| seen.insert(l.clone())).collect(),
            corrections,
            root_like,
        })
    }

    fn unpack_all(&self, layers: &[Layer], cancel: &Cancel) -> Result<Vec<Unpacked>> {
        let next = std::sync::atomic::AtomicUsize::new(0);
        let results: Vec<Mutex<Option<Result<PathBuf>>>> =
            layers.iter().map(|_| Mutex::new(None)).collect();
        let work = || loop {
            let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(layer) = layers.get(i) else {
                return;
            };
            let (blob, indexing) = (Blob::Stored, Indexing::Unwanted);
            let result = self.unpack(layer, &blob, &layer.diff_id, &[], indexing, cancel);
            *results[i].lock().expect("no unpacker panics") = Some(result);
        };
        let missing = layers
            .iter()
            .filter(|l| !self.store.tree_path(&self.id_map, &l.diff_id).exists())
            .count();
        // Each unpacker keeps two processors busy: one inflates, one hashes and makes files.
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(2));
        std::thread::scope(|scope| {
            for _ in 1..threads.min(missing.max(1)) {
                scope.spawn(work);
            }
            work();
        });
        let mut unpacked: Vec<Unpacked> = Vec::new();
        for (i, result) in results.into_iter().enumerate() {
            let result = result.into_inner().expect("no unpacker panics");
            let tree = match result.expect("every layer was taken by a thread") {
                Err(error) if matches!(error.root(), BuildError::LinkIntoLower(_)) => {
                    self.unpack_on(&layers[..=i], &unpacked, cancel)?
                }
                tree => tree?,
            };
            let implied = self
                .read_implied(&tree)
                .ok_or_else(|| BuildError::damaged(format!("`{}`", tree.display()), ""))?;
            unpacked.push(Unpacked { tree, implied });
        }
        Ok(unpacked)
    }

    /// A layer that links into lower ones: its tree is good on these alone.
    fn unpack_on(&self, chain: &[Layer], below: &[Unpacked], cancel: &Cancel) -> Result<PathBuf> {
        let lowers: Vec<PathBuf> = below.iter().rev().map(|u| u.tree.join("fs")).collect();
        let layer = chain.last().expect("the chain ends in the layer");
        let name = chain_name("links", chain);
        let (blob, indexing) = (Blob::Stored, Indexing::Unwanted);
        self.unpack(layer, &blob, &name, &lowers, indexing, cancel)
    }

    fn unpack(
        &self,
        layer: &Layer,
        blob: &Blob,
        name: &Digest,
        lowers: &[PathBuf],
        indexing: Indexing,
        cancel: &Cancel,
    ) -> Result<PathBuf> {
        let target = self.store.tree_path(&self.id_map, name);
        if self.is_kept(&target)? {
            return Ok(target);
        }
        let lock = {
            let mut in_progress = self.in_progress.lock().expect("no unpacker panics");
            in_progress.entry(name.clone()).or_default().clone()
        };
        let _mine = lock.lock().expect("no unpacker panics");
        if self.is_kept(&target)? {
            return Ok(target);
        }
        let temporary = self.store.temporary_dir()?;
        let unpacked = self
            .unpack_into(layer, blob, &temporary, lowers, indexing, cancel)
            .and_then(|implied| self.seal_tree(&temporary.join("tree"), &target, &implied))
            .and_then(|()| keep_tree(&temporary.join("tree"), &target));
        drop(remove_unfinished(&temporary, cancel));
        unpacked.with_context(|| format!("cannot unpack layer {}", layer.digest().short()))?;
        Ok(target)
    }

    /// Whether a whole tree is there. What an unsound record says about it is not believed:
    /// the tree is then made again.
    fn is_kept(&self, target: &Path) -> Result<bool> {
        if !target.exists() {
            return Ok(false);
        }
        if self.read_implied(target).is_some() && target.join("fs").is_dir() {
            return Ok(Store::mark_used(target));
        }
        let temporary = self.store.temporary_dir()?;
        match std::fs::rename(target, temporary.join("damaged")) {
            // Another process was first.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            moved => {
                moved.with_context(|| format!("cannot remove `{}`", target.display()))?;
                self.store.note_damage(Damaged {
                    path: target.to_path_buf(),
                    why: "the record of its unpacking has another checksum".to_string(),
                    removed: true,
                });
            }
        }
        drop(remove_tree(&temporary));
        Ok(false)
    }

    /// The directories that a kept tree merely implies; `None` when the record is unsound.
    fn read_implied(&self, target: &Path) -> Option<BTreeSet<Vec<u8>>> {
        let sealed = std::fs::read(target.join(IMPLIED)).ok()?;
        let content = self.store.unseal(target, &sealed)?;
        postcard::from_bytes(&content).ok()
    }

    /// Says that `tree` is whole once it is at `target`, and which directories it implies.
    fn seal_tree(&self, tree: &Path, target: &Path, implied: &BTreeSet<Vec<u8>>) -> Result<()> {
        let content = postcard::to_stdvec(implied)?;
        let sealed = self.store.seal(target, &content);
        Ok(modes::write_private(&tree.join(IMPLIED), &sealed)?)
    }

    fn unpack_into(
        &self,
        layer: &Layer,
        blob: &Blob,
        temporary: &Path,
        lowers: &[PathBuf],
        indexing: Indexing,
        cancel: &Cancel,
    ) -> Result<BTreeSet<Vec<u8>>> {
        let tree_dir = temporary.join("tree");
        make_tree_directory(&tree_dir)?;
        let kept = Whiteouts::Kept(self.marks);
        let mut tree = Tree::new(
            &tree_dir.join("fs"),
            kept,
            self.devices,
            self.squash,
            lowers,
        )?
        .stopped_by(cancel);
        match indexing {
            Indexing::Unwanted => read_layer(&self.store, layer, blob, &mut tree, None, cancel)?,
            Indexing::Wanted => self.read_and_index(layer, blob, &mut tree, cancel)?,
        }
        self.warn_of_placeholders(layer, &tree.placeholders);
        Ok(tree.implied.iter().cloned().collect())
    }

    /// Puts `layers` on each other in one directory, for where there is no overlay. Their
    /// indexes are in the store then: they tell what the directory held before it changed.
    pub(super) fn merge_into(
        &self,
        layers: &[Layer],
        directory: &Path,
        cancel: &Cancel,
    ) -> Result<()> {
        for layer in layers {
            let applied = Whiteouts::Applied;
            let mut tree =
                Tree::new(directory, applied, self.devices, self.squash, &[])?.stopped_by(cancel);
            self.read_and_index(layer, &Blob::Stored, &mut tree, cancel)
                .with_context(|| format!("cannot unpack layer {}", layer.digest().short()))?;
            self.warn_of_placeholders(layer, &tree.placeholders);
        }
        Ok(())
    }

    /// Whoever needs the index later need not inflate the layer again.
    fn read_and_index(
        &self,
        layer: &Layer,
        blob: &Blob,
        tree: &mut Tree<'_>,
        cancel: &Cancel,
    ) -> Result<()> {
        let is_indexed = self.store.has_index(&layer.diff_id);
        let mut listed = (!is_indexed).then(Vec::new);
        read_layer(&self.store, layer, blob, tree, listed.as_mut(), cancel)?;
        if let Some(entries) = listed {
            self.store.put_index(&layer.diff_id, &Index::new(entries))?;
        }
        Ok(())
    }

    fn warn_of_placeholders(&self, layer: &Layer, paths: &[Vec<u8>]) {
        // Every RUN has its own `/dev`.
        let seen: Vec<&Vec<u8>> = paths.iter().filter(|p| !p.starts_with(b"dev/")).collect();
        let Some(first) = seen.first() else {
            return;
        };
        let warning = format!(
            "layer {} contains {} device node(s) (`/{}`…), which exist only in root isolation: \
             in this isolation mode, a RUN sees empty files instead",
            layer.digest().short(),
            seen.len(),
            String::from_utf8_lossy(first)
        );
        let mut warnings = self.warnings.lock().expect("no unpacker panics");
        warnings.push(warning);
    }

    /// What there was to say since the last call.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock().expect("no unpacker panics"))
    }

    /// Makes the upper directory of a finished RUN the tree of its layer, so that it
    /// is never unpacked. `tree` holds `fs`.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn keep(&self, tree: &Path, diff_id: &Digest) -> Result<()> {
        let target = self.store.tree_path(&self.id_map, diff_id);
        self.seal_tree(tree, &target, &BTreeSet::from([Vec::new()]))?;
        keep_tree(tree, &target)
    }
}

/// A name for what a whole chain of layers makes.
pub(super) fn chain_name(purpose: &str, layers: &[Layer]) -> Digest {
    let mut text = format!("{purpose}\n");
    for layer in layers {
        text.push_str(layer.diff_id.as_str());
        text.push('\n');
    }
    Digest::of(text.as_bytes())
}

/// `fs`, as the root of an image that says nothing about its root.
pub(super) fn make_tree_directory(tree: &Path) -> Result<()> {
    modes::make_dir(tree, PRIVATE)?;
    modes::make_dir(&tree.join("fs"), VISIBLE)?;
    let root = tree.join("fs");
    let set = std::fs::set_permissions(&root, Permissions::from_mode(VISIBLE));
    let mode = std::fs::metadata(&root)?.mode() & 0o7777;
    // Others keep the old one without a word, and every image would have other modes.
    if mode != VISIBLE {
        return Err(BuildError::NoModes {
            path: tree.to_path_buf(),
            given: VISIBLE,
            found: mode,
        });
    }
    set?;
    Ok(())
}

/// Renames a whole tree into place; another process may have been first, with the same.
pub(super) fn keep_tree(tree: &Path, target: &Path) -> Result<()> {
    if let Some(parent) = target.parent() {
        modes::make_dirs(parent, PRIVATE)?;
    }
    match std::fs::rename(tree, target) {
        Err(_) if target.exists() => Ok(()),
        done => done.with_context(|| format!("cannot make `{}`", target.display())),
    }
}
