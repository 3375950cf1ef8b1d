//! Signatures of images and statements about them, where cosign puts them: the tag `sha256-<hex>.sig`, and the
//! image's referrers. Found one by one, since each costs a request and strangers may have put any number.

use std::ops::ControlFlow;

use super::{Client, OperationContext, PushJob, PushPhase, RegistryError};
use imgmake_oci::image::{Descriptor, Digest, ManifestOrIndex, Reference};
use imgmake_oci::signature::{MEDIA_TYPE, SIGNATURE_ANNOTATION, bundle};
use imgmake_oci::store::Store;

/// What cosign's older signatures are in a list of referrers.
const ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";

/// Our own manifests of one layer.
const LONGEST_MANIFEST: u64 = 1 << 20;
/// A payload is a few lines of JSON.
const LONGEST_PAYLOAD: u64 = 64 << 10;
/// How many are looked at for one image, and in how many manifests.
pub const MOST_SIGNATURES: usize = 100;
/// The same of statements of one type, where each of them may be the one that counts.
const MOST_STATEMENTS: usize = 200;
/// A list of what was ignored, with reasons.
const LONGEST_STATEMENT: u64 = 4 << 20;
/// By which a bundle's manifest says what its statement is (Sigstore's bundle specification).
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";

/// What is looked for: strangers may have put large bundles there, which are read before they are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// That somebody signed the image: a few kilobytes.
    Signatures,
    /// Whole documents, too.
    Documents,
    /// Statements of one type alone.
    Statements(&'static str),
}

/// Whether all that lies beside an image was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    Whole,
    /// There is more than anybody looks at.
    Cut,
}

impl Wanted {
    fn longest_bundle(self) -> u64 {
        match self {
            Wanted::Signatures => 256 << 10,
            Wanted::Documents => 64 << 20,
            Wanted::Statements(_) => LONGEST_STATEMENT,
        }
    }

    fn most(self) -> usize {
        match self {
            Wanted::Signatures | Wanted::Documents => MOST_SIGNATURES,
            Wanted::Statements(_) => MOST_STATEMENTS,
        }
    }

