//! Pulls: what comes broken, late, wrong or from elsewhere.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::testing::{
    Action, FaultProxy, RecordedRequest, Shelf, answer, app, asked_from, client, is_blob_get,
    options, random_bytes,
};
use crate::{Client, ClientOptions, Failure, OperationContext, RegistryError};
use imgmake_oci::image::{Descriptor, Digest, media_type};

/// A server of one blob that knows ranges; `rule` breaks what it likes.
fn serving(
    bytes: &[u8],
    rule: impl Fn(&RecordedRequest, &[u8]) -> Option<Action> + Send + Sync + 'static,
) -> (FaultProxy, Descriptor) {
    let blob = Descriptor::of("application/octet-stream", bytes);
    let bytes = bytes.to_vec();
    let between = FaultProxy::new(None, move |seen| {
        if !is_blob_get(seen) {
            return answer(200, &[], "");
        }
        rule(seen, &bytes).unwrap_or_else(|| whole_or_rest(seen, &bytes))
    });
    (between, blob)
}

fn start_of(seen: &RecordedRequest) -> usize {
    seen.header("Range").map_or(0, |range| {
        let from = range.strip_prefix("bytes=").unwrap();
        from.trim_end_matches('-').parse().unwrap()
    })
}

fn whole_or_rest(seen: &RecordedRequest, bytes: &[u8]) -> Action {
    let from = start_of(seen);
    if from == 0 {
        return answer(200, &[], bytes);
    }
    let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
    answer(206, &[("Content-Range", range.as_str())], &bytes[from..])
}

fn head_of(length: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

fn pull(client: &Client, between: &FaultProxy, blob: &Descriptor) -> Result<(), RegistryError> {
    let shelf = Shelf::new();
    let result = client.pull_blob(
        &app(between),
        blob,
        &shelf.store,
        &OperationContext::background(),
    );
    assert_eq!(shelf.store.holds(blob), result.is_ok());
    result
}

/// end-2: A blob whose connection breaks is resumed with `Range` at that byte.
#[test]
fn a_cut_anywhere_is_resumed_at_that_byte() {
    let bytes = random_bytes(100, 300_000);
    for cut in [0, 1, 131_071, 131_072, 131_073, 299_999] {
        let (between, blob) = serving(&bytes, move |seen, bytes| {
            let broken = [&head_of(bytes.len())[..], &bytes[..cut]].concat();
            (seen.earlier == 0).then_some(Action::Raw(broken, Duration::ZERO))
        });
        pull(&client(), &between, &blob).unwrap();
        assert_eq!(asked_from(&between), [0, cut as u64], "cut after {cut}");
    }
}

#[test]
fn a_download_that_falls_silent_is_left_and_resumed() {
    let bytes = random_bytes(101, 300_000);
    let (between, blob) = serving(&bytes, |seen, bytes| {
        let begun = [&head_of(bytes.len())[..], &bytes[..100_000]].concat();
        (seen.earlier == 0).then_some(Action::RawThenStall(begun))
    });
    let client = Client::new(ClientOptions {
        idle_timeout: Duration::from_millis(300),
        ..options()
    })
    .unwrap();
    pull(&client, &between, &blob).unwrap();
    assert_eq!(asked_from(&between), [0, 100_000]);
}

#[test]
fn a_server_that_never_sends_a_byte_ends_with_the_number_of_attempts() {
    let (between, blob) = serving(b"never seen", |_, bytes| {
        Some(Action::Raw(head_of(bytes.len()), Duration::ZERO))
    });
    let error = pull(&client(), &between, &blob).unwrap_err();
    assert_eq!(asked_from(&between), [0; 4], "attempts are counted once");
    let text = error.to_string();
    assert!(
        text.contains("app: cannot pull the blob sha256:")
            && text.ends_with("the connection was closed early (tried 4 times)"),
        "{text}"
    );
}

#[test]
fn any_number_of_cuts_is_survived_as_long_as_bytes_come() {
    let bytes = random_bytes(102, 12 << 20);
    let (between, blob) = serving(&bytes, |seen, bytes| {
        let from = start_of(seen);
        let end = (from + (2 << 20)).min(bytes.len());
        let head = format!(
            "HTTP/1.1 206 Partial\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{}\r\n\r\n",
            bytes.len() - from,
            bytes.len() - 1,
            bytes.len()
        );
        let broken = [head.as_bytes(), &bytes[from..end]].concat();
        (from > 0 || seen.earlier == 0).then_some(Action::Raw(broken, Duration::ZERO))
    });
    // More cuts than attempts.
    pull(&client(), &between, &blob).unwrap();
    assert_eq!(asked_from(&between).len(), 6);
}

#[test]
fn a_blob_that_ends_early_without_an_error_is_resumed() {
    // A cache in the middle keeps half of a blob and calls it whole.
    let bytes = random_bytes(103, 50_000);
    let (between, blob) = serving(&bytes, |seen, bytes| {
        (seen.earlier == 0).then(|| answer(200, &[], &bytes[..30_000]))
    });
    pull(&client(), &between, &blob).unwrap();
    assert_eq!(asked_from(&between), [0, 30_000]);
}

#[test]
fn a_blob_that_stays_short_says_how_short() {
    let (between, blob) = serving(&random_bytes(104, 5000), |seen, bytes| {
        Some(match start_of(seen) {
            0 => answer(200, &[], &bytes[..3000]),
            _ => answer(416, &[], ""),
        })
    });
    let error = pull(&client(), &between, &blob).unwrap_err().to_string();
    assert!(
        error.contains("3000 of 5000 bytes") || error.contains("answered 416"),
        "{error}"
    );
}

/// end-2: A `Content-Length` beyond the size that the descriptor says is refused before a byte is read.
#[test]
fn a_length_beyond_the_blob_is_refused_before_a_byte_is_read() {
    let (between, blob) = serving(b"short", |_, _| {
        Some(Action::RawThenStall(head_of(1 << 40)))
    });
    let error = pull(&client(), &between, &blob).unwrap_err();
    assert_eq!(error.failure(), Failure::Invalid);
    assert!(
        error
            .to_string()
            .contains("longer than the 5 bytes that the manifest says"),
        "{error}"
    );
    assert_eq!(asked_from(&between), [0], "that would not change");
}

#[test]
fn a_body_that_goes_on_without_a_length_is_refused() {
    let (between, blob) = serving(b"short", |_, _| {
        let endless = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 300_000]].concat();
        Some(Action::Raw(endless, Duration::ZERO))
    });
    let error = pull(&client(), &between, &blob).unwrap_err();
    assert!(
        error.to_string().contains("longer than the 5 bytes"),
        "{error}"
    );
}

