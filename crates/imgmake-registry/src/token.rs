//! Bearer tokens: fetched by GET or by POST, kept per scope, renewed before they
//! expire, one renewal at a time per scope.
//!
//! Follows distribution's token and OAuth 2 specifications.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use url::Url;

use super::challenge::Bearer;
use super::credentials::{AuthMaterial, Credential};
use super::http::{Body, Call};
use super::{RegistryError, Secret};
use ureq::http::Method;

/// What the specification says when `expires_in` is missing.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// Renewed this long before the end, or in the last quarter of a short life.
const MARGIN: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(super) struct Token {
    pub value: Secret,
    renew_at: Instant,
}

/// The tokens of one registry.
#[derive(Default)]
pub(super) struct Tokens {
    slots: Mutex<HashMap<String, Arc<Mutex<Option<Token>>>>>,
}

impl Tokens {
    /// The token for these scopes; `fetch` is called when there is none that lasts.
    pub(super) fn get(
        &self,
        scopes: &[String],
        fetch: impl FnOnce() -> Result<Token, RegistryError>,
    ) -> Result<Secret, RegistryError> {
        let slot = self.slot(scopes);
        // Held while fetching: whoever needs the same scope waits for this token.
        let mut token = slot.lock().expect("fetching a token does not panic");
        if let Some(token) = token.as_ref().filter(|t| t.renew_at > Instant::now()) {
            return Ok(token.value.clone());
        }
        let fresh = fetch()?;
        let value = fresh.value.clone();
        *token = Some(fresh);
        Ok(value)
    }

    /// Forgets a token that the registry refused, unless another took its place.
    pub(super) fn refused(&self, scopes: &[String], value: &Secret) {
        let slot = self.slot(scopes);
        let mut token = slot.lock().expect("fetching a token does not panic");
        if token.as_ref().is_some_and(|t| t.value == *value) {
            *token = None;
        }
    }

    /// Every token that is kept, for what must not be told.
    pub(super) fn values(&self) -> Vec<String> {
        let slots = self.slots.lock().expect("no slot is made in a panic");
        let held = |slot: &Arc<Mutex<Option<Token>>>| {
            // One that is being fetched is not known yet.
            let token = slot.try_lock().ok()?;
            token.as_ref().map(|t| t.value.0.clone())
        };
        slots.values().filter_map(held).collect()
    }

    fn slot(&self, scopes: &[String]) -> Arc<Mutex<Option<Token>>> {
        let mut slots = self.slots.lock().expect("no slot is made in a panic");
        Arc::clone(slots.entry(scopes.join(" ")).or_default())
    }
}

#[derive(Deserialize)]
struct Granted {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<f64>,
}

/// How a token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Get,
    Post,
}

impl Flow {
    /// Identity tokens can only be spent by POST.
    pub(super) fn of(credential: &Credential) -> Flow {
        match credential.proof {
            AuthMaterial::Identity { .. } => Flow::Post,
            _ => Flow::Get,
        }
    }
}

/// The body of a POST request lives with its caller.
pub(super) fn form(challenge: &Bearer, scopes: &[String], credential: &Credential) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("service", challenge.service.as_deref().unwrap_or(""));
    form.append_pair("client_id", "imgmake");
    if !scopes.is_empty() {
        form.append_pair("scope", &scopes.join(" "));
    }
    match &credential.proof {
        AuthMaterial::Identity { token, .. } => {
            form.append_pair("grant_type", "refresh_token");
            form.append_pair("refresh_token", &token.0);
        }
        AuthMaterial::Basic { user, password } => {
            form.append_pair("grant_type", "password");
            form.append_pair("username", user);
            form.append_pair("password", &password.0);
        }
        AuthMaterial::Anonymous | AuthMaterial::Bearer { .. } => {}
    }
    form.finish()
}

