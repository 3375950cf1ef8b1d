//! Pushes: mounts that are refused, rights, subjects, servers that fail at every address.

use std::sync::Mutex;

use super::uploads::LOCATION;
use crate::testing::{
    Action, FaultProxy, Shelf, answer, app, client, job, options, random_bytes, start_registry,
};
use crate::{Client, ClientOptions, OperationContext};
use imgmake_oci::image::{Descriptor, ImageManifest, ManifestFormat, media_type, to_json};

#[test]
pub(super) fn one_500_for_every_address_stops_neither_push_nor_pull() {
    let registry = start_registry();
    let met = Mutex::new(std::collections::BTreeSet::new());
    let between = FaultProxy::new(Some(registry.port()), move |seen| {
        let path = seen.target.split('?').next().unwrap();
        let first = met
            .lock()
            .unwrap()
            .insert(format!("{} {path}", seen.method));
        match first && path != "/v2/" {
            true => answer(500, &[], "try again"),
            false => Action::Forward,
        }
    });
    let (here, there) = (Shelf::new(), Shelf::new());
    let image = here.image(
        "linux/amd64",
        &[random_bytes(204, 3_000_000), random_bytes(205, 10)],
    );
    let name = format!("{}/app:1", between.host());
    let client = Client::new(ClientOptions {
        attempts: 8,
        ..options()
    })
    .unwrap();
    client
        .push(
            &job(&name, &image),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
    let resolved = client
        .resolve(
            &name.parse().unwrap(),
            &"linux/amd64".parse().unwrap(),
            &there.store,
            &OperationContext::background(),
        )
        .unwrap();
    assert_eq!(resolved.manifest.digest, image.digest);
}

/// end-11: Whatever error answers a mount, the blob is sent.
#[test]
pub(super) fn whatever_a_registry_says_to_a_mount_the_blob_arrives() {
    for status in [202, 400, 403, 404, 405, 500] {
        let registry = start_registry();
        let here = Shelf::new();
        let image = here.image("linux/amd64", &[random_bytes(215, 10_000)]);
        let between = FaultProxy::new(Some(registry.port()), move |seen| {
            match seen.target.contains("mount=") {
                // 202 without the upload that it promises.
                true => answer(status, &[], "no mounts"),
                false => Action::Forward,
            }
        });
        let mut job = job(&format!("{}/app:1", between.host()), &image);
        job.sources = vec![format!("{}/base", between.host()).parse().unwrap()];
        client()
            .push(&job, &here.store, &OperationContext::background())
            .unwrap();
    }
}

#[test]
pub(super) fn a_mount_that_became_an_upload_is_used_as_one() {
    let registry = start_registry();
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[random_bytes(216, 10_000)]);
    let between = FaultProxy::recording(registry.port());
    let mut job = job(&format!("{}/app:1", between.host()), &image);
    // The registry does not have it there: 202, with the Location of an upload.
    job.sources = vec![format!("{}/base", between.host()).parse().unwrap()];
    client()
        .push(&job, &here.store, &OperationContext::background())
        .unwrap();
    let posts: Vec<String> = between
        .lines()
        .into_iter()
        .filter(|l| l.starts_with("POST"))
        .collect();
    assert!(posts.iter().all(|l| l.contains("&from=base")), "{posts:#?}");
    assert_eq!(posts.len(), 2, "one for the layer, one for the config");
}

#[test]
pub(super) fn a_blob_that_cannot_be_asked_for_is_sent() {
    let registry = start_registry();
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[random_bytes(217, 10_000)]);
    let between = FaultProxy::new(Some(registry.port()), |seen| match seen.method.as_str() {
        "HEAD" => answer(405, &[], ""),
        _ => Action::Forward,
    });
    client()
        .push(
            &job(&format!("{}/app:1", between.host()), &image),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
}

#[test]
pub(super) fn a_delete_that_is_refused_does_not_matter_to_the_check_for_the_right_to_push() {
    let between = FaultProxy::new(None, |seen| match seen.method.as_str() {
        "POST" => answer(202, &[LOCATION], ""),
        _ => answer(405, &[], ""),
    });
    client()
        .check_push(&app(&between), &OperationContext::background())
        .unwrap();
    assert!(
        between
            .lines()
            .last()
            .unwrap()
            .starts_with("DELETE /v2/app/blobs/uploads/1")
    );
}

#[test]
pub(super) fn whoever_may_read_and_not_push_is_told_before_the_push() {
    for (status, word) in [(401, "401"), (403, "403")] {
        let between = FaultProxy::new(None, move |seen| match seen.method.as_str() {
            "POST" => answer(
                status,
                &[],
                r#"{"errors":[{"code":"DENIED","message":"read only"}]}"#,
            ),
            _ => answer(200, &[], ""),
        });
        let checked = client().check_push(&app(&between), &OperationContext::background());
        let error = checked.unwrap_err().to_string();
        assert!(
            error.contains(word) && error.contains("read only"),
            "{error}"
        );
        assert!(
            between
                .lines()
                .iter()
                .all(|line| !line.starts_with("DELETE"))
        );
    }
}

/// end-7, end-12a: A manifest with `subject` whose answer has no `OCI-Subject` is entered in the fallback tag.
#[test]
pub(super) fn a_subject_is_entered_by_the_registry_or_by_us() {
    for registry_does in [true, false] {
        let between = FaultProxy::new(None, move |seen| match seen.method.as_str() {
            "PUT" if registry_does => answer(201, &[("OCI-Subject", "sha256:x")], ""),
            "PUT" => answer(201, &[], ""),
            "POST" => answer(202, &[LOCATION], ""),
            _ => answer(404, &[], ""),
        });
        let shelf = Shelf::new();
        let subject = Descriptor::of(media_type::OCI_MANIFEST, b"subject");
        let config = shelf.blob(media_type::OCI_EMPTY, b"{}");
        let mut manifest = ImageManifest::new(ManifestFormat::Oci, config, Vec::new());
        manifest.subject = Some(subject.clone());
        let root = shelf.blob(media_type::OCI_MANIFEST, &to_json(&manifest));
        client()
            .push(
                &job(&format!("{}/app", between.host()), &root),
                &shelf.store,
                &OperationContext::background(),
            )
            .unwrap();
        let tag = format!("PUT /v2/app/manifests/sha256-{}", subject.digest.hex());
        assert_eq!(between.lines().contains(&tag), !registry_does);
    }
}
