//! `docker login` and `docker logout`: credentials into the user's file or the
//! helper program that the file names.
//!
//! The file keeps whatever else stands in it, and is never half written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::credentials::{parse, paths, server_key};
use super::endpoint::canonical;
use super::helper;
use super::{ClientOptions, RegistryError, Secret};

/// Remembers a user and a password as `docker login` does: through the helper
/// that the file names, else in the file itself, 0600.
///
/// # Errors
/// The file cannot be read or written, or the helper refuses.
pub fn remember(
    options: &ClientOptions,
    registry: &str,
    user: &str,
    password: &Secret,
) -> Result<String, RegistryError> {
    let registry = canonical(registry);
    let path = login_path(options)?;
    let mut document = read_document(&path)?;
    let file = parse(
        &serde_json::to_vec(&document).unwrap_or_default(),
        &path.display().to_string(),
    )?;
    let key = server_key(&registry);
    let program = file.helpers.get(&registry).or(file.store.as_ref());
    let entry = match program {
        Some(program) => {
            helper::store(program, &key, user, &password.0, &options.environment).map_err(
                |why| RegistryError::configuration(format!("docker-credential-{program}: {why}")),
            )?;
            serde_json::json!({})
        }
        None => serde_json::json!({ "auth": STANDARD.encode(format!("{user}:{}", password.0)) }),
    };
    document["auths"][&key] = entry;
    write_document(&path, &document)?;
    Ok(match program {
        Some(program) => format!("docker-credential-{program}"),
        None => path.display().to_string(),
    })
}

/// Forgets what [`remember`] wrote. `false` when there was nothing.
///
/// # Errors
/// The file cannot be read or written, or the helper refuses.
pub fn forget(options: &ClientOptions, registry: &str) -> Result<bool, RegistryError> {
    let registry = canonical(registry);
    let path = login_path(options)?;
    let mut document = read_document(&path)?;
    let file = parse(
        &serde_json::to_vec(&document).unwrap_or_default(),
        &path.display().to_string(),
    )?;
    let key = server_key(&registry);
    if let Some(program) = file.helpers.get(&registry).or(file.store.as_ref()) {
        helper::erase(program, &key, &options.environment).map_err(|why| {
            RegistryError::configuration(format!("docker-credential-{program}: {why}"))
        })?;
    }
    let removed = document["auths"]
        .as_object_mut()
        .is_some_and(|auths| auths.remove(&key).is_some());
    if removed {
        write_document(&path, &document)?;
    }
    Ok(removed)
}

fn login_path(options: &ClientOptions) -> Result<PathBuf, RegistryError> {
    let auth_file = options
        .environment
        .get("REGISTRY_AUTH_FILE")
        .filter(|v| !v.is_empty());
    match auth_file {
        Some(path) if options.docker_config.is_none() => Ok(path.into()),
        _ => paths(options).into_iter().next().ok_or_else(|| {
            RegistryError::configuration(
                "there is no place for credentials: set HOME or DOCKER_CONFIG",
            )
        }),
    }
}

fn read_document(path: &Path) -> Result<serde_json::Value, RegistryError> {
    let told = |e: &dyn std::fmt::Display| {
        RegistryError::configuration(format!("cannot change `{}`: {e}", path.display()))
    };
    match fs::read(path) {
        Ok(bytes) if bytes.trim_ascii().is_empty() => Ok(serde_json::json!({})),
        Ok(bytes) => match serde_json::from_slice::<serde_json::Value>(&bytes) {
            Ok(value)
                if value.is_object()
                    && value
                        .get("auths")
                        .is_none_or(|a| a.is_object() || a.is_null()) =>
            {
                Ok(value)
            }
            _ => Err(told(&"it is not a docker credential file")),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(serde_json::json!({})),
        Err(e) => Err(told(&e)),
    }
}

/// Beside, then renamed: a crash loses nobody's logins. 0600 from the first byte.
fn write_document(path: &Path, document: &serde_json::Value) -> Result<(), RegistryError> {
    let told = |e: io::Error| {
        RegistryError::configuration(format!("cannot write `{}`: {e}", path.display()))
    };
    // A link, as into a dotfiles folder, stays one.
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(told)?;
    let mut file = tempfile::Builder::new()
        .prefix(".config.json-")
        .tempfile_in(directory)
        .map_err(told)?;
    serde_json::to_writer_pretty(&mut file, document).map_err(|e| told(e.into()))?;
    io::Write::write_all(&mut file, b"\n").map_err(told)?;
    file.persist(path).map_err(|e| told(e.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Auth;
    use super::super::credentials::{Credential, Proof, find};
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn found(options: &ClientOptions, registry: &str) -> Proof {
        find(&Auth::DockerConfig, registry, "x", options)
            .unwrap()
            .proof
    }

    #[test]
    fn what_is_remembered_is_found_in_a_private_file_that_keeps_the_rest() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(".docker/config.json");
        fs::create_dir(home.path().join(".docker")).unwrap();
        fs::write(
            &path,
            r#"{"HttpHeaders":{"X":"y"},"auths":{"b.io":{"auth":"eDp5"}}}"#,
        )
        .unwrap();
        let options = ClientOptions {
            environment: [("HOME".to_string(), home.path().display().to_string())].into(),
            ..ClientOptions::default()
        };
        remember(&options, "a.io", "user", &Secret("pass".into())).unwrap();
        let right = Credential::basic("user", "pass", "").proof;
        assert_eq!(found(&options, "a.io"), right);
        assert_eq!(
            found(&options, "b.io"),
            Credential::basic("x", "y", "").proof
        );
        assert!(fs::read_to_string(&path).unwrap().contains("HttpHeaders"));
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(forget(&options, "a.io").unwrap());
        assert!(!forget(&options, "a.io").unwrap());
        assert_eq!(found(&options, "a.io"), Proof::Anonymous);
    }

    #[test]
    fn a_helper_that_is_configured_keeps_the_secret_out_of_the_file() {
        let home = tempfile::tempdir().unwrap();
        let kept = home.path().join("kept");
        let program = home.path().join("docker-credential-box");
        fs::write(&program, format!("#!/bin/sh\ncat > {}\n", kept.display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(home.path().join("config.json"), r#"{"credsStore":"box"}"#).unwrap();
        let options = ClientOptions {
            docker_config: Some(home.path().to_path_buf()),
            environment: [(
                "PATH".to_string(),
                format!("{}:/usr/bin:/bin", home.path().display()),
            )]
            .into(),
            ..ClientOptions::default()
        };
        let at = remember(&options, "docker.io", "user", &Secret("s3cret".into())).unwrap();
        assert_eq!(at, "docker-credential-box");
        assert!(fs::read_to_string(kept).unwrap().contains(
            r#""ServerURL":"https://index.docker.io/v1/","Username":"user","Secret":"s3cret""#
        ));
        assert!(
            !fs::read_to_string(home.path().join("config.json"))
                .unwrap()
                .contains("s3cret")
        );
    }
}
