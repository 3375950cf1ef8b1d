//! What was signed: a payload that names an image by its digest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::PublicKey;
use crate::image::{Digest, to_json};

/// Of the layer whose blob is a payload.
pub const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Of the same layer: the signature of the payload, in base64.
pub const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";

const KIND: &str = "cosign container image signature";

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}
/// `identity` is not read: an image may be copied from one registry to another, and its
/// digest says which image it is wherever it lies. cosign does not compare it either.
#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}
#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// What is signed: that an image with this digest is what `name` (a repository) holds.
pub fn payload_of(name: &str, image: &Digest) -> Vec<u8> {
    to_json(&json!({
        "critical": {
            "identity": {"docker-reference": name},
            "image": {"docker-manifest-digest": image.as_str()},
            "type": KIND,
        },
        "optional": null,
    }))
}

/// What a signature is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// One of the keys signed one of the digests.
    Good(Digest),
    /// None of the keys made it.
    OtherKey,
    /// A key made it, of something else.
    OtherImage(String),
    /// A key made it, but of no image.
    OtherKind(String),
    /// It is no signature at all.
    Damaged,
}

/// Judges one signature. What is read of the payload is read after its signature was found good.
pub fn judge(payload: &[u8], signature: &str, keys: &[&PublicKey], digests: &[&Digest]) -> Verdict {
    let Ok(signature) = STANDARD.decode(signature.trim()) else {
        return Verdict::Damaged;
    };
    if !keys.iter().any(|key| key.verifies(payload, &signature)) {
        return Verdict::OtherKey;
    }
    let Ok(Payload { critical }) = serde_json::from_slice(payload) else {
        return Verdict::OtherKind("no JSON of a signature".to_string());
    };
    if critical.kind != KIND {
        return Verdict::OtherKind(critical.kind);
    }
    let claimed = digests.iter().find(|d| d.as_str() == critical.image.digest);
    match claimed {
        Some(digest) => Verdict::Good((*digest).clone()),
        None => Verdict::OtherImage(critical.image.digest),
    }
}
