//! The client against a registry: the testkit's here, a `docker-registry` process in `tests/real/`.

use super::testing::{
    FaultProxy, Shelf, client, job, random_bytes, start_registry, start_relative_registry,
};
use super::{Failure, OperationContext, PushPhase};
use imgmake_oci::image::{ManifestOrIndex, Platform, Reference, media_type};

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

/// end-3: A manifest is pulled by its tag and by its digest, and what it names with it.
#[test]
fn what_is_pushed_can_be_pulled_by_tag_and_by_digest() {
    let registry = start_registry();
    let (here, there) = (Shelf::new(), Shelf::new());
    let image = here.image(
        "linux/amd64",
        &[random_bytes(1, 3_000_000), random_bytes(2, 10), Vec::new()],
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
    let ManifestOrIndex::Manifest(manifest) =
        ManifestOrIndex::parse(&by_digest.bytes, None).unwrap()
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

/// end-3: HEAD tells whether a manifest is there; then nothing is sent.
#[test]
fn pushing_again_sends_nothing_but_two_questions() {
    let registry = start_registry();
    let between = FaultProxy::recording(registry.port());
    let here = Shelf::new();
    let image = here.image(
        "linux/amd64",
        &[random_bytes(4, 1000), random_bytes(5, 1000)],
    );
    let name = format!("{}/app:1", between.host());
    client()
        .push(
            &job(&name, &image),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
    between.clear();
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

/// end-4a, end-6, end-7: Blobs by POST and PUT, then the manifest by its digest, then the tags.
#[test]
fn each_blob_is_sent_once_and_tags_come_last() {
    let registry = start_registry();
    let between = FaultProxy::recording(registry.port());
    let here = Shelf::new();
    let shared = random_bytes(6, 2000);
    let one = here.image("linux/amd64", &[shared.clone(), random_bytes(7, 10)]);
    let two = here.image(
        "linux/arm64",
        &[shared.clone(), shared, random_bytes(8, 10)],
    );
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
    let registry = start_registry();
    let between = FaultProxy::recording(registry.port());
    let here = Shelf::new();
    let image = here.image(
        "linux/amd64",
        &[random_bytes(9, 200_000), random_bytes(10, 200_000)],
    );
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
    let registry = start_registry();
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[random_bytes(11, 1000)]);
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

/// end-11: A blob that another repository of the registry has is mounted from it: `mount=` with `from=`.
#[test]
fn a_blob_that_stayed_remote_is_mounted_within_a_registry() {
    let registry = start_registry();
    let between = FaultProxy::recording(registry.port());
    let (here, there) = (Shelf::new(), Shelf::new());
    let image = here.image("linux/amd64", &[random_bytes(12, 100_000)]);
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
    between.clear();
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
    let (first, second) = (start_registry(), start_registry());
    let (here, there) = (Shelf::new(), Shelf::new());
    let image = here.image("linux/amd64", &[random_bytes(13, 100_000)]);
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
        refused.to_string().contains("no source registry is known"),
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
    let registry = start_registry();
    let between = FaultProxy::recording(registry.port());
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

/// end-3: 404 means that the manifest is missing, and is not a failure of the registry.
#[test]
fn a_missing_image_is_told_apart_from_a_failure() {
    let registry = start_registry();
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
    let registry = start_registry();
    let here = Shelf::new();
    let mut attestation = here.image("linux/amd64", &[random_bytes(14, 3)]);
    attestation.platform = Some(Platform::new("unknown", "unknown", None));
    let index = here.index(vec![
        here.image("linux/arm64", &[random_bytes(15, 3)]),
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

/// end-4a: A relative `Location` is followed.
#[test]
fn relative_upload_locations_are_followed() {
    let registry = start_relative_registry();
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[random_bytes(16, 1000)]);
    let name = format!("{}/app:1", registry.host());
    client()
        .push(
            &job(&name, &image),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
}
