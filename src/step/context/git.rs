//! A repository as kaniko clones it: all branches and its `.git`, unless the
//! options say less. The login goes to the repository's server alone.

use std::path::Path;

use anyhow::{Result, anyhow};

use imgmake_compat::plugin::kaniko::GitContext;
use imgmake_core::manifest::suggest;
use imgmake_git::{
    Client, CloneOf, GitDirectory, GitError, Login, Remote, Submodules, Verification,
};

/// The build argument of BuildKit that asks for the `.git` of a repository.
pub const KEEP_GIT: &str = "BUILDKIT_CONTEXT_KEEP_GIT_DIR";

/// How repositories are fetched.
pub struct Repositories {
    pub client: Client,
    pub git_directory: GitDirectory,
}

/// # Errors
/// The repository or the reference cannot be fetched; what to do is part of the error.
pub fn clone(context: &GitContext, to: &Path, repositories: &Repositories) -> Result<()> {
    let mut remote = Remote::parse(&context.url)?;
    let login = context.login.as_ref();
    remote.login = login.map(|(user, password)| Login::basic(&user.0, &password.0));
    if context.skip_tls_verify {
        remote.verification = Verification::Off;
    }
    let clone = CloneOf {
        branch: context.branch.clone(),
        reference: context.reference.clone(),
        commit: context.commit.clone(),
        single_branch: context.single_branch,
        depth: (context.depth > 0).then_some(context.depth),
        submodules: match context.recurse_submodules {
            true => Submodules::Recursive,
            false => Submodules::Leave,
        },
        git_directory: repositories.git_directory,
    };
    repositories
        .client
        .clone_to(&remote, &clone, to)
        .map_err(|error| explained(error.into(), login.is_some()))
}

/// What to do about it.
pub fn explained(error: anyhow::Error, has_login: bool) -> anyhow::Error {
    let Some(fact) = error.downcast_ref::<GitError>().map(GitError::root) else {
        return error;
    };
    match fact {
        GitError::ReferenceNotFound { name, existing, .. } => {
            match suggest::help(name, existing.iter().map(String::as_str)) {
                Some(help) => anyhow!("{fact}: {help}"),
                None => error,
            }
        }
        GitError::Login { .. } if has_login => anyhow!(
            "{fact}; check GIT_TOKEN, GIT_USERNAME and GIT_PASSWORD, or the user in the address"
        ),
        GitError::Login { .. } => {
            anyhow!("{fact}; set GIT_TOKEN, or GIT_USERNAME and GIT_PASSWORD")
        }
        _ => error,
    }
}

/// BuildKit's argument for what happens to `.git`; kaniko keeps it.
pub fn git_directory(argument: Option<&str>) -> GitDirectory {
    match argument {
        Some("0" | "f" | "F" | "false" | "False" | "FALSE") => GitDirectory::Remove,
        _ => GitDirectory::Keep,
    }
}
