//! The decoded manifest: every string interpolated, every number checked, in
//! the order of the file. Paths are as written, relative to the manifest's directory.

mod archive;
mod build;
mod command;
mod push;
mod scan;
mod settings;
mod signer;
mod span;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use archive::ArchiveImage;
pub use build::*;
pub use command::{CommandNode, EnvFile, RunTarget};
pub use push::*;
pub use scan::*;
pub use settings::*;
pub use signer::*;
pub use span::{Span, Spanned};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub settings: Settings,
    pub variables: Vec<Variable>,
    pub secrets: Vec<SecretNode>,
    pub registries: Vec<RegistryNode>,
    /// Targets in file order.
    pub targets: Vec<Target>,
    /// A matrix makes a group of its members, under its own name.
    pub groups: Vec<Group>,
    /// Targets whose `if` is false: groups and globs pass them by.
    pub disabled: Vec<Spanned<String>>,
    /// Files that `include` brought in, in the order of their spans.
    pub included: Vec<String>,
    /// Patterns of `include`: a cache depends on which files they match.
    pub read_patterns: Vec<String>,
    /// Other files that were read (includes, env-files), found or not: a cache of this value depends on them.
    pub read_files: Vec<String>,
    /// Environment variables that were looked at, set or not: a cache depends on their values.
    pub read_environment: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    pub name: Spanned<String>,
    pub description: Option<String>,
    pub members: Vec<Spanned<String>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    pub name: Spanned<String>,
    pub description: Option<String>,
    pub needs: Vec<Spanned<String>>,
    pub kind: TargetKind,
    pub attempts: Attempts,
    /// The pool in which it takes a place.
    pub pool: Option<Spanned<String>>,
    /// Names of the variables and `env.…` that interpolation used inside this target.
    pub used_variables: Vec<String>,
}

impl Target {
    /// The repository it is pushed to unless the push says another: `services/api:app` → `services/api/app`.
    pub fn default_repository(&self) -> String {
        self.name.value.replace(':', "/").to_lowercase()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TargetKind {
    Build(Box<BuildTarget>),
    Scan(ScanTarget),
    Push(PushTarget),
    Run(RunTarget),
}

/// How long and how often the work of a target is tried; in no key, since it decides no result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attempts {
    /// Of builds and pushes; commands and scans have limits of their own.
    pub timeout: Option<Spanned<Duration>>,
    /// How often a failure is followed by another attempt.
    pub retries: u32,
}
