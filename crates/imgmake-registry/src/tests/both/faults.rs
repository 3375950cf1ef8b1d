//! What networks and registries do wrong, played by a server in between.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::testing::{
    Action, FaultProxy, RecordedRequest, Registry, Shelf, answer, client, client_with, free_port,
    job, options, random_bytes, reply, start_registry,
};
use super::{
    Auth, Client, ClientOptions, Failure, HostSettings, MirrorFallback, OperationContext, Secret,
};
use imgmake_event::{Cancel, Event, Events};
use imgmake_oci::image::{Descriptor, Digest, Reference};

fn is_blob_get(seen: &RecordedRequest) -> bool {
    seen.method == "GET" && seen.target.contains("/blobs/sha256")
}

/// A registry that holds one blob in `app`.
fn holding(bytes: &[u8]) -> (Registry, Descriptor) {
    let registry = start_registry();
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[bytes.to_vec()]);
    client()
        .push(
            &job(&format!("{}/app:1", registry.host()), &image),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
    (registry, Descriptor::of("application/octet-stream", bytes))
}

fn app(between: &FaultProxy) -> Reference {
    format!("{}/app:1", between.host()).parse().unwrap()
}

#[test]
fn a_download_that_breaks_goes_on_where_it_stopped() {
    let (registry, blob) = holding(&random_bytes(20, 900_000));
    let between = FaultProxy::new(Some(registry.port()), |seen| match seen.earlier {
        0..3 if is_blob_get(seen) => Action::CutResponse(250_000),
        _ => Action::Forward,
    });
    let shelf = Shelf::new();
    client()
        .pull_blob(
            &app(&between),
            &blob,
            &shelf.store,
            &OperationContext::background(),
        )
        .unwrap();
    assert!(shelf.store.holds(&blob));
    let ranges: Vec<Option<String>> = between
        .requests()
        .iter()
        .filter(|s| is_blob_get(s))
        .map(|s| s.header("Range").map(str::to_string))
        .collect();
    assert_eq!(ranges.len(), 4);
    assert_eq!(ranges[0], None);
    assert_eq!(ranges[3].as_deref(), Some("bytes=750000-"));
}

/// end-2: 200 in answer to `Range` is the whole blob: the part that is here is skipped.
#[test]
fn a_server_without_ranges_sends_all_again_and_the_known_part_is_skipped() {
    let bytes = random_bytes(21, 300_000);
    let blob = Descriptor::of("x", &bytes);
    let between = FaultProxy::new(None, move |seen| match (is_blob_get(seen), seen.earlier) {
        (true, 0) => {
            let length = bytes.len().to_string();
            answer(
                200,
                &[("Content-Length", length.as_str())],
                &bytes[..100_000],
            )
        }
        (true, _) => answer(200, &[], bytes.clone()),
        _ => answer(200, &[], ""),
    });
    let shelf = Shelf::new();
    client()
        .pull_blob(
            &app(&between),
            &blob,
            &shelf.store,
            &OperationContext::background(),
        )
        .unwrap();
    assert!(shelf.store.holds(&blob));
}

/// end-2: A blob whose bytes are not its digest never reaches the store.
#[test]
fn bytes_that_are_not_the_blob_never_reach_the_store() {
    let blob = Descriptor::of("x", b"right");
    for wrong in [&b"wrong"[..], b"longer than right"] {
        let body = wrong.to_vec();
        let between = FaultProxy::new(None, move |_| answer(200, &[], body.clone()));
        let shelf = Shelf::new();
        let error = client()
            .pull_blob(
                &app(&between),
                &blob,
                &shelf.store,
                &OperationContext::background(),
            )
            .unwrap_err();
        assert_eq!(error.failure(), Failure::Invalid, "{error}");
        assert!(!shelf.store.has(&blob.digest) && !shelf.store.has(&Digest::of(wrong)));
    }
    let between = FaultProxy::new(None, |_| answer(200, &[], "shrt"));
    let error = client()
        .pull_blob(
            &app(&between),
            &blob,
            &Shelf::new().store,
            &OperationContext::background(),
        )
        .unwrap_err();
    assert!(error.to_string().contains("4 of 5 bytes"), "{error}");
}

