//! The client against a real `docker-registry`.

use std::process::Command;

use super::testing::{Authority, Between, Registry, Shelf, client, client_with, job, noise};
use super::{Auth, Failure, HostSettings, OperationContext, PushPhase, Secret};
use imgmake_oci::image::{Platform, Reference, media_type};

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

#[test]
fn what_is_pushed_can_be_pulled_by_tag_and_by_digest() {
    let registry = Registry::start();
    let (here, there) = (Shelf::new(), Shelf::new());
    let image = here.image(
        "linux/amd64",
        &[noise(1, 3_000_000), noise(2, 10), Vec::new()],
    );
    let name = format!("{}/team/app:1", registry.host());
    let pushed = client()
        .push(
            &job(&name, &image),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
    assert_eq!(pushed[0].reference.to_string(), name);
    assert_eq!(pushed[0].digest, image.digest);

    for client in [client(), client()] {
        let resolved = client
            .resolve(
                &reference(&name),
                &amd64(),
                &there.store,
                &OperationContext::background(),
            )
            .unwrap();
        assert_eq!(resolved.manifest.digest, image.digest);
    }
    let client = client();
    let by_digest = client
        .manifest(&reference(&name).with_digest(&image.digest))
        .unwrap();
    let imgmake_oci::image::ManifestOrIndex::Manifest(manifest) =
        super::pull::parse(&by_digest).unwrap()
    else {
        panic!("it is a manifest");
    };
    client
        .pull_blobs(
            &reference(&name),
            &manifest.layers,
            &there.store,
            &OperationContext::background(),
        )
        .unwrap();
    assert!(manifest.layers.iter().all(|l| there.store.holds(l)));
}

#[test]
fn skopeo_reads_what_we_pushed_and_we_read_what_skopeo_pushed() {
    let registry = Registry::start();
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[noise(3, 500_000)]);
    let name = format!("{}/app", registry.host());
    client()
        .push(
            &job(&format!("{name}:ours"), &image),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
    let copied = Command::new("skopeo")
        .args([
            "copy",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            "--preserve-digests",
        ])
        .args([
            format!("docker://{name}:ours"),
            format!("docker://{name}2:theirs"),
        ])
        .output()
        .unwrap();
    assert!(
        copied.status.success(),
        "{}",
        String::from_utf8_lossy(&copied.stderr)
    );
    let found = client()
        .head(&reference(&format!("{name}2:theirs")))
        .unwrap()
        .unwrap();
    assert_eq!((found.digest, found.size), (image.digest, image.size));
}

#[test]
fn pushing_again_sends_nothing_but_two_questions() {
    let registry = Registry::start();
    let between = Between::watching(&registry);
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[noise(4, 1000), noise(5, 1000)]);
    let name = format!("{}/app:1", between.host());
    client()
        .push(
            &job(&name, &image),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
    between.forget();
    client()
        .push(
            &job(&name, &image),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
    assert_eq!(
        between.lines(),
        [
            format!("HEAD /v2/app/manifests/{}", image.digest),
            "HEAD /v2/app/manifests/1".to_string()
        ]
    );
}

#[test]
fn each_blob_is_sent_once_and_tags_come_last() {
    let registry = Registry::start();
    let between = Between::watching(&registry);
    let here = Shelf::new();
    let shared = noise(6, 2000);
    let one = here.image("linux/amd64", &[shared.clone(), noise(7, 10)]);
    let two = here.image("linux/arm64", &[shared.clone(), shared, noise(8, 10)]);
    let index = here.index(vec![one.clone(), two.clone()]);
    let client = client();
    let mut job = job(&format!("{}/app", between.host()), &index);
    job.tags = vec!["1".into(), "latest".into()];
    client
        .push(&job, &here.store, &OperationContext::background())
        .unwrap();
    let lines = between.lines();
    let puts: Vec<&str> = lines
        .iter()
        .filter_map(|l| l.strip_prefix("PUT "))
        .collect();
    // Three layers, two configs, two manifests, the index, two tags.
    assert_eq!(puts.len(), 5 + 2 + 1 + 2, "{puts:#?}");
    let manifests: Vec<&str> = puts
        .iter()
        .filter_map(|p| p.strip_prefix("/v2/app/manifests/"))
        .collect();
    assert_eq!(
        manifests,
        [
            one.digest.as_str(),
            two.digest.as_str(),
            index.digest.as_str(),
            "1",
            "latest"
        ]
    );
    let resolved = client
        .resolve(
            &reference(&format!("{}/app:1", between.host())),
            &"linux/arm64/v8".parse().unwrap(),
            &Shelf::new().store,
            &OperationContext::background(),
        )
        .unwrap();
    assert_eq!(
        (resolved.named.digest, resolved.manifest.digest),
        (index.digest, two.digest)
    );
}

#[test]
fn two_threads_pushing_the_same_image_upload_its_blobs_once() {
    let registry = Registry::start();
    let between = Between::watching(&registry);
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[noise(9, 200_000), noise(10, 200_000)]);
    let client = client();
    std::thread::scope(|scope| {
        for tag in ["a", "b", "c"] {
            let job = job(&format!("{}/app:{tag}", between.host()), &image);
            let (client, store) = (&client, &here.store);
            scope.spawn(move || {
                client
                    .push(&job, store, &OperationContext::background())
                    .unwrap()
            });
        }
    });
    let begun = between
        .lines()
        .iter()
        .filter(|l| l.starts_with("POST"))
        .count();
    assert_eq!(begun, 3);
}

#[test]
fn content_and_tags_can_be_pushed_apart() {
    let registry = Registry::start();
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[noise(11, 1000)]);
    let name = format!("{}/app:1", registry.host());
    let client = client();
    let mut job = job(&name, &image);
    job.phase = PushPhase::ContentOnly;
    client
        .push(&job, &here.store, &OperationContext::background())
        .unwrap();
    assert!(client.head(&reference(&name)).unwrap().is_none());
    assert!(
        client
            .head(&reference(&name).with_digest(&image.digest))
            .unwrap()
            .is_some()
    );
    job.phase = PushPhase::TagsOnly;
    client
        .push(&job, &here.store, &OperationContext::background())
        .unwrap();
    assert_eq!(
        client.head(&reference(&name)).unwrap().unwrap().digest,
        image.digest
    );
}

