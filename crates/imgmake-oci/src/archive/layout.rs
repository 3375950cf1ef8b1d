//! OCI layouts (image-layout.md): a directory of blobs and an index of images.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::error::{Context, OciError, Result};

use crate::image::{Descriptor, Digest, ImageIndex, ManifestFormat, from_json, to_json};
use crate::store::Store;

use super::contents::Contents;
use super::contents::blob_name;
use super::name::Name;
use super::output::{beside, put, sweep};

pub(super) const LAYOUT_FILE: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The tag alone, as buildkit and umoci have it.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The full name, for containerd and podman.
pub(super) const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Adds an image to a layout directory, which is made if need be; what has the
/// same names there is replaced, and one without a name by another without. The index comes last, so a reader sees the image
/// whole or not at all.
///
/// # Errors
/// The directory holds something else, a blob is not in the store, a name is none.
pub fn write_layout(store: &Store, root: &Descriptor, names: &[String], dir: &Path) -> Result<()> {
    let action = || format!("cannot write the OCI layout `{}`", dir.display());
    let names = Name::parse_all(names).with_context(action)?;
    let contents = Contents::of(store, root).with_context(action)?;
    write(store, &contents, &named(root, &names), dir).with_context(action)
}

fn write(store: &Store, contents: &Contents, new: &[Descriptor], dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    // Two targets may write into one layout at the same time.
    let lock = File::open(dir)?;
    lock.lock()?;
    // With the lock held, whatever is unfinished here was left by a killed run.
    for directory in [dir.to_path_buf(), dir.join("blobs/sha256")] {
        sweep(&directory, Duration::ZERO);
    }
    let there = existing(dir)?;
    for blob in &contents.blobs {
        write_blob(store, blob, &dir.join(blob_name(&blob.digest)))?;
    }
    if !dir.join("oci-layout").exists() {
        write_whole(&dir.join("oci-layout"), LAYOUT_FILE)?;
    }
    let index = merge(there, new);
    write_whole(&dir.join("index.json"), &to_json(&index))
}

/// The index that is there; an error if the directory is used for something else.
fn existing(dir: &Path) -> Result<ImageIndex> {
    let index = dir.join("index.json");
    if dir.join("oci-layout").exists() && index.exists() {
        let bytes = fs::read(&index)?;
        return from_json(&bytes).with_context(|| format!("invalid `{}`", index.display()));
    }
    // `oci-layout` and blobs alone are what an interrupted first write leaves.
    let stranger = fs::read_dir(dir)?
        .filter_map(Result::ok)
        .map(|entry| entry.file_name())
        .find(|name| name != "oci-layout" && name != "blobs");
    match stranger {
        Some(name) => {
            let obstacle = format!(
                "the directory contains `{}` and is not an OCI layout",
                name.display()
            );
            Err(OciError::conflict(
                obstacle,
                "choose an empty or a new directory",
            ))
        }
        None => Ok(index_of(Vec::new())),
    }
}

fn write_blob(store: &Store, blob: &Descriptor, path: &Path) -> Result<()> {
    if is_there(blob, path) {
        return Ok(());
    }
    // A copy: the store's own must stay as it is, whatever happens to this one.
    let mut file = beside(path)?;
    store.copy_blob(blob, file.as_file_mut())?;
    put(file, path)
}

/// Whether an earlier write left the blob, and nothing has damaged it since.
fn is_there(blob: &Descriptor, path: &Path) -> bool {
    let Ok(mut file) = File::open(path) else {
        return false;
    };
    let fits = |meta: fs::Metadata| meta.is_file() && meta.len() == blob.size;
    file.metadata().is_ok_and(fits)
        && Digest::of_reader(&mut file).is_ok_and(|found| found == blob.digest)
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = beside(path)?;
    file.write_all(bytes)?;
    put(file, path)
}

/// New ones stand where the ones that they replace stood, or at the end.
fn merge(mut index: ImageIndex, new: &[Descriptor]) -> ImageIndex {
    for descriptor in new {
        let same = |old: &Descriptor| match descriptor.annotations.get(CONTAINERD_NAME) {
            Some(name) => match old.annotations.get(CONTAINERD_NAME) {
                Some(old_name) => old_name == name,
                // Written by others, who know tags alone.
                None => old.annotations.get(REF_NAME) == descriptor.annotations.get(REF_NAME),
            },
            // Beside another without a name neither could be asked for.
            None => !has_name(old),
        };
        match index.manifests.iter().position(same) {
            Some(at) => {
                index.manifests[at] = descriptor.clone();
                // Earlier versions left several without a name.
                let mut number = 0;
                index.manifests.retain(|old| {
                    number += 1;
                    number - 1 == at || !same(old)
                });
            }
            None => index.manifests.push(descriptor.clone()),
        }
    }
    index
}

fn has_name(descriptor: &Descriptor) -> bool {
    [CONTAINERD_NAME, REF_NAME]
        .iter()
        .any(|key| descriptor.annotations.contains_key(*key))
}

pub(super) fn index_of(manifests: Vec<Descriptor>) -> ImageIndex {
    ImageIndex::new(ManifestFormat::Oci, manifests)
}

/// One descriptor for each name; one without if there is none.
pub(super) fn named(root: &Descriptor, names: &[Name]) -> Vec<Descriptor> {
    if names.is_empty() {
        return vec![root.clone()];
    }
    let with = |name: &Name| {
        let mut descriptor = root.clone();
        let annotations = &mut descriptor.annotations;
        annotations.insert(REF_NAME.to_string(), name.tag.clone());
        annotations.insert(CONTAINERD_NAME.to_string(), name.full.clone());
        descriptor
    };
    names.iter().map(with).collect()
}
