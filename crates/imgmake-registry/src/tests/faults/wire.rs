//! HTTP itself: old servers, kept connections, compression, slowness.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::testing::{
    Action, FaultProxy, Shelf, answer, app, asked_from, client, is_blob_get, options, random_bytes,
};
use crate::{Client, ClientOptions, OperationContext};
use imgmake_oci::image::{Descriptor, Digest};

const INDEX: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn raw(text: &str) -> Action {
    Action::Raw(text.as_bytes().to_vec(), Duration::ZERO)
}

#[test]
fn a_server_of_http_1_0_is_understood() {
    let bytes = random_bytes(300, 200_000);
    let blob = Descriptor::of("x", &bytes);
    let between = FaultProxy::new(None, move |seen| match is_blob_get(seen) {
        // No length: the end of the connection is the end of the blob, or of half of it.
        true if seen.earlier == 0 => {
            let half = [b"HTTP/1.0 200 OK\r\n\r\n", &bytes[..100_000]].concat();
            Action::Raw(half, Duration::ZERO)
        }
        true => {
            let head = b"HTTP/1.0 206 Partial\r\nContent-Range: bytes 100000-199999/200000\r\n\r\n";
            Action::Raw([&head[..], &bytes[100_000..]].concat(), Duration::ZERO)
        }
        false => raw(&format!("HTTP/1.0 200 OK\r\n\r\n{INDEX}")),
    });
    assert_eq!(
        client().manifest(&app(&between)).unwrap().bytes,
        INDEX.as_bytes()
    );
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
    assert_eq!(asked_from(&between), [0, 100_000]);
}

#[test]
fn a_chunked_answer_that_breaks_is_resumed() {
    let blob = Descriptor::of("x", b"hello world");
    let between = FaultProxy::new(None, |seen| match (is_blob_get(seen), seen.earlier) {
        (true, 0) => {
            raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nwo")
        }
        (true, _) => answer(206, &[("Content-Range", "bytes 8-10/11")], "rld"),
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
    assert_eq!(asked_from(&between), [0, 8]);
}

/// A server that keeps connections, and closes each without a word when the
/// second request comes: as if its own time-out had passed in that moment.
fn forgetful() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(20) {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                read_head(&mut reader);
                let length = INDEX.len();
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{INDEX}"
                )
                .unwrap();
                read_head(&mut reader);
            });
        }
    });
    host
}

fn read_head(reader: &mut impl BufRead) {
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
        line.clear();
    }
}

#[test]
fn a_kept_connection_that_ends_under_the_next_request_is_replaced() {
    let reference = format!("{}/app:1", forgetful()).parse().unwrap();
    let client = client();
    for _ in 0..3 {
        client.manifest(&reference).unwrap();
    }
}

#[test]
fn documents_that_a_proxy_compressed_are_read() {
    let between = FaultProxy::new(None, |seen| {
        let encoded = ("Content-Encoding", "gzip");
        let asked = seen.header("Accept-Encoding");
        assert_eq!(asked, Some("identity"), "nobody asked for it");
        match seen.target.as_str() {
            "/v2/app/tags/list" => answer(200, &[encoded], gzip(r#"{"name":"app","tags":["1"]}"#)),
            "/v2/app/manifests/1" => {
                let digest = Digest::of(INDEX.as_bytes()).to_string();
                answer(
                    200,
                    &[encoded, ("Docker-Content-Digest", &digest)],
                    gzip(INDEX),
                )
            }
            "/v2/" => answer(200, &[], ""),
            _ => answer(
                403,
                &[encoded],
                gzip(r#"{"errors":[{"code":"DENIED","message":"not yours"}]}"#),
            ),
        }
    });
    let one = app(&between);
    assert_eq!(client().manifest(&one).unwrap().bytes, INDEX.as_bytes());
    assert_eq!(client().tags(&one).unwrap(), ["1"]);
    let denied = client().manifest(&one.with_tag("2")).unwrap_err();
    assert!(
        denied.to_string().contains("403 DENIED: not yours"),
        "{denied}"
    );
}

#[test]
fn a_compressed_document_that_would_fill_the_memory_is_refused() {
    let bomb = gzip(&" ".repeat(64 << 20));
    let between = FaultProxy::new(None, move |_| {
        answer(200, &[("Content-Encoding", "gzip")], bomb.clone())
    });
    let error = client().manifest(&app(&between)).unwrap_err();
    assert!(error.to_string().contains("larger than 4 MiB"), "{error}");
}

#[test]
fn a_server_that_writes_slowly_is_waited_for() {
    let text = format!(
        "HTTP/1.1 200 OK\r\nX-Slow: {}\r\nContent-Length: {}\r\n\r\n{INDEX}",
        "s".repeat(40),
        INDEX.len()
    );
    let between = FaultProxy::new(None, move |seen| match seen.target.as_str() {
        "/v2/" => answer(200, &[], ""),
        // All of it takes longer than the connection may be silent.
        _ => Action::Raw(text.clone().into_bytes(), Duration::from_millis(5)),
    });
    let client = Client::new(ClientOptions {
        idle_timeout: Duration::from_millis(400),
        attempts: 1,
        ..options()
    })
    .unwrap();
    client.manifest(&app(&between)).unwrap();
}

#[test]
fn what_is_no_http_is_told_as_that() {
    let between = FaultProxy::new(None, |_| raw("SSH-2.0-OpenSSH_9.2\r\n"));
    let error = client().manifest(&app(&between)).unwrap_err();
    assert!(error.to_string().contains("not HTTP"), "{error}");
}
