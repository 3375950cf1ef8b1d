//! Everything that an image consists of, found from its manifest or index.

use std::collections::BTreeSet;

use crate::error::{OciError, Result};

use crate::image::{Descriptor, ImageManifest, ImageTree, ManifestOrIndex, TreeError, is_image};
use crate::store::Store;

/// As registries limit manifests; configs are smaller.
pub(super) const MOST_JSON: u64 = 8 << 20;
/// An index in an index in an index is a trap.
pub(super) const MOST_DEPTH: u32 = 4;

pub(super) struct Contents {
    /// Each once: the root, then what it names, depth first.
    pub blobs: Vec<Descriptor>,
    /// Manifests of images to be run, without attestations and other artifacts.
    pub images: Vec<(Descriptor, ImageManifest)>,
}

/// The blobs of an image, manifests and configs included, each once. Layers that
/// must not be distributed and are not in the store are left out.
///
/// # Errors
/// A manifest is not in the store.
pub fn blobs(store: &Store, root: &Descriptor) -> Result<Vec<Descriptor>> {
    Ok(Contents::of(store, root)?.blobs)
}

impl Contents {
    pub fn of(store: &Store, root: &Descriptor) -> Result<Contents> {
        let read = |at: &Descriptor| store.read_blob(&at.digest, MOST_JSON);
        let tree = ImageTree::read(root, MOST_DEPTH, read).map_err(|error| match error {
            TreeError::Read { error, .. } => error,
            TreeError::Invalid { digest, error } => {
                OciError::from(error).during(digest.to_string())
            }
            TreeError::TooDeep { .. } => {
                OciError::limit("indexes nested in each other", MOST_DEPTH)
            }
        })?;
        let mut contents = Contents {
            blobs: Vec::new(),
            images: Vec::new(),
        };
        let mut seen = BTreeSet::new();
        for (descriptor, document) in tree.walk() {
            if !seen.insert(descriptor.digest.clone()) {
                continue;
            }
            contents.blobs.push(descriptor.clone());
            let ManifestOrIndex::Manifest(manifest) = &document.content else {
                continue;
            };
            for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
                let absent = blob.is_foreign() && !store.has(&blob.digest);
                if !absent && seen.insert(blob.digest.clone()) {
                    contents.blobs.push(blob.clone());
                }
            }
            if is_image(descriptor, manifest) {
                contents.images.push((descriptor.clone(), manifest.clone()));
            }
        }
        Ok(contents)
    }
}

/// `blobs/sha256/…`, in archives and layouts.
pub(super) fn blob_name(digest: &crate::image::Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}
