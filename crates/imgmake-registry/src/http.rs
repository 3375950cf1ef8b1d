//! One HTTP exchange: a call goes out, an answer comes back, bodies stream.
//!
//! Knows ureq and its habits; knows no registry. Redirects, credentials and
//! retries are its callers' (`session.rs`).

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use ureq::http::{self, HeaderMap, Method};
use url::Url;

use super::RegistryError;
use super::connection::{NameNotFound, SettingNames, TlsFailure};
use super::error::{ConnectionFault, Fault, is_transient_status};
use imgmake_event::Cancelled;
use imgmake_guard::offline;

/// Error bodies and leftovers are read this far; beyond, the connection is worth less.
const SMALL: u64 = 64 << 10;
/// How a gzip stream begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// A body of this size waits for the server's word that it is wanted: an expired
/// token, a redirect or a limit would waste it.
const WORTH_ASKING: u64 = 1 << 20;

/// Opens a body from its beginning.
pub(super) type Opener<'a> = &'a (dyn Fn() -> io::Result<Box<dyn Read>> + Sync + 'a);

/// What is sent. A body can be sent again: after a 401, after a redirect.
#[derive(Clone, Copy)]
pub(super) enum Body<'a> {
    None,
    Bytes(&'a [u8]),
    /// A reader that gives exactly `length` bytes each time it is opened.
    Stream {
        length: u64,
        open: Opener<'a>,
    },
}

#[derive(Clone)]
pub(super) struct Call<'a> {
    pub method: Method,
    pub url: Url,
    pub headers: Vec<(&'static str, String)>,
    pub body: Body<'a>,
    pub expect: Expect,
}

/// Whether a large body waits for `100 Continue` (RFC 9110 §10.1.1). A server that
/// says nothing gets it after a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    Continue,
    /// It answered 417 before.
    Nothing,
}

impl<'a> Call<'a> {
    pub(super) fn new(method: Method, url: Url) -> Call<'a> {
        Call {
            method,
            url,
            headers: Vec::new(),
            body: Body::None,
            expect: Expect::Continue,
        }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Call<'a> {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn body(mut self, body: Body<'a>) -> Call<'a> {
        self.body = body;
        self
    }
}

