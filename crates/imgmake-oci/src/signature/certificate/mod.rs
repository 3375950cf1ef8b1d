//! Signatures with a certificate that names who signed: its chain, the name and its issuer, and that it was valid when
//! the signature was made, which a transparency log says and not the clock.
//!
//! The chain is verified by `webpki`, which also reads the certificates first; `parts` finds a few extensions in them.

mod entry;
mod parts;
mod refusal;
#[cfg(test)]
mod tests;
mod timestamps;
mod trust;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::Deserialize;
use webpki::{EndEntityCert, KeyUsage};

use super::der;
use super::envelope::Envelope;
use super::{PublicKey, Statement, Unsealed, Verdict, bundle, judge};
use crate::image::Digest;
use entry::Entry;
use parts::{Parts, oid};
pub use refusal::Refusal;
pub use trust::{Trust, TrustError};

/// The annotations of a signature in cosign's older form.
pub const CERTIFICATE_ANNOTATION: &str = "dev.sigstore.cosign/certificate";
pub const CHAIN_ANNOTATION: &str = "dev.sigstore.cosign/chain";
pub const ENTRY_ANNOTATION: &str = "dev.sigstore.cosign/bundle";

/// Who must have signed.
#[derive(Debug)]
pub struct Demanded<'a> {
    pub trust: &'a Trust,
    /// An address or a URI, as the certificate has it.
    pub identity: &'a str,
    /// Who says so.
    pub issuer: &'a str,
    /// A signature without an entry in a log counts if its certificate is valid then.
    pub without_entry: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    verification_material: Material,
    dsse_envelope: Envelope,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    #[serde(default)]
    certificate: Option<Raw>,
    #[serde(default)]
    x509_certificate_chain: Option<Chain>,
    #[serde(default)]
    tlog_entries: Vec<Entry>,
}
#[derive(Deserialize)]
struct Chain {
    certificates: Vec<Raw>,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    raw_bytes: String,
}

/// A hostile bundle has many; each costs a verification.
const MOST_ENTRIES: usize = 8;

