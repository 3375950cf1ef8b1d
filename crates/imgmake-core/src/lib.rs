//! What a project declares and what is known of it: manifest, graph, plan, keys, state, execution.

pub mod error;
pub mod execute;
pub mod files;
pub mod fingerprint;
pub mod graph;
pub mod manifest;
pub mod plan;
pub mod share;
pub mod state;
