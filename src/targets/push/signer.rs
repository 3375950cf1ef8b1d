//! The private key of a push, from where the manifest says it is.

use super::super::failure::{failure, plain};
use super::super::secrets::secret_value;
use super::super::task::PushTask;
use imgmake_core::execute::Failure;
use imgmake_core::manifest::{SecretFrom, SignKey, SignNode, Spanned};
use imgmake_guard::bounded;
use imgmake_oci::signature::{SigningKey, SigningKeyError};

/// A key file holds a few lines.
const LARGEST_KEY: u64 = 64 << 10;
/// As cosign has it.
const PASSWORD: &str = "COSIGN_PASSWORD";

/// # Errors
/// The key cannot be had, or its password is wrong; at its place in the manifest.
pub(super) fn signer(task: &PushTask<'_>, sign: &SignNode) -> Result<SigningKey, Failure> {
    let (value, pem) = match &sign.key {
        SignKey::File(path) => {
            let opened = task
                .runner
                .tools
                .cancel
                .open(&task.runner.path(&path.value));
            let read = opened.and_then(|file| bounded::take(file, LARGEST_KEY));
            (
                path,
                read.map_err(|error| refused(task, path, plain(&error)))?,
            )
        }
        SignKey::Secret(name) => (name, secret(task, name)?),
    };
    let password = match &sign.password {
        Some(name) => Some(secret(task, name)?),
        None => task
            .runner
            .variable(PASSWORD)
            .map(|text| text.as_bytes().to_vec()),
    };
    // An editor and `echo` end a file with a line break, which no password has.
    let password = password
        .as_deref()
        .map(|text| text.strip_suffix(b"\n").unwrap_or(text));
    SigningKey::from_pem(&pem, password).map_err(|error| {
        let hint = match error {
            SigningKeyError::NoPassword => {
                format!("; set `{PASSWORD}`, or write `password=(secret)NAME`")
            }
            _ => String::new(),
        };
        refused(task, value, format!("{error}{hint}"))
    })
}

fn refused(task: &PushTask<'_>, value: &Spanned<String>, label: String) -> Failure {
    let message = format!("cannot sign with the key `{}`", value.value);
    task.problem(value, message, label)
}

fn secret(task: &PushTask<'_>, name: &Spanned<String>) -> Result<Vec<u8>, Failure> {
    let runner = task.runner;
    let secrets = &runner.project.graph.manifest().secrets;
    let node = secrets
        .iter()
        .find(|secret| secret.name.value == name.value);
    let node = node.expect("the graph checks that secrets are declared");
    let directory = &runner.project.directory;
    let cancel = &runner.tools.cancel;
    let value = secret_value(&node.source, directory, runner.variables, cancel).map_err(failure)?;
    value.ok_or_else(|| {
        let label = match &node.source {
            SecretFrom::Env(variable) => format!("the variable `{variable}` is not set"),
            SecretFrom::File(path) => format!("file `{path}` not found"),
        };
        refused(task, name, label)
    })
}
