//! Keys, tokens and password files. Only the rule's name and the place leave
//! this module; the secret itself never does.

use std::io::{self, Read};
use std::sync::LazyLock;

use regex::bytes::RegexSet;
use serde::{Deserialize, Serialize};

use imgmake_oci::image::Digest;

/// Larger files are data, not configuration.
const LARGEST: u64 = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Secret {
    pub rule: String,
    pub path: String,
    /// The layer that holds it; a later one may have deleted it.
    pub layer: Digest,
}

/// Rule, and what its secrets look like.
const CONTENT: [(&str, &str); 14] = [
    (
        "private-key",
        r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\s|\\n)+(?:Proc-Type|Version|Comment|[A-Za-z0-9+/=]{24,})",
    ),
    ("aws-access-key", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    (
        "aws-secret-key",
        r#"(?i)aws_?secret_?access_?key["']?\s*[:=]\s*["']?[A-Za-z0-9/+]{40}\b"#,
    ),
    ("azure-storage-key", r"AccountKey=[A-Za-z0-9+/]{86}=="),
    ("docker-token", r"\bdckr_pat_[A-Za-z0-9_-]{20,}"),
    (
        "github-token",
        r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22,})",
    ),
    ("gitlab-token", r"\bglpat-[A-Za-z0-9_-]{20,}"),
    ("google-api-key", r"\bAIza[0-9A-Za-z_-]{35}"),
    ("npm-token", r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("pypi-token", r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}"),
    ("slack-token", r"\bxox[abprs]-[0-9]{6,}-[0-9A-Za-z-]{10,}"),
    ("stripe-key", r"\b[rs]k_live_[0-9a-zA-Z]{24,}"),
    ("vault-token", r"\bhvs\.[A-Za-z0-9_-]{90,}"),
    ("age-key", r"\bAGE-SECRET-KEY-1[0-9A-Z]{58}\b"),
];

/// Rule, how the path ends, and what must stand in it.
const NAMED: [(&str, &str, &str); 6] = [
    (
        "npmrc",
        ".npmrc",
        r"(?m)(?:_authToken|_auth|_password)\s*=\s*[^\s$]",
    ),
    ("netrc", ".netrc", r"(?m)\bpassword\s+\S"),
    (
        "docker-config",
        ".docker/config.json",
        r#""(?:auth|identitytoken|password)"\s*:\s*"[^"]"#,
    ),
    ("docker-config", ".dockercfg", r#""auth"\s*:\s*"[^"]"#),
    ("pypirc", ".pypirc", r"(?m)^\s*password\s*[:=]\s*\S"),
    (
        "git-credentials",
        ".git-credentials",
        r"://[^:/\s]+:[^@/\s]+@",
    ),
];

static CONTENT_SET: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSet::new(CONTENT.map(|(_, pattern)| pattern)).expect("the patterns are well formed")
});
static NAMED_SET: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSet::new(NAMED.map(|(_, _, pattern)| pattern)).expect("the patterns are well formed")
});

/// The rules that a file breaks. `head` is its beginning, read already.
pub fn scan(path: &str, size: u64, head: Vec<u8>, rest: &mut dyn Read) -> io::Result<Vec<String>> {
    if size > LARGEST || head.contains(&0) {
        return Ok(Vec::new());
    }
    let mut text = head;
    rest.take(LARGEST).read_to_end(&mut text)?;
    Ok(rules(path, &text))
}

/// The rules for password files that a file breaks under a further name.
pub fn scan_passwords(path: &str, size: u64, content: &mut dyn Read) -> io::Result<Vec<String>> {
    let mut text = Vec::new();
    if size <= LARGEST {
        content.take(LARGEST).read_to_end(&mut text)?;
    }
    Ok(password_rules(path, &text))
}

fn rules(path: &str, text: &[u8]) -> Vec<String> {
    let mut found = in_text(text);
    if is_password_file(path) {
        found.extend(password_rules(path, text));
    }
    found.sort();
    found.dedup();
    found
}

fn password_rules(path: &str, text: &[u8]) -> Vec<String> {
    let matches = NAMED_SET.matches(text);
    let named = NAMED.iter().enumerate();
    let named = named.filter(|(i, (_, end, _))| matches.matched(*i) && ends_with(path, end));
    named.map(|(_, (rule, ..))| (*rule).to_string()).collect()
}

/// Whether programs keep passwords in files of that name.
pub fn is_password_file(path: &str) -> bool {
    NAMED.iter().any(|(_, end, _)| ends_with(path, end))
}

/// The rules that some text breaks wherever it stands, such as a variable of the
/// image's environment.
pub fn in_text(text: &[u8]) -> Vec<String> {
    let matches = CONTENT_SET.matches(text);
    matches.iter().map(|i| CONTENT[i].0.to_string()).collect()
}

fn ends_with(path: &str, end: &str) -> bool {
    path.strip_suffix(end)
        .is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tokens_and_password_files_are_found() {
        let token = "a1".repeat(18);
        for (path, text, rule) in [
            (
                "root/.ssh/id_rsa",
                format!(
                    "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n",
                    "b3BlbnNzaC1rZXktdjEAAAAA"
                ),
                "private-key",
            ),
            (
                "srv/account.json",
                r#"{"private_key": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ"}"#
                    .into(),
                "private-key",
            ),
            (
                "app/.env",
                "KEY=AKIAABCDEFGHIJKLMNOP\n".into(),
                "aws-access-key",
            ),
            ("app/x", format!("token: ghp_{token}"), "github-token"),
            (
                "root/.npmrc",
                "//registry.example/:_authToken=abcdef".into(),
                "npmrc",
            ),
            (
                "root/.netrc",
                "machine a login b password c".into(),
                "netrc",
            ),
            (
                "root/.docker/config.json",
                r#"{"auths":{"x":{"auth":"dTpw"}}}"#.into(),
                "docker-config",
            ),
        ] {
            assert_eq!(rules(path, text.as_bytes()), [rule], "{path}");
        }
    }

    #[test]
    fn what_only_speaks_of_secrets_is_none() {
        for (path, text) in [
            (
                "doc/ssh.md",
                "starts with -----BEGIN RSA PRIVATE KEY----- and then data",
            ),
            ("root/.npmrc", "//registry.example/:_authToken=${NPM_TOKEN}"),
            ("root/.docker/config.json", r#"{"credsStore":"pass"}"#),
            ("a/xnetrc", "password x"),
            (
                "etc/ssl/cert.pem",
                "-----BEGIN CERTIFICATE-----\nMIIEvQIBADANBgkqhkiG9w0BAQ",
            ),
        ] {
            assert!(rules(path, text.as_bytes()).is_empty(), "{path}");
        }
    }
}
