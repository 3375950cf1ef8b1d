//! Registries that refuse and do not say what they want, or want what nobody can give.

use crate::testing::{FaultProxy, answer, app, options};
use crate::{Auth, Client, ClientOptions, HostSettings, RegistryError, Secret};

const INDEX: &str = r#"{"schemaVersion":2,"manifests":[]}"#;
/// `u:p`
const BASIC: &str = "Basic dTpw";

/// A registry that lets `u` in, and refuses others with these headers.
fn strict(headers: &'static [(&'static str, &'static str)]) -> FaultProxy {
    FaultProxy::new(None, move |seen| match seen.header("Authorization") {
        Some(BASIC) => answer(200, &[], INDEX),
        _ => answer(401, headers, ""),
    })
}

fn pull(from: &FaultProxy, auth: Auth) -> Result<(), RegistryError> {
    let host = HostSettings {
        prefix: from.host(),
        auth,
        ..HostSettings::default()
    };
    let client = Client::new(ClientOptions {
        hosts: vec![host],
        ..options()
    });
    let client = client.unwrap();
    client.manifest(&app(from))?;
    client.manifest(&app(from).with_tag("2"))?;
    Ok(())
}

fn user(password: &str) -> Auth {
    Auth::Basic {
        user: "u".into(),
        password: Secret(password.into()),
        source: "the test".into(),
    }
}

#[test]
fn a_refusal_without_a_challenge_gets_the_password_and_then_it_is_known() {
    let registry = strict(&[]);
    pull(&registry, user("p")).unwrap();
    let sent = |seen: &crate::testing::RecordedRequest| seen.header("Authorization").is_some();
    let asked: Vec<bool> = registry.requests().iter().map(sent).collect();
    // `/v2/`, the first manifest without and with the password, the second with it.
    assert_eq!(asked, [false, false, true, true]);
    let error = pull(&registry, user("wrong")).unwrap_err().to_string();
    assert!(
        error.ends_with("(scope `repository:app:pull`, credential: the test); check that the credential is valid and has the right for this repository"),
        "{error}"
    );
}

#[test]
fn where_there_is_no_password_it_says_that_none_was_sent() {
    let registry = strict(&[]);
    let error = pull(&registry, Auth::Anonymous).unwrap_err().to_string();
    assert!(
        error.contains("; no credential was sent: log in with `imgmake login "),
        "{error}"
    );
}

#[test]
fn a_scheme_that_nobody_speaks_here_is_named_and_gets_no_password() {
    let registry = strict(&[("WWW-Authenticate", "Negotiate")]);
    let error = pull(&registry, user("p")).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "no credential was sent: the registry requires `negotiate`, but only Basic and Bearer are supported"
        ),
        "{error}"
    );
    let sent = registry.requests();
    assert!(
        sent.iter()
            .all(|seen| seen.header("Authorization").is_none())
    );
}
