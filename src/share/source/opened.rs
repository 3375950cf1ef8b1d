//! A source of a registry: its list, checked, and where its chunks are.

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use imgmake_core::share::{LARGEST_LIST, SourceList};
use imgmake_oci::image::{Descriptor, Digest, Reference};
use imgmake_oci::store::Store;
use imgmake_registry::{Client, OperationContext};

use super::artifact::{LARGEST_MANIFEST, parse};
use super::chunks::{CHUNK, decompressed};

/// Bytes by which compression may make a chunk longer.
const OVERHEAD: u64 = 64 << 10;

/// A source whose list is here.
pub struct Opened {
    pub from: Reference,
    pub digest: Digest,
    pub list: SourceList,
    /// One for each chunk.
    layers: Vec<Descriptor>,
}

/// Fetches the list of a source, unless it is in the store. Nothing else is fetched.
///
/// # Errors
/// The reference has no digest; the registry does not have it; it is no source, or an unsound one.
pub fn open(
    client: &Client,
    store: &Store,
    from: &Reference,
    work: &OperationContext,
) -> Result<Opened> {
    let Some(digest) = from.digest.clone() else {
        bail!(
            "`{from}` has no digest, and only that says which source it is\n  help: `imgmake source push` prints the name with its digest"
        );
    };
    let bytes = match store.has(&digest) {
        true => store.read_blob(&digest, LARGEST_MANIFEST)?,
        false => {
            let bytes = client.manifest(from)?.bytes;
            store.put_bytes(&bytes)?;
            bytes
        }
    };
    let manifest = parse(from, &bytes)?;
    let is_too_large = manifest.config.size > LARGEST_LIST;
    ensure!(
        !is_too_large,
        "`{from}`: the list is larger than {LARGEST_LIST} bytes"
    );
    client.pull_blob(from, &manifest.config, store, work)?;
    let list = store.read_blob(&manifest.config.digest, LARGEST_LIST)?;
    let list = SourceList::parse(&list).map_err(|why| anyhow!("the source `{from}`: {why}"))?;
    let layers = match list.chunks.is_empty() {
        true => Vec::new(),
        false => manifest.layers,
    };
    ensure!(
        layers.len() == list.chunks.len(),
        "the source `{from}` has {} chunks, and its list {}",
        layers.len(),
        list.chunks.len()
    );
    for (layer, chunk) in layers.iter().zip(&list.chunks) {
        let is_sound = layer.media_type == CHUNK && layer.size <= chunk.size + OVERHEAD;
        ensure!(
            is_sound,
            "the source `{from}`: {} is not one of its chunks",
            layer.digest
        );
    }
    Ok(Opened {
        from: from.clone(),
        digest,
        list,
        layers,
    })
}

impl Opened {
    /// Brings chunks to the store, each once.
    ///
    /// # Errors
    /// The registry does not give one.
    pub fn fetch(
        &self,
        chunks: impl IntoIterator<Item = usize>,
        client: &Client,
        store: &Store,
        work: &OperationContext,
    ) -> Result<()> {
        let wanted = chunks.into_iter().map(|chunk| self.layers[chunk].clone());
        let mut wanted: Vec<Descriptor> = wanted.filter(|layer| !store.holds(layer)).collect();
        wanted.sort_by(|a, b| a.digest.cmp(&b.digest));
        wanted.dedup_by(|a, b| a.digest == b.digest);
        if wanted.is_empty() {
            return Ok(());
        }
        let fetched = client.pull_blobs(&self.from, &wanted, store, work);
        fetched.with_context(|| format!("cannot fetch files of the source `{}`", self.from))
    }

    /// The bytes of a chunk that is in the store.
    ///
    /// # Errors
    /// They are not what the list says.
    pub(super) fn chunk(&self, number: usize, store: &Store) -> Result<Vec<u8>> {
        let (chunk, layer) = (&self.list.chunks[number], &self.layers[number]);
        let packed = store.read_blob(&layer.digest, layer.size)?;
        decompressed(chunk, &packed).with_context(|| format!("the source `{}`", self.from))
    }
}
