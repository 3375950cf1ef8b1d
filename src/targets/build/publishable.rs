//! What of a provenance everybody may read: no value of a secret, no login, no query of an address.

use serde_json::Value;

use imgmake_dockerfile::lint::looks_secret;

/// Instead of the value of a secret.
pub const HIDDEN: &str = "(hidden)";

/// Whether an argument of this name mostly holds a secret. What is published forever is hidden for less than what a
/// lint complains about.
pub fn names_secret(name: &str) -> bool {
    const WORDS: [&str; 16] = [
        "AUTH", "BEARER", "COOKIE", "CRED", "CREDS", "DSN", "JWT", "KEY", "KEYS", "PASS", "PAT",
        "PATS", "PW", "PWD", "SAS", "SECRETS",
    ];
    const ENDINGS: [&str; 15] = [
        "ACCESSKEY",
        "APIKEY",
        "CREDENTIAL",
        "CREDENTIALS",
        "PASSPHRASE",
        "PASSWD",
        "PASSWORD",
        "PASSWORDS",
        "PRIVATEKEY",
        "PWORD",
        "SECRET",
        "SECRETKEY",
        "SIGNINGKEY",
        "TOKEN",
        "TOKENS",
    ];
    const ADDRESSES: [&str; 5] = [
        "CONNECTION_STRING",
        "CONNECTIONSTRING",
        "DATABASE_URL",
        "DB_URL",
        "WEBHOOK_URL",
    ];
    const HARMLESS: [&str; 3] = ["PUBLIC", "FILE", "VERSION"];
    if looks_secret(name) {
        return true;
    }
    let name = name.to_ascii_uppercase();
    let is_part = |c: char| !c.is_ascii_alphanumeric();
    let words: Vec<&str> = name.split(is_part).collect();
    if words.iter().any(|word| HARMLESS.contains(word)) {
        return false;
    }
    let is_secret = |word: &&str| {
        let ends = ENDINGS.iter().any(|ending| word.ends_with(ending));
        ends || WORDS.contains(word)
    };
    ADDRESSES.iter().any(|ending| name.ends_with(ending)) || words.iter().any(is_secret)
}

/// The addresses in a text without what can be secret in them: the login and the query.
pub fn without_logins(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + "://".len());
        shown.push_str(before);
        let is_end = |c: char| c.is_whitespace() || c.is_control() || "\"'`<>".contains(c);
        let (address, next) = after.split_at(after.find(is_end).unwrap_or(after.len()));
        shown.push_str(&without_login(address));
        rest = next;
    }
    shown + rest
}

/// What stands behind the scheme of an address. A second address in it goes with its query, or its login.
fn without_login(address: &str) -> String {
    let host_ends = address.find(['/', '?', '#']).unwrap_or(address.len());
    let (authority, _) = address.split_at(host_ends);
    // A password with a slash that nobody escaped: what follows the colon is no port.
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let is_cut = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| !is_port(port));
    let login_ends = match authority.rfind('@') {
        Some(at) => Some(at),
        None if is_cut => address.rfind('@'),
        None => None,
    };
    let (login, place) = match login_ends {
        Some(at) => ("…@", &address[at + 1..]),
        None => ("", address),
    };
    let second = place.find("://").map(|_| without_logins(place));
    let place = second.as_deref().unwrap_or(place);
    match place.split_once('?') {
        Some((place, _)) => format!("{login}{place}?…"),
        None => format!("{login}{place}"),
    }
}

/// Values of secrets that got into what the user said, by interpolation mostly. The digests of dependencies hold none.
pub fn hide(predicate: &mut Value, secrets: &[String]) {
    let mut digests = Vec::new();
    for dependency in dependencies(predicate) {
        let digest = dependency.get_mut("digest").map(Value::take);
        digests.push(digest);
    }
    hide_in(predicate, secrets);
    for (dependency, digest) in dependencies(predicate).iter_mut().zip(digests) {
        if let Some(digest) = digest {
            dependency["digest"] = digest;
        }
    }
}

