//! Signatures of images and statements about them, where cosign puts them: the tag `sha256-<hex>.sig`, and the
//! image's referrers. Found one by one, since each costs a request and strangers may have put any number.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::client::PullEndpoint;
use super::manifest::get_manifest;
use super::pull::may_ask_next;
use super::referrers::list;
use super::{Client, OperationContext, PushJob, PushPhase, RegistryError};
use imgmake_oci::image::{Descriptor, Digest, ManifestOrIndex, Reference};
use imgmake_oci::signature::certificate::{Demanded, Refusal};
use imgmake_oci::signature::{
    MARK, MEDIA_TYPE, Mark, PublicKey, SIGNATURE_ANNOTATION, Statement, Unsealed, Verdict, bundle,
    judge, predicate,
};
use imgmake_oci::store::Store;

/// What cosign's older signatures are in a list of referrers.
const ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";

/// Our own manifests of one layer.
const LONGEST_MANIFEST: u64 = 1 << 20;
/// A payload is a few lines of JSON.
const LONGEST_PAYLOAD: u64 = 64 << 10;
/// How many are looked at for one image, and in how many manifests, that none of the keys marked.
pub const MOST_SIGNATURES: usize = 100;
/// The same of those that a key marked, the newest first.
const MOST_MARKED: usize = 200;
/// Bytes of a bundle that says no more than that an image is signed.
const LONGEST_SIGNATURE: u64 = 256 << 10;
/// Bytes of a bundle with a document, if it is what somebody asks for, or a key marked it.
pub const LONGEST_DOCUMENT: u64 = 64 << 20;
/// The same where all of them are read and anybody may have put them there.
const LONGEST_STATEMENT: u64 = 4 << 20;
/// Bytes of everything that is read in one place and that none of the keys marked.
const MOST_BYTES: u64 = 256 << 20;
/// By which a bundle's manifest says what its statement is (Sigstore's bundle specification).
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The type of its predicate.
    pub kind: &'a str,
    /// What they have marked comes first, and costs no look at anything else.
    pub keys: &'a [&'a PublicKey],
}

/// Whether all that lies beside an image was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    Whole,
    /// There is more than anybody looks at.
    Cut,
}

impl Wanted<'_> {
    fn is_signature(&self) -> bool {
        self.kind == predicate::SIGNATURE
    }

    /// Whether what is listed may be it. Annotations are anybody's: they only save requests.
    fn may_be(&self, referrer: &Descriptor) -> bool {
        let kind = referrer.artifact_type.as_deref().unwrap_or_default();
        let said = referrer.annotations.get(PREDICATE_TYPE);
        let is_payload = self.is_signature() && kind == ARTIFACT;
        is_payload || bundle::is_bundle(kind) && said.is_none_or(|said| said == self.kind)
    }

    /// What is listed and may be it: what a key marked, the newest first, then everything else.
    fn sorted(&self, listed: Vec<Descriptor>, about: &Digest) -> Vec<Candidate> {
        let mut marked: Vec<Mark> = Vec::new();
        let mut others = Vec::new();
        let mut seen = BTreeSet::new();
        for referrer in listed.into_iter().filter(|one| self.may_be(one)) {
            let Some(text) = referrer.annotations.get(MARK) else {
                others.push(Candidate::Listed(referrer.digest));
                continue;
            };
            // A stranger may repeat it; verifying is what costs.
            if !seen.insert(text.clone()) {
                continue;
            }
            match Mark::open(text, about, self.kind, self.keys) {
                Some(mark) => marked.push(mark),
                None => others.push(Candidate::Listed(referrer.digest)),
            }
        }
        marked.sort_by_key(|mark| std::cmp::Reverse(mark.time));
        marked
            .into_iter()
            .map(Candidate::Marked)
            .chain(others)
            .collect()
    }
}

/// An entry of a list.
enum Candidate {
    /// A bundle that one of the keys says is its own: it is fetched without the manifest that lists it.
    Marked(Mark),
    /// A manifest.
    Listed(Digest),
}

