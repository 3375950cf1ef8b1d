//! Targets → jobs of a CI system: one job a target, edges as the system writes them.
//!
//! ```text
//! jobs      a plan → jobs: edges, what may publish, secrets, files
//! names     names of targets as names of jobs
//! options   what the manifest does not say
//! github, gitlab, tekton, argo
//!           jobs → the system's file
//! kubernetes
//!           what the last two have in common
//! shell     words and files for a shell
//! yaml      values → text
//! ```
//!
//! Each job runs `imgmake TARGET` in a checkout of its own: what the jobs before it did, it takes from
//! the registry cache. The text depends on the manifest and the options alone, and what is written of a
//! target on nothing of the others but the names of those that it needs.

mod argo;
mod github;
mod gitlab;
mod jobs;
mod kubernetes;
mod names;
mod options;
mod shell;
mod tekton;
#[cfg(test)]
mod tests;
mod yaml;

pub use jobs::{CiError, pipeline};
pub use options::Options;

use jobs::Pipeline;

/// For which system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    Github,
    Gitlab,
    Tekton,
    Argo,
}

/// The system's file.
///
/// # Errors
/// Nothing says where jobs share what they build, and the system has no registry of its own.
pub fn export(pipeline: &Pipeline, system: System, options: &Options) -> Result<String, CiError> {
    let has_registry = matches!(system, System::Github | System::Gitlab);
    if !has_registry && !pipeline.has_cache && options.cache.is_none() {
        return Err(CiError::NoCache);
    }
    let (name, file) = match system {
        System::Github => ("github", github::workflow(pipeline, options)),
        System::Gitlab => ("gitlab", gitlab::pipeline(pipeline, options)),
        System::Tekton => ("tekton", tekton::pipeline(pipeline, options)),
        System::Argo => ("argo", argo::workflow(pipeline, options)),
    };
    Ok(heading(name) + &yaml::document(&file))
}

/// The first lines of each file.
fn heading(system: &str) -> String {
    format!(
        "# Written by `imgmake ci --to {system}` from the manifest: write it again when targets change.\n"
    )
}
