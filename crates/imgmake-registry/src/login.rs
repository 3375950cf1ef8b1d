//! `docker login` and `docker logout`: credentials into the user's file or the
//! helper program that the file names.
//!
//! The file keeps whatever else stands in it, and is never half written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::credentials::{ConfigFile, parse, paths, server_key};
use super::endpoint::canonical;
use super::helper;
use super::{ClientOptions, RegistryError, Secret};

/// Remembers a user and a password as `docker login` does: through the helper
/// that the file names, else in the file itself, 0600. Says where.
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
    let mut held = Held::open(options)?;
    let key = server_key(&registry);
    let program = held.helper(&registry);
    let entry = match &program {
        Some(program) => {
            helper::store(program, &key, user, &password.0, options)
                .map_err(|why| failed(program, &why))?;
            serde_json::json!({})
        }
        None => serde_json::json!({ "auth": STANDARD.encode(format!("{user}:{}", password.0)) }),
    };
    held.auths()[&key] = entry;
    held.write()?;
    Ok(match program {
        Some(program) => format!("docker-credential-{program}"),
        None => held.path.display().to_string(),
    })
}

/// What a logout found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forgotten {
    Nothing,
    Entry,
}

/// Forgets what [`remember`] wrote, under whatever name the host has in the file.
///
/// # Errors
/// The file cannot be read or written, or the helper refuses.
pub fn forget(options: &ClientOptions, registry: &str) -> Result<Forgotten, RegistryError> {
    let registry = canonical(registry);
    let mut held = Held::open(options)?;
    if let Some(program) = held.helper(&registry) {
        helper::erase(&program, &server_key(&registry), options)
            .map_err(|why| failed(&program, &why))?;
    }
    let mut found = Forgotten::Nothing;
    if let Some(auths) = held.auths().as_object_mut() {
        let before = auths.len();
        auths.retain(|key, _| canonical(key) != registry);
        if auths.len() < before {
            found = Forgotten::Entry;
        }
    }
    if found == Forgotten::Entry {
        held.write()?;
    }
    Ok(found)
}

fn failed(program: &str, why: &str) -> RegistryError {
    RegistryError::configuration(format!("docker-credential-{program}: {why}"))
}

/// The user's file, while nobody else changes it.
struct Held {
    path: PathBuf,
    document: serde_json::Value,
    helpers: ConfigFile,
    /// The directory, locked: two logins at once lose neither.
    _lock: fs::File,
}

impl Held {
    fn open(options: &ClientOptions) -> Result<Held, RegistryError> {
        let path = login_path(options)?;
        // A link, as into a dotfiles folder, stays one.
        let path = path.canonicalize().unwrap_or(path);
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let failed_io = |e: io::Error| {
            RegistryError::configuration(format!("cannot change `{}`: {e}", path.display()))
        };
        // Docker's own mode for it.
        let mut builder = fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .recursive(true)
            .create(directory)
            .map_err(failed_io)?;
        let lock = fs::File::open(directory).map_err(failed_io)?;
        lock.lock().map_err(failed_io)?;
        let document = read_document(&path)?;
        let bytes = serde_json::to_vec(&document).unwrap_or_default();
        let helpers = parse(&bytes, &path.display().to_string())?;
        Ok(Held {
            path,
            document,
            helpers,
            _lock: lock,
        })
    }

    /// The logins, under whatever case their key has.
    fn auths(&mut self) -> &mut serde_json::Value {
        let key = auths_key(&self.document).unwrap_or("auths").to_string();
        &mut self.document[key]
    }

    /// The program that keeps this registry's secrets.
    fn helper(&self, registry: &str) -> Option<String> {
        let own = self.helpers.helpers.iter();
        let own = own
            .filter(|(key, _)| canonical(key) == *registry)
            .map(|(_, program)| program);
        let program = own.chain(&self.helpers.store).next()?;
        Some(program.clone()).filter(|name| !name.is_empty())
    }

    /// Beside, then renamed: a crash loses nobody's logins. 0600 from the first byte.
    fn write(&self) -> Result<(), RegistryError> {
        let failed_io = |e: io::Error| {
            RegistryError::configuration(format!("cannot write `{}`: {e}", self.path.display()))
        };
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new()
            .prefix(".config.json-")
            .tempfile_in(directory)
            .map_err(failed_io)?;
        serde_json::to_writer_pretty(&mut file, &self.document).map_err(|e| failed_io(e.into()))?;
        io::Write::write_all(&mut file, b"\n").map_err(failed_io)?;
        file.as_file().sync_all().map_err(failed_io)?;
        file.persist(&self.path).map_err(|e| failed_io(e.error))?;
        Ok(())
    }
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
                "no directory for credentials found: set HOME or DOCKER_CONFIG",
            )
        }),
    }
}

