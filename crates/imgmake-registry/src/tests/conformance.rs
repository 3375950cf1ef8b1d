//! What the distribution specification's conformance tests ask of registries, asked of the client: the cases
//! that no other test has. The book's table is made of all tests whose comment begins with an endpoint of
//! the specification, `end-1` to `end-13`, or with `errors`.

use std::sync::{Arc, Mutex};

use imgmake_registry_testkit::RegistryOptions;

use crate::testing::{
    Action, FaultProxy, Registry, Shelf, answer, app, client, job, options, random_bytes,
    start_registry,
};
use crate::{Client, ClientOptions, OperationContext};
use imgmake_event::{Cancel, Event, Events};
use imgmake_oci::image::{
    Descriptor, ImageManifest, ManifestFormat, Platform, Reference, media_type, to_json,
};

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn background() -> OperationContext {
    OperationContext::background()
}

/// end-7: The manifests of an index are sent before it; a pull takes the one of its platform.
#[test]
fn children_are_there_before_their_index() {
    let registry = Registry::start();
    let between = FaultProxy::recording(registry.port());
    let (here, there) = (Shelf::new(), Shelf::new());
    let amd = here.image("linux/amd64", &[random_bytes(1, 1000)]);
    let arm = here.image("linux/arm64", &[random_bytes(2, 1000)]);
    let index = here.index(vec![amd.clone(), arm.clone()]);
    let name = format!("{}/app:1", between.host());

    client()
        .push(&job(&name, &index), &here.store, &background())
        .unwrap();

    let lines = between.lines();
    let sent = |what: &str| {
        let line = format!("PUT /v2/app/manifests/{what}");
        lines
            .iter()
            .position(|one| *one == line)
            .unwrap_or_else(|| panic!("{line}: {lines:#?}"))
    };
    let root = sent(index.digest.as_str());
    assert!(sent(amd.digest.as_str()) < root && sent(arm.digest.as_str()) < root);
    assert!(root < sent("1"));
    let wanted: Platform = "linux/arm64".parse().unwrap();
    let resolved = client().resolve(&reference(&name), &wanted, &there.store, &background());
    assert_eq!(resolved.unwrap().manifest.digest, arm.digest);
}

/// end-11: The parts of an index come from where they are: mounted within the registry, copied from others.
#[test]
fn parts_that_lie_in_several_places_are_mounted_or_copied() {
    let (here, elsewhere) = (Registry::start(), Registry::start());
    let between = FaultProxy::recording(here.port());
    let (one, two, third) = (Shelf::new(), Shelf::new(), Shelf::new());
    let amd = one.image("linux/amd64", &[random_bytes(3, 1000)]);
    let arm = two.image("linux/arm64", &[random_bytes(4, 1000)]);
    let near = format!("{}/one:1", between.host());
    let far = format!("{}/two:1", elsewhere.host());
    client()
        .push(&job(&near, &amd), &one.store, &background())
        .unwrap();
    client()
        .push(&job(&far, &arm), &two.store, &background())
        .unwrap();
    // Who joins them holds the manifests alone.
    let client = client();
    for name in [&near, &far] {
        let fetched = client.manifest(&reference(name)).unwrap();
        third.store.put_bytes(&fetched.bytes).unwrap();
    }
    let index = third.index(vec![amd.clone(), arm.clone()]);
    between.clear();

    let mut push = job(&format!("{}/both:1", between.host()), &index);
    push.sources = vec![reference(&near), reference(&far)];
    client.push(&push, &third.store, &background()).unwrap();

    for digest in [&amd.digest, &arm.digest, &index.digest] {
        assert!(here.holds("both", digest.as_str()), "{digest}");
    }
    let lines = between.lines();
    let mounts = lines
        .iter()
        .filter(|line| line.contains("mount=") && line.contains("from=one"));
    let sent = lines
        .iter()
        .filter(|line| line.starts_with("PUT ") && line.contains("/blobs/"));
    // A layer and a config of each.
    assert!(mounts.count() >= 2, "{lines:#?}");
    assert_eq!(sent.count(), 2, "{lines:#?}");
}

fn signature(shelf: &Shelf, kind: &str, subject: &Descriptor) -> Descriptor {
    let config = shelf.blob(media_type::OCI_EMPTY, b"{}");
    let layer = shelf.blob("text/plain", kind.as_bytes());
    let mut manifest = ImageManifest::new(ManifestFormat::Oci, config, vec![layer]);
    manifest.config.media_type = media_type::OCI_EMPTY.into();
    manifest.artifact_type = Some(kind.into());
    manifest.subject = Some(subject.clone());
    shelf.blob(media_type::OCI_MANIFEST, &to_json(&manifest))
}

/// end-7, end-12a, end-12b: Where the answer has `OCI-Subject` no tag is written, and the registry lists and filters.
#[test]
fn a_registry_with_referrers_needs_no_tag() {
    for referrers in [true, false] {
        let registry = Registry::with(RegistryOptions {
            referrers,
            ..RegistryOptions::default()
        });
        let shelf = Shelf::new();
        let image = shelf.image("linux/amd64", &[random_bytes(5, 10)]);
        let name = format!("{}/app:1", registry.host());
        let client = client();
        client
            .push(&job(&name, &image), &shelf.store, &background())
            .unwrap();
        let plain = format!("{}/app", registry.host());
        for kind in ["application/x.sbom", "application/x.signature"] {
            let root = signature(&shelf, kind, &image);
            client
                .push(&job(&plain, &root), &shelf.store, &background())
                .unwrap();
        }
        let fallback = format!("sha256-{}", image.digest.hex());
        assert_eq!(registry.tags("app").contains(&fallback), !referrers);
        let found = client
            .referrers(&reference(&name), Some("application/x.sbom"))
            .unwrap();
        let kinds: Vec<Option<&str>> = found
            .iter()
            .map(|one| one.artifact_type.as_deref())
            .collect();
        assert_eq!(kinds, [Some("application/x.sbom")]);
        assert_eq!(client.referrers(&reference(&name), None).unwrap().len(), 2);
    }
}

