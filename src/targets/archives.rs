//! Archives and layouts that targets read, as inputs of their keys.

use std::path::Path;

use super::failure::failure;
use super::runner::TargetRunner;
use imgmake_core::execute::Failure;
use imgmake_core::files::{ReadAs, Signature};
use imgmake_core::fingerprint::Inputs;
use imgmake_core::manifest::{ArchiveImage, Spanned};
use imgmake_oci::OciError;
use imgmake_oci::archive::{self, Imported};
use imgmake_oci::store::Store;

const CHOOSE: &str = "\nchoose one with `image=\"NAME\"` or `index=N` beside `tar`, in a plugin's step with PLUGIN_SOURCE_IMAGE";

/// The image of an archive, or the one that is meant.
///
/// # Errors
/// As [`archive::read`].
pub fn read(
    runner: &TargetRunner<'_>,
    path: &str,
    image: Option<&ArchiveImage>,
) -> Result<Imported, Failure> {
    let read = pick(runner.store()?, &runner.path(path), image);
    read.map_err(|error| {
        let is_to_choose = image.is_none() && error.is_ambiguous();
        let mut failed = failure(error);
        if is_to_choose {
            failed.message.push_str(CHOOSE);
        }
        failed
    })
}

/// # Errors
/// As [`archive::read`].
pub fn pick(
    store: &Store,
    path: &Path,
    image: Option<&ArchiveImage>,
) -> Result<Imported, OciError> {
    match image {
        None => archive::read(store, path, None),
        Some(ArchiveImage::Named(name)) => archive::read(store, path, Some(name)),
        Some(ArchiveImage::Numbered(number)) => archive::read_numbered(store, path, *number),
    }
}

/// # Errors
/// It cannot be read.
pub fn add(
    runner: &TargetRunner<'_>,
    target: &str,
    path: &Spanned<String>,
    inputs: &mut Inputs,
) -> Result<(), Failure> {
    let full = runner.path(&path.value);
    if runner.is_yet_to_be_made(&full) {
        return Ok(());
    }
    let unreadable = |error| runner.project.unreadable(target, path, &error);
    let metadata = std::fs::metadata(&full).map_err(unreadable)?;
    if metadata.is_dir() {
        runner.record(&full, ReadAs::Tree);
        let signature = runner.tree_signature(&full).map_err(unreadable)?;
        inputs.hashed("layout", &path.value, signature);
        return Ok(());
    }
    runner.record(&full, ReadAs::Followed);
    let hash = runner.hash_file(&Signature::of(&metadata), || std::fs::File::open(&full));
    let hash = hash.map_err(unreadable)?;
    inputs.hashed("file", &path.value, hash);
    Ok(())
}