#[test]
fn a_blob_that_stayed_remote_is_mounted_within_a_registry() {
    let registry = Registry::start();
    let between = Between::watching(&registry);
    let (here, there) = (Shelf::new(), Shelf::new());
    let image = here.image("linux/amd64", &[noise(12, 100_000)]);
    let base = format!("{}/base:1", between.host());
    client()
        .push(
            &job(&base, &image),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
    let client = client();
    let resolved = client
        .resolve(
            &reference(&base),
            &amd64(),
            &there.store,
            &OperationContext::background(),
        )
        .unwrap();
    between.forget();
    let mut job = job(&format!("{}/copy:1", between.host()), &resolved.manifest);
    job.sources = vec![reference(&base)];
    client
        .push(&job, &there.store, &OperationContext::background())
        .unwrap();
    let lines = between.lines();
    assert!(
        lines
            .iter()
            .any(|l| l.contains("mount=sha256") && l.contains("from=base")),
        "{lines:#?}"
    );
    assert!(!lines.iter().any(|l| l.starts_with("GET")), "{lines:#?}");
    assert!(
        !lines.iter().any(|l| l.starts_with("PUT /v2/copy/blobs")),
        "{lines:#?}"
    );
}

#[test]
fn a_blob_that_stayed_remote_is_carried_to_another_registry() {
    let (first, second) = (Registry::start(), Registry::start());
    let (here, there) = (Shelf::new(), Shelf::new());
    let image = here.image("linux/amd64", &[noise(13, 100_000)]);
    let base = format!("{}/base:1", first.host());
    let client = client();
    client
        .push(
            &job(&base, &image),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
    let resolved = client
        .resolve(
            &reference(&base),
            &amd64(),
            &there.store,
            &OperationContext::background(),
        )
        .unwrap();
    let to = format!("{}/copy:1", second.host());
    let mut job = job(&to, &resolved.manifest);
    let refused = client
        .push(&job, &there.store, &OperationContext::background())
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("nothing says where it can be had"),
        "{refused}"
    );
    job.sources = vec![reference(&base)];
    client
        .push(&job, &there.store, &OperationContext::background())
        .unwrap();
    assert_eq!(
        client.head(&reference(&to)).unwrap().unwrap().digest,
        image.digest
    );
}

#[test]
fn foreign_layers_stay_where_they_are() {
    let registry = Registry::start();
    let between = Between::watching(&registry);
    let here = Shelf::new();
    let config = here.blob(media_type::OCI_CONFIG, b"{}");
    let mut foreign =
        imgmake_oci::image::Descriptor::of(media_type::DOCKER_LAYER_FOREIGN_GZIP, b"windows");
    foreign.urls = vec!["https://example.com/layer".into()];
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::DOCKER_MANIFEST,
        "config": {"mediaType": media_type::DOCKER_CONFIG, "digest": config.digest, "size": config.size},
        "layers": [foreign],
    });
    let root = here.blob(media_type::DOCKER_MANIFEST, manifest.to_string().as_bytes());
    // This registry wants foreign URLs to be allowed by its operator; what counts is that nothing was sent.
    drop(client().push(
        &job(&format!("{}/app:1", between.host()), &root),
        &here.store,
        &OperationContext::background(),
    ));
    assert!(
        !between
            .lines()
            .iter()
            .any(|l| l.contains(foreign.digest.as_str()))
    );
}

