//! The CI plugins' contract: `PLUGIN_*` variables in, a manifest out.
//!
//! imgmake takes the place of the "Build and Push" plugins of Harness and Drone:
//! the image is exchanged, the pipeline stays. This room reads the environment
//! that it is given and says what is meant as a manifest; it runs nothing.

mod bake;
mod building;
mod buildx_options;
mod cache;
mod credentials;
mod family;
mod ignored;
mod interpret;
pub mod job;
pub mod kaniko;
pub mod log;
mod names;
mod reader;
mod tags;
mod value;
pub mod variables;

pub use family::{Cloud, EntryPoint, Family};
pub use interpret::{
    Outcome, UnnamedRegistry, Workspace, interpret, unnamed_registry, with_env_file,
};

/// Why a step is refused, in the words of its variables. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {help}")]
pub struct Refusal {
    pub message: String,
    pub help: String,
}

impl Refusal {
    pub(crate) fn new(message: impl Into<String>, help: impl Into<String>) -> Refusal {
        Refusal {
            message: message.into(),
            help: help.into(),
        }
    }
}

#[cfg(test)]
mod tests;
