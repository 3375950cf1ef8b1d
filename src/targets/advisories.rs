//! Advisories as an artifact of a registry: machines that share one need no network to the outside.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, anyhow, bail};

use super::pulled;
use imgmake_guard::printable::{self, Colors};
use imgmake_oci::image::{
    Descriptor, Digest, ImageManifest, Reference, from_json, media_type, to_json,
};
use imgmake_oci::store::Store;
use imgmake_registry::{Client, OperationContext};
use imgmake_scan::{advisory_home, is_advisory_file};

/// What the artifact says that it is.
pub const ARTIFACT: &str = "application/vnd.imgmake.advisories.v1";
/// Of each of its files, whose name is its title.
const FILE: &str = "application/vnd.imgmake.advisories.file.v1";
const TITLE: &str = "org.opencontainers.image.title";
const EMPTY: &[u8] = b"{}";

/// Publishes the advisories that are kept, under the reference's tag; gives the digest.
///
/// # Errors
/// None are kept, or the registry refuses.
pub fn push(
    client: &Client,
    store: &Store,
    to: &Reference,
    work: &OperationContext,
) -> Result<Digest> {
    let home = advisory_home(store)?;
    let mut layers = Vec::new();
    for name in file_names(&home)? {
        let path = home.join(&name);
        let mut file =
            File::open(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let mut writer = store.blob_writer()?;
        std::io::copy(&mut file, &mut writer).with_context(|| format!("cannot keep `{name}`"))?;
        let (digest, size) = writer.commit(None)?;
        let mut layer = Descriptor::new(FILE, digest, size);
        layer.annotations.insert(TITLE.to_string(), name);
        layers.push(layer);
    }
    if layers.is_empty() {
        bail!(
            "no advisories are stored\n  help: fetch some with `imgmake db update`, or store some with `imgmake db import`"
        );
    }
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.to_string(),
        artifact_type: Some(ARTIFACT.to_string()),
        config: store.put_described(media_type::OCI_EMPTY, EMPTY)?,
        layers,
        subject: None,
        annotations: std::collections::BTreeMap::new(),
    };
    let root = store.put_described(media_type::OCI_MANIFEST, &to_json(&manifest))?;
    let tag = to.tag_or_latest().unwrap_or("latest");
    client.push_artifact(to, tag, &root, store, work)?;
    Ok(root.digest)
}

/// A database of a registry, on this machine: its files stay while this is held.
pub struct Pulled {
    pub directory: PathBuf,
    pub digest: Digest,
    _lock: File,
}

/// Fetches a database whose files are not here yet.
///
/// # Errors
/// The registry does not have it, or it is something else; [`TooLarge`].
pub fn pull(
    client: &Client,
    store: &Store,
    from: &Reference,
    work: &OperationContext,
) -> Result<Pulled> {
    let fetched = client.manifest(from)?;
    let digest = fetched.descriptor.digest;
    let manifest: ImageManifest = from_json(&fetched.bytes)
        .map_err(|error| anyhow!("{from} is not a database of advisories: {error}"))?;
    if manifest.artifact_type.as_deref() != Some(ARTIFACT) {
        bail!("{from} is not a database of advisories: `imgmake db push` writes one");
    }
    check_size(from, &manifest.layers)?;
    let parent = store.database()?.join("pulled");
    std::fs::create_dir_all(&parent)
        .with_context(|| format!("cannot make `{}`", parent.display()))?;
    pulled::remove_unused(&parent, SystemTime::now());
    // By its content alone: names and tags lead to it.
    let directory = parent.join(digest.hex());
    let files = files(from, &manifest.layers)?;
    let told = || format!("cannot store advisories in `{}`", directory.display());
    let held = pulled::hold(&directory, &files).with_context(told)?;
    let lock = match held {
        Some(lock) => lock,
        None => {
            client.pull_blobs(from, &manifest.layers, store, work)?;
            let made = tempfile::Builder::new()
                .prefix(".new-")
                .tempdir_in(&parent)?;
            for layer in &manifest.layers {
                work.cancel.check()?;
                let title = layer.annotations.get(TITLE).map_or("", String::as_str);
                let mut file = File::create_new(made.path().join(title)).with_context(told)?;
                store.copy_blob(layer, &mut file)?;
                file.sync_all().with_context(told)?;
            }
            pulled::put(made, &directory, &files).with_context(told)?
        }
    };
    pulled::name(&directory, &from.to_string()).with_context(told)?;
    Ok(Pulled {
        directory,
        digest,
        _lock: lock,
    })
}