#[test]
fn a_missing_image_is_told_apart_from_a_failure() {
    let registry = Registry::start();
    let nowhere = reference(&format!("{}/no/such:tag", registry.host()));
    assert!(client().head(&nowhere).unwrap().is_none());
    let error = client().manifest(&nowhere).unwrap_err();
    assert!(error.is_missing() && !error.is_retryable());
    assert!(
        error
            .to_string()
            .contains("no/such: cannot pull the manifest `tag`: the registry answered 404"),
        "{error}"
    );
    let gone = reference(&format!("127.0.0.1:{}/x:1", super::testing::free_port()));
    let error = client().head(&gone).unwrap_err();
    assert_eq!(error.failure(), Failure::Connection);
    assert!(
        error.to_string().contains("nothing listens there"),
        "{error}"
    );
}

#[test]
fn a_platform_that_is_not_there_is_named_with_those_that_are() {
    let registry = Registry::start();
    let here = Shelf::new();
    let mut attestation = here.image("linux/amd64", &[noise(14, 3)]);
    attestation.platform = Some(Platform::new("unknown", "unknown", None));
    let index = here.index(vec![
        here.image("linux/arm64", &[noise(15, 3)]),
        attestation,
    ]);
    let name = format!("{}/app:1", registry.host());
    client()
        .push(
            &job(&name, &index),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
    let error = client()
        .resolve(
            &reference(&name),
            &amd64(),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no image for linux/amd64; it has linux/arm64"),
        "{error}"
    );
}

#[test]
fn relative_upload_locations_are_followed() {
    let registry = Registry::with("  relativeurls: true\n", "");
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[noise(16, 1000)]);
    let name = format!("{}/app:1", registry.host());
    client()
        .push(
            &job(&name, &image),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
}

fn basic(prefix: &str, password: &str) -> HostSettings {
    HostSettings {
        prefix: prefix.to_string(),
        auth: Auth::Basic {
            user: "alice".into(),
            password: Secret(password.into()),
            source: "the test".into(),
        },
        ..HostSettings::default()
    }
}

#[test]
fn a_password_opens_a_registry_and_a_wrong_one_says_where_it_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let passwords = Command::new("htpasswd")
        .args(["-Bbn", "alice", "s3cret"])
        .output()
        .unwrap();
    std::fs::write(dir.path().join("htpasswd"), passwords.stdout).unwrap();
    let registry = Registry::with(
        "",
        &format!(
            "auth:\n  htpasswd:\n    realm: here\n    path: {}\n",
            dir.path().join("htpasswd").display()
        ),
    );
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[noise(17, 300_000)]);
    let name = format!("{}/app:1", registry.host());
    let push = |client: &super::Client| {
        client.push(
            &job(&name, &image),
            &here.store,
            &OperationContext::background(),
        )
    };

    let error = push(&client()).unwrap_err();
    assert!(error.is_unauthorised());
    assert!(
        error.to_string().contains("docker login 127.0.0.1"),
        "{error}"
    );
    let error = push(&client_with(basic(&registry.host(), "wrong"))).unwrap_err();
    assert!(error.is_unauthorised());
    assert!(
        error.to_string().contains("credential: the test") && !error.to_string().contains("wrong"),
        "{error}"
    );
    let client = client_with(basic(&registry.host(), "s3cret"));
    push(&client).unwrap();
    assert!(client.head(&reference(&name)).unwrap().is_some());
}

