//! What a named image consists of: its manifests, one per platform.

use super::error::{Context, Result, ScanError};
use imgmake_oci::image::{
    Descriptor, ImageConfig, ImageManifest, ImageTree, Platform, TreeError, from_json,
};
use imgmake_oci::store::Store;

/// Bytes of a manifest, index or config.
const LARGEST_DOCUMENT: u64 = 16 << 20;
/// An index of indexes is allowed; a chain of them is an attack.
const DEEPEST: u32 = 3;

/// One image manifest with its config.
pub struct Child {
    pub descriptor: Descriptor,
    pub platform: Platform,
    pub manifest: ImageManifest,
    pub config: ImageConfig,
}

/// Every image of a manifest or index: all but attestations.
///
/// # Errors
/// Blobs that are not in the store; manifests of things that are no images.
pub fn children(root: &Descriptor, store: &Store) -> Result<Vec<Child>> {
    let tree = ImageTree::read(root, DEEPEST, |at| document(at, store)).map_err(unreadable)?;
    let mut found = Vec::new();
    for (descriptor, manifest) in tree.images() {
        found.push(child(descriptor, manifest.clone(), store)?);
    }
    if found.is_empty() {
        let what = format!("image in the index {}", root.digest);
        return Err(ScanError::not_found(what, ""));
    }
    Ok(found)
}

fn unreadable(error: TreeError<ScanError>) -> ScanError {
    match error {
        TreeError::Read { error, .. } => error,
        TreeError::Invalid { digest, error } => {
            ScanError::invalid(format!("manifest {digest}"), error.to_string())
        }
        TreeError::TooDeep { digest } => {
            let limit = format!("{DEEPEST} indexes in each other");
            ScanError::limit(format!("the nesting of index {digest}"), limit)
        }
    }
}

fn child(descriptor: &Descriptor, manifest: ImageManifest, store: &Store) -> Result<Child> {
    if !manifest.is_image() {
        let kind = manifest.config.media_type.as_str();
        let what = format!("image manifest {}", descriptor.digest);
        return Err(ScanError::invalid(what, format!("its config is `{kind}`")));
    }
    let bytes = document(&manifest.config, store)?;
    let config: ImageConfig = from_json(&bytes).map_err(|error| {
        ScanError::invalid(
            format!("config {}", manifest.config.digest),
            error.to_string(),
        )
    })?;
    Ok(Child {
        descriptor: descriptor.clone(),
        platform: config.platform(),
        manifest,
        config,
    })
}

fn document(descriptor: &Descriptor, store: &Store) -> Result<Vec<u8>> {
    store
        .read_blob(&descriptor.digest, LARGEST_DOCUMENT)
        .with_context(|| format!("cannot read {} in the store", descriptor.digest))
}
