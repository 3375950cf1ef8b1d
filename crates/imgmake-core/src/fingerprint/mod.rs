//! Everything that makes a key.
//!
//! ```text
//! values ─Fingerprint→ LengthPrefixedHasher ─→ hash of one input, key of a step
//! Inputs (kind, name, hash) ─┬→ CacheKey      whether a target is stale
//!                            └→ Explanation   which input changed: `why`, `plan`
//! ```
//!
//! [`Inputs`] is filled once and walked twice, so a key and its explanation cannot disagree about what
//! counts. Receives values; reads no disk, environment or clock.

mod cache_key;
#[doc(hidden)]
pub mod each_field;
mod explanation;
mod hasher;
mod image;
mod input;
mod inputs;
mod manifest;
mod seen;
mod semantics;
mod settings;
#[cfg(test)]
mod tests;
mod value;

pub use cache_key::CacheKey;
pub use explanation::{Change, Explanation, How};
pub use hasher::LengthPrefixedHasher;
pub use input::Input;
pub use inputs::Inputs;
pub use seen::Seen;
pub use semantics::Semantics;
pub use settings::{
    GateFiles, archive_image, build_settings, gate_policy, push_settings, run_settings,
    scan_settings, upstream,
};
pub use value::{Bytes, Fingerprint, fingerprint_of};
