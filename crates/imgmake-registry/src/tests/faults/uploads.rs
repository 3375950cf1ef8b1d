//! Uploads that break, are limited, redirected or half refused.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::testing::{
    Action, FaultProxy, RecordedRequest, Shelf, answer, app, client, options, random_bytes, reply,
    start_registry,
};
use crate::upload::Upload;
use crate::{Client, ClientOptions, Failure, OperationContext, RegistryError};
use imgmake_oci::image::{Descriptor, Digest};

/// What a registry of one upload does.
#[derive(Clone, Copy)]
struct Quirks {
    /// The connection closes after so many bytes of a body …
    cut: u64,
    /// … as often as this.
    cuts: usize,
    /// What came before a cut is kept, and the status tells how much.
    resumes: bool,
    patches: bool,
    /// A proxy answers 413 to longer requests.
    largest: u64,
    smallest_chunk: u64,
}

const PLAIN: Quirks = Quirks {
    cut: u64::MAX,
    cuts: 0,
    resumes: true,
    patches: true,
    largest: u64::MAX,
    smallest_chunk: 0,
};

/// A registry that keeps one upload in memory, and counts what it is sent.
struct UploadServer {
    between: FaultProxy,
    held: Arc<Mutex<Vec<u8>>>,
    received: Arc<AtomicU64>,
}

pub(super) const LOCATION: (&str, &str) = ("Location", "/v2/app/blobs/uploads/1?state=a%2Fb");

impl UploadServer {
    fn new(manners: Quirks) -> UploadServer {
        let held: Arc<Mutex<Vec<u8>>> = Arc::default();
        let received: Arc<AtomicU64> = Arc::default();
        let left = Arc::new(AtomicUsize::new(manners.cuts));
        let (kept, counted) = (Arc::clone(&held), Arc::clone(&received));
        let between = FaultProxy::new(None, move |seen| {
            take(seen, manners, &kept, &counted, &left)
        });
        UploadServer {
            between,
            held,
            received,
        }
    }

    fn send(&self, client: &Client, bytes: &[u8]) -> Result<(), RegistryError> {
        let shelf = Shelf::new();
        let blob = shelf.blob("x", bytes);
        let result = send(client, &self.between, &shelf, &blob);
        assert_eq!(*self.held.lock().unwrap() == bytes, result.is_ok());
        result
    }

    fn received(&self) -> u64 {
        self.received.load(Ordering::SeqCst)
    }

    /// `first-last` of each part that was sent.
    fn parts(&self) -> Vec<String> {
        let of = |seen: &RecordedRequest| seen.header("Content-Range").map(str::to_string);
        self.between.requests().iter().filter_map(of).collect()
    }
}

fn take(
    seen: &RecordedRequest,
    manners: Quirks,
    held: &Arc<Mutex<Vec<u8>>>,
    received: &Arc<AtomicU64>,
    left: &AtomicUsize,
) -> Action {
    let length: u64 = seen
        .header("Content-Length")
        .map_or(0, |l| l.parse().unwrap());
    match seen.method.as_str() {
        "HEAD" => return answer(404, &[], ""),
        "POST" => {
            held.lock().unwrap().clear();
            let smallest = manners.smallest_chunk.to_string();
            return answer(202, &[LOCATION, ("OCI-Chunk-Min-Length", &smallest)], "");
        }
        "GET" if !manners.resumes => return answer(404, &[], ""),
        "GET" => {
            let length = held.lock().unwrap().len();
            let range = format!("0-{}", length.saturating_sub(1));
            return answer(204, &[LOCATION, ("Range", range.as_str())], "");
        }
        "PATCH" if !manners.patches => return answer(405, &[], "no parts here"),
        _ if !seen.target.contains("state=a%2Fb") => return answer(404, &[], "the state is lost"),
        "PUT" if !seen.target.contains("&digest=sha256:") => return answer(400, &[], "no digest"),
        _ if length > manners.largest => return answer(413, &[], "<title>413 Too Large</title>"),
        _ => {}
    }
    let from = held.lock().unwrap().len() as u64;
    let text = seen
        .header("Content-Range")
        .map(|r| r.split('-').next().unwrap().to_string());
    if text.is_some_and(|text| text != from.to_string()) {
        return answer(416, &[], "");
    }
    let cut = length > manners.cut
        && left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |l| l.checked_sub(1))
            .is_ok();
    let (kept, counted) = (Arc::clone(held), Arc::clone(received));
    let most = if cut {
        manners.cut as usize
    } else {
        usize::MAX
    };
    let status = if seen.method == "PUT" { 201 } else { 202 };
    Action::Read(
        most,
        Box::new(move |bytes| {
            counted.fetch_add(bytes.len() as u64, Ordering::SeqCst);
            if !cut || manners.resumes {
                kept.lock().unwrap().extend(bytes);
            }
            (!cut).then(|| reply(status, &[LOCATION], ""))
        }),
    )
}

