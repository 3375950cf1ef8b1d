//! Whether an image is still in the store, with all that later runs need of it.

use super::super::runner::TargetRunner;
use imgmake_core::execute::Failure;
use imgmake_oci::image::{Descriptor, Digest, Reference};
use imgmake_oci::store::Store;

/// Why a recorded image cannot be used any more, if it cannot.
pub(super) fn image(
    runner: &TargetRunner<'_>,
    digest: &Digest,
    blobs: &[(Digest, u64)],
    sources: &[Reference],
    tags: &[String],
) -> Result<Option<String>, Failure> {
    let store = runner.store()?;
    let is_lost =
        |(digest, size): &(Digest, u64)| !store.holds(&Descriptor::new("", digest.clone(), *size));
    if blobs.iter().any(is_lost) {
        return Ok(Some("the image is no longer in the store".to_string()));
    }
    records(runner, store, digest, sources, tags)
}

/// What the store records of an image beside its blobs: without it, base layers that were
/// never pulled could not be had, and its names would lead nowhere.
fn records(
    runner: &TargetRunner<'_>,
    store: &Store,
    digest: &Digest,
    sources: &[Reference],
    tags: &[String],
) -> Result<Option<String>, Failure> {
    let engine = runner.engine()?;
    if !sources.is_empty() && imgmake_build::sources_of(&engine, digest).is_empty() {
        let lost = "the store no longer knows where the image's base layers can be pulled";
        return Ok(Some(lost.to_string()));
    }
    let lost = tags.iter().find(|tag| store.tagged(tag).is_none());
    Ok(lost.map(|tag| format!("the store no longer has the name `{tag}`")))
}
