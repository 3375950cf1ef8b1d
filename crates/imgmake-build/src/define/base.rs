//! Images that stages begin with, as a definition needs them.

use std::sync::Arc;

use crate::error::Result;
use imgmake_oci::image::{Descriptor, Digest, ImageConfig, Platform, Reference};
use imgmake_oci::layer::Layer;

/// An image that stages begin with.
#[derive(Clone, Debug)]
pub struct BaseImage {
    pub name: String,
    /// What the tag named: an index, or the manifest itself. This is what a target's key holds.
    pub named: Digest,
    pub config: ImageConfig,
    pub layers: Vec<Layer>,
}

/// Gives the images that names stand for.
pub trait BaseImages {
    /// The image that a reference names, for a platform.
    ///
    /// # Errors
    /// It cannot be had, or has no such platform.
    fn image(&self, reference: &Reference, platform: &Platform) -> Result<Arc<BaseImage>>;

    /// An image that this project built before: its manifest or index is in the store.
    ///
    /// # Errors
    /// It is not, or has no such platform.
    fn built(&self, name: &str, root: &Descriptor, platform: &Platform) -> Result<Arc<BaseImage>>;
}