fn send(
    client: &Client,
    between: &FaultProxy,
    shelf: &Shelf,
    blob: &Descriptor,
) -> Result<(), RegistryError> {
    let session = client.session(&app(between));
    Upload {
        session: &session,
        repository: "app",
        blob,
        store: &shelf.store,
        work: &OperationContext::background(),
    }
    .mount_or_send(&[])
}

/// end-13: The status of a broken upload says where it continues.
#[test]
fn an_upload_that_is_cut_goes_on_at_that_byte() {
    let bytes = random_bytes(200, 700_000);
    let taker = UploadServer::new(Quirks {
        cut: 200_000,
        cuts: 3,
        ..PLAIN
    });
    taker.send(&client(), &bytes).unwrap();
    assert_eq!(
        taker.parts(),
        ["200000-699999", "400000-699999", "600000-699999"]
    );
    assert_eq!(taker.received(), 700_000, "nothing is sent twice");
}

/// end-5, end-6: Chunks by PATCH with `Content-Range`, each at the `Location` of the answer before.
#[test]
fn where_nothing_is_kept_the_upload_goes_in_chunks() {
    let bytes = random_bytes(201, 40 << 20);
    let taker = UploadServer::new(Quirks {
        cut: 20 << 20,
        cuts: usize::MAX,
        resumes: false,
        ..PLAIN
    });
    taker.send(&client(), &bytes).unwrap();
    assert_eq!(
        taker.parts(),
        ["0-16777215", "16777216-33554431", "33554432-41943039"]
    );
}

#[test]
fn where_nothing_is_kept_and_chunks_are_unknown_it_ends_with_the_attempts() {
    let taker = UploadServer::new(Quirks {
        cut: 100_000,
        cuts: usize::MAX,
        resumes: false,
        patches: false,
        ..PLAIN
    });
    let error = taker
        .send(&client(), &random_bytes(202, 300_000))
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("app: cannot send a") && text.contains("(tried 4 times)"),
        "{text}"
    );
    assert!(taker.received() <= 4 * 100_000);
}

#[test]
fn an_upload_that_is_no_longer_read_is_left_and_resumed() {
    let shelf = Shelf::new();
    let blob = shelf.blob("x", &random_bytes(203, 30 << 20));
    let registry = start_registry();
    let stalled = AtomicUsize::new(0);
    let between = FaultProxy::new(Some(registry.port()), move |seen| {
        let body = seen.header("Content-Length").is_some_and(|l| l.len() > 6);
        match body && stalled.fetch_add(1, Ordering::SeqCst) == 0 {
            // Nobody reads: what is in the air fills up, and the rest cannot be written.
            true => Action::IgnoreBody,
            false => Action::Forward,
        }
    });
    let client = Client::new(ClientOptions {
        idle_timeout: Duration::from_millis(500),
        ..options()
    })
    .unwrap();
    send(&client, &between, &shelf, &blob).unwrap();
}

