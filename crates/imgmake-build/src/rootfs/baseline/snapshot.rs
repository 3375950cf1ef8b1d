//! The state before a command that changed the image's tree in place. The snapshot remembers each
//! inode; contents, link targets and attributes are looked up in the indexes of the layers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use rustix::fs::Stat;

use crate::error::{BuildError, Context, Result};
use crate::rootfs::attributes::is_imported;
use crate::rootfs::inode::{Inode, Original};
use crate::rootfs::placeholder;
use crate::rootfs::snapshot::{Snapshot, StatRecord};
use imgmake_oci::layer::{EntryKind, IndexEntry, join};

pub(in crate::rootfs) struct SnapshotBaseline<'a> {
    snapshot: &'a Snapshot,
    path: Vec<u8>,
}

impl<'a> SnapshotBaseline<'a> {
    pub(super) fn root(snapshot: &'a Snapshot) -> SnapshotBaseline<'a> {
        SnapshotBaseline {
            snapshot,
            path: Vec::new(),
        }
    }

    /// `None` also for what was in the tree without being in the image: no layer holds sockets.
    pub(super) fn get(&self, name: &[u8]) -> Option<Seen<'a>> {
        let then = self.snapshot.directory(&self.path)?.get(name)?;
        let indexed = self.snapshot.image().get(&join(&self.path, name))?;
        Some(Seen { then, indexed })
    }

    pub(super) fn enter(&self, name: &[u8]) -> SnapshotBaseline<'a> {
        SnapshotBaseline {
            snapshot: self.snapshot,
            path: join(&self.path, name),
        }
    }

    pub(super) fn names(&self) -> BTreeSet<Vec<u8>> {
        let here = self.snapshot.directory(&self.path);
        let names = here.into_iter().flat_map(BTreeMap::keys);
        names
            .filter(|name| self.get(name).is_some())
            .cloned()
            .collect()
    }
}

pub(super) struct Seen<'a> {
    then: &'a StatRecord,
    indexed: &'a IndexEntry,
}

impl Original for Seen<'_> {
    fn is_untouched(&self, now: &Stat) -> bool {
        self.then.is_still(now)
    }

    fn inode(&self) -> Inode {
        self.then.inode
    }

    fn xattrs(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let all = self.indexed.entry.xattrs.clone().into_iter();
        Ok(all.filter(|(name, _)| is_imported(name)).collect())
    }

    fn target(&self) -> Result<Vec<u8>> {
        match &self.indexed.entry.kind {
            EntryKind::Symlink { target } => Ok(target.clone()),
            other => Err(BuildError::damaged(
                "the index of a layer",
                format!("a symlink of the tree is {other:?} in it"),
            )),
        }
    }

    fn has_content_of(&self, file: File) -> Result<bool> {
        if let EntryKind::CharDevice { .. } | EntryKind::BlockDevice { .. } =
            self.indexed.entry.kind
        {
            // The sizes are equal: a placeholder is empty.
            return Ok(placeholder::device_of(&file).as_ref() == Some(&self.indexed.entry.kind));
        }
        let mut hash = blake3::Hasher::new();
        hash.update_reader(file).context("cannot read it")?;
        Ok(self.indexed.content == Some(*hash.finalize().as_bytes()))
    }
}