/// The call for a token, and what it proves itself with.
pub(super) fn request<'a>(
    flow: Flow,
    realm: &Url,
    challenge: &Bearer,
    scopes: &[String],
    credential: &Credential,
    form: &'a str,
) -> (Call<'a>, Option<String>) {
    if flow == Flow::Post {
        let call = Call::new(Method::POST, realm.clone())
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(Body::Bytes(form.as_bytes()));
        return (call, None);
    }
    let mut url = realm.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = &challenge.service {
            query.append_pair("service", service);
        }
        for scope in scopes {
            query.append_pair("scope", scope);
        }
        query.append_pair("client_id", "imgmake");
        if let AuthMaterial::Basic { user, .. } = &credential.proof {
            query.append_pair("account", user);
        }
    }
    (Call::new(Method::GET, url), basic(credential))
}

/// The `Authorization` of a user and a password (RFC 7617).
pub(super) fn basic(credential: &Credential) -> Option<String> {
    let (user, password) = match &credential.proof {
        AuthMaterial::Basic { user, password } => (user.as_str(), password),
        AuthMaterial::Identity { user, token } => (user.as_str(), token),
        AuthMaterial::Anonymous | AuthMaterial::Bearer { .. } => return None,
    };
    Some(format!(
        "Basic {}",
        STANDARD.encode(format!("{user}:{}", password.0))
    ))
}

/// Reads the answer to [`request`], which was sent at `asked`.
pub(super) fn granted(body: &[u8], asked: Instant) -> Result<Token, RegistryError> {
    let refused = || RegistryError::invalid("the token server's answer contains no token");
    let granted: Granted = imgmake_oci::image::from_json(body).map_err(|_| refused())?;
    let value = [granted.token, granted.access_token]
        .into_iter()
        .flatten()
        .find(|t| !t.is_empty())
        .ok_or_else(refused)?;
    let lifetime = granted
        .expires_in
        .filter(|s| *s > 0.0)
        .and_then(|s| Duration::try_from_secs_f64(s).ok())
        .unwrap_or(DEFAULT_LIFETIME)
        .min(Duration::from_secs(86_400));
    Ok(Token {
        value: Secret(value),
        renew_at: asked + lifetime - MARGIN.min(lifetime / 4),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(body: &str) -> u64 {
        let asked = Instant::now();
        (granted(body.as_bytes(), asked).unwrap().renew_at - asked).as_secs()
    }

    #[test]
    fn tokens_are_renewed_before_their_end() {
        assert_eq!(left(r#"{"token":"t"}"#), 45);
        assert_eq!(left(r#"{"token":"t","expires_in":300}"#), 270);
        assert_eq!(left(r#"{"access_token":"t","expires_in":8}"#), 6);
        assert_eq!(left(r#"{"token":"t","expires_in":0}"#), 45);
        assert_eq!(
            left(r#"{"token":null,"access_token":"t","expires_in":-5}"#),
            45
        );
    }

    #[test]
    fn an_answer_without_token_is_an_error() {
        for body in ["", "{}", r#"{"token":""}"#, "<html>"] {
            assert!(granted(body.as_bytes(), Instant::now()).is_err(), "{body}");
        }
    }

    #[test]
    fn threads_that_need_the_same_scope_share_one_fetch() {
        let tokens = Tokens::default();
        let fetched = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    tokens.get(&["a".into()], || {
                        fetched.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        granted(br#"{"token":"t"}"#, Instant::now())
                    })
                });
            }
        });
        assert_eq!(fetched.into_inner(), 1);
    }

    /// errors: 401 with a token that was given fetches another one, once.
    #[test]
    fn a_refused_token_is_fetched_again_once() {
        let tokens = Tokens::default();
        let scopes = ["a".to_string()];
        let fetch = |t: &str| granted(format!(r#"{{"token":"{t}"}}"#).as_bytes(), Instant::now());
        let old = tokens.get(&scopes, || fetch("old")).unwrap();
        tokens.refused(&scopes, &old);
        let new = tokens.get(&scopes, || fetch("new")).unwrap();
        tokens.refused(&scopes, &old);
        assert!(tokens.get(&scopes, || fetch("third")).unwrap() == new);
    }
}
