//! Who we are to a registry: the manifest's settings, then the credential files
//! of docker and podman with their helper programs.
//!
//! Within a file `credHelpers` goes before `auths` (longest prefix of
//! `host/repository` first), which goes before `credsStore`: an entry in `auths`
//! that holds nothing means "ask the store".

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::endpoint::{canonical, is_prefix};
use super::helper;
use super::{Auth, ClientOptions, RegistryError, Secret};
use imgmake_oci::image::DOCKER_HUB;

/// What proves who we are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum AuthMaterial {
    Anonymous,
    Basic {
        user: String,
        password: Secret,
    },
    /// An OAuth refresh token, exchanged for access tokens by POST.
    Identity {
        user: String,
        token: Secret,
    },
    /// Sent as it is.
    Bearer {
        token: Secret,
    },
}

/// A proof, and where it came from, for errors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Credential {
    pub proof: AuthMaterial,
    pub source: String,
}

impl Credential {
    pub(super) fn anonymous(source: impl Into<String>) -> Credential {
        Credential {
            proof: AuthMaterial::Anonymous,
            source: source.into(),
        }
    }

    pub(super) fn basic(user: &str, password: &str, source: impl Into<String>) -> Credential {
        Credential {
            proof: match user {
                "<token>" => AuthMaterial::Identity {
                    user: String::new(),
                    token: Secret(password.to_string()),
                },
                _ => AuthMaterial::Basic {
                    user: user.to_string(),
                    password: Secret(password.to_string()),
                },
            },
            source: source.into(),
        }
    }
}

/// A docker `config.json` or a containers `auth.json`. Keys count in any case, as Go reads them.
#[derive(Default)]
pub(super) struct ConfigFile {
    pub auths: BTreeMap<String, Entry>,
    pub helpers: BTreeMap<String, String>,
    pub store: Option<String>,
}

#[derive(Default)]
pub(super) struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// Reads an object, one key after the other; null is like nothing.
macro_rules! object {
    ($type:ty { $($key:literal => $field:ident),* }) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Fields;
                impl<'de> Visitor<'de> for Fields {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_unit<E>(self) -> Result<$type, E> {
                        Ok(<$type>::default())
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$type, A::Error> {
                        let mut found = <$type>::default();
                        while let Some(key) = map.next_key::<String>()? {
                            match key.to_ascii_lowercase().as_str() {
                                $($key => {
                                    found.$field = map.next_value::<Option<_>>()?.unwrap_or_default();
                                })*
                                _ => drop(map.next_value::<IgnoredAny>()?),
                            }
                        }
                        Ok(found)
                    }
                }
                deserializer.deserialize_any(Fields)
            }
        }
    };
}

object!(ConfigFile {
    "auths" => auths,
    "credhelpers" => helpers,
    "credsstore" => store
});
object!(Entry {
    "auth" => auth,
    "username" => username,
    "password" => password,
    "identitytoken" => identitytoken,
    "registrytoken" => registrytoken
});

/// The credential for a repository by explicit settings that need no network and
/// by the user's files. Clouds are asked by `cloud/`.
pub(super) fn find(
    auth: &Auth,
    registry: &str,
    repository: &str,
    options: &ClientOptions,
) -> Result<Credential, RegistryError> {
    match auth {
        Auth::Anonymous => Ok(Credential::anonymous("anonymous, as the settings say")),
        Auth::Basic {
            user,
            password,
            source,
        } => Ok(Credential::basic(user, &password.0, source.as_str())),
        Auth::Bearer { token } => Ok(Credential {
            proof: AuthMaterial::Bearer {
                token: token.clone(),
            },
            source: "the token in the settings".into(),
        }),
        _ => from_files(registry, repository, options),
    }
}

fn from_files(
    registry: &str,
    repository: &str,
    options: &ClientOptions,
) -> Result<Credential, RegistryError> {
    let mut note = None;
    for (source, file) in files(options)? {
        match file.lookup(&source, registry, repository, options)? {
            Lookup::Found(credential) => return Ok(credential),
            Lookup::Nothing => {}
            Lookup::Failed(why) => note = Some(why),
        }
    }
    Ok(Credential::anonymous(match note {
        Some(why) => format!("none ({why})"),
        None => "none".to_string(),
    }))
}