fn dependencies(predicate: &mut Value) -> &mut [Value] {
    let found = predicate.pointer_mut("/buildDefinition/resolvedDependencies");
    found
        .and_then(Value::as_array_mut)
        .map_or(&mut [], Vec::as_mut_slice)
}

fn hide_in(value: &mut Value, secrets: &[String]) {
    match value {
        Value::String(text) => {
            for secret in secrets {
                if text.contains(secret.as_str()) {
                    *text = text.replace(secret.as_str(), HIDDEN);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| hide_in(value, secrets)),
        Value::Object(fields) => {
            let values = fields.iter_mut();
            values.for_each(|(_, value)| hide_in(value, secrets));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_secret_holds_is_in_no_text_but_digests_of_dependencies_stay() {
        let mut value = json!({
            "buildDefinition": {
                "externalParameters": {"args": {"URL": "x open-sesame", "open": 1, "digest": "open-sesame"}},
                "resolvedDependencies": [
                    {"uri": "open-sesame", "digest": {"sha256": "ab"}},
                    {"name": "ab"},
                ],
            },
            "list": ["open-sesame", "ab"],
        });
        hide(&mut value, &["open-sesame".into(), "ab".into()]);
        let expected = json!({
            "buildDefinition": {
                "externalParameters": {"args": {"URL": format!("x {HIDDEN}"), "open": 1, "digest": HIDDEN}},
                "resolvedDependencies": [
                    {"uri": HIDDEN, "digest": {"sha256": "ab"}},
                    {"name": HIDDEN},
                ],
            },
            "list": [HIDDEN, HIDDEN],
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn names_that_mostly_hold_a_secret_are_known() {
        for name in [
            "GH_PAT",
            "DB_PASS",
            "GPG_PASSPHRASE",
            "NPMTOKEN",
            "npmToken",
            "DATABASE_URL",
            "AWS_CREDENTIAL",
            "SIGNING_KEY",
            "SSH_KEYS",
            "API_KEY",
            "APP-SECRET",
            "MyPassword",
        ] {
            assert!(names_secret(name), "{name}");
        }
        for name in [
            "VERSION",
            "PATH",
            "COMPASS",
            "MONKEY",
            "TOKEN_FILE",
            "TOKENIZERS",
            "PUBLIC_KEY",
            "BASE_URL",
            "AUTHOR",
        ] {
            assert!(!names_secret(name), "{name}");
        }
    }

    #[test]
    fn addresses_have_no_login_and_no_query_wherever_they_stand() {
        for (text, shown) in [
            ("plain a@b ?c", "plain a@b ?c"),
            ("https://e.com/@scope/x", "https://e.com/@scope/x"),
            ("https://e.com:8080/@scope/x", "https://e.com:8080/@scope/x"),
            ("https://u:p@e.com/x?sig=1", "https://…@e.com/x?…"),
            (
                "-i https://u:p@e.com/x -j \"ftp://t@f.org\" y",
                "-i https://…@e.com/x -j \"ftp://…@f.org\" y",
            ),
            ("postgres://u:p@q@db:5432/x", "postgres://…@db:5432/x"),
            ("postgres://u:p/w@db/x", "postgres://…@db/x"),
            ("HTTPS://u:p@e.com", "HTTPS://…@e.com"),
            (
                "https://a.com,https://u:p@b.com",
                "https://a.com,https://…@b.com",
            ),
            (
                "https://a.com/x,https://u:p@b.com",
                "https://a.com/x,https://…@b.com",
            ),
            ("https://a.com/?x,https://u:p@b.com", "https://a.com/?…"),
            ("https://…@e.com?…", "https://…@e.com?…"),
        ] {
            assert_eq!(without_logins(text), shown, "{text}");
        }
    }
}
