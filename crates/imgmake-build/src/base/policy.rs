//! Which images a build may take content from: by their names, and by whom they are
//! signed. Asked for every image that a definition names, in whatever way, once its name has
//! become a digest and before a byte of a layer is pulled or unpacked.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Mutex;

use crate::error::{BuildError, Context, Result};
use crate::target::TargetContext;
use imgmake_core::manifest::ImagePattern;
use imgmake_oci::image::{Digest, Reference};
use imgmake_oci::signature::bundle::unseal;
use imgmake_oci::signature::certificate::{Demanded, Trust};
use imgmake_oci::signature::{PublicKey, Unsealed, Verdict, judge, predicate};
use imgmake_registry::{MOST_SIGNATURES, RegistryError, Resolved, Signed, Wanted, signature_tag};

/// The policy of a project. By default every image is allowed.
#[derive(Debug, Default)]
pub struct BasePolicy {
    /// One must match, if there is any.
    pub allow: Vec<ImagePattern>,
    /// Where the patterns stand: `imgmake.kdl:3`.
    pub place: String,
    /// One of these keys must have signed, or whoever has one of the certificates, if there is any.
    pub keys: Vec<TrustedKey>,
    pub certificates: Vec<TrustedCertificate>,
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

/// Whoever may sign bases with a certificate of theirs.
#[derive(Debug)]
pub struct TrustedCertificate {
    pub trust: Trust,
    /// As the certificate has it.
    pub identity: String,
    pub issuer: String,
    /// Where the manifest demands it.
    pub place: String,
}

impl TrustedCertificate {
    fn demanded(&self) -> Demanded<'_> {
        Demanded {
            trust: &self.trust,
            identity: &self.identity,
            issuer: &self.issuer,
            without_entry: None,
        }
    }
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
    /// Where the manifest demands signatures.
    fn places(&self) -> impl Iterator<Item = &str> {
        let of_keys = self.keys.iter().map(|key| key.place.as_str());
        of_keys.chain(self.certificates.iter().map(|one| one.place.as_str()))
    }

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
            (Some(_), Some(_)) => ", and its tag is ignored because it has a digest",
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
        let Some(place) = self.places().next() else {
            return Ok(());
        };
        if is_known() {
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
                "cannot look for a signature of the base image `{reference}`, which `require-signature` ({place}) requires"
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
    /// Sentences about signatures that a key made of something else.
    odd: Vec<String>,
    /// Why certificates do not count.
    certificates: BTreeSet<String>,
}

/// Sentences of one message.
const MOST_REFUSALS: usize = 3;

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
        let (cx, reference, digests) = (self.cx, self.reference, self.digests);
        let policy = self.policy;
        let keys: Vec<&PublicKey> = policy.keys.iter().map(|t| &t.key).collect();
        let wanted = Wanted {
            kind: predicate::SIGNATURE,
            keys: &keys,
        };
        let work = cx.operation();
        cx.registry
            .signatures(reference, digests, wanted, &work, |signed| {
                self.judge(signed)
            })
    }

    fn judge(&mut self, signed: Signed) -> ControlFlow<Digest> {
        let keys: Vec<&PublicKey> = self.policy.keys.iter().map(|t| &t.key).collect();
        self.seen.signatures += 1;
        if let Some(digest) = self.by_certificate(&signed) {
            return ControlFlow::Break(digest);
        }
        if keys.is_empty() {
            return ControlFlow::Continue(());
        }
        let verdict = match signed {
            Signed::Payload {
                payload, signature, ..
            } => judge(&payload, &signature, &keys, self.digests),
            Signed::Bundle(bundle) => of_bundle(&bundle, &keys, self.digests),
            Signed::Damaged => Verdict::Damaged,
        };
        match verdict {
            Verdict::Good(digest) => return ControlFlow::Break(digest),
            Verdict::OtherKey => self.seen.other_keys += 1,
            Verdict::Damaged => self.seen.damaged += 1,
            Verdict::OtherImage(what) => self.odd("is about", &what),
            Verdict::OtherKind(what) => self.odd("is of another kind:", &what),
        }
        ControlFlow::Continue(())
    }

    /// The digest about which somebody signed whose certificate is demanded.
    fn by_certificate(&mut self, signed: &Signed) -> Option<Digest> {
        let policy = self.policy;
        for certificate in &policy.certificates {
            for digest in self.digests {
                match signed.signed_by(&certificate.demanded(), digest, predicate::SIGNATURE) {
                    Ok(_) => return Some((*digest).clone()),
                    Err(Some(refusal)) if self.seen.certificates.len() < MOST_REFUSALS => {
                        self.seen.certificates.insert(refusal.to_string());
                    }
                    Err(_) => {}
                }
            }
        }
        None
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
            odd,
            certificates,
        } = &self.seen;
        let keys = self.policy.keys.iter().map(named);
        let names = self.policy.certificates.iter().map(|one| {
            format!(
                "a certificate of `{}` ({}; {})",
                one.identity, one.issuer, one.place
            )
        });
        let signers: Vec<String> = keys.chain(names).collect();
        let mut found = vec![match signatures {
            0 => format!(
                "no signature found with the tag `{}` or among the referrers",
                signature_tag(self.digests[0])
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
        found.extend(certificates.iter().cloned());
        if *signatures >= MOST_SIGNATURES {
            found.push(format!("and at most {MOST_SIGNATURES} are tried"));
        }
        Refused(format!(
            "the base image `{}` ({}) is not signed by {}: {}",
            self.reference,
            self.digests[0],
            signers.join(" or "),
            found.join("; ").replacen("all,; ", "all, ", 1),
        ))
    }
}

fn named(trusted: &TrustedKey) -> String {
    format!("`{}` ({})", trusted.file, trusted.place)
}

/// A bundle counts if its statement says that the image was signed; one about an SBOM says something else.
fn of_bundle(bundle: &[u8], keys: &[&PublicKey], digests: &[&Digest]) -> Verdict {
    match unseal(bundle, keys, digests) {
        Unsealed::Good(statement) if statement.predicate_type == predicate::SIGNATURE => {
            let about = digests.iter().find(|digest| statement.is_about(digest));
            Verdict::Good((*about.expect("it is about one of them")).clone())
        }
        Unsealed::Good(statement) => Verdict::OtherKind(statement.predicate_type),
        Unsealed::OtherKey => Verdict::OtherKey,
        Unsealed::OtherImage => Verdict::OtherImage("another image".to_string()),
        Unsealed::OtherKind(kind) => Verdict::OtherKind(kind),
        Unsealed::Damaged => Verdict::Damaged,
    }
}
