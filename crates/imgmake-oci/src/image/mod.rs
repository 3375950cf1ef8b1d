//! What an image is made of: config, history, manifest, index, and the names by
//! which registries know them. Pure: no disk, no network.
//!
//! The structures follow the OCI image specification v1.1 and Docker's
//! distribution schema 2. They are our own rather than `oci-spec`'s because
//! digests depend on their bytes: that crate keeps annotations in hash maps
//! (random order), drops Healthcheck, OnBuild and Shell, and refuses `null`
//! lists, which real registries serve. In the tests skopeo, podman, buildah and
//! umoci judge what we write.

mod config;
mod descriptor;
mod digest;
mod manifest;
mod platform;
mod reference;
mod tree;

pub use config::{ContainerConfig, Healthcheck, History, ImageConfig, RootFs};
pub use descriptor::{Descriptor, media_type};
pub use digest::{Digest, DigestError};
pub use manifest::{ImageIndex, ImageManifest, ManifestFormat, ManifestOrIndex, ParseError};
pub use platform::{Platform, PlatformError};
pub use reference::{DOCKER_HUB, Reference, ReferenceError};
pub use tree::{DEEPEST, Document, ImageTree, Reach, TreeError};

/// Reads JSON as registries serve it: `null` counts as absent (some write
/// `"layers": null` or `"annotations": null`), unknown fields are kept out.
pub fn from_json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let mut value: serde_json::Value = serde_json::from_slice(bytes)?;
    drop_nulls(&mut value);
    serde_json::from_value(value)
}

fn drop_nulls(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// The bytes of a JSON document that we author: fields in the order of the
/// struct, maps sorted, no white space. Equal values give equal bytes.
pub fn to_json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value)
        .expect("our structures hold only strings, numbers, lists and string maps")
}
