//! `push` targets: images, destinations, signatures.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::archive::ArchiveImage;
use super::signer::SignerNode;
use super::span::Spanned;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PushTarget {
    pub from: PushFrom,
    pub to: Vec<Destination>,
    pub publish: Publish,
    pub write_digests: Option<Spanned<String>>,
    pub sign: Option<SignNode>,
    pub attest: AttestNode,
    /// All of them must hold.
    pub needs_attestations: Vec<NeedsAttestation>,
}

/// A gate's verdict that was given before, and lies, signed, beside the image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NeedsAttestation {
    /// The `scan` target whose policy it must be of.
    pub gate: Spanned<String>,
    pub signer: SignerNode,
    /// Without one a week.
    pub max_age: Option<Duration>,
    /// Whether it must be of the advisories that the gate would use now.
    pub same_db: bool,
}

/// A private key, as cosign has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignNode {
    pub key: SignKey,
    /// The name of a secret; without it the variable `COSIGN_PASSWORD` is read, if the key is encrypted.
    pub password: Option<Spanned<String>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SignKey {
    File(Spanned<String>),
    /// By the name of the secret.
    Secret(Spanned<String>),
}

/// What is said of each image beside its signature.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AttestNode {
    /// Each once: beside the image, as its referrers.
    pub documents: Vec<Attestation>,
    /// Each once: in the index of the image, as BuildKit puts them there. Never a verdict.
    pub in_index: Vec<Attestation>,
    /// The URI of whoever builds here, in provenances; without it imgmake's own.
    pub builder: Option<Spanned<String>>,
}

/// A document about an image that is attached to it in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attestation {
    CycloneDx,
    Spdx,
    /// SLSA provenance, version 1.
    Provenance,
    /// What the gates said that the push needs.
    Verdict,
}

impl Attestation {
    /// Whether it is made of what is found in the image.
    pub fn is_inventory(self) -> bool {
        match self {
            Attestation::CycloneDx | Attestation::Spdx => true,
            Attestation::Provenance | Attestation::Verdict => false,
        }
    }

    /// As a manifest calls it.
    pub fn word(self) -> &'static str {
        match self {
            Attestation::CycloneDx => "cyclonedx",
            Attestation::Spdx => "spdx",
            Attestation::Provenance => "provenance",
            Attestation::Verdict => "verdict",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PushFrom {
    Images(Vec<Spanned<String>>),
    Tar {
        path: Spanned<String>,
        pick: Option<ArchiveImage>,
    },
    Image(Spanned<String>),
    /// Published as one image of several platforms.
    Index(IndexNode),
    /// An image of the store, by its name; only CI steps say this.
    Stored(Spanned<String>),
}

/// Images of one platform each, mostly, that belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexNode {
    /// Globs over target names.
    pub images: Vec<Spanned<String>>,
    /// Images of registries.
    pub from: Vec<Spanned<String>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Destination {
    pub registries: Vec<Spanned<String>>,
    /** Default: the build target's name. */
    pub repository: Option<Spanned<String>>,
    pub tags: Vec<Spanned<String>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Publish {
    #[default]
    Each,
    Together,
}
