//! in-toto statements, version 1: what is said (the predicate) of which image (the subject).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::image::{Digest, to_json};

/// The media type of a statement.
pub const STATEMENT: &str = "application/vnd.in-toto+json";
const TYPES: [&str; 2] = [
    "https://in-toto.io/Statement/v1",
    "https://in-toto.io/Statement/v0.1",
];

/// What a predicate is about: the names that in-toto and sigstore give them.
pub mod predicate {
    /// That somebody signed the image, and no more.
    pub const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";
    pub const CYCLONEDX: &str = "https://cyclonedx.org/bom";
    pub const SPDX: &str = "https://spdx.dev/Document";
    pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
}

/// A statement about one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    pub subject: Vec<Subject>,
    pub predicate_type: String,
    pub predicate: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    #[serde(default)]
    pub name: String,
    /// Algorithm to hexadecimal digits.
    pub digest: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    #[serde(default)]
    predicate: Value,
}

impl Statement {
    /// Of the image with this digest, wherever it lies.
    pub fn of(image: &Digest, name: &str, predicate_type: &str, predicate: Value) -> Statement {
        let digest = (image.algorithm().to_string(), image.hex().to_string());
        Statement {
            subject: vec![Subject {
                name: name.to_string(),
                digest: BTreeMap::from([digest]),
            }],
            predicate_type: predicate_type.to_string(),
            predicate,
        }
    }

    /// JSON with sorted keys.
    pub fn to_json(&self) -> Vec<u8> {
        to_json(&Written {
            kind: TYPES[0].to_string(),
            subject: self.subject.clone(),
            predicate_type: self.predicate_type.clone(),
            predicate: self.predicate.clone(),
        })
    }

    /// `None` for what is no statement.
    pub fn parse(json: &[u8]) -> Option<Statement> {
        let written: Written = serde_json::from_slice(json).ok()?;
        TYPES.contains(&written.kind.as_str()).then_some(Statement {
            subject: written.subject,
            predicate_type: written.predicate_type,
            predicate: written.predicate,
        })
    }

    pub fn is_about(&self, image: &Digest) -> bool {
        self.subject.iter().any(|subject| {
            let hex = subject.digest.get(image.algorithm());
            hex.is_some_and(|hex| hex == image.hex())
        })
    }
}