/// The credential files that exist, in order, with their names.
fn files(options: &ClientOptions) -> Result<Vec<(String, ConfigFile)>, RegistryError> {
    let mut found = Vec::new();
    // CI systems set a variable whose secret does not exist to an empty text.
    let given = options.environment.get("DOCKER_AUTH_CONFIG");
    if let Some(json) = given.filter(|json| !json.trim().is_empty()) {
        let file = parse(json.as_bytes(), "DOCKER_AUTH_CONFIG")?;
        found.push(("DOCKER_AUTH_CONFIG".to_string(), file));
    }
    for path in paths(options) {
        let name = path.display().to_string();
        match fs::read(&path) {
            Ok(bytes) => found.push((name.clone(), parse(&bytes, &name)?)),
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) => {}
            Err(e) => {
                return Err(RegistryError::configuration(format!(
                    "cannot read the credentials in `{name}`: {e}"
                )));
            }
        }
    }
    Ok(found)
}

pub(super) fn parse(bytes: &[u8], name: &str) -> Result<ConfigFile, RegistryError> {
    if bytes.trim_ascii().is_empty() {
        return Ok(ConfigFile::default());
    }
    imgmake_oci::image::from_json(bytes).map_err(|e| {
        // serde's text may quote a value, and values here are secrets: only the place is named.
        RegistryError::configuration(format!(
            "invalid docker credential file `{name}`: line {}, column {}",
            e.line(),
            e.column()
        ))
    })
}

