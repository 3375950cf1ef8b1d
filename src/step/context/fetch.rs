//! A context becomes a directory. What is fetched lies among the store's
//! temporary files: it goes when the process ends, or with a later run's sweep.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{git, http};
use imgmake_build::rootfs::unpack_archive;
use imgmake_compat::plugin::kaniko::Context;
use imgmake_oci::store::Store;

/// Gives standard input, where it is not a terminal. Only the command line reads it.
pub type StandardInput<'a> = &'a dyn Fn() -> Result<File>;

/// # Errors
/// It cannot be fetched; the caller says which context it was.
pub fn context(
    context: &Context,
    store: &Store,
    repositories: &git::Repositories,
    standard_input: StandardInput<'_>,
) -> Result<PathBuf> {
    let cancel = &repositories.client.cancel;
    if let Context::Directory(path) = context {
        return Ok(PathBuf::from(path));
    }
    let path = store.temporary_dir()?;
    match context {
        Context::Directory(_) => unreachable!("a directory is not fetched"),
        Context::Tar(archive) => {
            let file = cancel
                .open(Path::new(archive))
                .context("cannot open the archive")?;
            unpack_archive(file, &path, cancel)?;
        }
        Context::StandardInput => {
            // A pipe may stay silent for ever.
            let input = cancel.attentive(standard_input()?)?;
            unpack_archive(input, &path, cancel)?;
        }
        Context::Git(git) => git::clone(git, &path, repositories)?,
        Context::Https(address) => {
            let archive = store.temporary_dir()?.join("context");
            http::download(&address.0, &archive, cancel)?;
            unpack_archive(File::open(&archive)?, &path, cancel)?;
            drop(std::fs::remove_file(archive));
        }
    }
    Ok(path)
}
