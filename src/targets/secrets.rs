//! Secrets, from where the manifest says they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::failure::plain;
use imgmake_core::manifest::{PasswordFrom, SecretFrom, SecretNode};
use imgmake_registry::Secret;

/// The bytes of a secret; `None` when its source is not there.
pub fn secret_value(
    from: &SecretFrom,
    directory: &Path,
    variables: &BTreeMap<String, String>,
) -> anyhow::Result<Option<Vec<u8>>> {
    match from {
        SecretFrom::Env(name) => Ok(variables.get(name).map(|value| value.clone().into_bytes())),
        SecretFrom::File(path) => match std::fs::read(expand_home(path, directory, variables)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(anyhow::anyhow!(
                "cannot read the secret's file `{path}`: {}",
                plain(&error)
            )),
        },
    }
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
) -> anyhow::Result<Secret> {
    match from {
        PasswordFrom::Literal(text) => Ok(Secret(text.clone())),
        PasswordFrom::Secret(name) => {
            let node = secrets.iter().find(|s| s.name.value == name.value);
            let node = node.expect("the graph checks that secrets are declared");
            let value = secret_value(&node.source, directory, variables)?;
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