#[test]
fn a_length_that_is_too_small_is_made_up_for() {
    let bytes = random_bytes(105, 9000);
    let (between, blob) = serving(&bytes, |seen, bytes| {
        // What follows the promised length is no part of the answer.
        let wrong = [&head_of(4000)[..], bytes].concat();
        (seen.earlier == 0).then_some(Action::Raw(wrong, Duration::ZERO))
    });
    pull(&client(), &between, &blob).unwrap();
    assert_eq!(asked_from(&between), [0, 4000]);
}

#[test]
fn wrong_bytes_are_fetched_once_more_and_then_refused() {
    let bytes = random_bytes(106, 9000);
    let mut wrong = bytes.clone();
    wrong[4711] ^= 1;
    for always in [false, true] {
        let wrong = wrong.clone();
        let (between, blob) = serving(&bytes, move |seen, _| {
            (always || seen.earlier == 0).then(|| answer(200, &[], wrong.clone()))
        });
        let result = pull(&client(), &between, &blob);
        assert_eq!(asked_from(&between), [0, 0]);
        match always {
            false => result.unwrap(),
            true => {
                let error = result.unwrap_err();
                assert_eq!(error.failure(), Failure::Invalid);
                let text = error.to_string();
                assert!(
                    text.contains("not the blob that the manifest names"),
                    "{text}"
                );
                assert!(text.contains(blob.digest.as_str()), "{text}");
            }
        }
    }
}

/// end-2: 206 with a `Content-Range` other than the requested one starts the blob again from its start.
#[test]
fn another_range_than_was_asked_starts_the_blob_anew() {
    let bytes = random_bytes(107, 9000);
    let (between, blob) = serving(&bytes, |seen, bytes| match (start_of(seen), seen.earlier) {
        (0, 0) => Some(answer(200, &[], &bytes[..5000])),
        (5000, _) => Some(answer(
            206,
            &[("Content-Range", "bytes 0-8999/9000")],
            bytes,
        )),
        _ => None,
    });
    pull(&client(), &between, &blob).unwrap();
    assert_eq!(asked_from(&between), [0, 5000, 0]);
}

