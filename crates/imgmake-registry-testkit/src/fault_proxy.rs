//! A server that follows rules: it answers by itself, or is a proxy of a registry and
//! breaks what passes.
//!
//! One request per connection, so that each can be broken on its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::http::{self, Head, Response};
use crate::server::Server;

/// A request as it arrived, before its body.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    /// How many requests with this method and target came before.
    pub earlier: usize,
    /// The host that was asked for, when this server played a proxy.
    pub through: Option<String>,
}

impl RecordedRequest {
    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        http::header(&self.headers, name)
    }

    /// `METHOD target`
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    fn new(head: Head) -> RecordedRequest {
        RecordedRequest {
            method: head.method,
            target: head.target,
            headers: head.headers,
            earlier: 0,
            through: None,
        }
    }
}

/// Status, headers, body. A `Content-Length` among the headers replaces the body's own.
pub type Reply = (u16, Vec<(String, String)>, Vec<u8>);

/// What becomes of a request.
pub enum Action {
    /// To the registry behind, and its answer back.
    Forward,
    /// Forwards, and closes after so many bytes of the answer's body.
    CutResponse(usize),
    /// Hands so many bytes of the body on, then closes both sides.
    CutRequest(usize),
    Answer(Reply),
    /// Reads the whole body (or so many bytes of it), then answers; `None` closes.
    Read(usize, Box<dyn FnOnce(Vec<u8>) -> Option<Reply>>),
    /// Sends nothing until the peer goes away.
    Stall,
    /// Sends these bytes as they are, one by one with a pause where there is one, and closes.
    Raw(Vec<u8>, Duration),
    /// Sends these bytes as they are, then nothing until the peer goes away.
    RawThenStall(Vec<u8>),
    /// Hands everything on, and closes instead of answering.
    DropResponse,
    /// Reads nothing of the body until the peer goes away.
    IgnoreBody,
    /// Sends no `100 Continue`, reads the body nevertheless, then answers.
    AnswerWithoutContinue(Reply),
}

/// A reply of a status, headers and a body.
pub fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Reply {
    let headers = headers
        .iter()
        .map(|(n, v)| ((*n).to_string(), (*v).to_string()))
        .collect();
    (status, headers, body.into())
}

/// An action that answers with a status, headers and a body.
pub fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Action {
    Action::Answer(reply(status, headers, body))
}

/// A plain HTTP server on loopback that follows a rule and records its requests. It ends when it
/// is dropped.
///
/// ```
/// use imgmake_registry_testkit::{Action, FaultProxy, Registry, answer};
///
/// let registry = Registry::start();
/// // The first request for each blob is refused.
/// let proxy = FaultProxy::new(Some(registry.port()), |request| {
///     match request.target.contains("/blobs/") && request.earlier == 0 {
///         true => answer(503, &[("Retry-After", "0")], "busy"),
///         false => Action::Forward,
///     }
/// });
/// assert!(proxy.requests().is_empty());
/// ```
pub struct FaultProxy {
    server: Server,
    requests: Arc<Mutex<Vec<RecordedRequest>>>,
}

impl FaultProxy {
    /// `upstream` is the port on loopback that requests are forwarded to.
    pub fn new(
        upstream: Option<u16>,
        rule: impl Fn(&RecordedRequest) -> Action + Send + Sync + 'static,
    ) -> FaultProxy {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&requests);
        let server = Server::start(move |stream| serve(&stream, upstream, &recorded, &rule));
        FaultProxy { server, requests }
    }

    /// Forwards everything and records it.
    pub fn recording(upstream: u16) -> FaultProxy {
        FaultProxy::new(Some(upstream), |_| Action::Forward)
    }

    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// `127.0.0.1:PORT`
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// What arrived, in order.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        lock(&self.requests).clone()
    }

    /// `METHOD target` of what came, without the probe of `/v2/`.
    pub fn lines(&self) -> Vec<String> {
        self.requests()
            .iter()
            .map(RecordedRequest::line)
            .filter(|line| line != "GET /v2/")
            .collect()
    }

    /// Forgets what was recorded.
    pub fn clear(&self) {
        lock(&self.requests).clear();
    }
}

fn lock(requests: &Mutex<Vec<RecordedRequest>>) -> std::sync::MutexGuard<'_, Vec<RecordedRequest>> {
    requests.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(
    stream: &TcpStream,
    upstream: Option<u16>,
    recorded: &Mutex<Vec<RecordedRequest>>,
    rule: &(dyn Fn(&RecordedRequest) -> Action + Send + Sync),
) {
    let Some((request, reader)) = read_request(stream) else {
        return;
    };
    let request = {
        let mut recorded = lock(recorded);
        let same = |other: &&RecordedRequest| other.line() == request.line();
        let earlier = recorded.iter().filter(same).count();
        let request = RecordedRequest { earlier, ..request };
        recorded.push(request.clone());
        request
    };
    let length = request.header("Content-Length");
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    let Ok(peer) = stream.try_clone() else {
        return;
    };
    let body = Incoming {
        body: reader.take(length),
        waits_for_continue: request.header("Expect").is_some(),
        peer,
    };
    let action = rule(&request);
    let mut exchange = Exchange {
        stream,
        request,
        body,
        length,
        upstream,
    };
    exchange.act(action);
}

