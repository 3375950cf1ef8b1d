//! The HTTP/1.1 that a registry's clients speak: one head, one body, one answer.
//!
//! Knows no registry. Bodies have a length or come in chunks.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// The head of a request.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub method: String,
    /// Path and query, as they came.
    pub target: String,
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// Reads one; none when the peer is gone.
    pub(crate) fn read(reader: &mut impl BufRead) -> Option<Head> {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split_whitespace();
        let (method, target) = (words.next()?.to_string(), words.next()?.to_string());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers.push((name.to_string(), value.trim().to_string()));
        }
        Some(Head {
            method,
            target,
            headers,
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Of a body that comes in one piece; 0 without one.
    pub(crate) fn content_length(&self) -> u64 {
        let length = self.header("Content-Length");
        length.and_then(|length| length.parse().ok()).unwrap_or(0)
    }

    fn is_chunked(&self) -> bool {
        self.header("Transfer-Encoding")
            .is_some_and(|encoding| encoding.eq_ignore_ascii_case("chunked"))
    }

    pub(crate) fn expects_continue(&self) -> bool {
        self.header("Expect")
            .is_some_and(|expect| expect.eq_ignore_ascii_case("100-continue"))
    }

    /// Whether the peer wants no further request on this connection.
    pub(crate) fn closes(&self) -> bool {
        self.header("Connection")
            .is_some_and(|connection| connection.eq_ignore_ascii_case("close"))
    }
}

pub(crate) fn header<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// A body that has arrived, whole or not.
pub(crate) struct Received {
    pub bytes: Vec<u8>,
    /// The peer sent all that it promised.
    pub whole: bool,
}

/// Reads a body to its end, or to where the connection broke.
pub(crate) fn read_body(head: &Head, reader: &mut BufReader<TcpStream>) -> Received {
    let mut bytes = Vec::new();
    if !head.is_chunked() {
        let length = head.content_length();
        // What arrived before a reset counts.
        drop(reader.by_ref().take(length).read_to_end(&mut bytes));
        let whole = bytes.len() as u64 == length;
        return Received { bytes, whole };
    }
    let whole = read_chunks(reader, &mut bytes).is_ok();
    Received { bytes, whole }
}

/// RFC 9112 §7.1, without extensions and trailers.
fn read_chunks(reader: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let digits = line.trim_end().split(';').next().unwrap_or_default();
        let length = u64::from_str_radix(digits, 16).map_err(io::Error::other)?;
        let before = bytes.len() as u64;
        reader.by_ref().take(length).read_to_end(bytes)?;
        if bytes.len() as u64 - before < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        reader.read_line(&mut String::new())?;
        if length == 0 {
            return Ok(());
        }
    }
}

/// What is sent back. A `Content-Length` among the headers replaces the body's own.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub(crate) fn new(status: u16) -> Response {
        Response {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Response {
        self.headers.push((name.to_string(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Response {
        self.body = body.into();
        self
    }

    /// Writes it as the answer to a method; `close` ends the connection with it.
    pub(crate) fn write(
        &self,
        mut stream: &TcpStream,
        method: &str,
        close: bool,
    ) -> io::Result<()> {
        let mut text = format!("HTTP/1.1 {} Answer\r\n", self.status);
        if close {
            text.push_str("Connection: close\r\n");
        }
        if header(&self.headers, "Content-Length").is_none() && self.status != 204 {
            text.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        stream.write_all(text.as_bytes())?;
        if method != "HEAD" {
            stream.write_all(&self.body)?;
        }
        Ok(())
    }
}
