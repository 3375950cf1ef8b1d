//! kaniko's command line: `executor --context=… --destination=…` in, a step out.
//!
//! imgmake takes the place of kaniko's executor: the image is exchanged, the
//! arguments stay. Flags are those of kaniko 1.24 and of its forks. This module
//! gets the arguments and the environment as values and runs nothing; contexts
//! that are elsewhere are described here and fetched by the caller.
//!
//! ```text
//! flags         every flag as data: kind, default, what becomes of it
//! command_line  arguments → values, as Go's pflag reads them
//! context       `git://…`, `tar://stdin`, …: where the context is
//! azure         the login in Kubernetes' azure.json
//! registries    credentials, certificates, mirrors → registry nodes
//! secrets       `--secret` → where each comes from
//! request       all of it together → a Step
//! ```

mod azure;
mod command_line;
mod context;
pub mod flags;
mod registries;
mod request;
mod secrets;

pub use context::{Context, GitContext};
pub use request::{Invocation, Request, interpret};

/// Where kaniko looks if nobody says where.
pub const DEFAULT_CONTEXT: &str = "/workspace/";

/// Whether a program called so is kaniko: `/kaniko/executor`.
pub fn is_called(program: &str) -> bool {
    program.rsplit('/').next() == Some("executor")
}

#[cfg(test)]
mod tests;
