//! Keys, tokens and password files. Only the rule's name, the place and a sum of the text leave
//! this module; the secret itself never does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use serde::{Deserialize, Serialize};

use super::randomness::{is_password, is_random, is_random_value};
use super::secret_rules::{CONTENT, Check, NAMED, Rule};
use imgmake_oci::image::Digest;

/// Bytes that are looked at together, and how many of them again with the next ones: no secret
/// is longer.
const WINDOW: usize = 1 << 20;
const OVERLAP: usize = 16 << 10;
/// Of one rule in a window, how many places are looked at: a list of examples has an end.
const MOST_PLACES: usize = 10_000;
/// Of one rule in a file, how many texts are kept apart.
const MOST_SUMS: usize = 1000;
/// Bytes of a key that begin with what its pattern finds.
const LONGEST_KEY: usize = 8 << 10;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Secret {
    pub rule: String,
    pub path: String,
    /// The layer that holds it; a later one may have deleted it.
    pub layer: Digest,
    pub sums: Vec<Sum>,
}

/// blake3 of what breaks a rule.
pub type Sum = [u8; 32];

/// A rule that a text breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub rule: String,
    /// Of each text that breaks it, ascending: whether a secret is that of another image. Empty
    /// where there are too many to tell.
    pub sums: Vec<Sum>,
}

/// What was found so far: by rule, the sums, one more than [`MOST_SUMS`] at most.
type Found = BTreeMap<&'static str, BTreeSet<Sum>>;

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
pub fn scan(path: &str, head: Vec<u8>, rest: &mut dyn Read) -> io::Result<Vec<Broken>> {
    if head.contains(&0) {
        // A program that reads its own file of passwords does not ask whether it is a text.
        return match is_password_file(path) {
            true => scan_passwords(path, &mut head.chain(rest)),
            false => Ok(Vec::new()),
        };
    }
    scan_windows(head, rest, |text, found| look(path, text, found))
}

/// The rules for password files that a file breaks, however long it is.
pub fn scan_passwords(path: &str, content: &mut dyn Read) -> io::Result<Vec<Broken>> {
    scan_windows(Vec::new(), content, |text, found| {
        look_for_passwords(path, text, found);
    })
}

fn scan_windows(
    head: Vec<u8>,
    rest: &mut dyn Read,
    look: impl Fn(&[u8], &mut Found),
) -> io::Result<Vec<Broken>> {
    let mut found = Found::new();
    let mut text = head;
    loop {
        let room = WINDOW - text.len();
        let read = rest.take(room as u64).read_to_end(&mut text)?;
        look(&text, &mut found);
        if read < room {
            break;
        }
        text.drain(..WINDOW - OVERLAP);
    }
    Ok(settled(found))
}

fn settled(found: Found) -> Vec<Broken> {
    let broken = found.into_iter().map(|(rule, sums)| Broken {
        rule: rule.to_string(),
        sums: match sums.len() > MOST_SUMS {
            true => Vec::new(),
            false => sums.into_iter().collect(),
        },
    });
    broken.collect()
}

#[cfg(test)]
pub(super) fn rules(path: &str, text: &[u8]) -> Vec<String> {
    let mut found = Found::new();
    look(path, text, &mut found);
    found.into_keys().map(String::from).collect()
}

fn look(path: &str, text: &[u8], found: &mut Found) {
    let settings = is_settings(path);
    look_for_content(
        text,
        |rule| rule.check != Check::Assigned || settings,
        found,
    );
    if is_password_file(path) {
        look_for_passwords(path, text, found);
    }
}

fn look_for_passwords(path: &str, text: &[u8], found: &mut Found) {
    let matches = NAMED_SET.matches(text);
    let named = NAMED.iter().enumerate();
    let named = named.filter(|(i, (_, end, _))| matches.matched(*i) && ends_with(path, end));
    for (_, (rule, ..)) in named {
        // Where a password ends, the pattern does not say.
        add(found.entry(rule).or_default(), text);
    }
}

fn add(sums: &mut BTreeSet<Sum>, secret: &[u8]) {
    if sums.len() <= MOST_SUMS {
        sums.insert(*blake3::hash(secret).as_bytes());
    }
}

/// Whether programs keep passwords in files of that name.
pub fn is_password_file(path: &str) -> bool {
    NAMED.iter().any(|(_, end, _)| ends_with(path, end))
}

/// The rules that some text breaks wherever it stands, such as a variable of the
/// image's environment.
pub fn in_text(text: &[u8]) -> Vec<Broken> {
    let mut found = Found::new();
    look_for_content(text, |_| true, &mut found);
    settled(found)
}

fn look_for_content(text: &[u8], applies: impl Fn(&Rule) -> bool, found: &mut Found) {
    for at in CONTENT_SET.matches(text) {
        let rule = &CONTENT[at];
        let is_full = |sums: &BTreeSet<Sum>| sums.len() > MOST_SUMS;
        if !applies(rule) || found.get(rule.name).is_some_and(is_full) {
            continue;
        }
        let places = CONTENT_EACH[at].captures_iter(text).take(MOST_PLACES);
        for place in places {
            let secret = match rule.check {
                Check::None => {
                    let start = place.get(0).expect("the whole is a group").start();
                    key(&text[start..])
                }
                Check::Random if is_random(&place[0]) => &place[0],
                Check::Assigned if is_random_value(&place[1]) => &place[1],
                Check::Password if is_password(&place[1]) => &place[1],
                Check::Random | Check::Assigned | Check::Password => continue,
            };
            let sums = found.entry(rule.name).or_default();
            add(sums, secret);
            if is_full(sums) {
                break;
            }
        }
    }
}

/// A key whose beginning was found, up to its end.
fn key(text: &[u8]) -> &[u8] {
    const END: &[u8] = b"-----END";
    let text = &text[..text.len().min(LONGEST_KEY)];
    let end = text.windows(END.len()).position(|window| window == END);
    &text[..end.unwrap_or(text.len())]
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
            assert_eq!(found.len(), 1, "{at}");
            assert_eq!(found[0].rule, "github-token", "{at}");
            let sum = *blake3::hash(token.as_bytes()).as_bytes();
            assert_eq!(found[0].sums, [sum], "{at}");
        }
    }

    #[test]
    fn a_sum_is_of_the_secret_and_not_of_its_head() {
        // The first line of each ed25519 key is the same.
        let key = |last: &str| {
            let first = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW";
            format!(
                "-----BEGIN OPENSSH PRIVATE KEY-----\n{first}\n{last}\n-----END OPENSSH PRIVATE KEY-----\n"
            )
        };
        let sums = |path: &str, text: String| {
            let found = scan(path, Vec::new(), &mut text.as_bytes()).unwrap();
            assert_eq!(found.len(), 1, "{path}");
            assert!(!found[0].sums.is_empty(), "{path}");
            found[0].sums.clone()
        };
        assert_ne!(
            sums("root/id", key("QyNTUxOQ")),
            sums("root/id", key("QyNTUxOR"))
        );
        assert_eq!(
            sums("root/id", key("Qy")),
            sums("root/id", format!("# of the demo\n{}\n# more\n", key("Qy")))
        );
        let netrc = |password: &str| format!("machine a login b password {password}");
        assert_ne!(
            sums("root/.netrc", netrc("c1")),
            sums("root/.netrc", netrc("c2"))
        );
        let many: String = (0..MOST_SUMS + 2)
            .map(|number| format!("a{number} -----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ{number}-----END\n"))
            .collect();
        let found = scan("x", Vec::new(), &mut many.as_bytes()).unwrap();
        assert!(found[0].sums.is_empty());
    }
}
