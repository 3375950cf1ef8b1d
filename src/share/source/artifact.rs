//! A source as an artifact: a manifest of its own type, the list as its config, the chunks as its layers.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow};
use imgmake_core::share::{Entry, LARGEST_LIST, SourceList};
use imgmake_event::Cancel;
use imgmake_oci::image::{
    Descriptor, Digest, ImageManifest, Reference, from_json, media_type, to_json,
};
use imgmake_oci::store::Store;
use imgmake_registry::{Client, OperationContext, SourcePush};

use super::chunks::{self, Known};
use super::pack::Packed;

/// What the artifact says that it is.
pub const ARTIFACT: &str = "application/vnd.imgmake.source.v1";
/// Of its config.
pub const LIST: &str = "application/vnd.imgmake.source.list.v1+json";
/// Bytes of its manifest: a million chunks.
pub const LARGEST_MANIFEST: u64 = 256 << 20;
/// In the place of chunks where there are none.
const EMPTY: &[u8] = b"{}";

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub digest: Digest,
    /// Nothing was sent: the registry has it.
    pub was_there: bool,
    pub files: usize,
    /// Bytes of all chunks, compressed.
    pub bytes: u64,
    /// Of those, the ones that an earlier source has, too.
    pub known: u64,
}

/// Sends a source, or finds that it is there.
///
/// `list` has everything but entries and chunks.
///
/// # Errors
/// A file cannot be read or changed meanwhile; the registry refuses.
pub fn send(
    client: &Client,
    store: &Store,
    to: &Reference,
    mut list: SourceList,
    packed: Packed,
    work: &OperationContext,
) -> Result<Sent> {
    let Packed { root, entries } = packed;
    list.entries = entries;
    let last = last_sent(store, to);
    if let Some(last) = last.as_ref().filter(|last| is_same(&last.list, &list)) {
        let source = source_of(to, &last.manifest)?;
        if client.has_source(&source)? {
            return Ok(sent(
                &source.root,
                &last.manifest,
                &last.list,
                &Known::new(),
                true,
            ));
        }
    }
    let known = last.map(known).unwrap_or_default();
    let attempt = |known: &Known, list: &SourceList| {
        push(client, store, to, list.clone(), &root, known, work)
    };
    match attempt(&known, &list) {
        // What an earlier source had is gone: everything is made again.
        Err(_) if !known.is_empty() && work.cancel.check().is_ok() => attempt(&Known::new(), &list),
        done => done,
    }
}

fn push(
    client: &Client,
    store: &Store,
    to: &Reference,
    mut list: SourceList,
    root: &std::path::Path,
    known: &Known,
    work: &OperationContext,
) -> Result<Sent> {
    let cancel: &Cancel = &work.cancel;
    let (made, layers) = chunks::cut(root, &mut list.entries, known, store, cancel)?;
    list.chunks = made;
    list.check()
        .map_err(|why| anyhow!("cannot send the source: {why}"))?;
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
        config: blob(&list.to_bytes(), LIST)?,
        layers: match layers.is_empty() {
            true => vec![blob(EMPTY, media_type::OCI_EMPTY)?],
            false => layers,
        },
        subject: None,
        annotations: BTreeMap::new(),
    };
    let source = source_of(to, &manifest)?;
    blob(&to_json(&manifest), media_type::OCI_MANIFEST)?;
    client.push_source(source.clone(), store, work)?;
    remember(store, to, &source.root.digest);
    Ok(sent(&source.root, &manifest, &list, known, false))
}

fn source_of(to: &Reference, manifest: &ImageManifest) -> Result<SourcePush> {
    let bytes = to_json(manifest);
    let size = bytes.len() as u64;
    Ok(SourcePush {
        to: to.clone(),
        root: Descriptor::new(media_type::OCI_MANIFEST, Digest::of(&bytes), size),
    })
}

fn sent(
    root: &Descriptor,
    manifest: &ImageManifest,
    list: &SourceList,
    known: &Known,
    was_there: bool,
) -> Sent {
    let is_known = |layer: &&Descriptor| known.values().any(|one| one.digest == layer.digest);
    let layers = || manifest.layers.iter();
    let is_file = |entry: &&Entry| matches!(entry, Entry::File { .. } | Entry::Hardlink { .. });
    Sent {
        digest: root.digest.clone(),
        was_there,
        files: list.entries.iter().filter(is_file).count(),
        bytes: layers().map(|layer| layer.size).sum(),
        known: layers().filter(is_known).map(|layer| layer.size).sum(),
    }
}

/// What was sent to a repository before.
struct Last {
    manifest: ImageManifest,
    list: SourceList,
}

/// What a repository is remembered by in the store.
fn memory_of(to: &Reference) -> String {
    let name = format!("source sent to {}/{}", to.registry, to.repository);
    blake3::hash(name.as_bytes()).to_hex().to_string()
}

/// Only speed is lost when it cannot be written.
fn remember(store: &Store, to: &Reference, digest: &Digest) {
    drop(store.put_step(&memory_of(to), digest.as_str().as_bytes()));
}

fn last_sent(store: &Store, to: &Reference) -> Option<Last> {
    let digest = String::from_utf8(store.step(&memory_of(to))?).ok()?;
    let digest: Digest = digest.parse().ok()?;
    let read = |digest: &Digest, limit| store.has(digest).then(|| store.read_blob(digest, limit));
    let manifest = read(&digest, LARGEST_MANIFEST)?.ok()?;
    let manifest: ImageManifest = from_json(&manifest).ok()?;
    let list = read(&manifest.config.digest, LARGEST_LIST)?.ok()?;
    let list = SourceList::parse(&list).ok()?;
    let is_whole = list.chunks.is_empty() || list.chunks.len() == manifest.layers.len();
    is_whole.then_some(Last { manifest, list })
}

/// Whether it has the same files, wherever their contents are.
fn is_same(last: &SourceList, list: &SourceList) -> bool {
    let without_places = |list: &SourceList| {
        let mut list = list.clone();
        list.chunks.clear();
        chunks::place(&mut list.entries, &[]);
        list
    };
    let mut last = without_places(last);
    let mut list = without_places(list);
    for entry in last.entries.iter_mut().chain(&mut list.entries) {
        if let Entry::File { content, .. } = entry {
            *content = None;
        }
    }
    last == list
}

fn known(last: Last) -> Known {
    let chunks = last.list.chunks.into_iter();
    let pairs = chunks.zip(last.manifest.layers);
    pairs
        .map(|(chunk, layer)| ((chunk.hash, chunk.size), layer))
        .collect()
}

/// The manifest of a source.
///
/// # Errors
/// It is something else.
pub fn parse(from: &Reference, bytes: &[u8]) -> Result<ImageManifest> {
    let manifest: ImageManifest =
        from_json(bytes).with_context(|| format!("`{from}` is not a source"))?;
    if manifest.artifact_type.as_deref() != Some(ARTIFACT) || manifest.config.media_type != LIST {
        return Err(anyhow!(
            "`{from}` is not a source\n  help: `imgmake source push` sends one, and prints its name"
        ));
    }
    Ok(manifest)
}
