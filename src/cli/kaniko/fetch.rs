//! A context becomes a directory. What is fetched lies among the store's
//! temporary files: it goes when the process ends, or with a later run's sweep.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{git, http};
use imgmake_build::rootfs::unpack_archive;
use imgmake_compat::plugin::kaniko::Context;
use imgmake_oci::store::Store;

/// # Errors
/// It cannot be fetched; the caller says which context it was.
pub fn context(
    context: &Context,
    store: &Store,
    repositories: &git::Repositories,
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
            let input = std::io::stdin();
            if input.is_terminal() {
                bail!(
                    "standard input is a terminal, not an archive; pipe one in, and with docker or kubectl give `-i`"
                );
            }
            // A pipe may stay silent for ever.
            let input = cancel.attentive(File::from(input.as_fd().try_clone_to_owned()?))?;
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