/// end-12a: An empty list, and 404 without a fallback tag, mean that nothing refers to the manifest.
#[test]
fn nothing_that_refers_is_no_error() {
    let digest = Descriptor::of("x", b"image").digest;
    for body in [Some(r#"{"schemaVersion":2,"manifests":[]}"#), None] {
        let between = FaultProxy::new(None, move |_| match body {
            Some(body) => answer(200, &[("Content-Type", media_type::OCI_INDEX)], body),
            None => answer(404, &[], ""),
        });
        let of = app(&between).with_digest(&digest);
        assert!(client().referrers(&of, None).unwrap().is_empty());
    }
}

/// errors: Every code of the specification is reported with its text, and decided by its status alone.
#[test]
fn every_error_code_is_told() {
    for (code, status) in [
        ("BLOB_UNKNOWN", 404),
        ("BLOB_UPLOAD_INVALID", 400),
        ("BLOB_UPLOAD_UNKNOWN", 404),
        ("DIGEST_INVALID", 400),
        ("MANIFEST_BLOB_UNKNOWN", 404),
        ("MANIFEST_INVALID", 400),
        ("MANIFEST_UNKNOWN", 404),
        ("NAME_INVALID", 400),
        ("NAME_UNKNOWN", 404),
        ("SIZE_INVALID", 400),
        ("UNAUTHORIZED", 401),
        ("DENIED", 403),
        ("UNSUPPORTED", 405),
        ("TOOMANYREQUESTS", 429),
    ] {
        let body = format!(
            r#"{{"errors":[{{"code":"{code}","message":"because of it","detail":{{}}}}]}}"#
        );
        let between = FaultProxy::new(None, move |_| {
            answer(
                status,
                &[("Content-Type", "application/json")],
                body.clone(),
            )
        });
        let error = client().manifest(&app(&between)).unwrap_err();
        assert_eq!(error.code(), Some(code));
        assert_eq!(error.status(), Some(status));
        assert_eq!(error.is_missing(), status == 404, "{code}");
        let text = error.to_string();
        assert!(
            text.contains(code) && text.contains("because of it"),
            "{text}"
        );
        let asked = between.lines().len();
        assert_eq!(asked > 1, status == 429, "{code}: {asked} requests");
    }
}

/// errors: `Warning: 299 - "…"` is reported once, and other forms are ignored.
#[test]
fn warnings_of_the_registry_are_told_once() {
    let registry = start_registry();
    let shelf = Shelf::new();
    let image = shelf.image("linux/amd64", &[random_bytes(6, 10)]);
    let push = job(&format!("{}/app:1", registry.host()), &image);
    client().push(&push, &shelf.store, &background()).unwrap();
    let manifest = shelf.store.read_blob(&image.digest, 1 << 20).unwrap();
    let between = FaultProxy::new(None, move |_| {
        let headers = [
            ("Content-Type", media_type::OCI_MANIFEST),
            (
                "Warning",
                r#"299 - "this repository moves to \"new\" in May""#,
            ),
            ("Warning", r#"199 - "miscellaneous""#),
        ];
        answer(200, &headers, manifest.clone())
    });
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let listener = Arc::clone(&heard);
    let work = OperationContext {
        target: String::new(),
        events: Events::to(move |event| {
            if let Event::Warning { message, .. } = event {
                listener.lock().unwrap().push(message);
            }
        }),
        cancel: Cancel::default(),
    };
    let client = Client::new(ClientOptions { work, ..options() }).unwrap();
    client.manifest(&app(&between)).unwrap();
    client.manifest(&app(&between)).unwrap();
    let heard = heard.lock().unwrap();
    let expected = format!(
        "{} warns: this repository moves to \"new\" in May",
        between.host()
    );
    assert_eq!(*heard, [expected]);
}

/// end-6: An absolute `Location` on the registry's own host and one without a host are the same.
#[test]
fn locations_of_both_kinds_lead_to_the_same_blob() {
    for relative_locations in [true, false] {
        let registry = Registry::with(RegistryOptions {
            relative_locations,
            ..RegistryOptions::default()
        });
        let shelf = Shelf::new();
        let image = shelf.image("linux/amd64", &[random_bytes(7, 100_000)]);
        let push = job(&format!("{}/app:1", registry.host()), &image);
        client().push(&push, &shelf.store, &background()).unwrap();
        assert!(registry.holds("app", image.digest.as_str()));
    }
}

/// end-10: imgmake deletes no blob: a registry that refuses every DELETE of one takes its pushes.
#[test]
fn a_registry_that_deletes_nothing_takes_pushes() {
    let registry = Registry::with(RegistryOptions {
        delete: false,
        ..RegistryOptions::default()
    });
    let between = FaultProxy::new(Some(registry.port()), |_| Action::Forward);
    let shelf = Shelf::new();
    let image = shelf.image("linux/amd64", &[random_bytes(8, 100)]);
    let push = job(&format!("{}/app:1", between.host()), &image);
    client().push(&push, &shelf.store, &background()).unwrap();
    assert_eq!(registry.tags("app"), ["1"]);
    let deletes = between
        .lines()
        .into_iter()
        .filter(|line| line.starts_with("DELETE "));
    let of_blobs: Vec<String> = deletes
        .filter(|line| line.contains("/blobs/sha256"))
        .collect();
    assert!(of_blobs.is_empty(), "{of_blobs:?}");
}
