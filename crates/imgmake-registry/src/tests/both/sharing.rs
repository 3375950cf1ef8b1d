//! One push to many places: what images, tags and repositories share is sent once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::testing::{
    Action, FaultProxy, Shelf, answer, client, client_with, job, random_bytes, reply,
    start_registry,
};
use super::{HostSettings, OperationContext};
use imgmake_oci::image::Descriptor;

/// Three images on one base, one of them of two platforms.
fn family(shelf: &Shelf) -> [Descriptor; 3] {
    let base = [random_bytes(1, 40_000), random_bytes(2, 30_000)];
    let image = |platform: &str, own: u64| {
        let mut layers = base.to_vec();
        layers.push(random_bytes(own, 10_000));
        shelf.image(platform, &layers)
    };
    let both = vec![image("linux/amd64", 12), image("linux/arm64", 13)];
    [
        image("linux/amd64", 10),
        image("linux/amd64", 11),
        shelf.index(both),
    ]
}

#[test]
fn what_images_of_one_registry_share_is_uploaded_once_and_mounted_elsewhere() {
    let (behind, shelf) = (start_registry(), Shelf::new());
    let watch = FaultProxy::recording(behind.port());
    let client = client();
    let images = family(&shelf);
    std::thread::scope(|scope| {
        for (n, image) in images.iter().enumerate() {
            let mut job = job(&format!("{}/app{n}:1", watch.host()), image);
            job.tags = vec!["1".into(), "latest".into(), "1.2".into()];
            let (client, shelf) = (&client, &shelf);
            scope.spawn(move || {
                client
                    .push(&job, &shelf.store, &OperationContext::background())
                    .unwrap()
            });
        }
    });
    let lines = watch.lines();
    let count = |part: &str| lines.iter().filter(|l| l.contains(part)).count();
    // Two shared layers, four own ones, and the configs of two platforms.
    let uploads = lines
        .iter()
        .filter(|l| l.starts_with("PUT ") && l.contains("/blobs/uploads/"));
    assert_eq!(uploads.count(), 2 + 4 + 2, "{lines:#?}");
    assert!(count("mount=") >= 4, "{lines:#?}");
    // Four images and an index by digest; nine tags.
    let manifests = lines
        .iter()
        .filter(|l| l.starts_with("PUT ") && l.contains("/manifests/"));
    assert_eq!(manifests.count(), 5 + 9, "{lines:#?}");
    for repository in ["app0", "app1", "app2"] {
        let heads = lines
            .iter()
            .filter(|l| l.starts_with(&format!("HEAD /v2/{repository}/blobs/")));
        let mut heads: Vec<&String> = heads.collect();
        let asked = heads.len();
        heads.sort();
        heads.dedup();
        assert_eq!(
            heads.len(),
            asked,
            "each blob is asked for once: {lines:#?}"
        );
    }
}

#[test]
fn a_second_push_asks_and_sends_nothing() {
    let (behind, shelf) = (start_registry(), Shelf::new());
    let watch = FaultProxy::recording(behind.port());
    let [_, _, index] = family(&shelf);
    let push = || {
        let job = job(&format!("{}/app:1", watch.host()), &index);
        client()
            .push(&job, &shelf.store, &OperationContext::background())
            .unwrap()
    };
    push();
    watch.clear();
    push();
    let lines = watch.lines();
    assert!(
        lines.len() == 2 && lines.iter().all(|l| l.starts_with("HEAD ")),
        "{lines:?}"
    );
}

#[test]
fn concurrency_is_that_of_the_registry_however_many_images_go_there() {
    for (wanted, most) in [(Some(1), 1), (Some(2), 2)] {
        let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (within, highest) = (Arc::clone(&now), Arc::clone(&peak));
        let registry = FaultProxy::new(None, move |seen| match seen.method.as_str() {
            "HEAD" => answer(404, &[], ""),
            "POST" => answer(202, &[("Location", "/v2/upload/1")], ""),
            "PUT" if seen.target.starts_with("/v2/upload/") => {
                let (within, highest) = (Arc::clone(&within), Arc::clone(&highest));
                Action::Read(
                    usize::MAX,
                    Box::new(move |_| {
                        let at_once = within.fetch_add(1, Ordering::SeqCst) + 1;
                        highest.fetch_max(at_once, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(15));
                        within.fetch_sub(1, Ordering::SeqCst);
                        Some(reply(201, &[], ""))
                    }),
                )
            }
            _ => answer(201, &[], ""),
        });
        let shelf = Shelf::new();
        let client = client_with(HostSettings {
            prefix: registry.host(),
            concurrency: wanted,
            ..HostSettings::default()
        });
        std::thread::scope(|scope| {
            for n in 0..3_u64 {
                let layers: Vec<Vec<u8>> = (0..3)
                    .map(|l| random_bytes(100 + 10 * n + l, 1000))
                    .collect();
                let image = shelf.image("linux/amd64", &layers);
                let job = job(&format!("{}/app{n}:1", registry.host()), &image);
                let (client, shelf) = (&client, &shelf);
                scope.spawn(move || {
                    client
                        .push(&job, &shelf.store, &OperationContext::background())
                        .unwrap()
                });
            }
        });
        let peak = peak.load(Ordering::SeqCst);
        assert!((1..=most).contains(&peak), "{peak} at once, not {most}");
    }
}

#[test]
fn an_index_within_an_index_keeps_its_bytes() {
    let (behind, shelf) = (start_registry(), Shelf::new());
    let [one, two, inner] = family(&shelf);
    let outer = shelf.index(vec![one, inner, two]);
    let job = job(&format!("{}/nested:1", behind.host()), &outer);
    client()
        .push(&job, &shelf.store, &OperationContext::background())
        .unwrap();
    let fetched = client().manifest(&job.to.with_tag("1")).unwrap();
    assert_eq!(fetched.descriptor.digest, outer.digest);
}