/// Something that lies where signatures do. Nobody has judged it.
#[derive(Clone, Debug)]
pub enum Signed {
    /// In cosign's older form; the signature is base64.
    Payload {
        payload: Vec<u8>,
        signature: String,
        /// Of its layer: a certificate, if there is one.
        annotations: BTreeMap<String, String>,
    },
    /// A Sigstore bundle, as JSON.
    Bundle(Vec<u8>),
    /// It cannot be read, or is too large.
    Damaged,
}

impl Signed {
    /// Whether it says, signed with the key, that the image is signed, and no more.
    pub fn signs(&self, image: &Digest, key: &PublicKey) -> bool {
        match self {
            Signed::Payload {
                payload, signature, ..
            } => {
                matches!(
                    judge(payload, signature, &[key], &[image]),
                    Verdict::Good(_)
                )
            }
            Signed::Bundle(text) => match bundle::unseal(text, &[key], &[image]) {
                Unsealed::Good(statement) => statement.predicate_type == predicate::SIGNATURE,
                _ => false,
            },
            Signed::Damaged => false,
        }
    }

    /// What whoever has the demanded certificate signed about an image, if it is of the type; why not, if there is a
    /// reason to tell.
    ///
    /// # Errors
    /// It does not count.
    pub fn signed_by(
        &self,
        demanded: &Demanded<'_>,
        image: &Digest,
        kind: &str,
    ) -> Result<Option<Statement>, Option<Refusal>> {
        match self {
            Signed::Payload {
                payload,
                signature,
                annotations,
            } if kind == predicate::SIGNATURE => {
                let annotation = |name: &str| annotations.get(name).map(String::as_str);
                demanded.judge(payload, signature, annotation, &[image])?;
                Ok(None)
            }
            Signed::Bundle(text) => match demanded.unseal(text, &[image])? {
                statement if statement.predicate_type == kind => Ok(Some(statement)),
                _ => Err(None),
            },
            Signed::Payload { .. } | Signed::Damaged => Err(None),
        }
    }
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
    /// were seen of one place. The image's repository is what `reference` says; `digests` are the image's own and
    /// those of what its name meant. Mirrors are asked first: what is signed is as good there as elsewhere.
    ///
    /// # Errors
    /// The registry cannot be asked. One that has nothing there is no error.
    pub fn signatures<B>(
        &self,
        reference: &Reference,
        digests: &[&Digest],
        wanted: Wanted<'_>,
        work: &OperationContext,
        mut judge: impl FnMut(Signed) -> ControlFlow<B>,
    ) -> Result<Option<B>, RegistryError> {
        let judge = |signed, _: Option<&Mark>| judge(signed);
        let longest_bundle = match wanted.is_signature() {
            true => LONGEST_SIGNATURE,
            false => LONGEST_DOCUMENT,
        };
        let mut search = Search::new(self, reference, wanted, longest_bundle, work, judge);
        search.of_images(&self.pull_endpoints(reference)?, digests)
    }

    /// The same in the registry itself, whatever mirrors have: what a push attaches must be there.
    ///
    /// # Errors
    /// As for [`Client::signatures`].
    pub fn attached<B>(
        &self,
        to: &Reference,
        image: &Digest,
        wanted: Wanted<'_>,
        work: &OperationContext,
        mut judge: impl FnMut(Signed) -> ControlFlow<B>,
    ) -> Result<Option<B>, RegistryError> {
        let judge = |signed, _: Option<&Mark>| judge(signed);
        let mut search = Search::new(self, to, wanted, LONGEST_DOCUMENT, work, judge);
        search.of_images(&[self.registry(to)], &[image])
    }

