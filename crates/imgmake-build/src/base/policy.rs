//! Which images a build may take content from: by their names, and by whom they are
//! signed. Asked for every image that a definition names, in whatever way, once its name has
//! become a digest and before a byte of a layer is pulled or unpacked.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::error::{BuildError, Context, Result};
use crate::target::TargetContext;
use imgmake_core::manifest::ImagePattern;
use imgmake_oci::image::{Descriptor, Digest, ManifestOrIndex, Reference};
use imgmake_oci::signature::{MEDIA_TYPE, PublicKey, SIGNATURE_ANNOTATION, Verdict, judge};
use imgmake_registry::{RegistryError, Resolved};

/// What cosign's signatures are in a list of referrers.
const ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// Newer signatures, in a form that is not read here.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";

/// A payload is a few lines of JSON.
const LONGEST_PAYLOAD: u64 = 64 << 10;
/// More signatures of one image than this are nobody's: each costs a request.
const MOST: usize = 100;

/// The policy of a project. By default every image is allowed.
#[derive(Debug, Default)]
pub struct BasePolicy {
    /// One must match, if there is any.
    pub allow: Vec<ImagePattern>,
    /// Where the patterns stand: `imgmake.kdl:3`.
    pub place: String,
    /// One must have signed, if there is any.
    pub keys: Vec<TrustedKey>,
    /// Digests whose signatures this run has found good. In memory alone: what a file of
    /// an earlier run said would be as good as whoever may write that file.
    pub found_good: Mutex<BTreeSet<Digest>>,
}

/// A key that may sign bases.
#[derive(Debug)]
pub struct TrustedKey {
    pub key: PublicKey,
    /// As the manifest names it.
    pub file: String,
    /// Where the manifest demands it.
    pub place: String,
}

/// The policy said no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

impl From<Refused> for BuildError {
    fn from(refused: Refused) -> BuildError {
        BuildError::Other(Box::new(refused))
    }
}

impl BasePolicy {
    /// Whether a name is allowed; asks nobody.
    ///
    /// # Errors
    /// [`Refused`]
    pub(crate) fn check_name(&self, reference: &Reference) -> Result<(), Refused> {
        let name = reference.name();
        let tag = reference.tag.as_deref();
        let digest = reference.digest.as_ref().map(Digest::as_str);
        let mut patterns = self.allow.iter();
        if self.allow.is_empty() || patterns.any(|p| p.matches(&name, tag, digest)) {
            return Ok(());
        }
        let remark = match (tag, digest) {
            (Some(_), Some(_)) => ", for which its digest counts and not its tag",
            _ => "",
        };
        Err(Refused(format!(
            "the base image `{reference}` is not allowed: no `allow` of `bases` ({}) matches its name{remark}",
            self.place
        )))
    }

    /// Whether a resolved image is signed by one of the keys: what the name meant, or the
    /// manifest of the platform. Signatures lie where the image's name says.
    ///
    /// # Errors
    /// [`Refused`]; or the registry cannot be asked.
    pub(crate) fn check_signature(
        &self,
        cx: &TargetContext,
        reference: &Reference,
        resolved: &Resolved,
    ) -> Result<()> {
        let mut digests = vec![&resolved.named.digest];
        if resolved.manifest.digest != resolved.named.digest {
            digests.push(&resolved.manifest.digest);
        }
        let is_known = || {
            let good = self.found_good.lock().expect("no thread panics with it");
            digests.iter().any(|digest| good.contains(digest))
        };
        if self.keys.is_empty() || is_known() {
            return Ok(());
        }
        let mut search = Search {
            policy: self,
            cx,
            reference,
            digests: &digests,
            seen: Seen::default(),
        };
        let found = search.everywhere().with_context(|| {
            format!(
                "cannot look for a signature of the base image `{reference}`, which `require-signature` ({}) demands",
                self.keys[0].place
            )
        })?;
        let Some(digest) = found else {
            return Err(search.refused().into());
        };
        let mut good = self.found_good.lock().expect("no thread panics with it");
        good.insert(digest);
        Ok(())
    }
}

/// What was found that was not good enough.
#[derive(Default)]
struct Seen {
    signatures: usize,
    other_keys: usize,
    damaged: usize,
    bundles: usize,
    /// Sentences about signatures that a key made of something else.
    odd: Vec<String>,
}

struct Search<'a> {
    policy: &'a BasePolicy,
    cx: &'a TargetContext,
    reference: &'a Reference,
    digests: &'a [&'a Digest],
    seen: Seen,
}

