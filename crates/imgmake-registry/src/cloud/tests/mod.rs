//! Each cloud's exchange, played by a server that checks what it is sent.

mod amazon;
mod aws;
mod azure;
mod google;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::super::testing::*;
use super::super::{Auth, Client, ClientOptions, HostSettings, RegistryError, Secret};

/// A server that answers requests and their bodies by its rule.
fn service(
    rule: impl Fn(&RecordedRequest, &str) -> (u16, String) + Send + Sync + 'static,
) -> FaultProxy {
    let rule = Arc::new(rule);
    FaultProxy::new(None, move |seen| {
        let (rule, seen) = (Arc::clone(&rule), seen.clone());
        Action::Read(
            usize::MAX,
            Box::new(move |body| {
                let (status, text) = rule(&seen, &String::from_utf8(body).unwrap());
                Some(reply(status, &[], text))
            }),
        )
    })
}

fn url(of: &FaultProxy) -> String {
    format!("http://{}", of.host())
}

/// The fields of a form, by name.
fn field(form: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(form.as_bytes())
        .find(|(n, _)| n == name)
        .map(|(_, value)| value.into_owned())
}

/// Header and claims of a token that this key signed; a panic for any other.
fn verified(token: &str, key: &Path) -> (serde_json::Value, serde_json::Value) {
    let (text, signature) = token.rsplit_once('.').unwrap();
    let key = ureq::tls::PrivateKey::from_pem(&fs::read(key).unwrap()).unwrap();
    let pair = ring::signature::RsaKeyPair::from_pkcs8(key.der()).unwrap();
    ring::signature::UnparsedPublicKey::new(
        &ring::signature::RSA_PKCS1_2048_8192_SHA256,
        pair.public(),
    )
    .verify(text.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
    .expect("the token is signed by that key");
    let part = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let (header, claims) = text.split_once('.').unwrap();
    (part(header), part(claims))
}

/// A registry that wants this user and password.
fn registry(user: &str, password: &str) -> FaultProxy {
    let right = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    FaultProxy::new(None, move |seen| {
        if seen.header("Authorization") == Some(&right) {
            return answer(200, &[], r#"{"schemaVersion":2,"manifests":[]}"#);
        }
        answer(401, &[("WWW-Authenticate", "Basic realm=\"r\"")], "")
    })
}

fn secrets(options: &[(&str, &str)]) -> std::collections::BTreeMap<String, Secret> {
    options
        .iter()
        .map(|(k, v)| ((*k).to_string(), Secret((*v).to_string())))
        .collect()
}

fn ask(
    registry: &FaultProxy,
    auth: Auth,
    environment: &[(&str, &str)],
) -> Result<(), RegistryError> {
    let client = Client::new(ClientOptions {
        hosts: vec![HostSettings {
            prefix: registry.host(),
            auth,
            ..HostSettings::default()
        }],
        environment: environment
            .iter()
            .map(|(k, v)| ((*k).to_string(), (*v).to_string()))
            .collect(),
        ..options()
    })?;
    client
        .manifest(&format!("{}/app:1", registry.host()).parse().unwrap())
        .map(drop)
}

#[test]
fn an_option_that_no_cloud_knows_is_named() {
    let registry = registry("u", "p");
    let error = ask(
        &registry,
        Auth::Gcp {
            options: secrets(&[("keyfile", "x")]),
        },
        &[],
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`auth gcp` has no option `keyfile`"),
        "{error}"
    );
}