/// A database on this machine, as `imgmake cache` names it.
pub struct Kept {
    pub name: String,
    pub bytes: u64,
}

/// That of `imgmake db`, and those of registries.
///
/// # Errors
/// As for [`file_names`].
pub fn kept(store: &Store) -> Result<Vec<Kept>> {
    let mut found = Vec::new();
    let home = advisory_home(store)?;
    let names = file_names(&home)?;
    if !names.is_empty() {
        found.push(Kept {
            name: format!("`imgmake db`: {}", printable::list(&names)),
            bytes: pulled::size(&home),
        });
    }
    let pulled = pulled::list(&store.database()?.join("pulled")).into_iter();
    found.extend(pulled.map(|one| {
        let name = one.name.unwrap_or_else(|| "of a registry".to_string());
        let digest: String = one.digest.chars().take(12).collect();
        let name = format!("{name}, sha256:{digest}");
        Kept {
            name: printable::line(&name, Colors::Removed).into_owned(),
            bytes: one.bytes,
        }
    }));
    Ok(found)
}

/// The names of its files, with their sizes.
fn files(from: &Reference, layers: &[Descriptor]) -> Result<BTreeMap<String, u64>> {
    let mut files = BTreeMap::new();
    for layer in layers {
        let title = layer.annotations.get(TITLE).map_or("", String::as_str);
        if !is_advisory_file(title) {
            bail!(
                "{from}: invalid name of advisories `{}`",
                title.escape_debug()
            );
        }
        if files.insert(title.to_string(), layer.size).is_some() {
            bail!("{from}: duplicate `{title}`");
        }
    }
    Ok(files)
}

/// Bytes of the files of one database, and how many they may be.
const LARGEST: u64 = 16 << 30;
const MOST_FILES: usize = 10_000;

/// A database of a registry that nobody should fetch.
#[derive(Debug, thiserror::Error)]
#[error(
    "{from}: the database of advisories has {files} files and {bytes} bytes; at most {MOST_FILES} files and {LARGEST} bytes are fetched"
)]
pub struct TooLarge {
    from: String,
    files: usize,
    bytes: u64,
}

fn check_size(from: &Reference, layers: &[Descriptor]) -> Result<(), TooLarge> {
    let sizes = layers.iter().map(|layer| layer.size);
    let bytes = sizes.fold(0, u64::saturating_add);
    match layers.len() <= MOST_FILES && bytes <= LARGEST {
        true => Ok(()),
        false => Err(TooLarge {
            from: from.to_string(),
            files: layers.len(),
            bytes,
        }),
    }
}

/// Of the files in the home of advisories, in order.
///
/// # Errors
/// It cannot be read.
pub fn file_names(home: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(home) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read `{}`", home.display()))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if is_advisory_file(&name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_too_large_is_not_fetched() {
        let from: Reference = "registry.example.com/osv:1".parse().unwrap();
        let layer = |size| Descriptor::new(FILE, Digest::of(b"x"), size);
        assert!(check_size(&from, &[layer(LARGEST)]).is_ok());
        for layers in [
            vec![layer(LARGEST), layer(1)],
            vec![layer(u64::MAX), layer(u64::MAX)],
            vec![layer(0); MOST_FILES + 1],
        ] {
            let error = check_size(&from, &layers).unwrap_err().to_string();
            assert!(error.contains("osv:1: the database"), "{error}");
        }
    }
}
