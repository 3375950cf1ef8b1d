//! Advisories as an artifact of a registry: machines that share one need no network to the outside.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};

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
            "no advisories are kept\n  help: get some with `imgmake db update` or `imgmake db import`"
        );
    }
    let blob = |bytes: &[u8], kind: &str| -> Result<Descriptor> {
        Ok(Descriptor::new(
            kind,
            store.put_bytes(bytes)?,
            bytes.len() as u64,
        ))
    };
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.to_string(),
        artifact_type: Some(ARTIFACT.to_string()),
        config: blob(EMPTY, media_type::OCI_EMPTY)?,
        layers,
        subject: None,
        annotations: std::collections::BTreeMap::new(),
    };
    let root = blob(&to_json(&manifest), media_type::OCI_MANIFEST)?;
    let tag = to.tag_or_latest().unwrap_or("latest");
    client.push_artifact(to, tag, &root, store, work)?;
    Ok(root.digest)
}

/// A database of a registry, on this machine.
pub struct Pulled {
    pub directory: PathBuf,
    pub digest: Digest,
}

/// Fetches a database whose files are not here yet.
///
/// # Errors
/// The registry does not have it, or it is something else.
pub fn pull(
    client: &Client,
    store: &Store,
    from: &Reference,
    work: &OperationContext,
) -> Result<Pulled> {
    let fetched = client.manifest(from)?;
    let digest = fetched.descriptor.digest;
    let manifest: ImageManifest = from_json(&fetched.bytes)
        .map_err(|error| anyhow!("{from} is no database of advisories: {error}"))?;
    if manifest.artifact_type.as_deref() != Some(ARTIFACT) {
        bail!("{from} is no database of advisories: `imgmake db push` writes one");
    }
    let parent = store.database()?.join("pulled");
    let name = name_of(from, &digest);
    let directory = parent.join(&name);
    if directory.is_dir() {
        return Ok(Pulled { directory, digest });
    }
    client.pull_blobs(from, &manifest.layers, store, work)?;
    std::fs::create_dir_all(&parent)
        .with_context(|| format!("cannot make `{}`", parent.display()))?;
    let made = tempfile::Builder::new()
        .prefix(".new-")
        .tempdir_in(&parent)?;
    for layer in &manifest.layers {
        work.cancel.check()?;
        let title = layer.annotations.get(TITLE).map_or("", String::as_str);
        if !is_advisory_file(title) {
            bail!(
                "{from}: invalid name of advisories `{}`",
                title.escape_debug()
            );
        }
        let mut file = File::create_new(made.path().join(title))
            .with_context(|| format!("{from}: duplicate `{title}`"))?;
        store.copy_blob(layer, &mut file)?;
    }
    // Another run may have made it meanwhile.
    let renamed = std::fs::rename(made.path(), &directory);
    match renamed {
        Err(_) if directory.is_dir() => {}
        renamed => {
            renamed.with_context(|| format!("cannot make `{}`", directory.display()))?;
            let _ = made.keep();
        }
    }
    drop_older(&parent, &name);
    Ok(Pulled { directory, digest })
}

/// `<name>-<digest>`: one database under each name is kept.
fn name_of(from: &Reference, digest: &Digest) -> String {
    let name = blake3::hash(from.name().as_bytes()).to_hex();
    format!("{}-{}", &name[..16], digest.hex())
}

fn drop_older(parent: &Path, name: &str) {
    let start = &name[..=16];
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let other = entry.file_name();
        let other = other.to_string_lossy();
        if other.starts_with(start) && other != name {
            // A run that reads it has its index already, or says that it is gone.
            let _ = std::fs::remove_dir_all(entry.path());
        }
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
