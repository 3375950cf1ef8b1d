//! From an archive into the store, everything verified: blobs by their digests,
//! layers by their diff ids.

use std::collections::BTreeMap;
use std::io::{self, Read};

use crate::error::{Context, OciError, Result};
use rayon::prelude::*;

use crate::image::{
    Descriptor, Digest, ImageConfig, ImageIndex, ImageManifest, ManifestFormat, ManifestOrIndex,
    from_json, is_image, media_type, to_json,
};
use crate::layer::{Compression, Index, Layer, Packing, decompress, pack};
use crate::store::Store;

use super::candidate::{Candidate, Form, config_digest};
use super::contents::{MOST_DEPTH, blob_name};
use super::docker::DockerImage;
use super::source::{Source, missing};

/// What uncompressed layers are packed with; part of the digests that we give.
const PACKED: Compression = Compression::Gzip { level: 6 };

pub(super) fn import(store: &Store, source: &Source, chosen: Candidate) -> Result<Imported> {
    let mut import = Import {
        store,
        source,
        layers: BTreeMap::new(),
    };
    let root = match chosen.form {
        Form::Oci(root) => import.document(&root, 0)?,
        Form::Docker(image) => import.docker(&image)?,
    };
    import.verify_layers()?;
    Ok(Imported {
        root,
        tags: chosen.tags,
    })
}

struct Import<'a> {
    store: &'a Store,
    source: &'a Source,
    /// To be verified: blob digest → what it should unpack to.
    layers: BTreeMap<(Digest, Digest), Layer>,
}

impl Import<'_> {
    /// A manifest or an index, with all that it names.
    fn document(&mut self, descriptor: &Descriptor, depth: u32) -> Result<Descriptor> {
        if depth > MOST_DEPTH {
            return Err(OciError::limit("indexes nested in each other", MOST_DEPTH));
        }
        let bytes = self.json(descriptor)?;
        let document = ManifestOrIndex::parse(&bytes, Some(&descriptor.media_type))
            .with_context(|| descriptor.digest.to_string())?;
        let kept = match document {
            ManifestOrIndex::Manifest(manifest) => {
                self.manifest(descriptor, &manifest)?;
                descriptor.clone()
            }
            ManifestOrIndex::Index(index) => match self.index(index, depth)? {
                None => descriptor.clone(),
                Some(smaller) => return Ok(smaller),
            },
        };
        // Last: what the store holds is whole.
        self.store.put_bytes(&bytes)?;
        Ok(kept)
    }

    /// `docker save` keeps the index of all platforms beside the blobs of one: then
    /// the answer is that one, or an index of those that are there.
    fn index(&mut self, mut index: ImageIndex, depth: u32) -> Result<Option<Descriptor>> {
        let all = index.manifests.len();
        index
            .manifests
            .retain(|child| self.source.has(&blob_name(&child.digest)));
        if index.manifests.is_empty() && all > 0 {
            let what = format!("any of the {all} manifests that the index names");
            return Err(OciError::not_found(what, "is the archive incomplete?"));
        }
        let mut children = Vec::new();
        for child in &index.manifests {
            children.push(self.document(child, depth + 1)?);
        }
        if children.len() == all && children == index.manifests {
            return Ok(None);
        }
        if let [only] = children.as_slice() {
            return Ok(Some(only.clone()));
        }
        let format = ManifestFormat::of(&index.media_type);
        let smaller = to_json(&ImageIndex {
            manifests: children,
            ..index
        });
        self.store.put_bytes(&smaller)?;
        Ok(Some(Descriptor::of(format.index(), &smaller)))
    }

    fn manifest(&mut self, descriptor: &Descriptor, manifest: &ImageManifest) -> Result<()> {
        for layer in &manifest.layers {
            if !layer.is_foreign() || self.source.has(&blob_name(&layer.digest)) {
                self.blob(layer)?;
            }
        }
        if !is_image(descriptor, manifest) {
            return self.blob(&manifest.config);
        }
        let bytes = self.json(&manifest.config)?;
        let config: ImageConfig = from_json(&bytes).context("invalid config")?;
        self.expect_layers(&config, manifest.layers.len())?;
        for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
            if self.store.has(&layer.digest) && is_tar(&layer.media_type) {
                self.expect(Layer::new(diff_id.clone(), layer.clone()));
            }
        }
        self.store.put_bytes(&bytes)?;
        Ok(())
    }

    fn expect(&mut self, layer: Layer) {
        let key = (layer.digest().clone(), layer.diff_id.clone());
        self.layers.insert(key, layer);
    }

    fn expect_layers(&self, config: &ImageConfig, layers: usize) -> Result<()> {
        let diff_ids = config.rootfs.diff_ids.len();
        match diff_ids == layers {
            true => Ok(()),
            false => {
                let what = "the number of layers in the config";
                Err(OciError::mismatch(what, diff_ids, layers))
            }
        }
    }

    /// A small blob, verified, not yet in the store.
    fn json(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let name = blob_name(&descriptor.digest);
        let bytes = self.source.json(&name)?.ok_or_else(|| missing(&name))?;
        check_digest(&name, &bytes, &descriptor.digest)?;
        Ok(bytes)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<()> {
        if self.store.holds(descriptor) {
            return Ok(());
        }
        if descriptor.digest.algorithm() != "sha256" {
            let what = format!("the digest {} in an archive", descriptor.digest);
            return Err(OciError::unsupported(what, "only SHA-256 is"));
        }
        let name = blob_name(&descriptor.digest);
        let mut writer = self.store.blob_writer()?;
        io::copy(&mut self.source.member(&name)?, &mut writer)
            .with_context(|| format!("cannot read `{name}`"))?;
        writer
            .commit(Some(descriptor))
            .with_context(|| format!("`{name}` is damaged"))?;
        Ok(())
    }

    /// An image that only `manifest.json` knows: config and layers stay, the manifest is ours.
    fn docker(&mut self, image: &DockerImage) -> Result<Descriptor> {
        let bytes = self
            .source
            .json(&image.config)?
            .ok_or_else(|| missing(&image.config))?;
        if let Some(named) = config_digest(&image.config) {
            check_digest(&image.config, &bytes, &named)?;
        }
        let config: ImageConfig =
            from_json(&bytes).with_context(|| format!("invalid config `{}`", image.config))?;
        self.expect_layers(&config, image.layers.len())?;
        let mut done: BTreeMap<&str, Layer> = BTreeMap::new();
        let mut layers = Vec::new();
        for (path, diff_id) in image.layers.iter().zip(&config.rootfs.diff_ids) {
            let layer = match done.get(path.as_str()) {
                Some(layer) if layer.diff_id == *diff_id => layer.clone(),
                _ => self
                    .docker_layer(path, diff_id)
                    .with_context(|| format!("its layer `{path}`"))?,
            };
            layers.push(layer.descriptor.clone());
            done.insert(path, layer);
        }
        self.store.put_bytes(&bytes)?;
        let config = Descriptor::of(media_type::OCI_CONFIG, &bytes);
        let manifest = to_json(&ImageManifest::new(ManifestFormat::Oci, config, layers));
        self.store.put_bytes(&manifest)?;
        Ok(Descriptor::of(media_type::OCI_MANIFEST, &manifest))
    }

    /// A gzip or zstd layer stays as it is; any other is packed by us.
    fn docker_layer(&mut self, path: &str, diff_id: &Digest) -> Result<Layer> {
        let mut start = Vec::new();
        self.source.member(path)?.take(16).read_to_end(&mut start)?;
        let layer = match Packing::of(&start) {
            Packing::Gzip => self.docker_blob(path, diff_id, media_type::OCI_LAYER_GZIP)?,
            Packing::Zstd => self.docker_blob(path, diff_id, media_type::OCI_LAYER_ZSTD)?,
            Packing::Plain | Packing::Bzip2 | Packing::Xz => self.repack(path, diff_id)?,
        };
        Ok(layer)
    }

    fn docker_blob(&mut self, path: &str, diff_id: &Digest, media_type: &str) -> Result<Layer> {
        let mut writer = self.store.blob_writer()?;
        io::copy(&mut self.source.member(path)?, &mut writer)?;
        let (digest, size) = writer.commit(None)?;
        let layer = Layer::new(diff_id.clone(), Descriptor::new(media_type, digest, size));
        self.expect(layer.clone());
        Ok(layer)
    }

    fn repack(&self, path: &str, diff_id: &Digest) -> Result<Layer> {
        let (file, out) = self.store.layer_file()?;
        let (layer, index) = pack(
            decompress(self.source.member(path)?)?,
            out,
            PACKED,
            self.store.cancel(),
        )?;
        check_diff_id(&layer.diff_id, diff_id)?;
        self.store.adopt_layer(file, &layer, &index)?;
        Ok(layer)
    }

    fn verify_layers(&self) -> Result<()> {
        self.layers
            .par_iter()
            .try_for_each(|(_, layer)| verify(self.store, layer))
    }
}

