//! Targets → jobs of a CI system: one job a target, edges as the system writes them.
//!
//! ```text
//! jobs      a plan → jobs: edges, what may publish, secrets, files
//! secrets   secrets that a job can have
//! literal   words that reach a job as they are
//! names     names of targets as names of jobs
//! options   what the manifest does not say
//! error     why targets cannot be jobs
//! github, gitlab, tekton, argo
//!           jobs → the system's file
//! kubernetes
//!           what the last two have in common
//! shell     words and files for a shell
//! yaml      values → text
//! ```
//!
//! Each job runs `imgmake TARGET`, and takes what the jobs before it did from the registry cache. With
//! GitHub and GitLab it has a checkout of its own; with Tekton and Argo all jobs of a run share one volume
//! with the checkout and the store, so that files of one job are there in the next. The text depends on the manifest and the options alone, and what is written of a
//! target on nothing of the others but the names of those that it needs.

mod argo;
mod error;
mod github;
mod gitlab;
mod jobs;
mod kubernetes;
mod literal;
mod names;
mod options;
mod secrets;
mod shell;
mod tekton;
#[cfg(test)]
mod tests;
mod yaml;

pub use error::CiError;
pub use jobs::pipeline;
pub use options::{Options, System};
pub use secrets::is_variable;

use jobs::Pipeline;

/// The system's file.
///
/// # Errors
/// Nothing says where jobs share what they build, and the system has no registry of its own; or a secret
/// or a word would not reach the jobs as it is.
pub fn export(pipeline: &Pipeline, system: System, options: &Options) -> Result<String, CiError> {
    let has_registry = matches!(system, System::Github | System::Gitlab);
    if !has_registry && !pipeline.has_cache && options.cache.is_none() {
        return Err(CiError::NoCache);
    }
    secrets::check(pipeline, system)?;
    literal::check(pipeline, system, options)?;
    let (name, file) = match system {
        System::Github => ("github", github::workflow(pipeline, options)),
        System::Gitlab => ("gitlab", gitlab::pipeline(pipeline, options)),
        System::Tekton => ("tekton", tekton::pipeline(pipeline, options)),
        System::Argo => ("argo", argo::workflow(pipeline, options)),
    };
    Ok(heading(name) + &yaml::document(&file))
}

/// What is to be known of the file, for people.
pub fn note(pipeline: &Pipeline, system: System) -> Option<&'static str> {
    let has_strangers = matches!(system, System::Github | System::Gitlab);
    (has_strangers && pipeline.writes_cache).then_some(
        "the jobs of pull requests may write the cache that the manifest names, and the jobs that push use it\n  help: let a variable of the jobs say what they may do: `registry ref=\"…\" access=\"${CACHE}\"`",
    )
}

/// The first lines of each file.
fn heading(system: &str) -> String {
    format!(
        "# Written by `imgmake ci --to {system}` from the manifest: write it again when targets change.\n"
    )
}