/// end-6: `digest=` is appended to a `Location` with a query, and to one without.
#[test]
fn digest_is_appended_to_every_kind_of_location() {
    for (location, expected) in [
        ("/up/1", "/up/1?digest="),
        ("/up/1?", "/up/1?digest="),
        (
            "/up/1?_state=a%2Fb%3D%3D&x=%20y",
            "/up/1?_state=a%2Fb%3D%3D&x=%20y&digest=",
        ),
        ("1?s=2", "/v2/app/blobs/uploads/1?s=2&digest="),
        ("../up/1", "/v2/app/blobs/up/1?digest="),
        ("HOST/up/1?s=2", "/up/1?s=2&digest="),
        ("//AUTHORITY/up/1", "/up/1?digest="),
    ] {
        let shelf = Shelf::new();
        let blob = shelf.blob("x", b"blob");
        let between = FaultProxy::new(None, move |seen| match seen.method.as_str() {
            "POST" => {
                let host = seen.header("Host").unwrap();
                let location = location
                    .replace("HOST", &format!("http://{host}"))
                    .replace("AUTHORITY", host);
                answer(202, &[("Location", location.as_str())], "")
            }
            "PUT" => answer(201, &[], ""),
            _ => answer(404, &[], ""),
        });
        send(&client(), &between, &shelf, &blob).unwrap();
        let put = between.lines().pop().unwrap();
        assert_eq!(put, format!("PUT {expected}{}", blob.digest), "{location}");
    }
}