/// Unpacks the layer unless that was done before; its index is kept.
fn verify(store: &Store, layer: &Layer) -> Result<()> {
    if store.has_index(&layer.diff_id) && known(store, layer) {
        return Ok(());
    }
    let action = || format!("layer {}", layer.digest());
    let (index, found) = store.with_blob(layer.digest(), |blob| {
        let tar = decompress(store.cancel().reader(blob))?;
        Index::read_hashing(tar, store.cancel()).with_context(action)
    })?;
    check_diff_id(&found, &layer.diff_id).with_context(action)?;
    store.put_index(&layer.diff_id, &index)?;
    store.record_layer(layer)
}

fn known(store: &Store, layer: &Layer) -> bool {
    [
        Compression::None,
        Compression::Gzip { level: 6 },
        Compression::Zstd { level: 3 },
    ]
    .into_iter()
    .filter_map(|compression| store.layer(&layer.diff_id, compression))
    .any(|recorded| recorded.digest() == layer.digest())
}

fn check_digest(name: &str, bytes: &[u8], expected: &Digest) -> Result<()> {
    let found = Digest::of(bytes);
    match found == *expected {
        true => Ok(()),
        false => {
            let what = format!("the digest of the damaged `{name}`");
            Err(OciError::mismatch(what, found, expected))
        }
    }
}

fn check_diff_id(found: &Digest, expected: &Digest) -> Result<()> {
    match found == expected {
        true => Ok(()),
        false => {
            let expected = format!("{expected}, as the config says");
            Err(OciError::mismatch(
                "the content of the damaged layer",
                found,
                expected,
            ))
        }
    }
}

/// Other layers (in-toto statements, charts) have no diff id to verify.
fn is_tar(media_type: &str) -> bool {
    media_type.contains(".tar")
}

/// What [`read`] brought into the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Manifest (one platform) or index.
    pub root: Descriptor,
    /// The names that the archive gives the image, as people write them.
    pub tags: Vec<String>,
}