#[test]
fn tls_needs_the_authority_and_may_need_a_client_certificate() {
    let authority = Authority::new();
    let path = |name: &str| authority.path(name);
    let tls = format!(
        "  tls:\n    certificate: {}\n    key: {}\n    clientcas:\n      - {}\n",
        path("server.crt").display(),
        path("server.key").display(),
        path("ca.crt").display()
    );
    let registry = Registry::with(&tls, "");
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[noise(18, 300_000)]);
    let push = |host: HostSettings| {
        let name = format!("{}/app:1", registry.host());
        client_with(HostSettings {
            prefix: registry.host(),
            ..host
        })
        .push(
            &job(&name, &image),
            &here.store,
            &OperationContext::background(),
        )
    };
    let unknown = push(HostSettings::default()).unwrap_err();
    assert_eq!(unknown.failure(), Failure::Tls, "{unknown}");
    assert!(
        unknown.to_string().contains("signed by nobody known here"),
        "{unknown}"
    );
    let nobody = push(HostSettings {
        ca: Some(path("ca.crt")),
        ..HostSettings::default()
    });
    assert!(nobody.is_err());
    let own = HostSettings {
        ca: Some(path("ca.crt")),
        client_certificate: Some((path("client.crt"), path("client.key"))),
        ..HostSettings::default()
    };
    push(own.clone()).unwrap();
    push(HostSettings {
        ca: None,
        skip_tls_verify: true,
        ..own.clone()
    })
    .unwrap();
    let mixed = push(HostSettings {
        client_certificate: Some((path("client.crt"), path("server.key"))),
        ..own
    })
    .unwrap_err();
    assert!(
        mixed
            .to_string()
            .contains("the key belongs to another certificate"),
        "{mixed}"
    );
}

#[test]
fn certificates_are_found_in_certs_d() {
    let authority = Authority::new();
    let tls = format!(
        "  tls:\n    certificate: {}\n    key: {}\n",
        authority.path("server.crt").display(),
        authority.path("server.key").display()
    );
    let registry = Registry::with(&tls, "");
    let home = tempfile::tempdir().unwrap();
    let certs = home
        .path()
        .join(".config/containers/certs.d")
        .join(registry.host());
    std::fs::create_dir_all(&certs).unwrap();
    std::fs::copy(authority.path("ca.crt"), certs.join("own.crt")).unwrap();
    let mut options = super::testing::options();
    options
        .environment
        .insert("HOME".into(), home.path().display().to_string());
    let client = super::Client::new(options).unwrap();
    assert!(
        client
            .head(&reference(&format!("{}/app:1", registry.host())))
            .unwrap()
            .is_none()
    );
}
