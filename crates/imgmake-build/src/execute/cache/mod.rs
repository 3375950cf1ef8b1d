//! Step results in a registry, shared by machines that have nothing else in common.
//!
//! ```text
//! step-<key>     what a step made: its layer, and what that holds   ┐ one manifest under one tag each,
//! index-<diff>   what a base's layer holds, without the layer       │ in the repository that was given
//! file-<hash>    the image's passwd and group, for `--chown=name`   ┘
//! ```
//!
//! A key needs to know what lies below a step, not its bytes: with indexes at hand, a build of nothing but hits
//! pulls no layer at all. The cache only ever saves work. What is missing, foreign, damaged or out of reach is
//! passed by with one line, and the step is made as if there were no cache.
//!
//! Knows step keys and layers; entries hold hashes and descriptors, never a command, an argument or a path.

mod client;
mod entry;
mod export;
mod files;
mod index;
mod queue;
mod settings;

pub use client::Cache;
pub use entry::StepEntry;
pub use files::remembered_file;
pub use queue::CacheExport;
pub use settings::{CacheMode, CacheSettings, CacheTo, CachedSteps, OnCacheError, StepKind};
