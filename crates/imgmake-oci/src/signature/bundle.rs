//! Sigstore bundles, version 0.3: an envelope, and what it is verified with, in one document. Only those that
//! name a public key are made and read here: certificates of a transparency log are another trust.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::json;

use super::envelope::{Envelope, Opened};
use super::statement::STATEMENT;
use super::{PublicKey, SigningKey, Statement};
use crate::image::{Digest, to_json};

/// The media type of a bundle, of its blob and of its artifact.
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What the media types of all versions begin with.
const ANY_VERSION: &str = "application/vnd.dev.sigstore.bundle";

/// Whether a media type or an artifact type is that of a bundle, of any version.
pub fn is_bundle(media_type: &str) -> bool {
    media_type.starts_with(ANY_VERSION)
}

/// What is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    verification_material: Value,
    dsse_envelope: Envelope,
}

/// What is read: nothing else is kept, for anybody may have written it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadBundle {
    media_type: String,
    /// Absent where a bare signature stands instead.
    #[serde(default)]
    dsse_envelope: Option<Envelope>,
}

/// A statement, signed, as a bundle.
pub fn seal(statement: &Statement, key: &SigningKey) -> Vec<u8> {
    to_json(&Bundle {
        media_type: BUNDLE.to_string(),
        verification_material: json!({
            "publicKey": {"hint": key.public().hint()},
            "timestampVerificationData": {},
            "tlogEntries": [],
        }),
        dsse_envelope: Envelope::seal(STATEMENT, &statement.to_json(), key),
    })
}

/// What a bundle is worth.
#[derive(Clone, Debug, PartialEq)]
pub enum Unsealed {
    /// One of the keys signed a statement about the image.
    Good(Statement),
    /// None of the keys made it.
    OtherKey,
    /// A key made it, of something else.
    OtherImage,
    /// A key made it, but it is no statement.
    OtherKind(String),
    /// It is no bundle with an envelope.
    Damaged,
}

/// Judges one bundle. What is read of its statement is read after its signature was found good.
pub fn unseal(json: &[u8], keys: &[&PublicKey], images: &[&Digest]) -> Unsealed {
    let Ok(bundle) = serde_json::from_slice::<ReadBundle>(json) else {
        return Unsealed::Damaged;
    };
    let (Some(envelope), true) = (bundle.dsse_envelope, is_bundle(&bundle.media_type)) else {
        return Unsealed::Damaged;
    };
    match envelope.open(STATEMENT, keys) {
        Opened::Damaged => Unsealed::Damaged,
        Opened::OtherKey => Unsealed::OtherKey,
        Opened::OtherType(kind) => Unsealed::OtherKind(kind),
        Opened::Payload(payload) => match Statement::parse(&payload) {
            None => Unsealed::OtherKind("no in-toto statement".to_string()),
            Some(statement) if images.iter().any(|image| statement.is_about(image)) => {
                Unsealed::Good(statement)
            }
            Some(_) => Unsealed::OtherImage,
        },
    }
}
