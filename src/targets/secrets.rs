//! Secrets, from where the manifest says they are.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::failure::plain;
use imgmake_core::manifest::{PasswordFrom, SecretFrom, SecretNode, Spanned};
use imgmake_event::{Cancel, Cancelled};
use imgmake_registry::Secret;

/// The bytes of a secret; `None` when its source is not there.
pub fn secret_value(
    from: &SecretFrom,
    directory: &Path,
    variables: &BTreeMap<String, String>,
    cancel: &Cancel,
) -> anyhow::Result<Option<Vec<u8>>> {
    match from {
        SecretFrom::Env(name) => Ok(variables.get(name).map(|value| value.clone().into_bytes())),
        SecretFrom::File(path) => match read(&expand_home(path, directory, variables), cancel) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if Cancelled::ended(&error) => Err(Cancelled.into()),
            Err(error) => Err(anyhow::anyhow!(
                "cannot read the secret's file `{path}`: {}",
                plain(&error)
            )),
        },
    }
}

/// Where the file of a secret is, if it is one.
pub fn file_of_secret(
    secrets: &[SecretNode],
    name: &Spanned<String>,
    directory: &Path,
    variables: &BTreeMap<String, String>,
) -> Option<PathBuf> {
    let secret = secrets
        .iter()
        .find(|secret| secret.name.value == name.value)?;
    match &secret.source {
        SecretFrom::File(path) => Some(expand_home(path, directory, variables)),
        SecretFrom::Env(_) => None,
    }
}

/// It may be a pipe that nobody writes to.
fn read(path: &Path, cancel: &Cancel) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    cancel.open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The value of a credential; the secrets are those that it may name.
///
/// # Errors
/// A secret's file cannot be read.
pub fn password(
    from: &PasswordFrom,
    secrets: &[SecretNode],
    directory: &Path,
    variables: &BTreeMap<String, String>,
    cancel: &Cancel,
) -> anyhow::Result<Secret> {
    match from {
        PasswordFrom::Literal(text) => Ok(Secret(text.clone())),
        PasswordFrom::Secret(name) => {
            let node = secrets.iter().find(|s| s.name.value == name.value);
            let node = node.expect("the graph checks that secrets are declared");
            let value = secret_value(&node.source, directory, variables, cancel)?;
            // An optional one that is absent is an empty password, which the registry will name.
            let text = value.map(|bytes| {
                String::from_utf8_lossy(&bytes)
                    .trim_end_matches('\n')
                    .to_string()
            });
            Ok(Secret(text.unwrap_or_default()))
        }
    }
}

/// `~/x` in the home directory, everything else from the manifest's directory.
pub fn expand_home(path: &str, directory: &Path, variables: &BTreeMap<String, String>) -> PathBuf {
    let home = variables.get("HOME").filter(|home| !home.is_empty());
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => Path::new(home).join(rest),
        _ => directory.join(path),
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode};

    use super::*;

    #[test]
    fn a_pipe_that_nobody_writes_to_is_waited_for_until_the_cancellation() {
        let place = tempfile::tempdir().unwrap();
        let pipe = place.path().join("pipe");
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::from(0o600), 0).unwrap();
        let cancel = Cancel::default();
        let given = cancel.clone();
        let reading = std::thread::spawn(move || {
            let from = SecretFrom::File("pipe".into());
            secret_value(&from, place.path(), &BTreeMap::new(), &given)
        });
        cancel.cancel();
        assert!(reading.join().unwrap().unwrap_err().is::<Cancelled>());
    }
}