/// The head of a request; of the one inside, where this server plays a proxy.
fn read_request(stream: &TcpStream) -> Option<(RecordedRequest, BufReader<TcpStream>)> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let head = Head::read(&mut reader)?;
    if head.method != "CONNECT" {
        return Some((RecordedRequest::new(head), reader));
    }
    // A proxy that is every host there is, in clear: TLS is refused.
    let (host, port) = head.target.rsplit_once(':')?;
    let status = if port == "443" { "403 No" } else { "200 OK" };
    let through = Some(host.to_string());
    let text = format!("HTTP/1.1 {status}\r\n\r\n");
    { stream }.write_all(text.as_bytes()).ok()?;
    let inner = RecordedRequest::new(Head::read(&mut reader)?);
    Some((RecordedRequest { through, ..inner }, reader))
}

/// One request on its way.
struct Exchange<'a> {
    stream: &'a TcpStream,
    request: RecordedRequest,
    body: Incoming,
    length: u64,
    upstream: Option<u16>,
}

impl Exchange<'_> {
    fn act(&mut self, action: Action) {
        match action {
            Action::Forward => self.forward(usize::MAX),
            Action::CutResponse(most) => self.forward(most),
            Action::CutRequest(most) => {
                let mut to = self.open();
                drop(std::io::copy(
                    &mut self.body.by_ref().take(most as u64),
                    &mut to,
                ));
            }
            Action::Answer(reply) => {
                // A client that waits for `100 Continue` gets the answer instead.
                if !self.body.waits_for_continue {
                    self.read_to_end();
                }
                self.answer(reply);
            }
            Action::Raw(bytes, pause) => {
                self.read_to_end();
                drip(self.stream, &bytes, pause);
            }
            Action::RawThenStall(bytes) => {
                self.read_to_end();
                drip(self.stream, &bytes, Duration::ZERO);
                wait_for_the_end(self.stream);
            }
            Action::IgnoreBody => {
                drop(self.body.read(&mut [0; 1]));
                while !is_gone(self.stream) {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            Action::AnswerWithoutContinue(reply) => {
                self.body.waits_for_continue = false;
                self.read_to_end();
                self.answer(reply);
            }
            Action::DropResponse => {
                let mut to = self.open();
                drop(std::io::copy(&mut self.body, &mut to));
                drop(to.read(&mut [0; 1]));
            }
            Action::Read(most, then) => {
                let mut bytes = Vec::new();
                drop(self.body.by_ref().take(most as u64).read_to_end(&mut bytes));
                if let Some(reply) = then(bytes) {
                    self.answer(reply);
                }
            }
            Action::Stall => {
                self.read_to_end();
                wait_for_the_end(self.stream);
            }
        }
    }

    fn read_to_end(&mut self) {
        drop(std::io::copy(&mut self.body, &mut std::io::sink()));
    }

    fn answer(&self, (status, headers, body): Reply) {
        let response = Response {
            status,
            headers,
            body,
        };
        // The peer may have gone.
        drop(response.write(self.stream, &self.request.method, true));
    }

    /// A connection to the registry behind, with the head sent.
    fn open(&self) -> TcpStream {
        let port = self
            .upstream
            .expect("a rule forwards only where there is a registry behind");
        let mut to = TcpStream::connect(("127.0.0.1", port)).expect("the registry behind is up");
        let mut text = format!("{} HTTP/1.1\r\nConnection: close\r\n", self.request.line());
        let own = ["connection", "content-length", "expect"];
        for (name, value) in &self.request.headers {
            if !own.contains(&name.to_ascii_lowercase().as_str()) {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", self.length));
        // One that has gone is seen by whoever reads its answer.
        drop(to.write_all(text.as_bytes()));
        to
    }

    fn forward(&mut self, most: usize) {
        let mut to = self.open();
        drop(std::io::copy(&mut self.body, &mut to));
        let mut from = BufReader::new(to);
        let mut back = self.stream;
        loop {
            let mut line = String::new();
            if from.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            drop(back.write_all(line.as_bytes()));
            if line == "\r\n" {
                break;
            }
        }
        drop(std::io::copy(&mut from.take(most as u64), &mut back));
    }
}

/// Byte by byte, where there is a pause.
fn drip(mut stream: &TcpStream, bytes: &[u8], pause: Duration) {
    let size = if pause.is_zero() { bytes.len() } else { 1 };
    for part in bytes.chunks(size.max(1)) {
        drop(stream.write_all(part));
        std::thread::sleep(pause);
    }
}

fn wait_for_the_end(mut stream: &TcpStream) {
    drop(stream.read(&mut [0]));
}

/// The peer closed, whatever it sent before.
fn is_gone(stream: &TcpStream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec};
    let now = Timespec::default();
    let mut polled = [PollFd::new(stream, PollFlags::RDHUP)];
    rustix::event::poll(&mut polled, Some(&now)).is_ok_and(|events| events > 0)
}

/// A body; a client that waits for `100 Continue` gets that with the first read.
struct Incoming {
    body: std::io::Take<BufReader<TcpStream>>,
    waits_for_continue: bool,
    peer: TcpStream,
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if std::mem::take(&mut self.waits_for_continue) {
            self.peer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        self.body.read(buffer)
    }
}
