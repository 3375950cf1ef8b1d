//! The document of one cache entry, as it lies in a registry: an OCI image manifest whose configuration says
//! what the entry is for, and whose layers are what was cached, so that the registry keeps them.
//!
//! The document stands a second time in an annotation: one request tells everything. Everything that is read
//! here was written by others; whatever does not fit together is no entry, and the reason says why.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use imgmake_oci::image::{
    Descriptor, Digest, ImageManifest, ManifestOrIndex, from_json, media_type, to_json,
};
use imgmake_oci::layer::Layer;

/// The configuration's media type, by which tools tell a cache entry from an image.
pub const CONFIG: &str = "application/vnd.imgmake.cache.config.v1+json";
/// What a layer holds, as zstd.
pub const INDEX: &str = "application/vnd.imgmake.layer.index.v1+zstd";
/// A small file of an image, as it is.
pub const FILE: &str = "application/vnd.imgmake.file.v1";
const ANNOTATION: &str = "dev.imgmake.cache.entry";
const VERSION: u32 = 1;

/// What an entry is filed under. Keys are hashes: nothing can be read from them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// What a step made, by its key.
    Step(String),
    /// What a layer holds, by its diff id.
    Index(Digest),
    /// A small file's bytes, by their blake3.
    File([u8; 32]),
}

impl Name {
    pub fn tag(&self) -> String {
        format!("{}-{}", self.kind(), self.key())
    }

    fn kind(&self) -> &'static str {
        match self {
            Name::Step(_) => "step",
            Name::Index(_) => "index",
            Name::File(_) => "file",
        }
    }

    fn key(&self) -> String {
        match self {
            Name::Step(key) => key.clone(),
            Name::Index(diff_id) => diff_id.hex().to_string(),
            Name::File(hash) => blake3::Hash::from_bytes(*hash).to_hex().to_string(),
        }
    }
}

/// An entry that was read and holds together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // One at a time.
pub enum Entry {
    Step(Box<StepEntry>),
    /// The index of a layer, or a file: the blob.
    Blob(Descriptor),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepEntry {
    pub layer: Layer,
    /// The step changed nothing: its layer stays out of the image.
    pub empty: bool,
    pub index: Descriptor,
}

/// Why something under an entry's tag is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidEntry {
    /// It has outlived the time that was asked for.
    Expired,
    /// It is no entry of ours, or a damaged one.
    Foreign(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    version: u32,
    kind: String,
    key: String,
    /// Seconds since 1970.
    created: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    diff_id: Option<Digest>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    empty: bool,
}

/// The manifest of an entry and the configuration that it names, ready to be pushed.
pub struct Written {
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
}

pub fn write(name: &Name, entry: &Entry, created: u64) -> Written {
    let (diff_id, empty, layers) = match entry {
        Entry::Step(step) => (
            Some(step.layer.diff_id.clone()),
            step.empty,
            vec![step.layer.descriptor.clone(), step.index.clone()],
        ),
        Entry::Blob(blob) => (None, false, vec![blob.clone()]),
    };
    let config = to_json(&Document {
        version: VERSION,
        kind: name.kind().into(),
        key: name.key(),
        created,
        diff_id,
        empty,
    });
    let text = String::from_utf8(config.clone()).expect("JSON is text");
    let manifest = to_json(&ImageManifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.into(),
        artifact_type: None,
        config: Descriptor::of(CONFIG, &config),
        layers,
        subject: None,
        annotations: BTreeMap::from([(ANNOTATION.to_string(), text)]),
    });
    Written { manifest, config }
}

/// Reads what stands under a name's tag.
///
/// # Errors
/// It is something else, contradicts itself, names another key, or was made before `not_before`.
pub fn read(
    bytes: &[u8],
    media_type: &str,
    name: &Name,
    not_before: u64,
) -> Result<Entry, InvalidEntry> {
    let manifest = match ManifestOrIndex::parse(bytes, Some(media_type)) {
        Ok(ManifestOrIndex::Manifest(manifest)) => manifest,
        Ok(ManifestOrIndex::Index(_)) => return Err(foreign("it is an index of several images")),
        Err(_) => return Err(foreign("it is not a manifest")),
    };
    if manifest.config.media_type != CONFIG {
        return Err(foreign("it is not a cache entry of imgmake"));
    }
    let text = manifest
        .annotations
        .get(ANNOTATION)
        .ok_or_else(|| foreign("its description is missing"))?;
    if Digest::of(text.as_bytes()) != manifest.config.digest
        || manifest.config.size != text.len() as u64
    {
        return Err(foreign(
            "its description is not the one that it was written with",
        ));
    }
    let document: Document =
        from_json(text.as_bytes()).map_err(|_| foreign("its description cannot be read"))?;
    if document.version != VERSION {
        return Err(foreign("it was written by another version of imgmake"));
    }
    if document.kind != name.kind() || document.key != name.key() {
        return Err(foreign("it is the entry of another key"));
    }
    if document.created < not_before {
        return Err(InvalidEntry::Expired);
    }
    content(name, document, manifest.layers)
}

