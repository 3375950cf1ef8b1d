//! Signatures of images and statements about them, where cosign puts them: the tag `sha256-<hex>.sig`, and the
//! image's referrers. Found one by one, since each costs a request and strangers may have put any number.

use std::ops::ControlFlow;

use super::{Client, OperationContext, PushJob, PushPhase, RegistryError};
use imgmake_oci::image::{Descriptor, Digest, ManifestOrIndex, Reference};
use imgmake_oci::signature::{MEDIA_TYPE, SIGNATURE_ANNOTATION, bundle};
use imgmake_oci::store::Store;

/// What cosign's older signatures are in a list of referrers.
const ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";

/// A payload is a few lines of JSON.
const LONGEST_PAYLOAD: u64 = 64 << 10;
/// A bundle may hold a whole SBOM.
const LONGEST_BUNDLE: u64 = 64 << 20;

/// How many are looked at for one image.
pub const MOST_SIGNATURES: usize = 100;

/// Something that lies where signatures do. Nobody has judged it.
#[derive(Clone, Debug)]
pub enum Signed {
    /// In cosign's older form; the signature is base64.
    Payload { payload: Vec<u8>, signature: String },
    /// A Sigstore bundle, as JSON.
    Bundle(Vec<u8>),
    /// It cannot be read, or is too large.
    Damaged,
}

/// What refers to an image of a repository: pushed by its digest, under no tag.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// Registry and repository; tag and digest are ignored.
    pub to: Reference,
    /// A manifest in the store whose subject is the image.
    pub root: Descriptor,
}

impl Client {
    /// Shows what lies beside an image to `judge`, one after the other, until it breaks or [`MOST_SIGNATURES`]
    /// were seen. The image's repository is what `reference` says; `digests` are the image's own and those of
    /// what its name meant.
    ///
    /// # Errors
    /// The registry cannot be asked. One that has nothing there is no error.
    pub fn signatures<B>(
        &self,
        reference: &Reference,
        digests: &[&Digest],
        work: &OperationContext,
        judge: impl FnMut(Signed) -> ControlFlow<B>,
    ) -> Result<Option<B>, RegistryError> {
        let mut search = Search {
            client: self,
            reference,
            work,
            judge,
            seen: 0,
        };
        for digest in digests {
            if let ControlFlow::Break(found) = search.of_tag(digest)? {
                return Ok(Some(found));
            }
        }
        for digest in digests {
            if let ControlFlow::Break(found) = search.of_referrers(digest)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Puts a manifest beside the image that is its subject.
    ///
    /// # Errors
    /// It has no subject; or as for a push.
    pub fn attach(
        &self,
        attachment: &Attachment,
        store: &Store,
        work: &OperationContext,
    ) -> Result<(), RegistryError> {
        self.push_beside(attachment, Vec::new(), store, work)
    }

    /// Puts a manifest of signatures in cosign's older form under the image's own tag for them.
    ///
    /// # Errors
    /// As for a push.
    pub fn attach_signatures(
        &self,
        attachment: &Attachment,
        image: &Digest,
        store: &Store,
        work: &OperationContext,
    ) -> Result<(), RegistryError> {
        self.push_beside(attachment, vec![signature_tag(image)], store, work)
    }

    /// The manifest of signatures under the image's own tag for them, if there is one.
    ///
    /// # Errors
    /// The registry cannot be asked.
    pub fn signature_layers(
        &self,
        image: &Reference,
        digest: &Digest,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        match layers(self, &image.with_tag(&signature_tag(digest))) {
            Err(error) if error.is_missing() => Ok(Vec::new()),
            other => Ok(other?.unwrap_or_default()),
        }
    }

    fn push_beside(
        &self,
        attachment: &Attachment,
        tags: Vec<String>,
        store: &Store,
        work: &OperationContext,
    ) -> Result<(), RegistryError> {
        let job = PushJob {
            to: attachment.to.clone(),
            root: attachment.root.clone(),
            tags,
            sources: Vec::new(),
            phase: PushPhase::All,
        };
        self.push(&job, store, work).map(drop)
    }
}

/// cosign's own tag for the signatures of an image.
pub fn signature_tag(image: &Digest) -> String {
    format!("{}-{}.sig", image.algorithm(), image.hex())
}

struct Search<'a, J> {
    client: &'a Client,
    reference: &'a Reference,
    work: &'a OperationContext,
    judge: J,
    seen: usize,
}

impl<B, J: FnMut(Signed) -> ControlFlow<B>> Search<'_, J> {
    fn of_tag(&mut self, digest: &Digest) -> Result<ControlFlow<B>, RegistryError> {
        let at = self.reference.with_tag(&signature_tag(digest));
        match self.of_manifest(&at) {
            Err(error) if error.is_missing() => Ok(ControlFlow::Continue(())),
            other => other,
        }
    }

    fn of_referrers(&mut self, digest: &Digest) -> Result<ControlFlow<B>, RegistryError> {
        let at = self.reference.with_digest(digest);
        for referrer in self.client.referrers(&at, None)? {
            let kind = referrer.artifact_type.as_deref().unwrap_or_default();
            if kind != ARTIFACT && !bundle::is_bundle(kind) {
                continue;
            }
            let one = self.of_manifest(&self.reference.with_digest(&referrer.digest))?;
            if one.is_break() {
                return Ok(one);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn of_manifest(&mut self, at: &Reference) -> Result<ControlFlow<B>, RegistryError> {
        if self.seen >= MOST_SIGNATURES {
            return Ok(ControlFlow::Continue(()));
        }
        let Some(layers) = layers(self.client, at)? else {
            self.seen += 1;
            return Ok((self.judge)(Signed::Damaged));
        };
        for layer in &layers {
            if self.seen >= MOST_SIGNATURES {
                break;
            }
            let Some(signed) = self.read(layer)? else {
                continue;
            };
            self.seen += 1;
            let verdict = (self.judge)(signed);
            if verdict.is_break() {
                return Ok(verdict);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// `None`: a layer that does not claim to be a signature.
    fn read(&self, layer: &Descriptor) -> Result<Option<Signed>, RegistryError> {
        let blob = |limit| {
            let (client, at) = (self.client, self.reference);
            match layer.size > limit {
                true => Ok(None),
                false => client.small_blob(at, layer, limit, self.work).map(Some),
            }
        };
        let signature = layer.annotations.get(SIGNATURE_ANNOTATION);
        Ok(match (layer.media_type.as_str(), signature) {
            (MEDIA_TYPE, Some(signature)) => {
                let signature = signature.clone();
                let payload = blob(LONGEST_PAYLOAD)?;
                Some(payload.map_or(Signed::Damaged, |payload| Signed::Payload {
                    payload,
                    signature,
                }))
            }
            (kind, _) if bundle::is_bundle(kind) => {
                Some(blob(LONGEST_BUNDLE)?.map_or(Signed::Damaged, Signed::Bundle))
            }
            _ => None,
        })
    }
}

/// The layers of a manifest; `None` for what is no manifest.
fn layers(client: &Client, at: &Reference) -> Result<Option<Vec<Descriptor>>, RegistryError> {
    let fetched = client.manifest(at)?;
    let parsed = ManifestOrIndex::parse(&fetched.bytes, Some(&fetched.descriptor.media_type));
    Ok(match parsed {
        Ok(ManifestOrIndex::Manifest(manifest)) => Some(manifest.layers),
        _ => None,
    })
}
