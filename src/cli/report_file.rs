//! Files about a run: `--junit`, `--code-quality` and `--timing`.

use std::path::Path;

use super::args::Global;
use crate::exit::Exit;
use crate::no_links::refuse_links;
use crate::output_file::write_whole;

/// Writes one, in the directory that `-C` names, and through no link of the checkout.
///
/// # Errors
/// A link is in the way, or the file cannot be written.
pub(super) fn write(global: &Global, project: &Path, path: &Path, text: &str) -> Result<(), Exit> {
    let directory = global.directory.as_deref().unwrap_or(Path::new("."));
    // As the project's: `-C ../x` must not look like another place.
    let directory = directory.canonicalize().map_err(anyhow::Error::from)?;
    let path = directory.join(path);
    refuse_links(&path, project)?;
    Ok(write_whole(&path, text.as_bytes())?)
}
