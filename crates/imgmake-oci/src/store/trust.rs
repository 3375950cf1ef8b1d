//! How far a store's directory is believed.
//!
//! Into the user's own store nobody else writes. A store below a project or a pipeline's
//! workspace is input from strangers: whoever wrote the checkout, another step or a restored
//! cache may have laid something there. Blobs are proven by their digests, so they are used.
//! Records (steps, layers, indexes, names) count only with a MAC. What neither proves stays
//! out of such a directory: advisories and findings are kept in the user's own store, unpacked
//! layers and cache mounts below names that nobody finds without the key, or with the process.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Context, OciError, Result};
use serde::{Deserialize, Serialize};

use imgmake_guard::mac::MacKey;

/// Who else may have written what lies in a store.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// Nobody: it is the user's own.
    #[default]
    Private,
    Shared(Shared),
}

/// What a store in a checkout is opened with.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Of the records that count.
    pub key: MacKey,
    pub found_again: FoundAgain,
    /// Images are also found by names without a MAC: for steps of one pipeline, which push
    /// what an earlier one built.
    pub names: Names,
    /// The user's own store, for what is kept outside of any checkout.
    pub own: Option<PathBuf>,
}

/// Which directories of an earlier run are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FoundAgain {
    /// None: the key goes with the process.
    Nothing,
    /// Cache mounts: others who cannot know the key can see the directories and could
    /// change an unpacked layer, which nothing proves.
    CacheMounts,
    /// Those, and unpacked layers: the key is the user's own.
    Everything,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    WithMac,
    Any,
}

/// What a helper process needs of it: it reads and writes records, trees and cache mounts.
#[derive(Clone, Debug)]
pub struct Guard {
    pub found_again: FoundAgain,
    pub key: MacKey,
}

/// Where unpacked layers or cache mounts lie.
pub(super) enum Place {
    Plain,
    /// Under names that end like this.
    Named(String),
    /// Of this process alone.
    Below(PathBuf),
}

impl Place {
    pub(super) fn directory(&self, root: &Path, folder: &str, id_map: &str) -> PathBuf {
        match self {
            Place::Plain => root.join(folder).join(id_map),
            Place::Named(end) => root.join(folder).join(format!("{id_map}-{end}")),
            Place::Below(own) => own.join(folder).join(id_map),
        }
    }
}

/// A link in a directory that others write leads wherever they want.
///
/// # Errors
/// There is one where the store makes files or directories.
pub(super) fn refuse_links(root: &Path) -> Result<()> {
    // Elsewhere files are renamed into place, which replaces a link.
    let inner = ["", "blobs", "trees", "cache", "db", "logs", "tmp"];
    for directory in inner.iter().map(|name| root.join(name)) {
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.with_context(|| format!("cannot read `{}`", directory.display()))?,
        };
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read `{}`", directory.display()))?;
            if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                let why = format!(
                    "`{}` is a symbolic link: a store inside a checkout must not contain links, because they could lead anywhere",
                    entry.path().display()
                );
                return Err(OciError::untrusted(why, "remove it"));
            }
        }
    }
    Ok(())
}
