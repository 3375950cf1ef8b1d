//! DSSE: a text and its signatures in one JSON document. The specification is secure-systems-lab's `envelope.md`
//! and `protocol.md`, version 1.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};

use super::{PublicKey, SigningKey};

/// An envelope, as JSON has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// Base64.
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct EnvelopeSignature {
    /// Base64.
    sig: String,
}

/// What is signed: the type and the text, each with its length, so that one cannot pass for the other.
fn encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let begin = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    );
    [begin.as_bytes(), payload].concat()
}

impl Envelope {
    pub fn seal(payload_type: &str, payload: &[u8], key: &SigningKey) -> Envelope {
        let signature = key.sign(&encoding(payload_type, payload));
        Envelope {
            payload: STANDARD.encode(payload),
            payload_type: payload_type.to_string(),
            signatures: vec![EnvelopeSignature {
                sig: STANDARD.encode(signature),
            }],
        }
    }

    /// The text and its signature in base64, if there is one alone. Nobody has verified it.
    pub(super) fn only(&self) -> Option<(Vec<u8>, &str)> {
        let [one] = self.signatures.as_slice() else {
            return None;
        };
        let payload = STANDARD.decode(&self.payload).ok()?;
        Some((payload, &one.sig))
    }

    /// The text, if it is of this type and one of the keys has signed it.
    pub fn open(&self, payload_type: &str, keys: &[&PublicKey]) -> Opened {
        let decode = |text: &str| STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text));
        let Ok(payload) = decode(&self.payload) else {
            return Opened::Damaged;
        };
        let signed = encoding(&self.payload_type, &payload);
        // A hostile envelope has many: each costs a verification by each key.
        let mut signatures = self.signatures.iter().take(MOST_SIGNATURES);
        let is_good = signatures.any(|one| {
            let signature = decode(&one.sig).unwrap_or_default();
            keys.iter().any(|key| key.verifies(&signed, &signature))
        });
        match is_good {
            false => Opened::OtherKey,
            true if self.payload_type != payload_type => {
                Opened::OtherType(self.payload_type.clone())
            }
            true => Opened::Payload(payload),
        }
    }
}

const MOST_SIGNATURES: usize = 16;

/// What is in an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    Payload(Vec<u8>),
    /// None of the keys signed it.
    OtherKey,
    /// A key signed it, but it is something else.
    OtherType(String),
    Damaged,
}