/// end-3: A manifest whose bytes do not match the requested digest is refused.
#[test]
fn a_manifest_that_is_not_its_digest_is_refused() {
    let between = FaultProxy::new(None, |_| {
        answer(
            200,
            &[("Content-Type", "application/vnd.oci.image.manifest.v1+json")],
            "{}",
        )
    });
    let wanted = app(&between).with_digest(&Digest::of(b"other"));
    let error = client().manifest(&wanted).unwrap_err();
    assert!(
        error.to_string().contains("sent a manifest with digest"),
        "{error}"
    );
    let large = FaultProxy::new(None, |_| answer(200, &[], vec![b' '; (4 << 20) + 1]));
    let error = client().manifest(&app(&large)).unwrap_err();
    assert!(error.to_string().contains("larger than 4 MiB"), "{error}");
}

#[test]
fn a_silent_connection_is_left_and_tried_again() {
    let (registry, blob) = holding(&random_bytes(22, 1000));
    let between = FaultProxy::new(Some(registry.port()), |seen| match seen.earlier {
        0 if is_blob_get(seen) => Action::Stall,
        _ => Action::Forward,
    });
    let client = Client::new(ClientOptions {
        idle_timeout: Duration::from_millis(300),
        ..options()
    })
    .unwrap();
    let shelf = Shelf::new();
    client
        .pull_blob(
            &app(&between),
            &blob,
            &shelf.store,
            &OperationContext::background(),
        )
        .unwrap();
}

/// errors: 429 and 5xx are tried again; `Retry-After` counts as seconds and as a date.
#[test]
fn transient_errors_are_retried_and_retry_after_is_honored_in_both_forms() {
    let date = |ahead: u64| {
        let at = jiff::Timestamp::now() + Duration::from_secs(ahead);
        at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    };
    let soon = date(1);
    let (registry, _) = holding(b"x");
    let between = FaultProxy::new(Some(registry.port()), move |seen| {
        match (seen.target.as_str(), seen.earlier) {
            ("/v2/", _) => Action::Forward,
            (_, 0) => answer(429, &[("Retry-After", "1")], "too many requests"),
            (_, 1) => answer(503, &[("Retry-After", soon.as_str())], ""),
            (_, 2) => answer(500, &[], "<html>oops</html>"),
            _ => Action::Forward,
        }
    });
    assert!(client().head(&app(&between)).unwrap().is_some());
    let patient = FaultProxy::new(None, |_| {
        answer(429, &[("Retry-After", "86400")], "come back tomorrow")
    });
    let error = client().manifest(&app(&patient)).unwrap_err();
    assert_eq!(error.failure(), Failure::Throttled);
    assert!(
        error.to_string().contains("come back tomorrow") && error.to_string().contains("86400 s"),
        "{error}"
    );
}

/// errors: 400, 401, 403 and 404 are final.
#[test]
fn what_will_not_change_is_asked_once() {
    for (status, failure) in [
        (401, Failure::Unauthorized),
        (403, Failure::Denied),
        (404, Failure::Missing),
        (400, Failure::Refused),
    ] {
        let between = FaultProxy::new(None, move |_| answer(status, &[], ""));
        let error = client().manifest(&app(&between)).unwrap_err();
        assert_eq!(error.failure(), failure);
        assert_eq!(between.lines().len(), 1, "{status}");
    }
}

/// end-2: A redirect to another host takes no credential along.
#[test]
fn a_credential_is_dropped_on_a_redirect_to_another_host() {
    let bytes = random_bytes(23, 5000);
    let blob = Descriptor::of("x", &bytes);
    let elsewhere = FaultProxy::new(None, move |_| answer(200, &[], bytes.clone()));
    let location = format!("http://{}/signed?x=1", elsewhere.host());
    let between = FaultProxy::new(None, move |seen| {
        if seen.header("Authorization").is_none() {
            return answer(401, &[("WWW-Authenticate", "Basic realm=\"r\"")], "");
        }
        answer(307, &[("Location", location.as_str())], "")
    });
    let client = client_with(HostSettings {
        prefix: between.host(),
        auth: Auth::Basic {
            user: "u".into(),
            password: Secret("p".into()),
            source: "test".into(),
        },
        ..HostSettings::default()
    });
    let shelf = Shelf::new();
    client
        .pull_blob(
            &app(&between),
            &blob,
            &shelf.store,
            &OperationContext::background(),
        )
        .unwrap();
    assert!(
        between
            .requests()
            .last()
            .unwrap()
            .header("Authorization")
            .is_some()
    );
    assert!(
        elsewhere
            .requests()
            .iter()
            .all(|s| s.header("Authorization").is_none())
    );
}

