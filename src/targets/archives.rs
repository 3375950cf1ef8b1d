//! Archives and layouts that targets read, as inputs of their keys.

use super::runner::TargetRunner;
use imgmake_core::execute::Failure;
use imgmake_core::fingerprint::Inputs;
use imgmake_core::manifest::Spanned;
use imgmake_core::state::tree_signature;

/// # Errors
/// It cannot be read.
pub fn add(
    runner: &TargetRunner<'_>,
    path: &Spanned<String>,
    inputs: &mut Inputs,
) -> Result<(), Failure> {
    let full = runner.path(&path.value);
    let unreadable = |error| runner.project.unreadable(path, &error);
    let metadata = std::fs::metadata(&full).map_err(unreadable)?;
    if metadata.is_dir() {
        let signature = tree_signature(&full).map_err(unreadable)?;
        inputs.hashed("layout", &path.value, signature);
        return Ok(());
    }
    let hash = runner.hash_file(&full, &metadata).map_err(unreadable)?;
    inputs.hashed("file", &path.value, hash);
    Ok(())
}