    /// Whether what is listed may be it. Annotations are anybody's: they only save requests.
    fn may_be(self, referrer: &Descriptor) -> bool {
        let kind = referrer.artifact_type.as_deref().unwrap_or_default();
        let said = referrer.annotations.get(PREDICATE_TYPE);
        match self {
            Wanted::Signatures | Wanted::Documents => kind == ARTIFACT || bundle::is_bundle(kind),
            Wanted::Statements(wanted) => {
                bundle::is_bundle(kind) && said.is_none_or(|said| said == wanted)
            }
        }
    }
}

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
        wanted: Wanted,
        work: &OperationContext,
        judge: impl FnMut(Signed) -> ControlFlow<B>,
    ) -> Result<Option<B>, RegistryError> {
        let mut search = Search {
            client: self,
            reference,
            wanted,
            work,
            judge,
            seen: 0,
            asked: 0,
            listing: Listing::Whole,
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

    /// Shows every bundle among the referrers of an image that has, or may have, a statement of one type; `None` for
    /// one that cannot be read.
    ///
    /// # Errors
    /// As for [`Client::signatures`].
    pub fn statements(
        &self,
        reference: &Reference,
        image: &Digest,
        predicate_type: &'static str,
        work: &OperationContext,
        mut see: impl FnMut(Option<Vec<u8>>),
    ) -> Result<Listing, RegistryError> {
        let judge = |signed| -> ControlFlow<()> {
            match signed {
                Signed::Bundle(text) => see(Some(text)),
                Signed::Payload { .. } | Signed::Damaged => see(None),
            }
            ControlFlow::Continue(())
        };
        let mut search = Search {
            client: self,
            reference,
            wanted: Wanted::Statements(predicate_type),
            work,
            judge,
            seen: 0,
            asked: 0,
            listing: Listing::Whole,
        };
        let _ = search.of_referrers(image)?;
        Ok(search.listing)
    }

    /// Puts a manifest beside the image that is its subject; whether it was not there yet.
    ///
    /// # Errors
    /// As for a push.
    pub fn attach(
        &self,
        attachment: &Attachment,
        image: &Digest,
        store: &Store,
        work: &OperationContext,
    ) -> Result<bool, RegistryError> {
        let Attachment { to, root } = attachment;
        let is_listed = || {
            let listed = self.referrers(&to.with_digest(image), None)?;
            Ok::<bool, RegistryError>(listed.iter().any(|one| one.digest == root.digest))
        };
        if is_listed()? {
            return Ok(false);
        }
        self.push_beside(attachment, Vec::new(), store, work)?;
        // A run that ended between the manifest and its entry left one that is there and in no list.
        if !is_listed()? {
            let bytes = store.read_blob(&root.digest, LONGEST_MANIFEST);
            let bytes = bytes.map_err(RegistryError::store)?;
            self.enter_referrer(to, root, &bytes, image)?;
        }
        Ok(true)
    }

    /// Adds signatures in cosign's older form to those under the image's own tag for them. `make` gets the layers
    /// that are there and gives the new manifest, in the store.
    ///
    /// # Errors
    /// Something else has that tag; what `make` says; or as for a push.
    pub fn add_signatures<E: From<RegistryError>>(
        &self,
        to: &Reference,
        image: &Digest,
        store: &Store,
        work: &OperationContext,
        make: impl FnOnce(Vec<Descriptor>) -> Result<Descriptor, E>,
    ) -> Result<(), E> {
        // Read, change, write: one at a time, at least within this process.
        let turn = self.inner.locations.turn(to, image);
        let _turn = turn
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let tag = signature_tag(image);
        let there = match layers(self, &to.with_tag(&tag)) {
            Err(error) if error.is_missing() => Vec::new(),
            found => found?.ok_or_else(|| {
                let message = format!("{}:{tag} is no manifest of signatures", to.name());
                RegistryError::invalid(message)
            })?,
        };
        let root = make(there)?;
        let attachment = Attachment {
            to: to.clone(),
            root,
        };
        self.push_beside(&attachment, vec![tag], store, work)?;
        Ok(())
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
    wanted: Wanted,
    work: &'a OperationContext,
    judge: J,
    seen: usize,
    /// Manifests.
    asked: usize,
    listing: Listing,
}

impl<B, J: FnMut(Signed) -> ControlFlow<B>> Search<'_, J> {
    fn of_tag(&mut self, digest: &Digest) -> Result<ControlFlow<B>, RegistryError> {
        let at = self.reference.with_tag(&signature_tag(digest));
        match layers(self.client, &at) {
            Err(error) if error.is_missing() => Ok(ControlFlow::Continue(())),
            found => self.of_layers(found?),
        }
    }

    fn of_referrers(&mut self, digest: &Digest) -> Result<ControlFlow<B>, RegistryError> {
        let at = self.reference.with_digest(digest);
        for referrer in self.client.referrers(&at, None)? {
            if !self.wanted.may_be(&referrer) {
                continue;
            }
            self.asked += 1;
            if self.asked > self.wanted.most() {
                self.listing = Listing::Cut;
                break;
            }
            // One that is listed and gone, or is another now, says nothing about the others.
            let found = match layers(self.client, &self.reference.with_digest(&referrer.digest)) {
                Err(error) if error.is_of_this_alone() => None,
                found => found?,
            };
            let one = self.of_layers(found)?;
            if one.is_break() {
                return Ok(one);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// `None`: what should be a manifest is none.
    fn of_layers(
        &mut self,
        layers: Option<Vec<Descriptor>>,
    ) -> Result<ControlFlow<B>, RegistryError> {
        let Some(layers) = layers else {
            self.seen += 1;
            return Ok((self.judge)(Signed::Damaged));
        };
        for layer in &layers {
            if self.seen >= self.wanted.most() {
                self.listing = Listing::Cut;
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
                false => match client.small_blob(at, layer, limit, self.work) {
                    Err(error) if error.is_of_this_alone() => Ok(None),
                    read => read.map(Some),
                },
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
                Some(blob(self.wanted.longest_bundle())?.map_or(Signed::Damaged, Signed::Bundle))
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
