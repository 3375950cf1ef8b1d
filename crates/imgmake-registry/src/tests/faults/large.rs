//! A gigabyte through a proxy that closes every connection after 50 MB: what is
//! sent stays near the blob's size, and memory has nothing to do with it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::testing::{Shelf, client, random_bytes, start_registry};
use crate::upload::Upload;
use crate::{OperationContext, RegistryError};
use imgmake_oci::image::Descriptor;

const CUT: u64 = 50_000_000;
const GIGABYTE: u64 = 1 << 30;
/// Each block of the blob begins with its own place, so that a server can check
/// without hashing that every byte goes where it belongs.
const BLOCK: u64 = 4096;

fn large_blob(shelf: &Shelf, size: u64) -> Descriptor {
    let mut writer = shelf.store.blob_writer().unwrap();
    let mut block = vec![0; 256 * BLOCK as usize];
    for start in (0..size).step_by(block.len()) {
        for (at, part) in (start..)
            .step_by(BLOCK as usize)
            .zip(block.chunks_mut(BLOCK as usize))
        {
            part[..8].copy_from_slice(&at.to_le_bytes());
        }
        writer.write_all(&block).unwrap();
    }
    let (digest, size) = writer.commit(None).unwrap();
    Descriptor::new("application/octet-stream", digest, size)
}

/// Where each block must stand, however the bytes come.
#[derive(Default)]
struct Check {
    at: u64,
    begun: Vec<u8>,
}

impl Check {
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let inside = self.at % BLOCK;
            let count = if inside < 8 {
                8 - inside
            } else {
                BLOCK - inside
            };
            let (part, rest) = bytes.split_at(bytes.len().min(count as usize));
            if inside < 8 {
                self.begun.extend(part);
            }
            self.at += part.len() as u64;
            bytes = rest;
            if self.begun.len() == 8 {
                let place = u64::from_le_bytes(self.begun[..].try_into().unwrap());
                assert_eq!(place, self.at - 8, "a byte is lost or sent twice");
                self.begun.clear();
            }
        }
    }
}

/// A registry that resumes, behind a connection that is cut.
struct Cutting {
    host: String,
    sent: Arc<AtomicU64>,
    check: Arc<Mutex<Check>>,
}

fn cutting() -> Cutting {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let (sent, check) = (Arc::default(), Arc::default());
    let cutting = Cutting {
        host,
        sent: Arc::clone(&sent),
        check: Arc::clone(&check),
    };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // One after the other: there is one upload.
            serve(stream.unwrap(), &sent, &check);
        }
    });
    cutting
}

fn serve(mut stream: TcpStream, sent: &AtomicU64, check: &Mutex<Check>) {
    let mut passed = 0;
    let mut buffer = vec![0; 256 << 10];
    while let Some((method, length, rest)) = head(&mut stream) {
        let mut check = check.lock().unwrap();
        passed += rest.len() as u64;
        sent.fetch_add(rest.len() as u64, Ordering::SeqCst);
        check.take(&rest);
        let mut left = length - rest.len() as u64;
        if left > 0 && rest.is_empty() {
            drop(stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n"));
        }
        while left > 0 {
            let most = left
                .min(CUT.saturating_sub(passed))
                .min(buffer.len() as u64);
            if most == 0 {
                return;
            }
            let count = stream.read(&mut buffer[..most as usize]).unwrap();
            if count == 0 {
                return;
            }
            check.take(&buffer[..count]);
            sent.fetch_add(count as u64, Ordering::SeqCst);
            passed += count as u64;
            left -= count as u64;
        }
        let location = "Location: /v2/app/blobs/uploads/1?s=1\r\nContent-Length: 0\r\n\r\n";
        let range = check.at.saturating_sub(1);
        let answer = match method.as_str() {
            "HEAD" => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_string(),
            "GET" => format!("HTTP/1.1 204 No Content\r\nRange: 0-{range}\r\n{location}"),
            "PUT" => format!("HTTP/1.1 201 Created\r\n{location}"),
            _ => format!("HTTP/1.1 202 Accepted\r\n{location}"),
        };
        drop(stream.write_all(answer.as_bytes()));
    }
}

/// Method, length of the body, and what came of the body already.
fn head(stream: &mut TcpStream) -> Option<(String, u64, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => bytes.extend(&buffer[..count]),
            _ => return None,
        }
    };
    let rest = bytes.split_off(end);
    let text = String::from_utf8(bytes).unwrap();
    let length = text
        .lines()
        .find_map(|l| {
            l.to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        })
        .unwrap_or(0);
    Some((text.split(' ').next()?.to_string(), length, rest))
}

