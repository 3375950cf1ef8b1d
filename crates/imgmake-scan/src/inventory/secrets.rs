//! Keys, tokens and password files. Only the rule's name and the place leave
//! this module; the secret itself never does.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use serde::{Deserialize, Serialize};

use super::randomness::{is_random, is_random_value};
use super::secret_rules::{CONTENT, Check, NAMED, Rule};
use imgmake_oci::image::Digest;

/// Bytes that are looked at together, and how many of them again with the next ones: no secret
/// is longer.
const WINDOW: usize = 1 << 20;
const OVERLAP: usize = 16 << 10;
/// Of one rule in a window, how many places are looked at: a list of examples has an end.
const MOST_PLACES: usize = 10_000;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Secret {
    pub rule: String,
    pub path: String,
    /// The layer that holds it; a later one may have deleted it.
    pub layer: Digest,
}

static CONTENT_SET: LazyLock<RegexSet> = LazyLock::new(|| {
    // Room for the tables that make one pass over a file fast.
    let mut builder = RegexSetBuilder::new(CONTENT.iter().map(|rule| rule.pattern));
    builder.size_limit(64 << 20).dfa_size_limit(64 << 20);
    // Unicode's borders of words know no automaton: on the first other letter of a file, the
    // rest of it would take a hundred times as long.
    builder.unicode(false);
    builder.build().expect("the patterns are well formed")
});
static CONTENT_EACH: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let pattern = |rule: &Rule| RegexBuilder::new(rule.pattern).unicode(false).build();
    let patterns = CONTENT.iter().map(pattern);
    patterns
        .map(|pattern| pattern.expect("the patterns are well formed"))
        .collect()
});
static NAMED_SET: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSet::new(NAMED.map(|(_, _, pattern)| pattern)).expect("the patterns are well formed")
});

/// The rules that a file breaks, however long it is. `head` is its beginning, read already.
pub fn scan(path: &str, head: Vec<u8>, rest: &mut dyn Read) -> io::Result<Vec<String>> {
    if head.contains(&0) {
        // A program that reads its own file of passwords does not ask whether it is a text.
        return match is_password_file(path) {
            true => scan_passwords(path, &mut head.chain(rest)),
            false => Ok(Vec::new()),
        };
    }
    scan_windows(head, rest, |text| rules(path, text))
}

/// The rules for password files that a file breaks, however long it is.
pub fn scan_passwords(path: &str, content: &mut dyn Read) -> io::Result<Vec<String>> {
    scan_windows(Vec::new(), content, |text| password_rules(path, text))
}

fn scan_windows(
    head: Vec<u8>,
    rest: &mut dyn Read,
    rules: impl Fn(&[u8]) -> Vec<String>,
) -> io::Result<Vec<String>> {
    let mut found = BTreeSet::new();
    let mut text = head;
    loop {
        let room = WINDOW - text.len();
        let read = rest.take(room as u64).read_to_end(&mut text)?;
        found.extend(rules(&text));
        if read < room {
            break;
        }
        text.drain(..WINDOW - OVERLAP);
    }
    Ok(found.into_iter().collect())
}

pub(super) fn rules(path: &str, text: &[u8]) -> Vec<String> {
    let settings = is_settings(path);
    let mut found = broken(text, |rule| rule.check != Check::Assigned || settings);
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
    broken(text, |_| true)
}

fn broken(text: &[u8], applies: impl Fn(&Rule) -> bool) -> Vec<String> {
    let matches = CONTENT_SET.matches(text);
    let rules = matches.iter().filter(|i| {
        let rule = &CONTENT[*i];
        applies(rule) && (rule.check == Check::None || is_broken(rule, &CONTENT_EACH[*i], text))
    });
    rules.map(|i| CONTENT[i].name.to_string()).collect()
}

fn is_broken(rule: &Rule, pattern: &Regex, text: &[u8]) -> bool {
    let mut places = pattern.captures_iter(text).take(MOST_PLACES);
    places.any(|place| match rule.check {
        Check::None => true,
        Check::Random => is_random(&place[0]),
        Check::Value | Check::Assigned => is_random_value(&place[1]),
    })
}

/// Whether values that have a secret's name are one: in settings they are, in code they are
/// names, calls and examples.
fn is_settings(path: &str) -> bool {
    const ENDINGS: [&str; 12] = [
        "env",
        "envrc",
        "yaml",
        "yml",
        "json",
        "properties",
        "ini",
        "conf",
        "cfg",
        "toml",
        "tfvars",
        "tfstate",
    ];
    const LOCKS: [&str; 6] = [
        "package-lock.json",
        "npm-shrinkwrap.json",
        "composer.lock",
        "packages.lock.json",
        "pnpm-lock.yaml",
        "Pipfile.lock",
    ];
    const OTHERS: [&str; 4] = [
        "node_modules/",
        "site-packages/",
        "dist-packages/",
        "usr/share/",
    ];
    let name = path.rsplit('/').next().unwrap_or(path);
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let is_env = name == ".env" || name.starts_with(".env.");
    (is_env || ENDINGS.contains(&ending))
        && !LOCKS.contains(&name)
        && !OTHERS.iter().any(|other| path.contains(other))
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
        let token = "k3Jx9fQ2mZp7Lw4Tn8Rv1Yb6Hc5Dg0SuWqEi";
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
                "KEY=AKIAQ3EGRTXV5LMBZ7WD\n".into(),
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

    #[test]
    fn a_secret_is_found_however_far_into_a_file() {
        let token = "ghp_k3Jx9fQ2mZp7Lw4Tn8Rv1Yb6Hc5Dg0SuWqEi";
        // Across the borders of what is looked at together, and at the end of a long file.
        for at in [
            0,
            WINDOW - OVERLAP - 20,
            WINDOW - 20,
            WINDOW + 7,
            (5 << 20) - 20,
        ] {
            let mut text = b"words of a log\n".repeat(400_000);
            text[at..at + token.len()].copy_from_slice(token.as_bytes());
            text[at + token.len()] = b' ';
            if at > 0 {
                text[at - 1] = b' ';
            }
            let head = text[..4096].to_vec();
            let found = scan("var/log/app.log", head, &mut &text[4096..]).unwrap();
            assert_eq!(found, ["github-token"], "{at}");
        }
    }
}
