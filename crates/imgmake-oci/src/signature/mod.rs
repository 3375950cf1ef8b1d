//! cosign's signatures of images, as bytes: public keys, payloads, and whether a
//! signature says of an image what it must.
//!
//! Knows digests; knows no registry: where signatures are found is its caller's affair.
//! The format is cosign's `SIGNATURE_SPEC.md`: a payload in "simple signing" JSON,
//! beside it the signature in base64.

mod key;
mod payload;

pub use key::{KeyError, PublicKey};
pub use payload::{MEDIA_TYPE, SIGNATURE_ANNOTATION, Verdict, judge};
