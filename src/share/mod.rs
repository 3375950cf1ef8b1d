//! What travels between machines by way of a registry: sent, fetched, put in place.
//! Knows registries, the store and the formats; knows no target and no command line.
//!
//! ```text
//! source/   a project's manifest and the files that keys are made of
//! ```

pub mod source;