impl Demanded<'_> {
    /// The statement of a bundle, if who is demanded signed it and it is about one of the images.
    ///
    /// # Errors
    /// The first reason why it does not count.
    pub fn unseal(&self, json: &[u8], images: &[&Digest]) -> Result<Statement, Refusal> {
        let bundle: Bundle = serde_json::from_slice(json).map_err(|_| Refusal::Damaged)?;
        let material = bundle.verification_material;
        let chain = material.x509_certificate_chain.into_iter();
        let chain = chain.flat_map(|chain| chain.certificates);
        let chain = material.certificate.into_iter().chain(chain);
        let chain = chain.map(|one| STANDARD.decode(one.raw_bytes).map_err(|_| Refusal::Damaged));
        let chain: Vec<Vec<u8>> = chain.collect::<Result<_, _>>()?;
        let (leaf, between) = chain.split_first().ok_or(Refusal::NoCertificate)?;
        let (payload, signature) = bundle.dsse_envelope.only().ok_or(Refusal::Damaged)?;
        let signed = entry::Signed {
            hash: hex::encode(digest(&SHA256, &payload)),
            signature,
            certificate: leaf,
        };
        let key = self.key(leaf, between, &material.tlog_entries, &signed)?;
        match bundle::unseal(json, &[&key], images) {
            Unsealed::Good(statement) => Ok(statement),
            Unsealed::OtherImage => Err(Refusal::OtherImage),
            Unsealed::OtherKey => Err(Refusal::Signature),
            Unsealed::OtherKind(_) | Unsealed::Damaged => Err(Refusal::Damaged),
        }
    }

    /// The same of a signature in cosign's older form. `annotation` has those of its layer.
    ///
    /// # Errors
    /// As for [`Demanded::unseal`].
    pub fn judge<'t>(
        &self,
        payload: &[u8],
        signature: &str,
        annotation: impl Fn(&str) -> Option<&'t str>,
        images: &[&Digest],
    ) -> Result<(), Refusal> {
        let certificates = |name| {
            let found = annotation(name).map(|pem| trust::certificates(pem.as_bytes()));
            found.unwrap_or(Some(Vec::new())).ok_or(Refusal::Damaged)
        };
        let leaf = certificates(CERTIFICATE_ANNOTATION)?;
        let [leaf] = leaf.as_slice() else {
            return Err(Refusal::NoCertificate);
        };
        let entry = match annotation(ENTRY_ANNOTATION) {
            Some(text) => vec![Entry::of_annotation(text).ok_or(Refusal::Entry)?],
            None => Vec::new(),
        };
        let signed = entry::Signed {
            hash: hex::encode(digest(&SHA256, payload)),
            signature,
            certificate: leaf,
        };
        let key = self.key(leaf, &certificates(CHAIN_ANNOTATION)?, &entry, &signed)?;
        match judge(payload, signature, &[&key], images) {
            Verdict::Good(_) => Ok(()),
            Verdict::OtherImage(_) => Err(Refusal::OtherImage),
            Verdict::OtherKey => Err(Refusal::Signature),
            Verdict::OtherKind(_) | Verdict::Damaged => Err(Refusal::Damaged),
        }
    }

    /// The key of a certificate that is who is demanded, and was valid when it signed.
    fn key(
        &self,
        leaf: &[u8],
        between: &[Vec<u8>],
        entries: &[Entry],
        signed: &entry::Signed<'_>,
    ) -> Result<PublicKey, Refusal> {
        // Of several entries all must be what they seem; the first says when.
        let times = entries.iter().take(MOST_ENTRIES);
        let times = times.map(|entry| entry.time(self.trust, signed));
        let times: Vec<Timestamp> = times.collect::<Result<_, _>>()?;
        let time = times.into_iter().min().or(self.without_entry);
        let time = time.ok_or(Refusal::NoEntry)?;
        self.verify_chain(leaf, between, time)?;
        let parts = Parts::of(leaf).ok_or(Refusal::Unsupported)?;
        if !parts.signs_documents() {
            return Err(Refusal::Usage);
        }
        let names = parts.names();
        if !names.iter().any(|name| name == self.identity) {
            return Err(Refusal::OtherIdentity(names));
        }
        let issuers = issuers(&parts).ok_or(Refusal::Unsupported)?;
        match issuers.iter().find(|issuer| *issuer != self.issuer) {
            Some(other) => return Err(Refusal::OtherIssuer(other.clone())),
            None if issuers.is_empty() => return Err(Refusal::NoIssuer),
            None => {}
        }
        let certificate = CertificateDer::from(leaf);
        let end = EndEntityCert::try_from(&certificate).map_err(|_| Refusal::Unsupported)?;
        PublicKey::from_der(&end.subject_public_key_info()).map_err(|_| Refusal::Unsupported)
    }

    /// That a trusted authority issued the certificate, and that all between them were valid then.
    fn verify_chain(
        &self,
        leaf: &[u8],
        between: &[Vec<u8>],
        time: Timestamp,
    ) -> Result<(), Refusal> {
        let leaf = CertificateDer::from(leaf);
        let end = EndEntityCert::try_from(&leaf).map_err(|_| Refusal::Unsupported)?;
        let seconds = u64::try_from(time.as_second()).map_err(|_| Refusal::Entry)?;
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let mut refusal = Refusal::Chain("no authority is valid at that time".to_string());
        let valid = self.trust.authorities.iter();
        for authority in valid.filter(|authority| authority.valid.has(time)) {
            let root = CertificateDer::from(authority.root.as_slice());
            let anchor = webpki::anchor_from_trusted_cert(&root);
            let anchors = [anchor.map_err(|_| Refusal::Unsupported)?];
            let known = authority.intermediates.iter().chain(between);
            let known: Vec<CertificateDer<'_>> = known
                .map(|der| CertificateDer::from(der.as_slice()))
                .collect();
            // Whoever issued it need not name a purpose; it must itself.
            let usage = KeyUsage::required_if_present(oid::CODE_SIGNING);
            let path = end.verify_for_usage(ALGORITHMS, &anchors, &known, at, usage, None, None);
            match path {
                Ok(path) => {
                    let first = path.intermediate_certificates().next();
                    let issuer = match first {
                        Some(issuer) => issuer.subject_public_key_info().to_vec(),
                        None => der::encode(der::SEQUENCE, &path.anchor().subject_public_key_info),
                    };
                    return self.verify_logged(&leaf, &issuer);
                }
                Err(error) => refusal = refused(&error, time),
            }
        }
        Err(refusal)
    }

    fn verify_logged(&self, leaf: &[u8], issuer: &[u8]) -> Result<(), Refusal> {
        let logs = &self.trust.certificate_logs;
        let parts = Parts::of(leaf).ok_or(Refusal::Unsupported)?;
        match logs.is_empty() || timestamps::is_logged(&parts, issuer, logs) {
            true => Ok(()),
            false => Err(Refusal::NotLogged),
        }
    }
}

/// What the chain of certificates may be signed with.
const ALGORITHMS: &[&dyn rustls_pki_types::SignatureVerificationAlgorithm] = &[
    webpki::ring::ECDSA_P256_SHA256,
    webpki::ring::ECDSA_P256_SHA384,
    webpki::ring::ECDSA_P384_SHA256,
    webpki::ring::ECDSA_P384_SHA384,
    webpki::ring::ED25519,
    webpki::ring::RSA_PKCS1_2048_8192_SHA256,
    webpki::ring::RSA_PKCS1_2048_8192_SHA384,
    webpki::ring::RSA_PKCS1_2048_8192_SHA512,
];

fn refused(error: &webpki::Error, time: Timestamp) -> Refusal {
    use webpki::Error;
    let why = error.to_string();
    match error {
        Error::CertExpired { .. } | Error::CertNotValidYet { .. } => Refusal::Expired { time, why },
        Error::RequiredEkuNotFoundContext(_) => Refusal::Usage,
        _ => Refusal::Chain(why),
    }
}

/// Who says that the name is right, in both forms that Fulcio writes; `None` for one that is damaged.
fn issuers(parts: &Parts<'_>) -> Option<Vec<String>> {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_string);
    let mut found = Vec::new();
    if let Some(bytes) = parts.extension(oid::ISSUER_V2) {
        found.push(text(der::value(bytes, der::UTF8)?.0)?);
    }
    if let Some(bytes) = parts.extension(oid::ISSUER) {
        found.push(text(bytes)?);
    }
    Some(found)
}