fn content(
    name: &Name,
    document: Document,
    layers: Vec<Descriptor>,
) -> Result<Entry, InvalidEntry> {
    let malformed = || foreign("its content is not that of such an entry");
    let mut layers = layers.into_iter();
    let first = layers.next().filter(is_verifiable).ok_or_else(malformed)?;
    let second = layers.next();
    if layers.next().is_some() {
        return Err(malformed());
    }
    match (name, second) {
        (Name::Step(_), Some(index)) => {
            let fits =
                is_layer(&first.media_type) && index.media_type == INDEX && is_verifiable(&index);
            let diff_id = document.diff_id.filter(|d| d.algorithm() == "sha256");
            match (fits, diff_id) {
                (true, Some(diff_id)) => Ok(Entry::Step(Box::new(StepEntry {
                    layer: Layer::new(diff_id, bare(&first)),
                    empty: document.empty,
                    index: bare(&index),
                }))),
                _ => Err(malformed()),
            }
        }
        (Name::Index(_), None) if first.media_type == INDEX => Ok(Entry::Blob(bare(&first))),
        (Name::File(_), None) if first.media_type == FILE => Ok(Entry::Blob(bare(&first))),
        _ => Err(malformed()),
    }
}

fn foreign(why: &str) -> InvalidEntry {
    InvalidEntry::Foreign(why.to_string())
}

fn is_verifiable(blob: &Descriptor) -> bool {
    /// No step makes a layer of more than a terabyte.
    const MOST: u64 = 1 << 40;
    blob.digest.algorithm() == "sha256" && blob.size <= MOST
}

fn is_layer(kind: &str) -> bool {
    use media_type::{OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD};
    [OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD].contains(&kind)
}

/// Type, digest and size; what else others wrote beside them does not enter an image.
fn bare(of: &Descriptor) -> Descriptor {
    Descriptor::new(of.media_type.clone(), of.digest.clone(), of.size)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn step() -> (Name, Entry) {
        let blob = |kind: &str, content: &[u8]| Descriptor::of(kind, content);
        let name = Name::Step("ab".repeat(32));
        let entry = Entry::Step(Box::new(StepEntry {
            layer: Layer::new(
                Digest::of(b"tar"),
                blob(media_type::OCI_LAYER_GZIP, b"layer"),
            ),
            empty: false,
            index: blob(INDEX, b"index"),
        }));
        (name, entry)
    }

    fn reread(written: &[u8], name: &Name) -> Result<Entry, InvalidEntry> {
        read(written, media_type::OCI_MANIFEST, name, 0)
    }

    #[test]
    fn what_was_written_is_read() {
        let (name, entry) = step();
        assert_eq!(reread(&write(&name, &entry, 7).manifest, &name), Ok(entry));
        for (name, kind) in [
            (Name::Index(Digest::of(b"x")), INDEX),
            (Name::File([7; 32]), FILE),
        ] {
            let entry = Entry::Blob(Descriptor::of(kind, b"content"));
            assert_eq!(reread(&write(&name, &entry, 7).manifest, &name), Ok(entry));
        }
    }

    #[test]
    fn an_entry_of_another_key_or_kind_is_not_used() {
        let (name, entry) = step();
        let written = write(&name, &entry, 7).manifest;
        for other in [
            Name::Step("cd".repeat(32)),
            Name::Index(Digest::of(b"x")),
            Name::File([7; 32]),
        ] {
            let read = reread(&written, &other);
            assert!(
                matches!(&read, Err(InvalidEntry::Foreign(why)) if why.contains("another key")),
                "{read:?}"
            );
        }
    }

    #[test]
    fn an_entry_ages() {
        let (name, entry) = step();
        let written = write(&name, &entry, 100).manifest;
        let at = |not_before| read(&written, media_type::OCI_MANIFEST, &name, not_before);
        assert_eq!((at(100), at(101)), (Ok(entry), Err(InvalidEntry::Expired)));
    }

    #[test]
    fn a_document_that_was_changed_is_not_used() {
        let (name, entry) = step();
        let text = String::from_utf8(write(&name, &entry, 7).manifest).unwrap();
        for (from, to) in [
            ("\\\"created\\\":7", "\\\"created\\\":9"),
            (CONFIG, media_type::OCI_CONFIG),
            (INDEX, FILE),
            (media_type::OCI_LAYER_GZIP, "text/html"),
            ("dev.imgmake.cache.entry", "dev.imgmake.other"),
            ("\"layers\":[", "\"layers\":[],\"x\":["),
        ] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text, "{from}");
            let read = reread(changed.as_bytes(), &name);
            assert!(
                matches!(read, Err(InvalidEntry::Foreign(_))),
                "{from}: {read:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_stumble(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(reread(&bytes, &step().0).is_err());
        }

        /// An entry with some bytes changed is refused, or says the same.
        #[test]
        fn damage_is_noticed(at in 0usize..900, with in any::<u8>()) {
            let (name, entry) = step();
            let mut written = write(&name, &entry, 7).manifest;
            let at = at % written.len();
            written[at] = with;
            if let Ok(Entry::Step(read)) = reread(&written, &name) {
                let Entry::Step(entry) = entry else { unreachable!() };
                let read = (read.layer.diff_id, read.empty);
                prop_assert_eq!(read, (entry.layer.diff_id, entry.empty));
            }
        }
    }
}
