//! Token authentication of a real `docker-registry`, with a token server that
//! signs; tokens that end while a layer is on its way.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::testing::{
    Action, Authority, FaultProxy, RecordedRequest, Registry, Shelf, answer, asked_from,
    client_with, is_blob_get, job, random_bytes, signed_token,
};
use crate::{Auth, HostSettings, OperationContext, Secret};
use imgmake_oci::image::Descriptor;

/// A registry with token authentication and its token server.
pub(crate) struct Guarded {
    pub registry: Registry,
    tokens: FaultProxy,
}

/// Seconds for which a token is good, and for which its server says that it is.
#[derive(Clone, Copy)]
pub(crate) struct Lifetime {
    pub good: u64,
    pub told: u64,
}

pub(crate) const LONG: Lifetime = Lifetime {
    good: 300,
    told: 300,
};

const SERVICE: &str = "test registry";

pub(crate) fn guarded(lifetime: Lifetime) -> Guarded {
    let authority = Authority::new();
    let bundle = authority.path("ca.crt");
    let file = std::fs::read(&bundle).unwrap();
    let tokens = FaultProxy::new(None, move |seen| {
        let url = url::Url::parse(&format!("http://x{}", seen.target)).unwrap();
        if seen.header("Authorization") != Some("Basic dTpw") {
            return answer(401, &[], r#"{"details":"incorrect username or password"}"#);
        }
        let scopes: Vec<(String, Vec<String>)> = url
            .query_pairs()
            .filter(|(k, _)| k == "scope")
            .filter_map(|(_, v)| {
                let mut parts = v.split(':').skip(1);
                let name = parts.next()?.to_string();
                Some((name, parts.next()?.split(',').map(str::to_string).collect()))
            })
            .filter(|(name, _): &(String, Vec<String>)| name != "secret")
            .collect();
        let actions: Vec<Vec<&str>> = scopes
            .iter()
            .map(|(_, a)| a.iter().map(String::as_str).collect())
            .collect();
        let access: Vec<(&str, &[&str])> = scopes
            .iter()
            .zip(&actions)
            .map(|((n, _), a)| (n.as_str(), &a[..]))
            .collect();
        let token = signed_token(&authority, "issuer", SERVICE, &access, lifetime.good);
        answer(
            200,
            &[],
            serde_json::json!({"token": token, "expires_in": lifetime.told}).to_string(),
        )
    });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.keep().join("bundle.pem");
    std::fs::write(&path, file).unwrap();
    let registry = Registry::with(
        "",
        &format!(
            "auth:\n  token:\n    realm: http://{}/token\n    service: {SERVICE}\n    issuer: issuer\n    rootcertbundle: {}\n",
            tokens.host(),
            path.display()
        ),
    );
    Guarded { registry, tokens }
}

fn user(prefix: String) -> HostSettings {
    HostSettings {
        prefix,
        auth: Auth::Basic {
            user: "u".into(),
            password: Secret("p".into()),
            source: "test".into(),
        },
        ..HostSettings::default()
    }
}

#[test]
fn tokens_are_fetched_once_per_scope_and_name_push_first() {
    let guarded = guarded(LONG);
    let here = Shelf::new();
    let image = here.image(
        "linux/amd64",
        &[random_bytes(31, 300_000), random_bytes(32, 10)],
    );
    let name = format!("{}/team/app:1", guarded.registry.host());
    let client = client_with(user(guarded.registry.host()));
    client
        .push(
            &job(&name, &image),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
    let asked = guarded.tokens.lines();
    assert_eq!(asked.len(), 1, "{asked:#?}");
    assert!(
        asked[0].contains("service=test+registry&scope=repository%3Ateam%2Fapp%3Apull%2Cpush"),
        "{asked:#?}"
    );
    assert!(client.head(&name.parse().unwrap()).unwrap().is_some());
}

#[test]
fn refusals_say_scope_and_source() {
    let guarded = guarded(LONG);
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[random_bytes(33, 10)]);
    let host = guarded.registry.host();
    let push = |repository: &str, settings: HostSettings| {
        client_with(settings)
            .push(
                &job(&format!("{host}/{repository}:1"), &image),
                &here.store,
                &OperationContext::background(),
            )
            .unwrap_err()
    };
    let denied = push("secret", user(host.clone()));
    assert!(denied.is_unauthorized());
    assert!(
        denied
            .to_string()
            .contains("scope `repository:secret:pull,push`, credential: test"),
        "{denied}"
    );
    let mut wrong = user(host.clone());
    wrong.auth = Auth::Basic {
        user: "u".into(),
        password: Secret("xyzzy".into()),
        source: "PLUGIN_PASSWORD".into(),
    };
    let wrong = push("app", wrong);
    assert!(wrong.is_unauthorized());
    let text = wrong.to_string();
    assert!(
        text.contains("get a token from 127.0.0.1")
            && text.contains("incorrect username or password")
            && text.contains("PLUGIN_PASSWORD"),
        "{text}"
    );
    assert!(!text.contains("xyzzy"));
}

#[test]
fn a_token_that_ends_in_the_middle_is_renewed_and_the_layer_sent_again() {
    let guarded = guarded(LONG);
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[random_bytes(34, 500_000)]);
    let realm = format!(
        r#"Bearer realm="http://{}/token",service="{SERVICE}""#,
        guarded.tokens.host()
    );
    let between = FaultProxy::new(Some(guarded.registry.port()), move |seen| {
        // As if it had ended: the first upload's PUT and the first tag.
        if seen.method == "PUT" && seen.earlier == 0 {
            return answer(401, &[("WWW-Authenticate", realm.as_str())], "");
        }
        Action::Forward
    });
    let client = client_with(user(between.host()));
    client
        .push(
            &job(&format!("{}/app:1", between.host()), &image),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
    assert!(guarded.tokens.lines().len() > 1);
}

fn is_layer(seen: &RecordedRequest) -> bool {
    seen.method == "PUT" && seen.target.contains("/blobs/")
}

fn tokens_used(between: &FaultProxy) -> usize {
    let of = |seen: &RecordedRequest| seen.header("Authorization").map(str::to_string);
    let used: BTreeSet<String> = between.requests().iter().filter_map(of).collect();
    used.len()
}

#[test]
fn a_token_that_really_ended_in_mid_layer_is_renewed_and_the_layer_arrives() {
    // The server promises five minutes and keeps three seconds: only the 401 tells.
    let guarded = guarded(Lifetime { good: 3, told: 300 });
    let between = FaultProxy::new(Some(guarded.registry.port()), |seen| {
        if is_layer(seen) && seen.header("Content-Length") == Some("500000") {
            std::thread::sleep(Duration::from_millis(4500));
            return Action::CutRequest(200_000);
        }
        Action::Forward
    });
    let (here, there) = (Shelf::new(), Shelf::new());
    let image = here.image("linux/amd64", &[random_bytes(600, 500_000)]);
    let name = format!("{}/app:1", between.host());
    let client = client_with(user(between.host()));
    client
        .push(
            &job(&name, &image),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
    assert!(tokens_used(&between) >= 2);

    let blob = Descriptor::of("x", &random_bytes(600, 500_000));
    let late = AtomicBool::new(false);
    let slow = FaultProxy::new(Some(guarded.registry.port()), move |seen| {
        match (is_blob_get(seen), seen.header("Range")) {
            (true, None) => Action::CutResponse(200_000),
            // What was good when the layer began has ended when the rest is asked for.
            (true, Some(_)) if !late.swap(true, Ordering::SeqCst) => {
                std::thread::sleep(Duration::from_millis(4500));
                Action::Forward
            }
            _ => Action::Forward,
        }
    });
    client_with(user(slow.host()))
        .pull_blob(
            &format!("{}/app:1", slow.host()).parse().unwrap(),
            &blob,
            &there.store,
            &OperationContext::background(),
        )
        .unwrap();
    assert!(there.store.holds(&blob));
    let asked = asked_from(&slow);
    assert_eq!(asked.iter().max(), Some(&200_000), "{asked:?}");
    assert!(tokens_used(&slow) >= 2);
}

#[test]
fn tokens_are_renewed_before_they_end() {
    let guarded = guarded(Lifetime { good: 60, told: 3 });
    let between = FaultProxy::new(Some(guarded.registry.port()), |seen| {
        if is_layer(seen) {
            std::thread::sleep(Duration::from_millis(1500));
        }
        Action::Forward
    });
    let here = Shelf::new();
    let image = here.image(
        "linux/amd64",
        &[random_bytes(601, 1000), random_bytes(602, 1000)],
    );
    let client = client_with(HostSettings {
        concurrency: Some(1),
        ..user(between.host())
    });
    client
        .push(
            &job(&format!("{}/app:1", between.host()), &image),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
    assert!(tokens_used(&between) >= 2);
    // Nothing was refused: each upload was begun and sent once.
    let begun = between
        .lines()
        .iter()
        .filter(|l| l.starts_with("POST"))
        .count();
    let sent = between.requests().iter().filter(|s| is_layer(s)).count();
    assert_eq!((begun, sent), (3, 3));
}