fn send(host: &str, shelf: &Shelf, blob: &Descriptor) -> Result<(), RegistryError> {
    let client = client();
    let session = client.session(&format!("{host}/app:1").parse().unwrap());
    Upload {
        session: &session,
        repository: "app",
        blob,
        store: &shelf.store,
        work: &OperationContext::background(),
    }
    .mount_or_send(&[])
}

#[test]
fn a_gigabyte_through_a_proxy_that_cuts_every_50_mb_is_sent_about_once() {
    let shelf = Shelf::new();
    let blob = large_blob(&shelf, GIGABYTE);
    let server = cutting();
    send(&server.host, &shelf, &blob).unwrap();
    assert_eq!(server.check.lock().unwrap().at, GIGABYTE);
    let sent = server.sent.load(Ordering::SeqCst);
    assert!(sent <= GIGABYTE * 12 / 10, "{sent} bytes were sent");
}

/// Hands bytes on, and closes a connection after so many from the client.
fn proxy(upstream: u16, cut: u64) -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, counted) = (stream.unwrap(), Arc::clone(&counted));
            std::thread::spawn(move || {
                let mut to = TcpStream::connect(("127.0.0.1", upstream)).unwrap();
                let (mut back, mut from) = (stream.try_clone().unwrap(), to.try_clone().unwrap());
                std::thread::spawn(move || {
                    drop(std::io::copy(&mut from, &mut back));
                    drop(back.shutdown(std::net::Shutdown::Both));
                });
                let count = std::io::copy(&mut (&stream).take(cut), &mut to).unwrap_or(cut);
                counted.fetch_add(count, Ordering::SeqCst);
                drop(to.shutdown(std::net::Shutdown::Both));
                drop(stream.shutdown(std::net::Shutdown::Both));
            });
        }
    });
    (port, sent)
}

#[test]
fn where_the_registry_forgets_cut_uploads_chunks_on_connections_of_their_own_arrive() {
    // Debian's docker-registry answers 404 to the status of an upload that was cut.
    let registry = start_registry();
    let (port, sent) = proxy(registry.port(), 20_000_000);
    let shelf = Shelf::new();
    let size = 100_000_000;
    let blob = shelf.blob("x", &random_bytes(500, size));
    send(&format!("127.0.0.1:{port}"), &shelf, &blob).unwrap();
    let there = client().session(&format!("{}/app:1", registry.host()).parse().unwrap());
    let upload = Upload {
        session: &there,
        repository: "app",
        blob: &blob,
        store: &shelf.store,
        work: &OperationContext::background(),
    };
    assert!(upload.exists().unwrap());
    let sent = sent.load(Ordering::SeqCst);
    assert!(sent < size as u64 * 13 / 10, "{sent} bytes were sent");
}

#[test]
fn where_not_even_a_chunk_passes_it_ends_with_the_attempts() {
    let registry = start_registry();
    let (port, sent) = proxy(registry.port(), 3_000_000);
    let shelf = Shelf::new();
    let blob = shelf.blob("x", &random_bytes(501, 50_000_000));
    let error = send(&format!("127.0.0.1:{port}"), &shelf, &blob).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("app: cannot send a part of a blob") && text.contains("(tried 4 times)"),
        "{text}"
    );
    assert!(sent.load(Ordering::SeqCst) < 20_000_000, "it ends soon");
}
