//! Secrets and ssh agents of RUN steps.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::failure::failure;
use super::super::secrets::secret_value;
use super::super::task::BuildTask;
use imgmake_build::SecretSource;
use imgmake_core::execute::Failure;
use imgmake_core::manifest::{Absence, SecretFrom, SecretNode};

pub(super) fn secrets(task: &BuildTask<'_>) -> Result<BTreeMap<String, SecretSource>, Failure> {
    let mut secrets = BTreeMap::new();
    for name in &task.target.secrets {
        let manifest = task.runner.project.graph.manifest();
        let node = manifest
            .secrets
            .iter()
            .find(|secret| secret.name.value == name.value)
            .expect("the graph checks secrets");
        let value = secret_value(
            &node.source,
            &task.runner.project.directory,
            task.runner.variables,
            &task.runner.tools.cancel,
        );
        match value.map_err(failure)? {
            Some(value) => drop(secrets.insert(name.value.clone(), SecretSource::Value(value))),
            None => {
                let absent = absent(node);
                secrets.extend(absent.map(|absent| (name.value.clone(), absent)));
            }
        }
    }
    Ok(secrets)
}

/// What a build has of a secret whose source is not there.
fn absent(node: &SecretNode) -> Option<SecretSource> {
    let why = match &node.source {
        SecretFrom::Env(name) => format!("the variable `{name}` is not set"),
        SecretFrom::File(path) => format!("the file `{path}` does not exist"),
    };
    match (node.absence, &node.source) {
        (Absence::Undeclared, _) => None,
        (Absence::Empty, SecretFrom::Env(_)) => Some(SecretSource::Empty { why }),
        (Absence::Fails, _) => Some(SecretSource::Absent {
            why: format!("{why}; `optional=#true` lets it be missing"),
        }),
        (Absence::Empty, SecretFrom::File(_)) => Some(SecretSource::Absent { why }),
    }
}

/// Which of them are empty, for a target that is run.
pub(super) fn tell_empty(task: &BuildTask<'_>, secrets: &BTreeMap<String, SecretSource>) {
    for (name, source) in secrets {
        if let SecretSource::Empty { why } = source {
            let note = format!("secret `{name}` is empty: {why}");
            task.runner.note(task.name, note);
        }
    }
}

pub(super) fn ssh(task: &BuildTask<'_>) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut sockets = BTreeMap::new();
    for (id, socket) in &task.target.ssh {
        let agent = socket
            .clone()
            .or_else(|| task.runner.variable("SSH_AUTH_SOCK").map(String::from));
        let agent = agent.ok_or_else(|| {
            task.problem(
                id,
                "ssh agent not found: SSH_AUTH_SOCK is not set",
                "referenced here",
            )
        })?;
        sockets.insert(id.value.clone(), PathBuf::from(agent));
    }
    Ok(sockets)
}
