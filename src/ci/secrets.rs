//! Secrets whose variables and files a job can have.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::error::CiError;
use super::jobs::{Pipeline, Secret, SecretKind};
use super::options::System;

/// Where all jobs of Tekton and Argo have their files.
const SHARED: &str = "/workspace";

/// # Errors
/// A secret that no job can have, or that would become another one.
pub fn check(pipeline: &Pipeline, system: System) -> Result<(), CiError> {
    let mut known: BTreeMap<String, &Secret> = BTreeMap::new();
    for secret in pipeline.jobs.iter().flat_map(|job| &job.secrets) {
        variable(secret, system)?;
        if matches!(system, System::Tekton | System::Argo) {
            file(secret)?;
        }
        // Secrets of GitHub have names without case.
        let key = match system {
            System::Github => secret.variable.to_ascii_uppercase(),
            System::Gitlab | System::Tekton | System::Argo => secret.variable.clone(),
        };
        let first = known.entry(key).or_insert(secret);
        if !is_one(first, secret) {
            return Err(CiError::OneVariable {
                first: first.name.clone(),
                second: secret.name.clone(),
                variable: secret.variable.clone(),
            });
        }
    }
    Ok(())
}

/// Two names of one variable are one secret here as in the manifest.
fn is_one(one: &Secret, other: &Secret) -> bool {
    let is_variable = |secret: &Secret| secret.kind == SecretKind::Variable;
    let are_variables = is_variable(one) && is_variable(other);
    one.variable == other.variable && (one.name == other.name || are_variables)
}

fn variable(secret: &Secret, system: System) -> Result<(), CiError> {
    let is_file = secret.kind != SecretKind::Variable;
    let (name, variable) = (secret.name.clone(), secret.variable.clone());
    if !is_variable(&secret.variable) {
        return Err(CiError::NoVariable {
            secret: name,
            variable,
            is_file,
        });
    }
    if rules_job(&secret.variable, is_file, system) {
        return Err(CiError::RulesJob {
            secret: name,
            variable,
            is_file,
        });
    }
    Ok(())
}

/// `[A-Za-z_][A-Za-z0-9_]*`
pub fn is_variable(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// Whether the shell, the program or the system reads it for something else.
fn rules_job(variable: &str, is_file: bool, system: System) -> bool {
    const OF_JOBS: [&str; 10] = [
        "BASH_ENV",
        "DOCKER_CONFIG",
        "ENV",
        "HOME",
        "IFS",
        "LD_AUDIT",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "PATH",
        "PWD",
    ];
    // What `env=` asks for is just what these are.
    const TOKENS: [&str; 2] = ["DOCKER_AUTH_CONFIG", "GITHUB_TOKEN"];
    const GITLAB: [&str; 7] = [
        "CI_COMMIT_",
        "CI_DEFAULT_BRANCH",
        "CI_JOB_",
        "CI_PIPELINE_",
        "CI_PROJECT_",
        "CI_REGISTRY",
        "CI_SERVER_",
    ];
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| variable.starts_with(prefix));
    let upper = variable.to_ascii_uppercase();
    let of_system = match system {
        // No secret of GitHub can have such a name.
        System::Github => upper.starts_with("GITHUB_") || upper.starts_with("RUNNER_"),
        System::Gitlab => is_file && begins(&GITLAB),
        System::Tekton | System::Argo => false,
    };
    match TOKENS.contains(&upper.as_str()) {
        true => is_file,
        false => OF_JOBS.contains(&variable) || begins(&["IMGMAKE_"]) || of_system,
    }
}

fn file(secret: &Secret) -> Result<(), CiError> {
    match &secret.kind {
        SecretKind::File(file) if is_shared(file) => Err(CiError::SharedFile {
            secret: secret.name.clone(),
            file: file.clone(),
        }),
        SecretKind::File(_) | SecretKind::Variable => Ok(()),
    }
}

fn is_shared(file: &str) -> bool {
    if file.starts_with("~/") {
        return false;
    }
    let mut path = PathBuf::new();
    for component in Path::new(file).components() {
        match component {
            Component::ParentDir => drop(path.pop()),
            other => path.push(other),
        }
    }
    path.is_relative() || path.starts_with(SHARED)
}
