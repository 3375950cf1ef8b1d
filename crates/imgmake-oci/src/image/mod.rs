//! What an image is made of: config, history, manifest, index, and the names by
//! which registries know them. Pure: no disk, no network.
//!
//! The structures follow the OCI image specification v1.1 and Docker's
//! distribution schema 2. What we write has its fields in the order of the
//! structures, as Docker and BuildKit write them, and its maps sorted: digests
//! that are out there depend on it, so the order is not the alphabet's.
//!
//! The types are our own, and `oci-spec` (0.10) judges them in the tests, beside
//! skopeo, podman, buildah and umoci. It is not in the program, because
//! - a platform loses `os.version` and `os.features` in it (it looks for
//!   `os_version`), and `armbe` becomes another architecture;
//! - annotations are hash maps, whose order differs from run to run: documents
//!   would have to be sorted through a second tree before they are written;
//! - the config drops Healthcheck, OnBuild, Shell and ArgsEscaped;
//! - lists that are `null`, which real registries serve, are errors, and so is a
//!   registry's error response with a code that the specification does not list;
//! - it brings 17 crates, most of them for macros, and no feature leaves them out.

mod annotation;
mod config;
mod descriptor;
mod digest;
mod manifest;
mod platform;
mod reference;
mod spelling;
#[cfg(test)]
mod tests;
mod tree;

pub use annotation::{AnnotationLevel, AnnotationPlace};
pub use config::{ContainerConfig, Healthcheck, History, ImageConfig, RootFs};
pub use descriptor::{Descriptor, media_type};
pub use digest::{Digest, DigestError};
pub use manifest::{ImageIndex, ImageManifest, ManifestFormat, ManifestOrIndex, ParseError};
pub use platform::{Platform, PlatformError};
pub use reference::{DOCKER_HUB, Reference, ReferenceError, TAG_RULE, is_tag};
pub use spelling::{Unrepeated, check_keys};
pub use tree::{DEEPEST, Document, ImageTree, TreeError, attestation_of, is_image};

/// Reads JSON as registries serve it: `null` counts as absent (some write
/// `"layers": null` or `"annotations": null`), unknown fields are kept out.
///
/// # Errors
/// It is not JSON, or not of this shape; a key is there twice, or is one of an image's documents in another case.
pub fn from_json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let Unrepeated(mut value) = serde_json::from_slice(bytes)?;
    spelling::check(&value)?;
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
