//! Images from Dockerfiles and from manifest steps, without a daemon.
//!
//! ```text
//! request ─define→ stages and steps ─execute→ layers ─assemble→ image
//!                              ├─ files    COPY, ADD: where files come from, the plan, the layer
//!                              └─ run      RUN, in a helper process
//!          └─ inputs: the same walk, reading only: for keys, and for provenances (materials)
//! ```
//!
//! The folders in the order in which they may use each other: `files`, `define`, `base`, `rootfs`, `run`, `execute`.
//!
//! A COPY is planned from metadata (`files::copy::planner`), keyed by the plan (`step_key`), and written straight
//! from the context into tar, digest and compression. RUN goes to the helper process (`run::worker`). Steps made
//! on other machines come from a registry (`execute::cache`). Knows layers, store and registry; knows no manifest
//! target, terminal or environment.

mod base;
mod checkouts;
mod define;
mod error;
mod execute;
mod files;
mod ignored_paths;
mod inputs;
mod layer_sources;
mod materials;
mod pins;
mod prepared;
mod refusals;
mod request;
mod request_fingerprint;
pub mod rootfs;
mod run;
mod step_key;
mod target;
#[cfg(test)]
mod tests;

pub use base::policy::{BasePolicy, Refused, TrustedCertificate, TrustedKey};
pub use base::warmed::Warmed;
pub use checkouts::Checkouts;
pub use error::{BuildError, Place};
pub use execute::{
    Built, Coming, Engine, FilesForm, build, cache, pull_blobs, sources_of, write_files,
};
pub use ignored_paths::IgnoredPaths;
pub use inputs::{Recorded, inputs, inputs_and_files, materials, resolve};
pub use materials::{Material, Materials};
pub use pins::{PinError, PinName, Pins};
pub use refusals::{Asked, refusals};
pub use request::{
    AddedLayers, AlsoStages, BuildDefinition, BuildRequest, Command, DefaultNetwork,
    FetchedContext, Insecure, LayerCount, NamedContext, RemoteContext, Resolver, SecretSource,
    Step,
};
pub use run::output::STEP_LOGS;
pub use run::worker;
pub use target::TargetContext;