/// end-4a: A missing or invalid `Location` is an error that says so.
#[test]
fn a_location_that_leads_nowhere_is_told() {
    for (headers, words) in [
        (vec![], "to the beginning of an upload has no Location"),
        (vec![("Location", "gopher://x/")], "has no Location"),
    ] {
        let between = FaultProxy::new(None, move |seen| match seen.method.as_str() {
            "POST" => answer(202, &headers, ""),
            _ => answer(404, &[], ""),
        });
        let shelf = Shelf::new();
        let blob = shelf.blob("x", b"blob");
        let text = send(&client(), &between, &shelf, &blob)
            .unwrap_err()
            .to_string();
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn a_large_body_that_is_redirected_or_unauthorized_is_sent_once() {
    let bytes = random_bytes(206, 3 << 20);
    let taker = UploadServer::new(PLAIN);
    let storage = taker.between.host();
    let shelf = Shelf::new();
    let blob = shelf.blob("x", &bytes);
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let between = FaultProxy::new(None, move |seen| match seen.method.as_str() {
        "POST" => answer(202, &[LOCATION], ""),
        "PUT" if seen.header("Authorization").is_none() => {
            answer(401, &[("WWW-Authenticate", "Basic realm=\"r\"")], "")
        }
        "PUT" => {
            counted.fetch_add(1, Ordering::SeqCst);
            let location = format!("http://{storage}{}", seen.target);
            answer(307, &[("Location", location.as_str())], "")
        }
        _ => answer(404, &[], ""),
    });
    let client = Client::new(ClientOptions {
        hosts: vec![crate::HostSettings {
            prefix: between.host(),
            auth: crate::Auth::Basic {
                user: "u".into(),
                password: crate::Secret("p".into()),
                source: "test".into(),
            },
            ..Default::default()
        }],
        ..options()
    })
    .unwrap();
    send(&client, &between, &shelf, &blob).unwrap();
    assert_eq!(taker.received(), bytes.len() as u64);
    assert_eq!(sent.load(Ordering::SeqCst), 1);
    let there = taker.between.requests();
    assert!(there.iter().all(|s| s.header("Authorization").is_none()));
    // The server in between counts no byte of a body that it did not ask for.
    let waited = between
        .requests()
        .iter()
        .filter(|s| s.method == "PUT")
        .all(|s| s.header("Expect") == Some("100-continue"));
    assert!(waited);
}

#[test]
fn a_server_that_does_not_know_expect_gets_the_body_without() {
    let taker = UploadServer::new(PLAIN);
    let inner = taker.between.port();
    let between = FaultProxy::new(Some(inner), |seen| match seen.header("Expect") {
        Some(_) => answer(417, &[], ""),
        None => Action::Forward,
    });
    let shelf = Shelf::new();
    for seed in [207, 208] {
        let blob = shelf.blob("x", &random_bytes(seed, 2 << 20));
        let client = client();
        send(&client, &between, &shelf, &blob).unwrap();
        send(&client, &between, &shelf, &blob).unwrap();
    }
    let refused = between
        .requests()
        .iter()
        .filter(|s| s.header("Expect").is_some())
        .count();
    assert_eq!(refused, 2, "once per client");
}

#[test]
fn a_server_that_says_nothing_to_expect_gets_the_body_all_the_same() {
    let shelf = Shelf::new();
    let bytes = random_bytes(209, 2 << 20);
    let blob = shelf.blob("x", &bytes);
    let between = FaultProxy::new(None, |seen| match seen.method.as_str() {
        "POST" => answer(202, &[LOCATION], ""),
        "PUT" => Action::AnswerWithoutContinue(reply(201, &[], "")),
        _ => answer(404, &[], ""),
    });
    send(&client(), &between, &shelf, &blob).unwrap();
}

#[test]
fn requests_shrink_to_what_a_proxy_takes() {
    let bytes = random_bytes(210, 5 << 20);
    let taker = UploadServer::new(Quirks {
        largest: 1 << 20,
        ..PLAIN
    });
    // One attempt: a limit is no failure that time would heal.
    let client = Client::new(ClientOptions {
        attempts: 1,
        ..options()
    })
    .unwrap();
    taker.send(&client, &bytes).unwrap();
    let last: Vec<String> = taker.parts().into_iter().rev().take(5).collect();
    assert_eq!(last[0], "4194304-5242879", "{last:?}");
    assert_eq!(
        taker.received(),
        bytes.len() as u64,
        "refused bodies are not sent"
    );
}

#[test]
fn a_proxy_that_takes_nearly_nothing_is_named_as_the_reason() {
    let taker = UploadServer::new(Quirks {
        largest: 1000,
        ..PLAIN
    });
    let text = taker
        .send(&client(), &random_bytes(211, 2 << 20))
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("413: 413 Too Large") && text.contains("client_max_body_size"),
        "{text}"
    );
}

/// end-4a, end-5: `OCI-Chunk-Min-Length` is the least length of a chunk.
#[test]
fn chunks_are_as_large_as_the_registry_wants_them() {
    let bytes = random_bytes(212, 50 << 20);
    let taker = UploadServer::new(Quirks {
        cut: 30 << 20,
        cuts: 1,
        resumes: false,
        smallest_chunk: 20 << 20,
        ..PLAIN
    });
    taker.send(&client(), &bytes).unwrap();
    assert_eq!(
        taker.parts(),
        ["0-20971519", "20971520-41943039", "41943040-52428799"]
    );
}

/// end-5: The `Range` of an answer decides where the next chunk begins.
#[test]
fn what_a_registry_kept_of_a_part_decides_where_the_next_begins() {
    let shelf = Shelf::new();
    let bytes = random_bytes(213, 900_000);
    let blob = shelf.blob("x", &bytes);
    let held = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&held);
    let between = FaultProxy::new(None, move |seen| match seen.method.as_str() {
        "POST" => answer(202, &[LOCATION], ""),
        // The whole is refused, parts are cut to a third of a megabyte without a word.
        "PUT" if seen.header("Content-Length") != Some("0") => answer(413, &[], ""),
        "PUT" => answer(201, &[], ""),
        "PATCH" => {
            let kept = Arc::clone(&kept);
            Action::Read(
                usize::MAX,
                Box::new(move |mut part| {
                    part.truncate(333_333);
                    let mut kept = kept.lock().unwrap();
                    kept.extend(part);
                    let range = format!("0-{}", kept.len() - 1);
                    Some(reply(202, &[LOCATION, ("Range", range.as_str())], ""))
                }),
            )
        }
        _ => answer(404, &[], ""),
    });
    send(&client(), &between, &shelf, &blob).unwrap();
    assert!(*held.lock().unwrap() == bytes);
}

#[test]
fn a_lost_answer_to_the_last_byte_is_looked_up_and_nothing_sent_again() {
    let registry = start_registry();
    let shelf = Shelf::new();
    let blob = shelf.blob("x", &random_bytes(214, 400_000));
    let between = FaultProxy::new(Some(registry.port()), |seen| {
        match seen.method == "PUT" && seen.earlier == 0 {
            true => Action::DropResponse,
            false => Action::Forward,
        }
    });
    send(&client(), &between, &shelf, &blob).unwrap();
    let lines = between.lines();
    let begun = lines.iter().filter(|l| l.starts_with("POST")).count();
    assert_eq!(begun, 1, "{lines:#?}");
    assert!(lines.last().unwrap().starts_with("HEAD"), "{lines:#?}");
}