/// Where credential files may be, most specific first.
pub(super) fn paths(options: &ClientOptions) -> Vec<PathBuf> {
    let value = |name: &str| {
        options
            .environment
            .get(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let in_directory = |p: PathBuf| if p.is_dir() { p.join("config.json") } else { p };
    let mut paths = Vec::new();
    paths.extend(options.docker_config.clone().map(in_directory));
    paths.extend(value("REGISTRY_AUTH_FILE"));
    paths.extend(value("DOCKER_CONFIG").map(|d| d.join("config.json")));
    paths.extend(value("HOME").map(|h| h.join(".docker/config.json")));
    paths.extend(value("XDG_RUNTIME_DIR").map(|d| d.join("containers/auth.json")));
    paths.extend(value("XDG_CONFIG_HOME").map(|d| d.join("containers/auth.json")));
    paths.extend(value("HOME").map(|h| h.join(".config/containers/auth.json")));
    paths.dedup();
    paths
}

enum Lookup {
    Found(Credential),
    Nothing,
    /// A store that cannot be asked; said when the registry wants a credential.
    Failed(String),
}

impl ConfigFile {
    fn lookup(
        &self,
        source: &str,
        registry: &str,
        repository: &str,
        options: &ClientOptions,
    ) -> Result<Lookup, RegistryError> {
        // An empty name turns the helper off for a host.
        let helpers: BTreeMap<&String, &String> =
            self.helpers.iter().filter(|(_, p)| !p.is_empty()).collect();
        if let Some((key, program)) = longest(&helpers, registry, repository) {
            let origin = format!("docker-credential-{program} for `{key}` in {source}");
            return match helper::get(program, &server_key(registry), options) {
                Ok(Some((user, secret))) => {
                    Ok(Lookup::Found(Credential::basic(&user, &secret, origin)))
                }
                Ok(None) => Ok(Lookup::Nothing),
                Err(why) => Err(RegistryError::configuration(format!("{origin}: {why}"))),
            };
        }
        let entries: BTreeMap<&String, &Entry> =
            self.auths.iter().filter(|(_, e)| !e.is_empty()).collect();
        if let Some((key, entry)) = longest(&entries, registry, repository) {
            let origin = format!("`{key}` in {source}");
            return entry.credential(&origin).map(Lookup::Found);
        }
        let Some(program) = self.store.as_ref().filter(|p| !p.is_empty()) else {
            return Ok(Lookup::Nothing);
        };
        let origin = format!("docker-credential-{program}, the store of {source}");
        Ok(match helper::get(program, &server_key(registry), options) {
            Ok(Some((user, secret))) => Lookup::Found(Credential::basic(&user, &secret, origin)),
            Ok(None) => Lookup::Nothing,
            // Left-over stores must not stop the pull of a public image.
            Err(why) => Lookup::Failed(format!("{origin}: {why}")),
        })
    }
}

impl Entry {
    fn is_empty(&self) -> bool {
        [
            &self.auth,
            &self.username,
            &self.identitytoken,
            &self.registrytoken,
        ]
        .into_iter()
        .all(|f| f.as_deref().unwrap_or("").is_empty())
    }

    fn credential(&self, source: &str) -> Result<Credential, RegistryError> {
        let filled = |f: &Option<String>| f.clone().filter(|v| !v.is_empty());
        if let Some(token) = filled(&self.registrytoken) {
            return Ok(Credential {
                proof: AuthMaterial::Bearer {
                    token: Secret(token),
                },
                source: source.to_string(),
            });
        }
        let (user, password) = match filled(&self.auth) {
            Some(auth) => decode(&auth).ok_or_else(|| {
                RegistryError::configuration(format!(
                    "the credential {source} is not base64 of `user:password`"
                ))
            })?,
            None => (
                filled(&self.username).unwrap_or_default(),
                filled(&self.password).unwrap_or_default(),
            ),
        };
        if let Some(token) = filled(&self.identitytoken) {
            return Ok(Credential {
                proof: AuthMaterial::Identity {
                    user,
                    token: Secret(token),
                },
                source: source.to_string(),
            });
        }
        Ok(Credential::basic(&user, &password, source))
    }
}

fn decode(auth: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    // Old docker versions padded with zeros.
    Some((
        user.to_string(),
        password.trim_end_matches('\0').to_string(),
    ))
}

fn longest<'a, K: AsRef<str> + Ord, V>(
    map: &'a BTreeMap<K, V>,
    registry: &str,
    repository: &str,
) -> Option<(&'a str, &'a V)> {
    let name = format!("{registry}/{repository}");
    map.iter()
        .map(|(key, value)| (key.as_ref(), canonical(key.as_ref()), value))
        .filter(|(_, prefix, _)| is_prefix(prefix, &name))
        .max_by_key(|(_, prefix, _)| prefix.len())
        .map(|(key, _, value)| (key, value))
}

/// What a registry is called in `auths` and by helper programs.
pub(super) fn server_key(registry: &str) -> String {
    match registry {
        DOCKER_HUB => "https://index.docker.io/v1/".to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    fn home(config: &str) -> (tempfile::TempDir, ClientOptions) {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".docker")).unwrap();
        fs::write(home.path().join(".docker/config.json"), config).unwrap();
        let environment = [
            ("HOME", home.path().display().to_string()),
            ("PATH", format!("{}:/usr/bin:/bin", home.path().display())),
        ];
        let options = ClientOptions {
            environment: environment.map(|(k, v)| (k.to_string(), v)).into(),
            ..ClientOptions::default()
        };
        (home, options)
    }

    fn helper_program(home: &Path, name: &str, script: &str) {
        let path = home.join(format!("docker-credential-{name}"));
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn found(options: &ClientOptions, registry: &str, repository: &str) -> AuthMaterial {
        find(&Auth::DockerConfig, registry, repository, options)
            .unwrap()
            .proof
    }

    fn basic(user: &str, password: &str) -> AuthMaterial {
        Credential::basic(user, password, "").proof
    }

    #[test]
    fn the_longest_prefix_of_the_repository_wins() {
        let auth = |t: &str| STANDARD.encode(t);
        let (_home, options) = home(&format!(
            r#"{{"auths":{{"a.io":{{"auth":"{}"}},"a.io/team":{{"auth":"{}"}},"https://index.docker.io/v1/":{{"auth":"{}"}}}}}}"#,
            auth("host:1"),
            auth("team:2:3"),
            auth("hub:4")
        ));
        assert_eq!(found(&options, "a.io", "x/y"), basic("host", "1"));
        assert_eq!(found(&options, "a.io", "team/app"), basic("team", "2:3"));
        assert_eq!(found(&options, "a.io", "teams/app"), basic("host", "1"));
        assert_eq!(
            found(&options, "docker.io", "library/alpine"),
            basic("hub", "4")
        );
        assert_eq!(found(&options, "b.io", "x"), AuthMaterial::Anonymous);
    }

    #[test]
    fn helpers_go_before_entries_and_entries_before_the_store() {
        let (home, options) = home(&format!(
            r#"{{"auths":{{"a.io":{{"auth":"{0}"}},"b.io":{{"auth":"{0}"}},"c.io":{{}}}},"credHelpers":{{"a.io":"one"}},"credsStore":"two"}}"#,
            STANDARD.encode("file:f")
        ));
        helper_program(
            home.path(),
            "one",
            r#"read s; echo "{\"ServerURL\":\"$s\",\"Username\":\"one\",\"Secret\":\"$1-$s\"}""#,
        );
        helper_program(
            home.path(),
            "two",
            r#"read s; echo '{"Username":"<token>","Secret":"idtoken"}'"#,
        );
        assert_eq!(found(&options, "a.io", "x"), basic("one", "get-a.io"));
        assert_eq!(found(&options, "b.io", "x"), basic("file", "f"));
        assert_eq!(
            found(&options, "c.io", "x"),
            AuthMaterial::Identity {
                user: String::new(),
                token: Secret("idtoken".into())
            }
        );
    }

    #[test]
    fn a_missing_store_leaves_public_images_reachable_but_a_missing_helper_is_an_error() {
        let (_home, options) = home(r#"{"credsStore":"gone"}"#);
        let credential = find(&Auth::DockerConfig, "a.io", "x", &options).unwrap();
        assert_eq!(credential.proof, AuthMaterial::Anonymous);
        assert!(
            credential.source.contains("docker-credential-gone"),
            "{}",
            credential.source
        );
        let (_home, options) = self::home(r#"{"credHelpers":{"a.io":"gone"}}"#);
        let error = find(&Auth::DockerConfig, "a.io", "x", &options).unwrap_err();
        assert!(
            error.to_string().contains("docker-credential-gone"),
            "{error}"
        );
    }

    #[test]
    fn nothing_found_by_a_helper_is_nobody() {
        let (home, options) = home(r#"{"credHelpers":{"a.io":"one"}}"#);
        helper_program(
            home.path(),
            "one",
            "cat >/dev/null; echo 'credentials not found in native keychain'; exit 1",
        );
        assert_eq!(found(&options, "a.io", "x"), AuthMaterial::Anonymous);
    }

    #[test]
    fn keys_count_in_any_case_and_null_is_like_nothing() {
        let (_home, options) = home(&format!(
            r#"{{"Auths":{{"a.io":{{"Auth":"{}"}},"b.io":{{"UserName":"u","PASSWORD":"p"}},"c.io":null}},"CredHelpers":null,"x":{{}}}}"#,
            STANDARD.encode("user:1")
        ));
        assert_eq!(found(&options, "a.io", "x"), basic("user", "1"));
        assert_eq!(found(&options, "b.io", "x"), basic("u", "p"));
        assert_eq!(found(&options, "c.io", "x"), AuthMaterial::Anonymous);
    }

    #[test]
    fn files_are_asked_in_order() {
        let (home, mut options) = home(&format!(
            r#"{{"auths":{{"a.io":{{"auth":"{}"}}}}}}"#,
            STANDARD.encode("home:1")
        ));
        let write = |name: &str, user: &str| {
            let path = home.path().join(name);
            fs::write(
                &path,
                format!(r#"{{"auths":{{"a.io":{{"username":"{user}","password":"p"}}}}}}"#),
            )
            .unwrap();
            path
        };
        assert_eq!(found(&options, "a.io", "x"), basic("home", "1"));
        write("config.json", "docker");
        options
            .environment
            .insert("DOCKER_CONFIG".into(), home.path().display().to_string());
        assert_eq!(found(&options, "a.io", "x"), basic("docker", "p"));
        let auth_file = write("auth.json", "authfile");
        options
            .environment
            .insert("REGISTRY_AUTH_FILE".into(), auth_file.display().to_string());
        assert_eq!(found(&options, "a.io", "x"), basic("authfile", "p"));
        let variable = "DOCKER_AUTH_CONFIG".to_string();
        options.environment.insert(variable.clone(), " \n".into());
        assert_eq!(found(&options, "a.io", "x"), basic("authfile", "p"));
        let json = r#"{"auths":{"a.io":{"username":"ci","password":"p"}}}"#;
        options.environment.insert(variable, json.into());
        assert_eq!(found(&options, "a.io", "x"), basic("ci", "p"));
        let explicit = Auth::Basic {
            user: "u".into(),
            password: Secret("q".into()),
            source: "x".into(),
        };
        assert_eq!(
            find(&explicit, "a.io", "x", &options).unwrap().proof,
            basic("u", "q")
        );
    }

    #[test]
    fn a_broken_file_is_named_without_its_content() {
        let (_home, options) = home(r#"{"auths": {"a.io": {"auth": 12345678}}}"#);
        let error = find(&Auth::DockerConfig, "a.io", "x", &options)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(".docker/config.json") && !error.contains("12345678"),
            "{error}"
        );
    }
}
