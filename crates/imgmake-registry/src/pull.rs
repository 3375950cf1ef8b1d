//! Pull: manifests by tag or digest, blobs into the store, from mirrors first.
//!
//! Knows the order of endpoints; `manifest` and `download` read from one of them.

use super::client::PullEndpoint;
use super::download::Download;
use super::error::ConnectionFault;
use super::manifest::{MANIFEST_LIMIT, choose, get_manifest, head_manifest, media_type_of, parse};
use super::transfer::in_parallel;
use super::{Client, Failure, Fetched, OperationContext, RegistryError, Resolved};
use imgmake_event::Event;
use imgmake_oci::image::{Descriptor, Digest, ManifestOrIndex, Platform, Reference};
use imgmake_oci::store::Store;

impl Client {
    /// GET of a manifest or index by tag or digest, verified against the digest when there is one.
    ///
    /// # Errors
    /// It is missing, forbidden, unreachable, too large, or not what its digest says.
    pub fn manifest(&self, reference: &Reference) -> Result<Fetched, RegistryError> {
        self.read(reference, &self.inner.options.work, |endpoint| {
            get_manifest(endpoint, reference)
        })
    }

    /// HEAD; `None` when it does not exist.
    ///
    /// # Errors
    /// As for [`Client::manifest`].
    pub fn head(&self, reference: &Reference) -> Result<Option<Descriptor>, RegistryError> {
        let found = self.read(reference, &self.inner.options.work, |endpoint| {
            head_manifest(&endpoint.session, &endpoint.repository, reference.target())
        });
        match found {
            Ok(descriptor) => Ok(Some(descriptor)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Streams a blob of the repository into the store, verified, resumed with Range; nothing to do when it is there.
    ///
    /// # Errors
    /// As for [`Client::manifest`], or the store cannot be written.
    pub fn pull_blob(
        &self,
        from: &Reference,
        blob: &Descriptor,
        store: &Store,
        work: &OperationContext,
    ) -> Result<(), RegistryError> {
        let turn = self.pulling(&blob.digest);
        let _turn = turn
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if store.holds(blob) {
            return Ok(());
        }
        if blob.digest.algorithm() != "sha256" {
            return Err(RegistryError::invalid(format!(
                "{} is not a sha256 digest, the only kind that the store verifies",
                blob.digest
            ))
            .during(&from.registry, &from.repository, "pull a blob"));
        }
        self.read(from, work, |endpoint| {
            let _permit = endpoint.session.limiter.acquire();
            Download {
                endpoint,
                blob,
                store,
                work,
            }
            .run()
        })
    }

    /// Several blobs in parallel.
    ///
    /// # Errors
    /// Of the first blob that fails.
    pub fn pull_blobs(
        &self,
        from: &Reference,
        blobs: &[Descriptor],
        store: &Store,
        work: &OperationContext,
    ) -> Result<(), RegistryError> {
        let missing: Vec<&Descriptor> = blobs.iter().filter(|b| !store.holds(b)).collect();
        in_parallel(&missing, self.connections(from), |blob| {
            self.pull_blob(from, blob, store, work)
        })
    }

    /// Manifest and config of the image for a platform into the store; layers stay remote.
    ///
    /// # Errors
    /// As for [`Client::manifest`]; or no image of the index is for the platform.
    pub fn resolve(
        &self,
        reference: &Reference,
        platform: &Platform,
        store: &Store,
        work: &OperationContext,
    ) -> Result<Resolved, RegistryError> {
        work.cancel.check()?;
        let fetched = self.stored_manifest(reference, store, work)?;
        let named = fetched.descriptor.clone();
        let located = |e: RegistryError| {
            e.during(
                &reference.registry,
                &reference.repository,
                "read the manifest",
            )
        };
        let parsed = parse(&fetched).map_err(located)?;
        let (manifest, image) = match parsed {
            ManifestOrIndex::Manifest(image) => (named.clone(), image),
            ManifestOrIndex::Index(index) => {
                let child = choose(&index, platform).map_err(located)?;
                let at = reference.with_digest(&child.digest);
                let fetched = self.stored_manifest(&at, store, work)?;
                match parse(&fetched).map_err(located)? {
                    ManifestOrIndex::Manifest(image) => (
                        Descriptor {
                            platform: child.platform.clone(),
                            ..fetched.descriptor
                        },
                        image,
                    ),
                    ManifestOrIndex::Index(_) => {
                        return Err(located(RegistryError::invalid(
                            "the index names another index for this platform, which is not supported",
                        )));
                    }
                }
            }
        };
        self.pull_blob(reference, &image.config, store, work)?;
        Ok(Resolved { named, manifest })
    }

    /// A manifest in the store: from there when its digest is named and held.
    pub(super) fn stored_manifest(
        &self,
        reference: &Reference,
        store: &Store,
        work: &OperationContext,
    ) -> Result<Fetched, RegistryError> {
        if let Some(digest) = &reference.digest
            && store.has(digest)
            && let Ok(bytes) = store.read_blob(digest, MANIFEST_LIMIT)
            && Digest::of(&bytes) == *digest
        {
            let media_type = media_type_of(&bytes, None);
            return Ok(Fetched {
                descriptor: Descriptor::of(media_type, &bytes),
                bytes,
            });
        }
        let fetched = self.read(reference, work, |endpoint| {
            get_manifest(endpoint, reference)
        })?;
        store
            .put_bytes(&fetched.bytes)
            .map_err(RegistryError::store)?;
        Ok(fetched)
    }

    /// Tries the mirrors in order, then the registry itself.
    pub(super) fn read<T>(
        &self,
        reference: &Reference,
        work: &OperationContext,
        act: impl Fn(&PullEndpoint) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let endpoints = self.pull_endpoints(reference)?;
        let last = endpoints.len().saturating_sub(1);
        for (at, endpoint) in endpoints.iter().enumerate() {
            match act(endpoint) {
                Err(error) if at < last && may_ask_next(&error) => {
                    self.skip_mirror(work, endpoint, &error);
                }
                other => return other,
            }
        }
        Err(ConnectionFault::NoMirror(reference.registry.clone()).into())
    }

    /// One that does not answer is not asked again.
    pub(super) fn skip_mirror(
        &self,
        work: &OperationContext,
        endpoint: &PullEndpoint,
        error: &RegistryError,
    ) {
        if !error.is_missing() {
            self.warn(work, format!("mirror skipped: {error}"));
        }
        if error.failure() == Failure::Connection {
            endpoint.session.give_up();
        }
    }

    pub(super) fn warn(&self, work: &OperationContext, message: String) {
        work.events.send(Event::Warning {
            target: Some(work.target.clone()).filter(|t| !t.is_empty()),
            message,
        });
    }
}

/// Whether what a mirror says is no reason not to ask the next place.
pub(super) fn may_ask_next(error: &RegistryError) -> bool {
    !error.is_cancelled() && error.failure() != Failure::Store
}