/// end-2: 416 starts the blob again from its start.
#[test]
fn a_range_that_is_refused_starts_the_blob_anew() {
    let bytes = random_bytes(108, 9000);
    let (between, blob) = serving(&bytes, |seen, bytes| match (start_of(seen), seen.earlier) {
        (0, 0) => Some(answer(200, &[], &bytes[..5000])),
        (5000, _) => Some(answer(416, &[], "")),
        _ => None,
    });
    pull(&client(), &between, &blob).unwrap();
    assert_eq!(asked_from(&between), [0, 5000, 0]);
}

#[test]
fn a_resumption_asks_the_registry_for_a_new_signed_address() {
    let bytes = random_bytes(109, 9000);
    let blob = Descriptor::of("x", &bytes);
    for status in [301, 302, 303, 307, 308] {
        let bytes = bytes.clone();
        let storage = FaultProxy::new(None, move |seen| {
            match (seen.target.as_str(), seen.earlier) {
                // Each signature is good once, as if it had expired meanwhile.
                ("/b?signature=0", 0) => answer(200, &[], &bytes[..2000]),
                ("/b?signature=1", 0) => whole_or_rest(seen, &bytes),
                _ => answer(403, &[], "<Error><Code>AccessDenied</Code></Error>"),
            }
        });
        let host = storage.host();
        let between = FaultProxy::new(None, move |seen| {
            let location = format!("http://{host}/b?signature={}", seen.earlier);
            answer(status, &[("Location", location.as_str())], "")
        });
        pull(&client(), &between, &blob).unwrap();
        let seen = storage.requests();
        assert_eq!(seen.len(), 2, "{status}");
        assert_eq!(seen[1].header("Range"), Some("bytes=2000-"));
        assert!(seen.iter().all(|s| s.method == "GET"));
    }
}

#[test]
fn what_the_storage_behind_a_redirect_refuses_is_told_with_its_name() {
    let storage = FaultProxy::new(None, |_| {
        answer(
            403,
            &[],
            "<Error><Message>Request has expired</Message></Error>",
        )
    });
    let location = format!("http://localhost:{}/b", storage.port());
    let between = FaultProxy::new(None, move |_| {
        answer(307, &[("Location", location.as_str())], "")
    });
    let blob = Descriptor::of("x", b"x");
    let text = pull(&client(), &between, &blob).unwrap_err().to_string();
    assert!(
        text.contains(
            "answered 403: Request has expired (from localhost, to which the registry redirected)"
        ),
        "{text}"
    );
}

#[test]
fn redirects_in_a_circle_end() {
    let between = FaultProxy::new(None, |seen| {
        answer(307, &[("Location", seen.target.as_str())], "")
    });
    let text = pull(&client(), &between, &Descriptor::of("x", b"x"))
        .unwrap_err()
        .to_string();
    assert!(text.contains("more than 10 redirects"), "{text}");
}

#[test]
fn only_the_blob_that_broke_is_asked_for_again() {
    let blobs: Vec<Vec<u8>> = (0..4).map(|at| random_bytes(110 + at, 50_000)).collect();
    let wanted: Vec<Descriptor> = blobs.iter().map(|b| Descriptor::of("x", b)).collect();
    let broken = wanted[2].digest.clone();
    let between = FaultProxy::new(None, move |seen| {
        let Some(bytes) = blobs
            .iter()
            .find(|b| seen.target.ends_with(Digest::of(b).as_str()))
        else {
            return answer(200, &[], "");
        };
        match seen.earlier == 0 && seen.target.ends_with(broken.as_str()) {
            true => answer(502, &[], "<title>502 Bad Gateway</title>"),
            false => answer(200, &[], bytes.clone()),
        }
    });
    let shelf = Shelf::new();
    client()
        .pull_blobs(
            &app(&between),
            &wanted,
            &shelf.store,
            &OperationContext::background(),
        )
        .unwrap();
    assert_eq!(asked_from(&between).len(), 5);
}

#[test]
fn a_manifest_that_breaks_is_fetched_again_whole() {
    let bytes = br#"{"schemaVersion":2,"manifests":[]}"#;
    let turn = AtomicUsize::new(0);
    let between = FaultProxy::new(None, move |seen| {
        if seen.target == "/v2/" {
            return answer(200, &[], "");
        }
        match turn.fetch_add(1, Ordering::SeqCst) {
            0 => Action::Raw(
                [&head_of(bytes.len())[..], &bytes[..10]].concat(),
                Duration::ZERO,
            ),
            _ => answer(200, &[], &bytes[..]),
        }
    });
    let fetched = client().manifest(&app(&between)).unwrap();
    assert_eq!(fetched.bytes, bytes);
    assert_eq!(between.lines().len(), 2);
}

