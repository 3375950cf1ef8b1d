//! Pushes of sources. They have one tag each, made of their digest: nobody gives such a name to an image.

use super::{Client, OperationContext, PushJob, PushPhase, RegistryError};
use imgmake_oci::image::{Descriptor, Reference};
use imgmake_oci::store::Store;

/// What begins the tag of a source; the digits of its digest follow.
const TAG: &str = "source-";

/// One source, whose manifest is in the store.
#[derive(Clone, Debug)]
pub struct SourcePush {
    /// Registry and repository; tag and digest are ignored.
    pub to: Reference,
    pub root: Descriptor,
}

impl Client {
    /// Whether the registry has a source: one request.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn has_source(&self, source: &SourcePush) -> Result<bool, RegistryError> {
        let there = self.head(&source.to.with_digest(&source.root.digest))?;
        Ok(there.is_some())
    }

    /// Brings a source to a registry, with those of its chunks that are not there. All others are in the store.
    ///
    /// # Errors
    /// As for a push of an image.
    pub fn push_source(
        &self,
        source: SourcePush,
        store: &Store,
        work: &OperationContext,
    ) -> Result<(), RegistryError> {
        let SourcePush { to, root } = source;
        let tag = format!("{TAG}{}", root.digest.hex());
        let job = PushJob {
            to,
            root,
            tags: vec![tag],
            sources: Vec::new(),
            phase: PushPhase::All,
        };
        self.push(&job, store, work).map(drop)
    }
}
