//! What is said of images inside their index, as BuildKit puts it there: beside each image a manifest of statements,
//! for no platform. They are unsigned; who signs the index signs them too.

use anyhow::Context as _;

use super::super::cleared::{self, Cleared};
use super::super::failure::failure;
use super::super::task::PushTask;
use super::attachments::{EMPTY, PREDICATE_TYPE, artifact, bare};
use super::statements::{About, documents};
use imgmake_core::execute::{Failure, Upstream};
use imgmake_oci::image::{Descriptor, Digest, ImageManifest, media_type, to_json};
use imgmake_oci::signature::STATEMENT;
use imgmake_oci::store::Store;

/// What BuildKit calls the manifest (its `docs/attestations/attestation-storage.md`).
const ARTIFACT: &str = "application/vnd.docker.attestation.manifest.v1+json";

/// Each image with what the push says of it in its index.
///
/// # Errors
/// A document cannot be made; the image has a form that nothing can be added to.
pub(super) fn complete(
    task: &PushTask<'_>,
    images: Vec<Cleared>,
    upstream: &Upstream<'_>,
) -> Result<Vec<Cleared>, Failure> {
    let kinds = &task.target.attest.in_index;
    if kinds.is_empty() {
        return Ok(images);
    }
    let store = task.runner.store()?;
    let said = documents(task, &images, kinds, upstream)?;
    let complete = |(image, about): (Cleared, Vec<About>)| {
        let beside = manifests(store, &about).map_err(failure)?;
        cleared::with_attestations(store, image, &beside).map_err(failure)
    };
    images.into_iter().zip(said).map(complete).collect()
}

/// One manifest for each image that something is said of, with the image.
fn manifests(store: &Store, about: &[About]) -> anyhow::Result<Vec<(Descriptor, Digest)>> {
    let mut images: Vec<&Descriptor> = Vec::new();
    for one in about {
        if !images.iter().any(|known| known.digest == one.image.digest) {
            images.push(&one.image);
        }
    }
    let put = |bytes: &[u8], kind: &str| {
        let digest = store.put_bytes(bytes);
        let digest = digest.context("cannot keep an attestation in the store")?;
        anyhow::Ok(Descriptor::new(kind, digest, bytes.len() as u64))
    };
    let mut found = Vec::new();
    for image in images {
        let of_it = about.iter().filter(|one| one.image.digest == image.digest);
        let mut layers = Vec::new();
        for one in of_it {
            let mut layer = put(&one.statement.to_json(), STATEMENT)?;
            let kind = one.statement.predicate_type.clone();
            layer.annotations.insert(PREDICATE_TYPE.to_string(), kind);
            layers.push(layer);
        }
        let manifest = ImageManifest {
            config: put(EMPTY, media_type::OCI_EMPTY)?,
            layers,
            artifact_type: Some(ARTIFACT.to_string()),
            subject: Some(bare(image)),
            ..artifact()
        };
        let manifest = put(&to_json(&manifest), media_type::OCI_MANIFEST)?;
        found.push((manifest, image.digest.clone()));
    }
    Ok(found)
}
