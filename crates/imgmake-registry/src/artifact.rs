//! Pushes of artifacts that are not images: databases of advisories. What a registry would run is
//! not taken, since images are published by way of their gates alone.

use super::{Client, OperationContext, PushJob, PushPhase, RegistryError};
use imgmake_oci::image::{Descriptor, ImageManifest, Reference, from_json};
use imgmake_oci::store::Store;

/// Bytes of a manifest.
const LONGEST_MANIFEST: u64 = 1 << 20;

impl Client {
    /// Brings an artifact and its blobs to a registry, under one tag. Its manifest is in the store.
    ///
    /// # Errors
    /// It is an image, or says no type of its own; else as for a push of an image.
    pub fn push_artifact(
        &self,
        to: &Reference,
        tag: &str,
        root: &Descriptor,
        store: &Store,
        work: &OperationContext,
    ) -> Result<(), RegistryError> {
        let bytes = store.read_blob(&root.digest, LONGEST_MANIFEST);
        let bytes = bytes.map_err(RegistryError::store)?;
        let manifest: Option<ImageManifest> = from_json(&bytes).ok();
        let is_artifact = |m: &ImageManifest| m.artifact_type.is_some() && !m.is_image();
        if !manifest.as_ref().is_some_and(is_artifact) {
            let message = format!("{} is not an artifact with its own type", root.digest);
            return Err(RegistryError::invalid(message));
        }
        let job = PushJob {
            to: to.clone(),
            root: root.clone(),
            tags: vec![tag.to_string()],
            sources: Vec::new(),
            phase: PushPhase::All,
        };
        self.push(&job, store, work).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Shelf, client, job};
    use imgmake_oci::image::to_json;

    #[test]
    fn an_image_is_no_artifact() {
        let shelf = Shelf::new();
        let image = shelf.image("linux/amd64", &[b"layer".to_vec()]);
        let to = job("127.0.0.1:1/app", &image).to;
        let work = OperationContext::background();
        let refused = |root: &Descriptor| {
            let pushed = client().push_artifact(&to, "1", root, &shelf.store, &work);
            pushed.unwrap_err().to_string()
        };
        assert!(refused(&image).contains("is not an artifact"));
        let bytes = shelf.store.read_blob(&image.digest, 1 << 20).unwrap();
        let mut manifest: ImageManifest = from_json(&bytes).unwrap();
        manifest.artifact_type = Some("application/vnd.example".to_string());
        let claims = shelf.blob(
            "application/vnd.oci.image.manifest.v1+json",
            &to_json(&manifest),
        );
        assert!(refused(&claims).contains("is not an artifact"));
    }
}