/// end-3: `Docker-Content-Digest` may be missing; a wrong one is refused.
#[test]
fn a_manifest_needs_no_digest_header_but_a_wrong_one_is_refused() {
    let bytes = r#"{"schemaVersion":2,"manifests":[]}"#;
    let bare = FaultProxy::new(None, move |_| answer(200, &[], bytes));
    let fetched = client().manifest(&app(&bare)).unwrap();
    assert_eq!(fetched.descriptor.digest, Digest::of(bytes.as_bytes()));
    assert_eq!(fetched.descriptor.media_type, media_type::OCI_INDEX);
    // HEAD must name the digest; where it does not, a GET tells it.
    let found = client().head(&app(&bare)).unwrap().unwrap();
    assert_eq!(found.digest, fetched.descriptor.digest);
    let other = Digest::of(b"other").to_string();
    let wrong = FaultProxy::new(None, move |_| {
        answer(200, &[("Docker-Content-Digest", other.as_str())], bytes)
    });
    let text = client().manifest(&app(&wrong)).unwrap_err().to_string();
    assert!(
        text.contains("cannot pull the manifest `1`: the registry sent a manifest with digest"),
        "{text}"
    );
}

/// end-3: `Accept` names every kind of manifest; the `Content-Type` of the answer counts.
#[test]
fn every_kind_of_manifest_is_asked_for_and_their_answer_is_believed() {
    for kind in [
        media_type::OCI_INDEX,
        media_type::OCI_MANIFEST,
        media_type::DOCKER_LIST,
        media_type::DOCKER_MANIFEST,
    ] {
        let between = FaultProxy::new(None, move |seen| {
            if seen.target == "/v2/" {
                return answer(200, &[], "");
            }
            let accepted = seen.header("Accept").unwrap_or_default();
            match accepted.split(',').any(|a| a.trim() == kind) {
                true => answer(
                    200,
                    &[("Content-Type", format!("{kind}; charset=utf-8").as_str())],
                    "{}",
                ),
                false => answer(406, &[], ""),
            }
        });
        let fetched = client().manifest(&app(&between)).unwrap();
        assert_eq!(fetched.descriptor.media_type, kind);
    }
}

/// end-3: If HEAD is not supported, GET is used.
#[test]
fn head_is_replaced_by_get_where_a_registry_has_none() {
    for status in [405, 501] {
        let between = FaultProxy::new(None, move |seen| match seen.method.as_str() {
            "HEAD" => answer(status, &[], ""),
            _ => answer(200, &[], r#"{"schemaVersion":2,"manifests":[]}"#),
        });
        assert!(client().head(&app(&between)).unwrap().is_some());
        let missing = FaultProxy::new(None, move |seen| match seen.method.as_str() {
            "HEAD" => answer(status, &[], ""),
            _ => answer(404, &[], ""),
        });
        assert!(client().head(&app(&missing)).unwrap().is_none());
    }
}

#[test]
fn a_mirror_that_is_skipped_is_told_whatever_was_asked() {
    let origin = FaultProxy::new(None, |_| {
        answer(200, &[], r#"{"schemaVersion":2,"manifests":[]}"#)
    });
    let mirror = FaultProxy::new(None, |_| answer(403, &[], "not for you"));
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&warnings);
    let client = Client::new(ClientOptions {
        hosts: vec![crate::HostSettings {
            prefix: origin.host(),
            mirrors: vec![mirror.host()],
            ..Default::default()
        }],
        work: OperationContext {
            events: imgmake_event::Events::to(move |event| {
                if let imgmake_event::Event::Warning { message, .. } = event {
                    sink.lock().unwrap().push(message);
                }
            }),
            ..OperationContext::background()
        },
        ..options()
    })
    .unwrap();
    client.manifest(&app(&origin)).unwrap();
    client.head(&app(&origin)).unwrap();
    let warnings = warnings.lock().unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].contains(&format!("mirror skipped: {}/app", mirror.host()))
            && warnings[0].contains("403: not for you"),
        "{warnings:?}"
    );
}