    /// Shows the bundles among the referrers of an image that have, or may have, a statement of one type, until
    /// `see` breaks: what one of the keys marked, the newest first, then the others without a mark; no text of one
    /// that cannot be read. A newer statement may contradict an older one, which a mirror need not know: the registry itself is
    /// asked, unless it may not be.
    ///
    /// # Errors
    /// As for [`Client::signatures`].
    pub fn statements(
        &self,
        reference: &Reference,
        image: &Digest,
        wanted: Wanted<'_>,
        work: &OperationContext,
        mut see: impl FnMut(Option<Vec<u8>>, Option<&Mark>) -> ControlFlow<()>,
    ) -> Result<Listing, RegistryError> {
        let judge = |signed, mark: Option<&Mark>| match signed {
            Signed::Bundle(text) => see(Some(text), mark),
            Signed::Payload { .. } | Signed::Damaged => see(None, mark),
        };
        let mut search = Search::new(self, reference, wanted, LONGEST_STATEMENT, work, judge);
        let _ = search.of_referrers(&self.authoritative(reference)?, image)?;
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
            let listed = list(&self.registry(to), image, None)?;
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
        let there = match layers(&self.registry(to), &to.with_tag(&tag)) {
            Err(error) if error.is_missing() => Vec::new(),
            found => found?.ok_or_else(|| {
                let message = format!("{}:{tag} is not a manifest of signatures", to.name());
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
    wanted: Wanted<'a>,
    /// Bytes.
    longest_bundle: u64,
    work: &'a OperationContext,
    judge: J,
    /// In one place.
    seen: usize,
    /// Bytes that may still be read there.
    budget: u64,
    listing: Listing,
}

impl<'a, B, J: FnMut(Signed, Option<&Mark>) -> ControlFlow<B>> Search<'a, J> {
    fn new(
        client: &'a Client,
        reference: &'a Reference,
        wanted: Wanted<'a>,
        longest_bundle: u64,
        work: &'a OperationContext,
        judge: J,
    ) -> Search<'a, J> {
        Search {
            client,
            reference,
            wanted,
            longest_bundle,
            work,
            judge,
            seen: 0,
            budget: MOST_BYTES,
            listing: Listing::Whole,
        }
    }

    fn of_images(
        &mut self,
        places: &[PullEndpoint],
        digests: &[&Digest],
    ) -> Result<Option<B>, RegistryError> {
        if self.wanted.is_signature() {
            for digest in digests {
                let at = self.reference.with_tag(&signature_tag(digest));
                let found = self.everywhere(places, |search, place| search.of_tag(place, &at))?;
                if let ControlFlow::Break(found) = found {
                    return Ok(Some(found));
                }
            }
        }
        for digest in digests {
            if let ControlFlow::Break(found) = self.of_referrers(places, digest)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn of_tag(
        &mut self,
        place: &PullEndpoint,
        at: &Reference,
    ) -> Result<ControlFlow<B>, RegistryError> {
        match layers(place, at) {
            Err(error) if error.is_missing() => Ok(ControlFlow::Continue(())),
            found => self.of_layers(found?),
        }
    }

    fn of_referrers(
        &mut self,
        places: &[PullEndpoint],
        digest: &Digest,
    ) -> Result<ControlFlow<B>, RegistryError> {
        let mut known = BTreeSet::new();
        self.everywhere(places, |search, place| {
            search.of_place(place, digest, &mut known)
        })
    }

    /// In one place after the other, until one of them has what is looked for.
    fn everywhere(
        &mut self,
        places: &[PullEndpoint],
        mut look: impl FnMut(&mut Self, &PullEndpoint) -> Result<ControlFlow<B>, RegistryError>,
    ) -> Result<ControlFlow<B>, RegistryError> {
        for (at, place) in places.iter().enumerate() {
            (self.seen, self.budget) = (0, MOST_BYTES);
            match look(self, place) {
                Err(error) if at + 1 < places.len() && may_ask_next(&error) => {
                    self.client.skip_mirror(self.work, place, &error);
                }
                Ok(ControlFlow::Continue(())) => {}
                other => return other,
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn of_place(
        &mut self,
        place: &PullEndpoint,
        digest: &Digest,
        known: &mut BTreeSet<Digest>,
    ) -> Result<ControlFlow<B>, RegistryError> {
        let listed = list(place, digest, None)?;
        let (mut marked, mut asked) = (0, 0);
        for candidate in self.wanted.sorted(listed, digest) {
            let (named, asked, most) = match &candidate {
                Candidate::Marked(mark) => (&mark.bundle, &mut marked, MOST_MARKED),
                Candidate::Listed(digest) => (digest, &mut asked, MOST_SIGNATURES),
            };
            if !known.insert(named.clone()) {
                continue;
            }
            *asked += 1;
            if *asked > most {
                self.listing = Listing::Cut;
                continue;
            }
            let one = match &candidate {
                Candidate::Marked(mark) => {
                    let bundle = Descriptor::new(bundle::BUNDLE, mark.bundle.clone(), mark.size);
                    let text = self.blob(&bundle, LONGEST_DOCUMENT)?;
                    let signed = text.map_or(Signed::Damaged, Signed::Bundle);
                    (self.judge)(signed, Some(mark))
                }
                // One that is listed and gone, or is another now, says nothing about the others.
                Candidate::Listed(digest) => {
                    match self.layers_of(&self.reference.with_digest(digest)) {
                        Err(error) if error.is_of_this_alone() => self.of_layers(None)?,
                        found => self.of_layers(found?)?,
                    }
                }
            };
            if one.is_break() {
                return Ok(one);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// By its digest a manifest is as good from a mirror.
    fn layers_of(&self, at: &Reference) -> Result<Option<Vec<Descriptor>>, RegistryError> {
        self.client.read(at, self.work, |place| layers(place, at))
    }

    /// `None`: what should be a manifest is none.
    fn of_layers(
        &mut self,
        layers: Option<Vec<Descriptor>>,
    ) -> Result<ControlFlow<B>, RegistryError> {
        let Some(layers) = layers else {
            self.seen += 1;
            return Ok((self.judge)(Signed::Damaged, None));
        };
        for layer in &layers {
            if self.seen >= MOST_SIGNATURES {
                self.listing = Listing::Cut;
                break;
            }
            let Some(signed) = self.read(layer)? else {
                continue;
            };
            self.seen += 1;
            let verdict = (self.judge)(signed, None);
            if verdict.is_break() {
                return Ok(verdict);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// `None`: a layer that does not claim to be a signature.
    fn read(&mut self, layer: &Descriptor) -> Result<Option<Signed>, RegistryError> {
        let signature = layer.annotations.get(SIGNATURE_ANNOTATION);
        Ok(match (layer.media_type.as_str(), signature) {
            (MEDIA_TYPE, Some(signature)) => {
                let signature = signature.clone();
                let payload = self.within_budget(layer, LONGEST_PAYLOAD)?;
                Some(payload.map_or(Signed::Damaged, |payload| Signed::Payload {
                    payload,
                    signature,
                    annotations: layer.annotations.clone(),
                }))
            }
            (kind, _) if bundle::is_bundle(kind) => {
                let text = self.within_budget(layer, self.longest_bundle)?;
                Some(text.map_or(Signed::Damaged, Signed::Bundle))
            }
            _ => None,
        })
    }

    /// The same as [`Search::blob`], until that was too much.
    fn within_budget(
        &mut self,
        blob: &Descriptor,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, RegistryError> {
        if blob.size > limit {
            return Ok(None);
        }
        match self.budget.checked_sub(blob.size) {
            Some(left) => {
                self.budget = left;
                self.blob(blob, limit)
            }
            None => {
                self.listing = Listing::Cut;
                Ok(None)
            }
        }
    }

    /// `None`: it is too large, gone, or another.
    fn blob(&self, blob: &Descriptor, limit: u64) -> Result<Option<Vec<u8>>, RegistryError> {
        if blob.size > limit {
            return Ok(None);
        }
        let (client, at) = (self.client, self.reference);
        // No more than it says it has.
        match client.small_blob(at, blob, blob.size, self.work) {
            Err(error) if error.is_of_this_alone() => Ok(None),
            read => read.map(Some),
        }
    }
}

/// The layers of a manifest; `None` for what is no manifest.
fn layers(place: &PullEndpoint, at: &Reference) -> Result<Option<Vec<Descriptor>>, RegistryError> {
    let fetched = get_manifest(place, at)?;
    let parsed = ManifestOrIndex::parse(&fetched.bytes, Some(&fetched.descriptor.media_type));
    Ok(match parsed {
        Ok(ManifestOrIndex::Manifest(manifest)) => Some(manifest.layers),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Shelf, client, job, options, random_bytes, start_registry};
    use crate::{ClientOptions, HostSettings};
    use imgmake_oci::image::{ImageManifest, ManifestFormat, media_type, to_json};

    /// A mirror has signatures that the registry has not, or no longer: they verify an image, and they are nothing
    /// that a push need not attach or may take over.
    #[test]
    fn a_mirror_s_signatures_are_none_that_a_push_has_attached() {
        let (origin, mirror) = (start_registry(), start_registry());
        let shelf = Shelf::new();
        let image = shelf.image("linux/amd64", &[random_bytes(3, 10)]);
        let work = OperationContext::background();
        for host in [origin.host(), mirror.host()] {
            let job = job(&format!("{host}/app:1"), &image);
            client().push(&job, &shelf.store, &work).unwrap();
        }
        let signature = |payload: &[u8]| {
            let mut layer = shelf.blob(MEDIA_TYPE, payload);
            let annotation = (SIGNATURE_ANNOTATION.to_string(), "AA==".to_string());
            layer.annotations.insert(annotation.0, annotation.1);
            layer
        };
        // Adds one, and says how many there were.
        let add = |client: &Client, host: String, payload: &[u8]| {
            let to: Reference = format!("{host}/app").parse().unwrap();
            let mut before = 0;
            let make = |mut layers: Vec<Descriptor>| -> Result<Descriptor, RegistryError> {
                before = layers.len();
                layers.push(signature(payload));
                let config = shelf.blob(media_type::OCI_CONFIG, b"{}");
                let mut manifest = ImageManifest::new(ManifestFormat::Oci, config, Vec::new());
                manifest.layers = layers;
                Ok(shelf.blob(media_type::OCI_MANIFEST, &to_json(&manifest)))
            };
            let added = client.add_signatures(&to, &image.digest, &shelf.store, &work, make);
            added.unwrap();
            before
        };
        add(&client(), mirror.host(), b"of the mirror");
        let settings = HostSettings {
            prefix: origin.host(),
            mirrors: vec![format!("http://{}", mirror.host())],
            ..HostSettings::default()
        };
        let through = Client::new(ClientOptions {
            hosts: vec![settings],
            ..options()
        })
        .unwrap();
        let at: Reference = format!("{}/app", origin.host()).parse().unwrap();
        let wanted = Wanted {
            kind: predicate::SIGNATURE,
            keys: &[],
        };
        let found = |own: bool| {
            let mut payloads = Vec::new();
            let judge = |signed: Signed| -> ControlFlow<()> {
                if let Signed::Payload { payload, .. } = signed {
                    payloads.push(String::from_utf8(payload).unwrap());
                }
                ControlFlow::Continue(())
            };
            let ended = match own {
                true => through.attached(&at, &image.digest, wanted, &work, judge),
                false => through.signatures(&at, &[&image.digest], wanted, &work, judge),
            };
            assert_eq!(ended.unwrap(), None);
            payloads
        };
        assert!(found(true).is_empty());
        assert_eq!(found(false), ["of the mirror"]);
        assert_eq!(add(&through, origin.host(), b"of the registry"), 0);
        assert_eq!(found(true), ["of the registry"]);
        // What a mirror has hides nothing.
        assert_eq!(found(false), ["of the mirror", "of the registry"]);
    }
}
