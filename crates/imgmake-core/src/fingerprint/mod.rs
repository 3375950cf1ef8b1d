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
mod explanation;
mod hasher;
mod image;
mod input;
mod inputs;
mod run;
mod semantics;
#[cfg(test)]
mod tests;
mod value;

pub use cache_key::CacheKey;
pub use explanation::{Change, Explanation, How};
pub use hasher::LengthPrefixedHasher;
pub use input::Input;
pub use inputs::Inputs;
pub use run::{run_settings, upstream};
pub use semantics::Semantics;
pub use value::{Bytes, Fingerprint, fingerprint_of};