impl Search<'_> {
    /// The digest that a good signature is about.
    fn everywhere(&mut self) -> Result<Option<Digest>, RegistryError> {
        for digest in self.digests {
            if let Some(good) = self.of_tag(digest)? {
                return Ok(Some(good));
            }
        }
        for digest in self.digests {
            if let Some(good) = self.of_referrers(digest)? {
                return Ok(Some(good));
            }
        }
        Ok(None)
    }

    /// cosign's own place: the tag `sha256-<hex>.sig`.
    fn of_tag(&mut self, digest: &Digest) -> Result<Option<Digest>, RegistryError> {
        let tag = tag_of(digest);
        match self.manifest(&self.reference.with_tag(&tag)) {
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
            Ok(layers) => self.of_layers(&layers),
        }
    }

    fn of_referrers(&mut self, digest: &Digest) -> Result<Option<Digest>, RegistryError> {
        let at = self.reference.with_digest(digest);
        for referrer in self.cx.registry.referrers(&at, None)? {
            let kind = referrer.artifact_type.as_deref().unwrap_or_default();
            if kind.starts_with(BUNDLE) {
                self.seen.bundles += 1;
            }
            if kind != ARTIFACT || self.seen.signatures >= MOST {
                continue;
            }
            let layers = self.manifest(&self.reference.with_digest(&referrer.digest))?;
            if let Some(good) = self.of_layers(&layers)? {
                return Ok(Some(good));
            }
        }
        Ok(None)
    }

    /// The layers of a manifest of signatures. One that is none is nobody's signature.
    fn manifest(&mut self, at: &Reference) -> Result<Vec<Descriptor>, RegistryError> {
        let fetched = self.cx.registry.manifest(at)?;
        let parsed = ManifestOrIndex::parse(&fetched.bytes, Some(&fetched.descriptor.media_type));
        match parsed {
            Ok(ManifestOrIndex::Manifest(manifest)) => Ok(manifest.layers),
            _ => {
                self.seen.damaged += 1;
                Ok(Vec::new())
            }
        }
    }

    fn of_layers(&mut self, layers: &[Descriptor]) -> Result<Option<Digest>, RegistryError> {
        for layer in layers {
            if self.seen.signatures >= MOST {
                break;
            }
            let signature = layer.annotations.get(SIGNATURE_ANNOTATION);
            let (Some(signature), true) = (signature, layer.media_type == MEDIA_TYPE) else {
                continue;
            };
            self.seen.signatures += 1;
            match self.judge(layer, signature)? {
                Verdict::Good(digest) => return Ok(Some(digest)),
                Verdict::OtherKey => self.seen.other_keys += 1,
                Verdict::Damaged => self.seen.damaged += 1,
                Verdict::OtherImage(what) => self.odd("is about", &what),
                Verdict::OtherKind(what) => self.odd("is of another kind:", &what),
            }
        }
        Ok(None)
    }

    fn judge(&self, layer: &Descriptor, signature: &str) -> Result<Verdict, RegistryError> {
        if layer.size > LONGEST_PAYLOAD {
            return Ok(Verdict::Damaged);
        }
        let work = self.cx.operation();
        let bytes = self
            .cx
            .registry
            .small_blob(self.reference, layer, LONGEST_PAYLOAD, &work)?;
        let keys: Vec<&PublicKey> = self.policy.keys.iter().map(|t| &t.key).collect();
        Ok(judge(&bytes, signature, &keys, self.digests))
    }

    fn odd(&mut self, how: &str, what: &str) {
        let what: String = what.chars().take(100).collect();
        let sentence = format!("one {how} `{}`", what.escape_debug());
        self.seen.odd.push(sentence);
    }

    fn refused(&self) -> Refused {
        let Seen {
            signatures,
            other_keys,
            damaged,
            bundles,
            odd,
        } = &self.seen;
        let keys: Vec<String> = self.policy.keys.iter().map(named).collect();
        let mut found = vec![match signatures {
            0 => format!(
                "no signature found with the tag `{}` or among the referrers",
                tag_of(self.digests[0])
            ),
            1 => "of the signatures found, 1 in all,".to_string(),
            many => format!("of the signatures found, {many} in all,"),
        }];
        for (count, what) in [(other_keys, "by another key"), (damaged, "damaged")] {
            if *count > 0 {
                found.push(format!("{count} {what}"));
            }
        }
        found.extend(odd.iter().take(3).cloned());
        if *signatures >= MOST {
            found.push(format!("and at most {MOST} are tried"));
        }
        if *bundles > 0 {
            found.push(format!(
                "{bundles} as a sigstore bundle, which is not read: sign with `cosign sign --key … --new-bundle-format=false`"
            ));
        }
        Refused(format!(
            "the base image `{}` ({}) is not signed by {}: {}",
            self.reference,
            self.digests[0],
            keys.join(" or "),
            found.join("; ").replacen("all,; ", "all, ", 1),
        ))
    }
}

fn named(trusted: &TrustedKey) -> String {
    format!("`{}` ({})", trusted.file, trusted.place)
}

fn tag_of(digest: &Digest) -> String {
    format!("{}-{}.sig", digest.algorithm(), digest.hex())
}