fn read_document(path: &Path) -> Result<serde_json::Value, RegistryError> {
    let refused = |e: &dyn std::fmt::Display| {
        RegistryError::configuration(format!("cannot change `{}`: {e}", path.display()))
    };
    match fs::read(path) {
        Ok(bytes) if bytes.trim_ascii().is_empty() => Ok(serde_json::json!({})),
        Ok(bytes) => match serde_json::from_slice::<serde_json::Value>(&bytes) {
            Ok(value) if value.is_object() && has_readable_auths(&value) => Ok(value),
            _ => Err(refused(&"invalid docker credential file")),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(serde_json::json!({})),
        Err(e) => Err(refused(&e)),
    }
}

fn auths_key(document: &serde_json::Value) -> Option<&str> {
    let keys = document.as_object()?.keys();
    let mut keys = keys.filter(|key| key.eq_ignore_ascii_case("auths"));
    keys.next_back().map(String::as_str)
}

fn has_readable_auths(document: &serde_json::Value) -> bool {
    let auths = auths_key(document).and_then(|key| document.get(key));
    auths.is_none_or(|auths| auths.is_object() || auths.is_null())
}

#[cfg(test)]
mod tests {
    use super::super::Auth;
    use super::super::credentials::{AuthMaterial, Credential, find};
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn found(options: &ClientOptions, registry: &str) -> AuthMaterial {
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
        assert_eq!(
            forget(&options, "https://a.io/v2/").unwrap(),
            Forgotten::Entry
        );
        assert_eq!(forget(&options, "a.io").unwrap(), Forgotten::Nothing);
        assert_eq!(found(&options, "a.io"), AuthMaterial::Anonymous);
    }

    #[test]
    fn a_login_goes_where_the_file_has_its_logins() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config.json");
        fs::write(&path, r#"{"Auths":{"b.io":{"Auth":"eDp5"}}}"#).unwrap();
        let options = ClientOptions {
            docker_config: Some(path.clone()),
            ..ClientOptions::default()
        };
        remember(&options, "a.io", "user", &Secret("pass".into())).unwrap();
        for (registry, user, password) in [("a.io", "user", "pass"), ("b.io", "x", "y")] {
            let expected = Credential::basic(user, password, "").proof;
            assert_eq!(found(&options, registry), expected, "{registry}");
        }
        assert!(!fs::read_to_string(&path).unwrap().contains("auths"));
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

    #[test]
    fn logins_at_the_same_time_lose_none() {
        let home = tempfile::tempdir().unwrap();
        let options = ClientOptions {
            docker_config: Some(home.path().join("config.json")),
            ..ClientOptions::default()
        };
        std::thread::scope(|scope| {
            for n in 0..8 {
                let options = &options;
                scope.spawn(move || {
                    remember(options, &format!("r{n}.io"), "u", &Secret("p".into())).unwrap()
                });
            }
        });
        for n in 0..8 {
            assert_ne!(
                found(&options, &format!("r{n}.io")),
                AuthMaterial::Anonymous,
                "{n}"
            );
        }
    }

    #[test]
    fn the_helper_of_the_host_is_asked_before_the_store_and_an_empty_one_is_none() {
        let home = tempfile::tempdir().unwrap();
        let program = home.path().join("docker-credential-own");
        fs::write(&program, "#!/bin/sh\ncat > \"${0%/*}/$1\"\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let config = r#"{"credsStore":"missing","credHelpers":{"https://a.io/":"own","b.io":""}}"#;
        fs::write(home.path().join("config.json"), config).unwrap();
        let path = format!("{}:/usr/bin:/bin", home.path().display());
        let options = ClientOptions {
            docker_config: Some(home.path().to_path_buf()),
            environment: [("PATH".to_string(), path)].into(),
            ..ClientOptions::default()
        };
        let secret = Secret("s3cret".into());
        assert_eq!(
            remember(&options, "a.io", "u", &secret).unwrap(),
            "docker-credential-own"
        );
        assert!(
            fs::read_to_string(home.path().join("store"))
                .unwrap()
                .contains("s3cret")
        );
        assert_eq!(forget(&options, "a.io").unwrap(), Forgotten::Entry);
        assert_eq!(
            fs::read_to_string(home.path().join("erase")).unwrap(),
            "a.io\n"
        );
        let file = remember(&options, "b.io", "u", &secret).unwrap();
        assert!(file.ends_with("config.json"), "{file}");
        // The store that is named cannot be run: nothing is half remembered.
        remember(&options, "c.io", "u", &secret).unwrap_err();
        assert!(
            !fs::read_to_string(home.path().join("config.json"))
                .unwrap()
                .contains("c.io")
        );
    }
}
