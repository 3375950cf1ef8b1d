//! The CI plugins' contract: `PLUGIN_*` variables in, a manifest out.
//!
//! imgmake takes the place of the "Build and Push" plugins of Harness and Drone:
//! the image is exchanged, the pipeline stays. Reads the environment that it is
//! given and says what is meant as a manifest. Runs nothing.

mod bake;
mod building;
mod buildx_options;
mod cache;
mod family;
mod ignored;
mod interpret;
pub mod kaniko;
mod log;
mod reader;
mod registries;
mod repositories;
mod results;
mod signing;
mod tags;
mod value;
pub mod variables;
mod workspace;

pub use crate::error::Refusal;
pub use family::{Cloud, EntryPoint, Family};
pub use interpret::{UnnamedRegistry, interpret, unnamed_registry, with_env_file};
pub use workspace::{Outcome, Workspace};

#[cfg(test)]
mod tests;
