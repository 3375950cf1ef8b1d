//! Entries of Rekor, the transparency log: by the log's own promise one says when a signature was there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::refusal::Refusal;
use super::trust::{Trust, certificates};

/// What an entry must be about.
pub struct Signed<'a> {
    /// SHA-256 of what was signed (of an envelope: of its payload), in hexadecimal digits.
    pub hash: String,
    /// Base64.
    pub signature: &'a str,
    /// DER.
    pub certificate: &'a [u8],
}

/// An entry as bundles have it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    log_index: Number,
    log_id: LogId,
    /// Rekor's second version has none.
    #[serde(default)]
    integrated_time: Number,
    #[serde(default)]
    inclusion_promise: Option<Promise>,
    canonicalized_body: String,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogId {
    key_id: String,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Promise {
    signed_entry_timestamp: String,
}
/// In JSON of Protobuf 64 bits are a text.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(try_from = "Value")]
struct Number(i64);

impl TryFrom<Value> for Number {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Number, &'static str> {
        let number = match &value {
            Value::String(text) => text.parse().ok(),
            other => other.as_i64(),
        };
        number.map(Number).ok_or("a number is expected here")
    }
}

/// What cosign's older signatures have in an annotation.
#[derive(Deserialize)]
struct Annotation {
    #[serde(rename = "SignedEntryTimestamp")]
    promise: String,
    #[serde(rename = "Payload")]
    payload: AnnotationPayload,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnnotationPayload {
    body: String,
    integrated_time: i64,
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

impl Entry {
    /// Of the annotation `dev.sigstore.cosign/bundle`.
    pub fn of_annotation(text: &str) -> Option<Entry> {
        let Annotation { promise, payload } = serde_json::from_str(text).ok()?;
        Some(Entry {
            log_index: Number(payload.log_index),
            log_id: LogId {
                key_id: STANDARD.encode(hex::decode(payload.log_id).ok()?),
            },
            integrated_time: Number(payload.integrated_time),
            inclusion_promise: Some(Promise {
                signed_entry_timestamp: promise,
            }),
            canonicalized_body: payload.body,
        })
    }

    /// When the log saw the signature, by a promise that it signed.
    pub fn time(&self, trust: &Trust, signed: &Signed<'_>) -> Result<Timestamp, Refusal> {
        let promise = self.inclusion_promise.as_ref().ok_or(Refusal::NoPromise)?;
        let id = STANDARD.decode(&self.log_id.key_id).unwrap_or_default();
        let log = trust.logs.iter().find(|log| log.id == id);
        let log = log.ok_or(Refusal::OtherLog)?;
        // As Rekor signs it: JSON with sorted keys (RFC 8785), in which nothing needs an escape.
        let body = STANDARD.decode(&self.canonicalized_body);
        let body = body.map_err(|_| Refusal::Entry)?;
        let text = format!(
            "{{\"body\":\"{}\",\"integratedTime\":{},\"logID\":\"{}\",\"logIndex\":{}}}",
            STANDARD.encode(&body),
            self.integrated_time.0,
            hex::encode(&id),
            self.log_index.0
        );
        let signature = STANDARD.decode(&promise.signed_entry_timestamp);
        let signature = signature.unwrap_or_default();
        if !log.key.verifies(text.as_bytes(), &signature) {
            return Err(Refusal::Entry);
        }
        let time = Timestamp::from_second(self.integrated_time.0).map_err(|_| Refusal::Entry)?;
        if !log.valid.has(time) {
            return Err(Refusal::OtherLog);
        }
        match is_about(&body, signed)? {
            true => Ok(time),
            false => Err(Refusal::OtherEntry),
        }
    }
}

/// Whether an entry is of this signature, made with this certificate, of this text.
fn is_about(body: &[u8], signed: &Signed<'_>) -> Result<bool, Refusal> {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return Ok(false);
    };
    let spec = &body["spec"];
    let (hash, signature, certificate) = match body["kind"].as_str() {
        Some("hashedrekord") => (
            &spec["data"]["hash"],
            &spec["signature"]["content"],
            &spec["signature"]["publicKey"]["content"],
        ),
        Some("dsse") => {
            let Some([one]) = spec["signatures"].as_array().map(Vec::as_slice) else {
                return Ok(false);
            };
            (&spec["payloadHash"], &one["signature"], &one["verifier"])
        }
        kind => {
            let kind = kind.unwrap_or_default().chars().take(40);
            return Err(Refusal::EntryKind(
                kind.collect::<String>().escape_debug().to_string(),
            ));
        }
    };
    let pem = certificate
        .as_str()
        .and_then(|text| STANDARD.decode(text).ok());
    let found = pem.and_then(|pem| certificates(&pem)).unwrap_or_default();
    Ok(hash["algorithm"] == "sha256"
        && hash["value"] == signed.hash.as_str()
        && signature.as_str() == Some(signed.signature)
        && found.as_slice() == [signed.certificate])
}
