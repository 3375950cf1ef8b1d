//! Which variables each kind of program sees. Everything that is not listed is
//! left out: passwords, settings of the CI, and whatever leads a program to files of
//! a checkout.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::kind::Kind;

/// Names; `X*` stands for every name that begins with `X`.
const EVERY: &[&str] = &[
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TMPDIR",
    "XDG_*",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
];

/// Key rings, agents and the desktops that ask for their passwords.
const KEYRINGS: &[&str] = &[
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "GNUPGHOME",
    "GPG_TTY",
    "GPG_AGENT_INFO",
    "PASSWORD_STORE_*",
    "SSH_AUTH_SOCK",
    "WSL_*",
    "WSLENV",
];

const CLOUDS: &[&str] = &[
    "AWS_*",
    "AZURE_*",
    "ARM_*",
    "IDENTITY_*",
    "MSI_*",
    "GOOGLE_*",
    "CLOUDSDK_*",
    "GCE_*",
    "ECR_*",
    "ACR_*",
    "VAULT_*",
];

const FORGES: &[&str] = &["GITHUB_*", "GH_*", "GITLAB_*", "GCM_*"];

/// Where scanners keep and fetch their databases. Neither a filter nor a password is among
/// them: what counts is one policy's decision, and a scanner reads files of strangers.
const SCANNERS: &[&str] = &[
    "DOCKER_CONFIG",
    "TRIVY_CACHE_DIR",
    "TRIVY_CACHE_BACKEND",
    "TRIVY_CACHE_TTL",
    "TRIVY_CACERT",
    "TRIVY_CHECKS_BUNDLE_REPOSITORY",
    "TRIVY_DB_REPOSITORY",
    "TRIVY_DEBUG",
    "TRIVY_DETECTION_PRIORITY",
    "TRIVY_INSECURE",
    "TRIVY_JAVA_DB_REPOSITORY",
    "TRIVY_OFFLINE_SCAN",
    "TRIVY_PARALLEL",
    "TRIVY_SERVER",
    "TRIVY_SKIP_CHECK_UPDATE",
    "TRIVY_SKIP_DB_UPDATE",
    "TRIVY_SKIP_JAVA_DB_UPDATE",
    "TRIVY_TIMEOUT",
    "GRYPE_DB_AUTO_UPDATE",
    "GRYPE_DB_CACHE_DIR",
    "GRYPE_DB_CA_CERT",
    "GRYPE_DB_MAX_ALLOWED_BUILT_AGE",
    "GRYPE_DB_REQUIRE_UPDATE_CHECK",
    "GRYPE_DB_UPDATE_AVAILABLE_TIMEOUT",
    "GRYPE_DB_UPDATE_DOWNLOAD_TIMEOUT",
    "GRYPE_DB_UPDATE_URL",
    "GRYPE_DB_VALIDATE_AGE",
    "GRYPE_DB_VALIDATE_BY_HASH_ON_START",
    "SYFT_CACHE_DIR",
];

/// Where programs look for their settings. Scanners find none there: `~/.grype.yaml` can
/// ignore whatever it likes, and no report says so.
const SETTINGS: &[&str] = &[
    "HOME",
    "XDG_CONFIG_HOME",
    "XDG_CONFIG_DIRS",
    "XDG_DATA_HOME",
];

fn table(kind: Kind) -> &'static [&'static [&'static str]] {
    match kind {
        Kind::Git => &[EVERY, KEYRINGS, FORGES],
        Kind::Ssh => &[EVERY, KEYRINGS, &["KRB5*"]],
        Kind::SshAgent => &[EVERY],
        Kind::CredentialHelper => &[
            EVERY,
            KEYRINGS,
            CLOUDS,
            FORGES,
            &["DOCKER_*", "REGISTRY_AUTH_FILE"],
        ],
        Kind::CloudCredentials => &[EVERY, KEYRINGS, CLOUDS],
        Kind::Scanner | Kind::ScanCommand => &[EVERY, SCANNERS],
        Kind::IdMap | Kind::Network => &[&[]],
    }
}

/// Never passed on, whatever else is allowed: they lead git or the shell to files and
/// programs that somebody else may have chosen.
const NEVER: &[&str] = &["GIT_*", "BASH_ENV", "ENV", "CDPATH", "PWD", "OLDPWD"];

/// The user's own addition: names, separated by blanks or commas.
const FURTHER: &str = "IMGMAKE_PROGRAM_ENV";

