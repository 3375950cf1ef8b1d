//! Signatures of images and of statements about them, as bytes: keys, payloads, envelopes, bundles, and whether
//! one says of an image what it must.
//!
//! Knows digests; knows no registry: where signatures are found and put is its callers' affair.
//!
//! ```text
//! key, signing_key   public and private keys in PEM; secretbox: what cosign encrypts the latter with
//! payload            cosign's older form: "simple signing" JSON, beside it the signature in base64
//! statement          in-toto: what is said of which image
//! envelope           DSSE: a statement and its signature
//! certificate        who signed by a certificate: chain, name, time
//! mark               which entry of a list is a key's own
//! bundle             Sigstore's document of an envelope and of what verifies it
//! ```

pub mod bundle;
pub mod certificate;
mod der;
mod envelope;
mod key;
mod mark;
mod payload;
mod secretbox;
mod signing_key;
mod statement;
#[cfg(test)]
mod tests;

pub use bundle::Unsealed;
pub use key::{KeyError, PublicKey};
pub use mark::{MARK, Mark};
pub use payload::{MEDIA_TYPE, SIGNATURE_ANNOTATION, Verdict, judge, payload_of};
pub use signing_key::{SigningKey, SigningKeyError};
pub use statement::{STATEMENT, Statement, Subject, predicate};
