//! What is special about each registry that people use, played under its name. The
//! clouds' own are in `cloud/tests`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::testing::{
    Action, FaultProxy, RecordedRequest, Shelf, answer, client as plain_client, everywhere, job,
    random_bytes, start_registry,
};
use super::{Auth, Client, HostSettings, OperationContext, PushJob, Secret};
use imgmake_event::{Event, Events};
use imgmake_oci::image::{
    Descriptor, ImageConfig, ImageManifest, ManifestFormat, Reference, media_type, to_json,
};

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// Lines of requests to one host, without the probe.
fn lines(world: &FaultProxy, host: &str) -> Vec<String> {
    let of =
        |seen: &RecordedRequest| seen.through.as_deref() == Some(host) && seen.line() != "GET /v2/";
    world
        .requests()
        .iter()
        .filter(|s| of(s))
        .map(RecordedRequest::line)
        .collect()
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn at(host: &str, user: &str) -> HostSettings {
    HostSettings {
        prefix: host.into(),
        auth: Auth::Basic {
            user: user.into(),
            password: Secret("word".into()),
            source: "imgmake.kdl:1".into(),
        },
        ..HostSettings::default()
    }
}

/// Docker Hub with one image, `library/alpine`, that throttles the first GET.
fn hub(throttled: usize) -> FaultProxy {
    let manifest = r#"{"schemaVersion":2,"manifests":[]}"#;
    let digest = imgmake_oci::image::Digest::of(manifest.as_bytes()).to_string();
    let gets = AtomicUsize::new(0);
    FaultProxy::new(None, move |seen| match seen.through.as_deref() {
        Some("auth.docker.io") => {
            assert!(
                seen.target.contains("service=registry.docker.io"),
                "{}",
                seen.target
            );
            match seen.header("Authorization") == Some(&basic("ann", "hubword")) {
                true => answer(200, &[], r#"{"token":"hub","expires_in":300}"#),
                false => answer(401, &[], r#"{"details":"incorrect username or password"}"#),
            }
        }
        Some("registry-1.docker.io") if seen.header("Authorization") != Some("Bearer hub") => {
            let challenge = r#"Bearer realm="http://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull""#;
            answer(
                401,
                &[("www-authenticate", challenge)],
                r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#,
            )
        }
        Some("registry-1.docker.io") if seen.target == "/v2/library/alpine/manifests/3" => {
            if seen.method == "GET" && gets.fetch_add(1, Ordering::SeqCst) < throttled {
                let text = "You have reached your pull rate limit. You may increase the limit by upgrading.";
                return answer(
                    429,
                    &[("Retry-After", "0"), ("Content-Type", "text/plain")],
                    text,
                );
            }
            let headers = [
                ("Docker-Content-Digest", digest.as_str()),
                ("Content-Type", media_type::OCI_INDEX),
            ];
            answer(200, &headers, manifest)
        }
        other => panic!("{other:?} {seen:?}"),
    })
}

fn hub_client(world: &FaultProxy, home: &std::path::Path) -> Client {
    std::fs::create_dir_all(home.join(".docker")).unwrap();
    let auth = STANDARD.encode("ann:hubword");
    std::fs::write(
        home.join(".docker/config.json"),
        format!(r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{auth}"}}}}}}"#),
    )
    .unwrap();
    let host = HostSettings {
        prefix: "docker.io".into(),
        ..HostSettings::default()
    };
    let environment = [("HOME", home.to_str().unwrap())];
    Client::new(everywhere(world, vec![host], &environment)).unwrap()
}

#[test]
fn docker_hub_has_its_own_names_and_answers_a_head_for_nothing() {
    let (world, home) = (hub(1), tempfile::tempdir().unwrap());
    let client = hub_client(&world, home.path());
    assert!(client.head(&reference("alpine:3")).unwrap().is_some());
    let asked = lines(&world, "registry-1.docker.io");
    assert!(asked.iter().all(|l| l.starts_with("HEAD ")), "{asked:?}");
    // Throttled once, in plain text, and tried again.
    client
        .manifest(&reference("docker.io/library/alpine:3"))
        .unwrap();
}

#[test]
fn docker_hub_that_keeps_throttling_is_told_in_its_words_with_what_helps() {
    let (world, home) = (hub(usize::MAX), tempfile::tempdir().unwrap());
    let error = hub_client(&world, home.path())
        .manifest(&reference("alpine:3"))
        .unwrap_err();
    let text = error.to_string();
    for piece in [
        "429",
        "pull rate limit",
        "Docker Hub limits pulls",
        "mirror",
    ] {
        assert!(text.contains(piece), "{piece}: {text}");
    }
}

/// Ends blobs too early: first with a length that says so, then by hanging up.
#[test]
fn a_blob_of_ghcr_that_ends_too_early_is_resumed() {
    let (behind, shelf) = (start_registry(), Shelf::new());
    let content = random_bytes(50, 300_000);
    let image = shelf.image("linux/amd64", std::slice::from_ref(&content));
    let there = format!("{}/acme/app:1", behind.host());
    plain_client()
        .push(
            &job(&there, &image),
            &shelf.store,
            &OperationContext::background(),
        )
        .unwrap();
    let blob = Descriptor::of(media_type::OCI_LAYER_GZIP, &content);
    let path = format!("/v2/acme/app/blobs/{}", blob.digest);
    let begun = content[..100_000].to_vec();
    let world = FaultProxy::new(Some(behind.port()), move |seen| match seen.earlier {
        _ if seen.target != path => Action::Forward,
        0 => answer(
            200,
            &[("Content-Type", "application/octet-stream")],
            begun.clone(),
        ),
        1 => Action::CutResponse(50_000),
        _ => Action::Forward,
    });
    let hosts = vec![HostSettings {
        prefix: "ghcr.io".into(),
        ..HostSettings::default()
    }];
    let client = Client::new(everywhere(&world, hosts, &[])).unwrap();
    let other = Shelf::new();
    client
        .pull_blob(
            &reference("ghcr.io/acme/app:1"),
            &blob,
            &other.store,
            &OperationContext::background(),
        )
        .unwrap();
    let ranges: Vec<String> = world
        .requests()
        .iter()
        .filter_map(|s| s.header("Range").map(str::to_string))
        .collect();
    assert_eq!(ranges, ["bytes=100000-", "bytes=150000-"]);
}

#[test]
fn quay_is_asked_to_mount_from_somewhere_and_uploads_what_it_refuses_to_mount() {
    let (behind, shelf) = (start_registry(), Shelf::new());
    let image = shelf.image("linux/amd64", &[random_bytes(51, 50_000)]);
    let world = FaultProxy::new(Some(behind.port()), |seen| {
        if seen.target.contains("mount=") {
            assert!(seen.target.contains("from=acme%2Fbase"), "{}", seen.target);
            return answer(
                405,
                &[],
                r#"{"errors":[{"code":"UNSUPPORTED","message":"no mounts"}]}"#,
            );
        }
        match seen.earlier {
            // A proxy in front that is being replaced.
            0 if seen.method == "HEAD" || seen.line().ends_with("/blobs/uploads/") => answer(
                502,
                &[("Content-Type", "text/html")],
                "<html><title>502 Bad Gateway</title></html>",
            ),
            _ => Action::Forward,
        }
    });
    let hosts = vec![HostSettings {
        prefix: "quay.io".into(),
        ..HostSettings::default()
    }];
    let client = Client::new(everywhere(&world, hosts, &[])).unwrap();
    let job = PushJob {
        sources: vec![reference("quay.io/acme/base:1")],
        ..job("quay.io/acme/app:1", &image)
    };
    client
        .push(&job, &shelf.store, &OperationContext::background())
        .unwrap();
    assert!(
        lines(&world, "quay.io")
            .iter()
            .any(|l| l.contains("mount="))
    );
    let there = plain_client().head(&reference(&format!("{}/acme/app:1", behind.host())));
    assert_eq!(there.unwrap().unwrap().digest, image.digest);
}

/// GitLab has its token server elsewhere, Harbor's robots have a `$` in their names;
/// the tokens of both end in the middle of things.
#[test]
fn tokens_that_end_in_the_middle_of_a_push_are_renewed_where_gitlab_and_harbor_give_them() {
    for (host, tokens, path, user) in [
        (
            "registry.gitlab.example",
            "gitlab.example",
            "/jwt/auth",
            "gitlab-ci-token",
        ),
        (
            "harbor.example",
            "harbor.example",
            "/service/token",
            "robot$ci",
        ),
    ] {
        let (behind, shelf) = (start_registry(), Shelf::new());
        let right = basic(user, "word");
        let issued = Arc::new(AtomicUsize::new(0));
        let (given, uses) = (Arc::clone(&issued), Mutex::new(0));
        let world = FaultProxy::new(Some(behind.port()), move |seen| {
            if seen.target.starts_with(path) {
                assert_eq!(seen.through.as_deref(), Some(tokens));
                if seen.header("Authorization") != Some(&right) {
                    return answer(
                        401,
                        &[],
                        r#"{"errors":[{"code":"UNAUTHORIZED","message":"who?"}]}"#,
                    );
                }
                let number = given.fetch_add(1, Ordering::SeqCst) + 1;
                *uses.lock().unwrap() = 0;
                return answer(200, &[], format!(r#"{{"token":"token-{number}"}}"#));
            }
            assert_eq!(seen.through.as_deref(), Some(host));
            let now = format!("Bearer token-{}", given.load(Ordering::SeqCst));
            let mut uses = uses.lock().unwrap();
            *uses += 1;
            // Three requests, and a token has ended.
            if seen.header("Authorization") == Some(&now) && *uses <= 3 {
                return Action::Forward;
            }
            let challenge = format!(
                r#"Bearer realm="http://{tokens}{path}",service="container_registry",scope="repository:team/app:pull,push",error="invalid_token""#
            );
            answer(
                401,
                &[("WWW-Authenticate", &challenge)],
                r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#,
            )
        });
        let settings = HostSettings {
            concurrency: Some(1),
            ..at(host, user)
        };
        let client = Client::new(everywhere(&world, vec![settings], &[])).unwrap();
        let layers: Vec<Vec<u8>> = (0..4).map(|n| random_bytes(60 + n, 20_000)).collect();
        let image = shelf.image("linux/amd64", &layers);
        client
            .push(
                &job(&format!("{host}/team/app:1"), &image),
                &shelf.store,
                &OperationContext::background(),
            )
            .unwrap();
        assert!(
            issued.load(Ordering::SeqCst) >= 4,
            "{}",
            issued.load(Ordering::SeqCst)
        );
        let there = plain_client().head(&reference(&format!("{}/team/app:1", behind.host())));
        assert_eq!(there.unwrap().unwrap().digest, image.digest);
    }
}

/// An image whose history tells of one layer more than there is.
fn with_wrong_history(shelf: &Shelf) -> Descriptor {
    let layer = shelf.blob(media_type::OCI_LAYER_GZIP, &random_bytes(70, 1000));
    let mut config = ImageConfig::scratch(&"linux/amd64".parse().unwrap());
    config.rootfs.diff_ids = vec![layer.digest.clone()];
    config.history = vec![
        imgmake_oci::image::History::default(),
        imgmake_oci::image::History::default(),
    ];
    let config = shelf.blob(media_type::OCI_CONFIG, &to_json(&config));
    let manifest = ImageManifest::new(ManifestFormat::Oci, config, vec![layer]);
    shelf.blob(media_type::OCI_MANIFEST, &to_json(&manifest))
}

#[test]
fn a_history_that_artifactory_will_refuse_is_told_before_the_push_and_explains_the_refusal() {
    let (behind, shelf) = (start_registry(), Shelf::new());
    let image = with_wrong_history(&shelf);
    let world = FaultProxy::new(Some(behind.port()), |seen| {
        match seen.line().starts_with("PUT /v2/docker/app/manifests/") {
            true => answer(
                400,
                &[],
                r#"{"errors":[{"code":"MANIFEST_INVALID","message":"manifest invalid","detail":{"description":null}}]}"#,
            ),
            false => Action::Forward,
        }
    });
    let hosts = vec![at("acme.jfrog.io", "ann")];
    let client = Client::new(everywhere(&world, hosts, &[])).unwrap();
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&warnings);
    let work = OperationContext {
        events: Events::to(move |event| {
            if let Event::Warning { message, .. } = event {
                sink.lock().unwrap().push(message);
            }
        }),
        ..OperationContext::background()
    };
    let error = client
        .push(
            &job("acme.jfrog.io/docker/app:1", &image),
            &shelf.store,
            &work,
        )
        .unwrap_err();
    let mismatch = "has 2 entries with a layer, its manifest 1 layers";
    assert!(error.to_string().contains(mismatch), "{error}");
    let warnings = warnings.lock().unwrap().clone();
    assert!(
        warnings.len() == 1 && warnings[0].contains(mismatch),
        "{warnings:?}"
    );
}
