//! Layers of images, as a build passes them on.

use imgmake_oci::image::{Descriptor, Digest, Reference};
use imgmake_oci::layer::LayerBlob;

/// A layer of an image, here or still in a registry.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageLayer {
    pub descriptor: Descriptor,
    pub diff_id: Digest,
    /// The repository that has it.
    pub source: Option<Reference>,
}

impl ImageLayer {
    pub fn own(blob: &LayerBlob) -> ImageLayer {
        ImageLayer {
            descriptor: Descriptor::new(blob.media_type.clone(), blob.digest.clone(), blob.size),
            diff_id: blob.diff_id.clone(),
            source: None,
        }
    }

    pub fn blob(&self) -> LayerBlob {
        LayerBlob {
            diff_id: self.diff_id.clone(),
            digest: self.descriptor.digest.clone(),
            size: self.descriptor.size,
            media_type: self.descriptor.media_type.clone(),
        }
    }
}

/// What a step came to.
pub struct StepLayer {
    pub layer: ImageLayer,
    /// It changed nothing: the layer stays out of the image.
    pub empty: bool,
}
