//! One layer: its diff ID, its descriptor and where it can be pulled from; and the form
//! that records of the store and messages to the helper process have.
//!
//! The record is a type of its own: a [`Descriptor`] leaves out empty fields when it is
//! written, which a format without field names (postcard) cannot read back, and a
//! repository that has a layer today may not have it when the record is read.

use serde::{Deserialize, Serialize};

use crate::image::{Descriptor, Digest, Reference};

/// A layer of an image, in the store or still in a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Record", into = "Record")]
pub struct Layer {
    pub diff_id: Digest,
    pub descriptor: Descriptor,
    /// The repository that has it. Neither recorded nor sent to the helper process.
    pub source: Option<Reference>,
}

impl Layer {
    pub fn new(diff_id: Digest, descriptor: Descriptor) -> Layer {
        Layer {
            diff_id,
            descriptor,
            source: None,
        }
    }

    /// Of the blob.
    pub fn digest(&self) -> &Digest {
        &self.descriptor.digest
    }
}

/// Written by its order: a change of it is a change of what stores hold.
#[derive(Serialize, Deserialize)]
struct Record {
    diff_id: Digest,
    digest: Digest,
    size: u64,
    media_type: String,
}

impl From<Layer> for Record {
    fn from(layer: Layer) -> Record {
        Record {
            diff_id: layer.diff_id,
            digest: layer.descriptor.digest,
            size: layer.descriptor.size,
            media_type: layer.descriptor.media_type,
        }
    }
}

impl From<Record> for Layer {
    fn from(record: Record) -> Layer {
        let descriptor = Descriptor::new(record.media_type, record.digest, record.size);
        Layer::new(record.diff_id, descriptor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::image::media_type::OCI_LAYER_GZIP;

    #[test]
    fn a_record_holds_ids_size_and_media_type_in_this_order() {
        let layer = Layer::new(Digest::of(b"tar"), Descriptor::of(OCI_LAYER_GZIP, b"gzip"));
        let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
        let expected = [
            text(layer.diff_id.as_str()),
            text(layer.digest().as_str()),
            vec![4],
            text(OCI_LAYER_GZIP),
        ]
        .concat();
        let record = postcard::to_stdvec(&layer).unwrap();
        assert_eq!(record, expected);
        assert_eq!(postcard::from_bytes::<Layer>(&record), Ok(layer));
    }

    #[test]
    fn a_record_says_nothing_of_sources_and_annotations() {
        let layer = Layer::new(Digest::of(b"tar"), Descriptor::of(OCI_LAYER_GZIP, b"gzip"));
        let pulled = Layer {
            descriptor: Descriptor {
                annotations: BTreeMap::from([("k".into(), "v".into())]),
                ..layer.descriptor.clone()
            },
            source: Some("r.example/a".parse().unwrap()),
            ..layer.clone()
        };
        let record = postcard::to_stdvec(&pulled).unwrap();
        assert_eq!(postcard::from_bytes::<Layer>(&record), Ok(layer));
    }
}