/// Where programs are looked for when `PATH` is not set.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables that name a file or directory: a relative one is meant from our own directory.
const PATHS: &[&str] = &[
    "HOME",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "DOCKER_CONFIG",
    "REGISTRY_AUTH_FILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AZURE_FEDERATED_TOKEN_FILE",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "CLOUDSDK_CONFIG",
    "GNUPGHOME",
    "PASSWORD_STORE_DIR",
    "SSH_AUTH_SOCK",
    "TRIVY_CACHE_DIR",
    "GRYPE_DB_CACHE_DIR",
];

/// Lists of directories: entries that are not absolute would be looked for in whatever
/// directory a program happens to be in.
const LISTS: &[&str] = &["PATH", "LD_LIBRARY_PATH"];

pub(super) fn allowed<K: AsRef<OsStr>, V: AsRef<OsStr>>(
    kind: Kind,
    ours: impl IntoIterator<Item = (K, V)>,
) -> BTreeMap<OsString, OsString> {
    let ours: BTreeMap<OsString, OsString> = ours
        .into_iter()
        .map(|(name, value)| (name.as_ref().to_owned(), value.as_ref().to_owned()))
        .collect();
    let further = ours.get(OsStr::new(FURTHER)).and_then(|list| list.to_str());
    let further: Vec<&str> = further
        .unwrap_or_default()
        .split([',', ' ', '\t', '\n'])
        .filter(|name| !name.is_empty())
        .collect();
    let mut seen = BTreeMap::new();
    for (name, value) in &ours {
        let text = name.to_string_lossy();
        let listed = table(kind).iter().any(|names| any_is(names, &text)) && !any_is(NEVER, &text);
        if LISTS.contains(&&*text) {
            seen.insert(name.clone(), absolute_entries(value));
        } else if listed || further.contains(&&*text) {
            seen.insert(name.clone(), meant(&text, value));
        }
    }
    let path = search_path(seen.get(OsStr::new("PATH")));
    seen.extend(path.map(|path| ("PATH".into(), path)));
    for (name, value) in GIT {
        seen.insert((*name).into(), (*value).into());
    }
    if finds_no_settings(kind) {
        without_settings(&mut seen, &further);
    }
    seen
}

pub(super) fn finds_no_settings(kind: Kind) -> bool {
    matches!(kind, Kind::Scanner | Kind::ScanCommand)
}

/// Takes the ways to somebody's settings out, and keeps the one to the databases, which are
/// beneath the cache directory.
fn without_settings(seen: &mut BTreeMap<OsString, OsString>, named: &[&str]) {
    let cache = OsStr::new("XDG_CACHE_HOME");
    if seen.get(cache).is_none_or(|path| path.is_empty())
        && let Some(home) = seen.get(OsStr::new("HOME")).filter(|h| !h.is_empty())
    {
        let default = Path::new(home).join(".cache");
        seen.insert(cache.into(), default.into());
    }
    for name in SETTINGS.iter().filter(|name| !named.contains(name)) {
        seen.remove(OsStr::new(name));
    }
}

/// Git may be started by any of them.
const GIT: &[(&str, &str)] = &[
    ("GIT_CONFIG_COUNT", "1"),
    ("GIT_CONFIG_KEY_0", "safe.bareRepository"),
    ("GIT_CONFIG_VALUE_0", "explicit"),
    ("GIT_TERMINAL_PROMPT", "0"),
];

/// Absolute entries of `PATH`, or where programs are when there are none.
pub(super) fn search_path(path: Option<&OsString>) -> Option<OsString> {
    let path = path.map(|path| absolute_entries(path));
    path.filter(|path| !path.is_empty())
        .or_else(|| Some(DEFAULT_PATH.into()))
}

fn absolute_entries(list: &OsStr) -> OsString {
    let absolute = std::env::split_paths(list).filter(|entry| entry.is_absolute());
    // What was split at colons holds none.
    std::env::join_paths(absolute).unwrap_or_default()
}

fn meant(name: &str, value: &OsStr) -> OsString {
    if !PATHS.contains(&name) || value.is_empty() {
        return value.to_owned();
    }
    std::path::absolute(Path::new(value)).map_or_else(|_| value.to_owned(), Into::into)
}

fn any_is(names: &[&str], name: &str) -> bool {
    names.iter().any(|listed| match listed.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == *listed,
    })
}