/// end-6: 307 sends the body again to the new address.
#[test]
fn an_upload_follows_a_307_with_its_body() {
    let registry = start_registry();
    let host = registry.host();
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[random_bytes(24, 400_000)]);
    let between = FaultProxy::new(Some(registry.port()), move |seen| {
        match seen.method.as_str() {
            // The registry itself is another host, which needs no credential here.
            "PUT" if seen.target.contains("/blobs/") => answer(
                307,
                &[("Location", format!("http://{host}{}", seen.target).as_str())],
                "",
            ),
            _ => Action::Forward,
        }
    });
    let name = format!("{}/app:1", between.host());
    client()
        .push(
            &job(&name, &image),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
}

#[test]
fn an_upload_that_breaks_restarts_where_its_status_is_lost() {
    let registry = start_registry();
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[random_bytes(25, 2_000_000)]);
    let cuts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&cuts);
    let between = FaultProxy::new(Some(registry.port()), move |seen| {
        let body =
            matches!(seen.method.as_str(), "PUT" | "PATCH") && seen.target.contains("/blobs/");
        if body
            && seen.header("Content-Length") != Some("0")
            && counted.fetch_add(1, Ordering::SeqCst) < 2
        {
            return Action::CutRequest(700_000);
        }
        Action::Forward
    });
    let name = format!("{}/app:1", between.host());
    client()
        .push(
            &job(&name, &image),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
    let shelf = Shelf::new();
    let resolved = client()
        .resolve(
            &name.parse().unwrap(),
            &"linux/amd64".parse().unwrap(),
            &shelf.store,
            &OperationContext::background(),
        )
        .unwrap();
    assert_eq!(resolved.manifest.digest, image.digest);
    assert!(cuts.load(Ordering::SeqCst) >= 2);
}

/// end-11: 202 in answer to a mount is an upload that has begun: it continues at its `Location`.
#[test]
fn a_refused_mount_is_an_upload() {
    let registry = start_registry();
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[random_bytes(27, 10_000)]);
    let between = FaultProxy::new(Some(registry.port()), |seen| {
        if seen.target.contains("mount=") {
            return answer(
                403,
                &[],
                r#"{"errors":[{"code":"DENIED","message":"no mounts"}]}"#,
            );
        }
        Action::Forward
    });
    let mut job = job(&format!("{}/app:1", between.host()), &image);
    job.sources = vec![format!("{}/base", between.host()).parse().unwrap()];
    client()
        .push(&job, &here.store, &OperationContext::background())
        .unwrap();
    assert!(between.lines().iter().any(|l| l.contains("from=base")));
}

#[test]
fn a_broken_connection_anywhere_in_a_push_is_survived() {
    let registry = start_registry();
    let here = Shelf::new();
    let image = here.image(
        "linux/amd64",
        &[random_bytes(28, 50_000), random_bytes(29, 50_000)],
    );
    let turn = Arc::new(AtomicUsize::new(0));
    let between = FaultProxy::new(Some(registry.port()), move |_| {
        // About every fourth request, in no rhythm that a retry could fall into.
        let turn = turn.fetch_add(1, Ordering::SeqCst) as u32;
        match turn.wrapping_mul(2_654_435_761) >> 30 {
            2 => Action::CutRequest(0),
            _ => Action::Forward,
        }
    });
    let client = Client::new(ClientOptions {
        attempts: 12,
        ..options()
    })
    .unwrap();
    let name = format!("{}/app:1", between.host());
    client
        .push(
            &job(&name, &image),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
}

#[test]
fn a_cancelled_push_stops_between_blocks() {
    let registry = start_registry();
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[random_bytes(30, 8_000_000)]);
    let cancel = Cancel::default();
    let sink = cancel.clone();
    let work = OperationContext {
        target: "t".into(),
        events: Events::to(move |event| {
            if matches!(event, Event::Progress { .. }) {
                sink.cancel();
            }
        }),
        cancel,
    };
    let name = format!("{}/app:1", registry.host());
    let error = client()
        .push(&job(&name, &image), &here.store, &work)
        .unwrap_err();
    assert!(error.is_cancelled(), "{error}");
    assert!(client().head(&name.parse().unwrap()).unwrap().is_none());
}