pub(super) struct Answer {
    pub status: u16,
    /// Where it came from, after redirects.
    pub url: Url,
    headers: HeaderMap,
    body: ureq::Body,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    pub(super) fn headers<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h str> {
        self.headers
            .get_all(name)
            .iter()
            .filter_map(|v| v.to_str().ok())
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A whole small document.
    pub(super) fn bytes(self, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let gzipped = self.is_gzipped();
        let bytes = up_to(limit, self.body.into_reader()).map_err(|e| broken(e.into()))?;
        let bytes = match gzipped && bytes.starts_with(&GZIP) {
            true => up_to(limit, MultiGzDecoder::new(&bytes[..])).map_err(|e| {
                RegistryError::invalid(format!("the gzip stream of the answer is damaged: {e}"))
            })?,
            false => bytes,
        };
        if bytes.len() as u64 > limit {
            let what = "the answer";
            return Err(Fault::TooLarge { what, limit }.into());
        }
        Ok(bytes)
    }

    /// The beginning of an error's body, whatever its length.
    pub(super) fn excerpt(self) -> Vec<u8> {
        let gzipped = self.is_gzipped();
        let mut bytes = Vec::new();
        // What arrived before a broken connection still says something.
        drop(self.body.into_reader().take(SMALL).read_to_end(&mut bytes));
        if gzipped && bytes.starts_with(&GZIP) {
            let mut plain = Vec::new();
            drop(
                MultiGzDecoder::new(&bytes[..])
                    .take(SMALL)
                    .read_to_end(&mut plain),
            );
            return plain;
        }
        bytes
    }

    /// Some proxies compress documents, asked or not. Blobs are never decoded: what
    /// counts of them is what was stored.
    fn is_gzipped(&self) -> bool {
        self.header("Content-Encoding")
            .is_some_and(|e| e.trim().eq_ignore_ascii_case("gzip"))
    }

    /// Reads what is left: a connection with unread bytes cannot be used again.
    pub(super) fn drain(self) {
        drop(io::copy(
            &mut self.body.into_reader().take(SMALL),
            &mut io::sink(),
        ));
    }

    pub(super) fn reader(self) -> impl Read {
        self.body.into_reader()
    }
}

/// One byte more than the limit tells that there is more.
fn up_to(limit: u64, reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Sends a call once and reads the answer's head.
pub(super) fn exchange(
    agent: &ureq::Agent,
    call: &Call,
    authorization: Option<&str>,
) -> Result<Answer, RegistryError> {
    offline::check(call.url.host_str().unwrap_or_default())?;
    let mut request = http::Request::builder()
        .method(call.method.clone())
        .uri(call.url.as_str())
        // Bytes as they are stored: their digest counts.
        .header("Accept-Encoding", "identity");
    for (name, value) in &call.headers {
        request = request.header(*name, value);
    }
    if let Some(value) = authorization {
        request = request.header("Authorization", value);
    }
    let bad = |e: http::Error| RegistryError::invalid(format!("a request cannot be made: {e}"));
    let result = match call.body {
        Body::None => agent.run(request.body(()).map_err(bad)?),
        Body::Bytes(bytes) => agent.run(request.body(bytes).map_err(bad)?),
        Body::Stream { length, open } => {
            let mut reader =
                open().map_err(|e| RegistryError::store(format!("a blob cannot be read: {e}")))?;
            let body = ureq::SendBody::from_reader(&mut reader);
            let mut request = request.header("Content-Length", length);
            if length >= WORTH_ASKING && call.expect == Expect::Continue {
                request = request.header("Expect", "100-continue");
            }
            agent.run(request.body(body).map_err(bad)?)
        }
    };
    let (head, body) = result.map_err(broken)?.into_parts();
    Ok(Answer {
        status: head.status.as_u16(),
        url: call.url.clone(),
        headers: head.headers,
        body,
    })
}

/// What a failed connection means.
pub(super) fn broken(error: ureq::Error) -> RegistryError {
    use ureq::Error as E;
    match error {
        E::Io(error) => broken_stream(error),
        E::Timeout(what) => ConnectionFault::TimedOut(what).into(),
        E::HostNotFound => no_name(NameNotFound::default()),
        E::ConnectionFailed => ConnectionFault::Other("no connection".to_string()).into(),
        E::ConnectProxyFailed(text) => proxy_refused(&text),
        E::BadUri(address) => RegistryError::invalid(format!("invalid address: {address}")),
        E::Protocol(error) => ConnectionFault::NotHttp(error.to_string()).into(),
        other => ConnectionFault::Other(other.to_string()).into(),
    }
}

/// Whether another attempt may succeed, at a server that is no registry.
pub fn is_transient(error: &ureq::Error) -> bool {
    use ureq::Error as E;
    match error {
        E::StatusCode(status) => is_transient_status(*status),
        E::Io(error) => !error
            .get_ref()
            .is_some_and(|inner| inner.is::<TlsFailure>() || inner.is::<Cancelled>()),
        E::Timeout(_) | E::HostNotFound | E::ConnectionFailed | E::Protocol(_) => true,
        _ => false,
    }
}

/// What our own readers and connections give comes back as it is.
fn broken_stream(error: io::Error) -> RegistryError {
    match error.get_ref() {
        Some(inner) if inner.is::<Cancelled>() => Cancelled.into(),
        Some(inner) if inner.is::<RegistryError>() => match error.downcast() {
            Ok(own) => own,
            Err(error) => ConnectionFault::Io(error).into(),
        },
        Some(inner) => {
            let tls = inner.downcast_ref::<TlsFailure>().cloned().map(tls);
            let name = || inner.downcast_ref::<NameNotFound>().cloned().map(no_name);
            tls.or_else(name)
                .unwrap_or_else(|| ConnectionFault::Io(error).into())
        }
        None => ConnectionFault::Io(error).into(),
    }
}

fn tls(failure: TlsFailure) -> RegistryError {
    let advice = failure.advice(&SettingNames::default());
    let error = RegistryError::from(Fault::Tls(failure));
    match advice {
        Some(advice) => error.help(advice),
        None => error,
    }
}

/// A proxy that does not let us through; ureq has its status in a text alone.
fn proxy_refused(text: &str) -> RegistryError {
    let text = text.trim_start_matches("proxy server responded ");
    let status = text.split('/').next().unwrap_or(text);
    let error = RegistryError::from(ConnectionFault::Proxy(status.to_string()));
    match status.as_bytes() {
        b"401" | b"407" => error.help("give it `user:password@` in its address"),
        [b'4', ..] => error.help("it has to allow CONNECT to this host and port"),
        _ => error,
    }
}

fn no_name(name: NameNotFound) -> RegistryError {
    RegistryError::from(ConnectionFault::NameNotFound(name))
        .help("check the name; where only a proxy knows it, set HTTPS_PROXY")
}

/// A request with an empty body that still says its length.
pub(super) const EMPTY: Body<'static> = Body::Bytes(&[]);
