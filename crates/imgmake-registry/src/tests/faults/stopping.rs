//! A cancellation is seen at once, whatever is waited for. All time-outs here are
//! longer than anybody would wait for a test.

use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::time::Duration;

use crate::testing::{
    Action, FaultProxy, Shelf, answer, app, is_blob_get, job, options, random_bytes,
};
use crate::{Client, ClientOptions, OperationContext, RegistryError};
use imgmake_event::{Cancel, Events};
use imgmake_oci::image::Descriptor;

const LONG: Duration = Duration::from_secs(3600);

struct Patient {
    client: Client,
    work: OperationContext,
}

impl Patient {
    fn new() -> Patient {
        let work = OperationContext {
            target: String::new(),
            events: Events::discard(),
            cancel: Cancel::default(),
        };
        let client = Client::new(ClientOptions {
            idle_timeout: LONG,
            backoff: (LONG, LONG),
            work: work.clone(),
            ..options()
        })
        .unwrap();
        Patient { client, work }
    }

    /// Cancels what `act` does once `begun` says so; it must end soon after.
    fn stop(
        self,
        begun: impl FnOnce(),
        act: impl FnOnce(&Client, &OperationContext) -> Result<(), RegistryError> + Send + 'static,
    ) {
        let (sender, ended) = mpsc::channel();
        let cancel = self.work.cancel.clone();
        std::thread::spawn(move || sender.send(act(&self.client, &self.work)));
        begun();
        // Long enough to be in the middle of waiting.
        std::thread::sleep(Duration::from_millis(150));
        assert!(ended.try_recv().is_err(), "it does not wait at all");
        cancel.cancel();
        let result = ended
            .recv_timeout(Duration::from_secs(30))
            .expect("a cancellation ends the wait");
        let error = result.unwrap_err();
        assert!(error.is_cancelled(), "{error}");
    }
}

fn wait_for(between: &FaultProxy, requests: usize) {
    while between.lines().len() < requests {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A port whose queue of connections is full: whoever connects hears nothing.
fn deaf() -> (u16, Vec<OwnedFd>) {
    use rustix::net::{
        AddressFamily, SocketAddrAny, SocketFlags, SocketType, bind, connect, getsockname, listen,
        socket, socket_with,
    };
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    let server = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&server, &any).unwrap();
    listen(&server, 0).unwrap();
    let at: SocketAddrAny = getsockname(&server).unwrap();
    let at = std::net::SocketAddr::try_from(at).unwrap();
    let mut held = vec![server];
    for _ in 0..4 {
        let flags = SocketFlags::NONBLOCK;
        let client = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
        // Connected or waiting: both take a place in the queue.
        let _ = connect(&client, &at);
        held.push(client);
    }
    (at.port(), held)
}

#[test]
fn while_a_dead_host_is_being_reached() {
    let (port, _held) = deaf();
    let dead = format!("127.0.0.1:{port}/app:1").parse().unwrap();
    Patient::new().stop(|| {}, move |client, _| client.head(&dead).map(drop));
}

#[test]
fn while_a_server_is_thinking() {
    let between = FaultProxy::new(None, |_| Action::Stall);
    let reference = app(&between);
    Patient::new().stop(
        || wait_for_any(&between),
        move |client, _| client.manifest(&reference).map(drop),
    );
}

fn wait_for_any(between: &FaultProxy) {
    while between.requests().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn while_a_blob_stopped_in_the_middle() {
    let between = FaultProxy::new(None, |seen| match is_blob_get(seen) {
        true => Action::RawThenStall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel".to_vec()),
        false => answer(200, &[], ""),
    });
    let reference = app(&between);
    let blob = Descriptor::of("x", b"hello");
    Patient::new().stop(
        || wait_for(&between, 1),
        move |client, work| {
            let shelf = Shelf::new();
            client.pull_blob(&reference, &blob, &shelf.store, work)
        },
    );
}

#[test]
fn while_nobody_reads_an_upload() {
    let between = FaultProxy::new(None, |seen| match seen.method.as_str() {
        "HEAD" => answer(404, &[], ""),
        "POST" => answer(202, &[("Location", "/up")], ""),
        "PUT" => Action::IgnoreBody,
        _ => answer(200, &[], ""),
    });
    let name = format!("{}/app:1", between.host());
    Patient::new().stop(
        // The manifest's HEAD, the blob's HEAD, POST, PUT.
        || wait_for(&between, 4),
        move |client, work| {
            let shelf = Shelf::new();
            let image = shelf.image("linux/amd64", &[random_bytes(400, 40 << 20)]);
            client
                .push(&job(&name, &image), &shelf.store, work)
                .map(drop)
        },
    );
}

#[test]
fn between_two_attempts() {
    let between = FaultProxy::new(None, |seen| match seen.target.as_str() {
        "/v2/" => answer(200, &[], ""),
        _ => answer(503, &[("Retry-After", "500")], ""),
    });
    let reference = app(&between);
    Patient::new().stop(
        || wait_for(&between, 1),
        move |client, _| client.manifest(&reference).map(drop),
    );
}

#[test]
fn while_a_token_server_is_thinking() {
    let tokens = FaultProxy::new(None, |_| Action::Stall);
    let realm = format!(
        r#"Bearer realm="http://{}/token",service="s""#,
        tokens.host()
    );
    let between = FaultProxy::new(None, move |_| {
        answer(401, &[("WWW-Authenticate", realm.as_str())], "")
    });
    let reference = app(&between);
    Patient::new().stop(
        || wait_for_any(&tokens),
        move |client, _| client.head(&reference).map(drop),
    );
}
