//! A source as an artifact: a manifest of its own type, the list as its config, the chunks as its layers.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use imgmake_core::share::{Entry, LARGEST_LIST, SourceList};
use imgmake_event::Cancel;
use imgmake_oci::image::{
    Descriptor, Digest, ImageManifest, Reference, from_json, media_type, to_json,
};
use imgmake_oci::store::Store;
use imgmake_registry::{Client, OperationContext, RegistryError, SourcePush};

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
        let source = SourcePush {
            to: to.clone(),
            root: last.root.clone(),
        };
        if client.has_source(&source)? {
            return Ok(Sent {
                was_there: true,
                ..sent(last, &Known::new())
            });
        }
    }
    let known = last.map(known).unwrap_or_default();
    let attempt = |known: &Known| {
        let made = make(store, list.clone(), &root, known, &work.cancel)?;
        let source = SourcePush {
            to: to.clone(),
            root: made.root.clone(),
        };
        client.push_source(source, store, work)?;
        remember(store, to, &made.root.digest);
        Ok(sent(&made, known))
    };
    match attempt(&known) {
        // A chunk that an earlier source had is gone: everything is made again.
        Err(error) if !known.is_empty() && is_of_registry(&error) => attempt(&Known::new()),
        done => done,
    }
}

fn is_of_registry(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<RegistryError>())
}

/// Everything of a source that is not in the store yet, but the chunks that are known.
fn make(
    store: &Store,
    mut list: SourceList,
    root: &Path,
    known: &Known,
    cancel: &Cancel,
) -> Result<Made> {
    let (chunks, layers) = chunks::cut(root, &mut list.entries, known, store, cancel)?;
    list.chunks = chunks;
    list.check()
        .map_err(|why| anyhow!("cannot send the source: {why}"))?;
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.to_string(),
        artifact_type: Some(ARTIFACT.to_string()),
        config: store.put_described(LIST, &list.to_bytes())?,
        layers: match layers.is_empty() {
            true => vec![store.put_described(media_type::OCI_EMPTY, EMPTY)?],
            false => layers,
        },
        subject: None,
        annotations: BTreeMap::new(),
    };
    let root = store.put_described(media_type::OCI_MANIFEST, &to_json(&manifest))?;
    Ok(Made {
        root,
        manifest,
        list,
    })
}

fn sent(made: &Made, known: &Known) -> Sent {
    let known: HashSet<&Digest> = known.values().map(|layer| &layer.digest).collect();
    let is_known = |layer: &&Descriptor| known.contains(&layer.digest);
    let is_file = |entry: &&Entry| matches!(entry, Entry::File { .. } | Entry::Hardlink { .. });
    let layers = || made.manifest.layers.iter();
    Sent {
        digest: made.root.digest.clone(),
        was_there: false,
        files: made.list.entries.iter().filter(is_file).count(),
        bytes: layers().map(|layer| layer.size).sum(),
        known: layers().filter(is_known).map(|layer| layer.size).sum(),
    }
}

/// A source with its documents.
struct Made {
    root: Descriptor,
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

/// What was sent to a repository before.
fn last_sent(store: &Store, to: &Reference) -> Option<Made> {
    let digest = String::from_utf8(store.step(&memory_of(to))?).ok()?;
    let digest: Digest = digest.parse().ok()?;
    let read = |digest: &Digest, limit| match store.has(digest) {
        true => store.read_blob(digest, limit).ok(),
        false => None,
    };
    let bytes = read(&digest, LARGEST_MANIFEST)?;
    let manifest: ImageManifest = from_json(&bytes).ok()?;
    let list = SourceList::parse(&read(&manifest.config.digest, LARGEST_LIST)?).ok()?;
    let is_whole = list.chunks.is_empty() || list.chunks.len() == manifest.layers.len();
    is_whole.then(|| Made {
        root: Descriptor::new(media_type::OCI_MANIFEST, digest, bytes.len() as u64),
        manifest,
        list,
    })
}

/// Whether it has the same files, wherever their contents are.
fn is_same(last: &SourceList, list: &SourceList) -> bool {
    let without_places = |list: &SourceList| {
        let mut list = list.clone();
        list.chunks.clear();
        for entry in &mut list.entries {
            if let Entry::File { content, .. } = entry {
                *content = None;
            }
        }
        list
    };
    without_places(last) == without_places(list)
}

fn known(last: Made) -> Known {
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
