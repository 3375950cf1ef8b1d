//! Secrets, from where the manifest says they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::failure::plain;
use imgmake_core::manifest::SecretFrom;

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

/// `~/x` in the home directory, everything else from the manifest's directory.
pub fn expand_home(path: &str, directory: &Path, variables: &BTreeMap<String, String>) -> PathBuf {
    let home = variables.get("HOME").filter(|home| !home.is_empty());
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => Path::new(home).join(rest),
        _ => directory.join(path),
    }
}