#[test]
fn identity_tokens_are_spent_by_post_and_by_get_where_there_is_no_post() {
    let served = |post: bool| {
        let tokens = FaultProxy::new(None, move |seen| match seen.method.as_str() {
            "POST" if post => Action::Read(
                usize::MAX,
                Box::new(|body| {
                    let body = String::from_utf8(body).unwrap();
                    let right = body.contains("grant_type=refresh_token")
                        && body.contains("refresh_token=idt");
                    Some(reply(
                        if right { 200 } else { 400 },
                        &[],
                        r#"{"access_token":"good"}"#,
                    ))
                }),
            ),
            "POST" => answer(404, &[], ""),
            _ => answer(200, &[], r#"{"token":"good"}"#),
        });
        let realm = format!(
            r#"Bearer realm="http://{}/token",service="s""#,
            tokens.host()
        );
        let registry = FaultProxy::new(None, move |seen| match seen.header("Authorization") {
            Some("Bearer good") => answer(200, &[], r#"{"schemaVersion":2,"manifests":[]}"#),
            _ => answer(401, &[("WWW-Authenticate", realm.as_str())], ""),
        });
        (tokens, registry)
    };
    for post in [true, false] {
        let (tokens, registry) = served(post);
        let client = client_with(HostSettings {
            prefix: registry.host(),
            auth: Auth::Basic {
                user: "<token>".into(),
                password: Secret("idt".into()),
                source: "test".into(),
            },
            ..HostSettings::default()
        });
        client.manifest(&app(&registry)).unwrap();
        assert_eq!(tokens.lines().last().unwrap().starts_with("POST"), post);
    }
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_when_it_fails() {
    let (registry, blob) = holding(&random_bytes(35, 20_000));
    let origin = FaultProxy::recording(registry.port());
    let mirror = FaultProxy::new(Some(registry.port()), |seen| {
        if is_blob_get(seen) {
            answer(404, &[], "")
        } else {
            Action::Forward
        }
    });
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&warnings);
    let work = OperationContext {
        events: Events::to(move |e| {
            if let Event::Warning { message, .. } = e {
                sink.lock().unwrap().push(message)
            }
        }),
        ..OperationContext::background()
    };
    let settings = |mirrors: Vec<String>, mirror_fallback| HostSettings {
        prefix: origin.host(),
        mirrors,
        mirror_fallback,
        ..HostSettings::default()
    };
    let dead = format!("127.0.0.1:{}", free_port());
    let client = client_with(settings(
        vec![dead.clone(), mirror.host()],
        MirrorFallback::Allowed,
    ));
    let shelf = Shelf::new();
    client
        .resolve(
            &app(&origin),
            &"linux/amd64".parse().unwrap(),
            &shelf.store,
            &work,
        )
        .unwrap();
    client
        .pull_blob(&app(&origin), &blob, &shelf.store, &work)
        .unwrap();
    assert!(mirror.lines().len() >= 2);
    assert_eq!(
        origin
            .lines()
            .iter()
            .filter(|l| l.contains("manifests"))
            .count(),
        0
    );
    assert_eq!(
        warnings.lock().unwrap().len(),
        1,
        "a dead mirror is named once"
    );

    let strict = client_with(settings(vec![dead], MirrorFallback::Off));
    let error = strict.manifest(&app(&origin)).unwrap_err();
    assert_eq!(error.failure(), Failure::Connection, "{error}");
}