/// errors: `Retry-After` counts for uploads, too.
#[test]
fn retry_after_counts_for_uploads_too() {
    let between = FaultProxy::new(None, |seen| match seen.method.as_str() {
        "POST" => answer(202, &[LOCATION], ""),
        "PUT" => answer(429, &[("Retry-After", "86400")], "slow down"),
        _ => answer(404, &[], ""),
    });
    let shelf = Shelf::new();
    let blob = shelf.blob("x", b"blob");
    let error = send(&client(), &between, &shelf, &blob).unwrap_err();
    assert_eq!(error.failure(), Failure::Throttled);
    assert!(error.to_string().contains("86400 s"), "{error}");
}

/// end-6: DIGEST_INVALID is reported, with what to try.
#[test]
fn a_digest_that_the_registry_disputes_is_told_with_what_to_try() {
    let between = FaultProxy::new(None, |seen| match seen.method.as_str() {
        "POST" => answer(202, &[LOCATION], ""),
        "PUT" => answer(
            400,
            &[],
            r#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content"}]}"#,
        ),
        _ => answer(404, &[], ""),
    });
    let shelf = Shelf::new();
    let blob = shelf.blob("x", b"blob");
    let text = send(&client(), &between, &shelf, &blob)
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("400 DIGEST_INVALID: provided digest did not match")
            && text.contains("the blob in the store is damaged")
            && text.contains(Digest::of(b"blob").as_str()),
        "{text}"
    );
}

/// A registry that keeps one upload in memory and can resume it.
fn resuming(cut_at: usize, content: Arc<Mutex<Vec<u8>>>) -> FaultProxy {
    FaultProxy::new(None, move |seen| {
        let held = Arc::clone(&content);
        let location = ("Location", "/v2/app/blobs/uploads/1?state=a%2Fb");
        match seen.method.as_str() {
            "HEAD" => answer(404, &[], ""),
            "POST" => answer(202, &[location], ""),
            "GET" => {
                let length = held.lock().unwrap().len();
                let range = format!("0-{}", length.saturating_sub(1));
                answer(204, &[location, ("Range", range.as_str())], "")
            }
            _ if !seen.target.contains("state=a%2Fb") => answer(404, &[], "the state is lost"),
            "PUT" if seen.header("Content-Length") == Some("0") => answer(201, &[], ""),
            "PUT" if !seen.target.contains("&digest=sha256:") => answer(400, &[], "no digest"),
            _ if seen.earlier == 0 => Action::Read(
                cut_at,
                Box::new(move |bytes| {
                    held.lock().unwrap().extend(bytes);
                    None
                }),
            ),
            _ => Action::Read(
                usize::MAX,
                Box::new(move |bytes| {
                    held.lock().unwrap().extend(bytes);
                    Some(reply(202, &[location], ""))
                }),
            ),
        }
    })
}

#[test]
fn an_upload_that_breaks_goes_on_from_its_status() {
    let here = Shelf::new();
    let bytes = random_bytes(26, 1_000_000);
    let blob = here.blob("x", &bytes);
    let content = Arc::new(Mutex::new(Vec::new()));
    let between = resuming(400_000, Arc::clone(&content));
    let client = client();
    let session = client.session(&app(&between));
    let upload = Upload {
        session: &session,
        repository: "app",
        blob: &blob,
        store: &here.store,
        work: &OperationContext::background(),
    };
    upload.mount_or_send(&[]).unwrap();
    assert!(*content.lock().unwrap() == bytes);
    let patched = between
        .requests()
        .into_iter()
        .find(|s| s.method == "PATCH")
        .unwrap();
    let range = patched.header("Content-Range").unwrap();
    assert!(
        range.ends_with("-999999") && !range.starts_with("0-"),
        "{range}"
    );
}
