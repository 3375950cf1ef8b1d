//! A server's answer may quote what it was sent, and its words go into errors and
//! logs: secrets that it knows are taken out of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::RegistryError;
use super::credentials::{AuthMaterial, Credential};
use super::http::{Body, Call};

/// Shorter texts are everywhere; hiding them would hide the message.
const SHORTEST: usize = 4;
const MASK: &str = "[secret]";
/// Fields of forms that say who asks or what for, and are no secrets.
const TELLING: [&str; 16] = [
    "grant_type",
    "service",
    "scope",
    "client_id",
    "tenant",
    "username",
    "audience",
    "requested_token_type",
    "subject_token_type",
    "client_assertion_type",
    "Action",
    "Version",
    "RoleArn",
    "RoleSessionName",
    "ExternalId",
    "account",
];

/// What a request proves itself with.
pub(super) fn secrets_of(call: &Call, authorization: Option<&str>) -> Vec<String> {
    let mut secrets = Vec::new();
    if let Some((scheme, proof)) = authorization.and_then(|a| a.split_once(' ')) {
        secrets.push(proof.to_string());
        if scheme == "Basic" {
            secrets.extend(password_in(proof));
        }
    }
    let is_form = call
        .headers
        .iter()
        .any(|(_, value)| value == "application/x-www-form-urlencoded");
    if let Body::Bytes(form) = call.body
        && is_form
    {
        let fields = url::form_urlencoded::parse(form);
        let secret = fields.filter(|(name, _)| !TELLING.contains(&&**name));
        secrets.extend(secret.map(|(_, value)| value.into_owned()));
    }
    secrets
}

/// The secret parts of a credential: as they are, and as headers encode them.
pub(super) fn secrets_in(credential: &Credential) -> Vec<String> {
    match &credential.proof {
        AuthMaterial::Anonymous => Vec::new(),
        AuthMaterial::Basic { user, password } => vec![
            password.0.clone(),
            STANDARD.encode(format!("{user}:{}", password.0)),
        ],
        AuthMaterial::Identity { token, .. } | AuthMaterial::Bearer { token } => {
            vec![token.0.clone()]
        }
    }
}

fn password_in(proof: &str) -> Option<String> {
    let text = String::from_utf8(STANDARD.decode(proof).ok()?).ok()?;
    let (_, password) = text.split_once(':')?;
    Some(password.to_string())
}

/// The error without these secrets.
pub(super) fn redact(error: RegistryError, secrets: Vec<String>) -> RegistryError {
    let secrets = as_written(secrets);
    error.with(|details| {
        for text in details.fault.foreign_texts() {
            *text = concealed(text, &secrets);
        }
    })
}

/// A text of a registry's without these secrets.
pub(super) fn redacted(text: &str, secrets: Vec<String>) -> String {
    concealed(text, &as_written(secrets))
}

/// Secrets in every form in which an answer may quote them. The longest first: one may be a part
/// of another.
fn as_written(mut secrets: Vec<String>) -> Vec<String> {
    let encoded =
        |secret: &String| url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    secrets.extend(secrets.iter().map(encoded).collect::<Vec<String>>());
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

fn concealed(text: &str, secrets: &[String]) -> String {
    let mut text = text.to_string();
    for secret in secrets.iter().filter(|s| s.len() >= SHORTEST) {
        text = text.replace(secret.as_str(), MASK);
        // Long answers are cut, perhaps within a secret.
        let start = secret.char_indices().map(|(at, _)| at).rev();
        let begun = start
            .filter(|at| *at >= SHORTEST)
            .find(|at| text.ends_with(&secret[..*at]));
        if let Some(length) = begun {
            text.truncate(text.len() - length);
            text.push_str(MASK);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_goes_whole_in_part_and_encoded() {
        let secrets = ["pass/word+1".to_string(), "abc".to_string()];
        let hide = |text: &str| redact(RegistryError::invalid(text), secrets.to_vec()).to_string();
        assert_eq!(hide("got pass/word+1, abc"), "got [secret], abc");
        assert_eq!(hide("q=pass%2Fword%2B1&x"), "q=[secret]&x");
        assert_eq!(hide("cut off in pass/wo"), "cut off in [secret]");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}", secret in ".{0,12}") {
            let hidden = concealed(&text, std::slice::from_ref(&secret));
            proptest::prop_assert!(secret.len() < SHORTEST || MASK.contains(&secret) || !hidden.contains(&secret));
        }
    }
}
