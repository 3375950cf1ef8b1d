//! The protocol's lines: four hexadecimal digits of length before each, and
//! packs in side bands of them (gitprotocol-common, gitprotocol-pack).

use std::io::{self, BufRead, BufReader, Read};

use super::{GitError, Result};
use imgmake_event::Cancelled;

/// The longest line that there can be, without its length.
const LONGEST: usize = 0xffff - 4;
/// Bytes of what a server lists; the largest repositories have some 50 MB of references.
const MOST: usize = 256 << 20;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Data(&'a [u8]),
    Flush,
    Delimiter,
    End,
}

impl Line<'_> {
    /// A line of text without the newline at its end.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Line::Data(bytes) => std::str::from_utf8(bytes).ok().map(str::trim_end),
            _ => None,
        }
    }
}

pub(super) fn put(request: &mut Vec<u8>, text: &str) {
    let length = text.len() + 4;
    request.extend_from_slice(format!("{length:04x}{text}").as_bytes());
}

pub(super) const FLUSH: &[u8] = b"0000";
pub(super) const DELIMITER: &[u8] = b"0001";

/// Lines from a server.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    /// Bytes that may still come outside of packs: what they say is held in memory.
    left: usize,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(reader: R) -> Lines<R> {
        Lines {
            reader: BufReader::with_capacity(64 << 10, reader),
            line: Vec::new(),
            left: MOST,
        }
    }

    /// # Errors
    /// The connection broke, what came is no line, or it says that something is wrong.
    pub(super) fn next(&mut self) -> Result<Line<'_>> {
        let mut head = [0; 4];
        self.reader.read_exact(&mut head).map_err(ended)?;
        let length = std::str::from_utf8(&head)
            .ok()
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let length = match length {
            Some(0) => return Ok(Line::Flush),
            Some(1) => return Ok(Line::Delimiter),
            Some(2) => return Ok(Line::End),
            Some(length @ 4..) if length - 4 <= LONGEST => length - 4,
            _ => return Err(GitError::Protocol("not a line of git's protocol")),
        };
        self.left = self
            .left
            .checked_sub(length)
            .ok_or_else(|| GitError::Limit {
                what: "list of references and capabilities".into(),
                limit: MOST,
                unit: "bytes",
            })?;
        self.line.resize(length, 0);
        self.reader.read_exact(&mut self.line).map_err(ended)?;
        if let Some(message) = self.line.strip_prefix(b"ERR ") {
            return Err(GitError::Server(plain(message)));
        }
        Ok(Line::Data(&self.line))
    }

    /// Whether there is nothing any more.
    pub(super) fn is_at_end(&mut self) -> Result<bool> {
        Ok(self.reader.fill_buf().map_err(ended)?.is_empty())
    }
}

fn ended(error: io::Error) -> GitError {
    if Cancelled::ended(&error) {
        return GitError::Cancelled;
    }
    let inner = error.get_ref();
    let timeout = |inner: &ureq::Error| matches!(inner, ureq::Error::Timeout(_));
    let inner = inner.and_then(|inner| inner.downcast_ref());
    match error.kind() {
        _ if inner.is_some_and(timeout) => GitError::Timeout { repository: None },
        io::ErrorKind::TimedOut => GitError::Timeout { repository: None },
        io::ErrorKind::UnexpectedEof => GitError::Disconnected { source: None },
        _ => GitError::Disconnected {
            source: Some(error),
        },
    }
}

/// A server's words, fit for a message.
pub(super) fn plain(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.chars().map(clean).take(500).collect();
    text.trim().to_string()
}

/// The pack in the first side band. What ends it early stays in `broken`: readers
/// between here and the caller wrap errors in their own words.
pub(super) struct Pack<'a, R> {
    lines: &'a mut Lines<R>,
    at: usize,
    ended: bool,
    pub(super) broken: Option<GitError>,
}

impl<'a, R: Read> Pack<'a, R> {
    pub(super) fn new(lines: &'a mut Lines<R>) -> Pack<'a, R> {
        lines.line.clear();
        Pack {
            lines,
            at: 0,
            ended: false,
            broken: None,
        }
    }

    fn refill(&mut self) -> Result<()> {
        while !self.ended && self.at >= self.lines.line.len() {
            // A pack goes to the disk, and may be of any length.
            self.lines.left = MOST;
            match self.lines.next()? {
                Line::Data([1, ..]) => self.at = 1,
                // Progress, for people; an empty line says that the server is alive.
                Line::Data([2, ..] | []) => self.at = usize::MAX,
                Line::Data([3, message @ ..]) => return Err(GitError::Server(plain(message))),
                Line::Data(_) => return Err(GitError::Protocol("no side band")),
                Line::Flush | Line::Delimiter | Line::End => self.ended = true,
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Pack<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let filled = self.fill_buf()?;
        let count = filled.len().min(buffer.len());
        buffer[..count].copy_from_slice(&filled[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Pack<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Err(error) = self.refill() {
            self.ended = true;
            self.broken.get_or_insert(error);
        }
        match (self.ended, &self.broken) {
            (_, Some(_)) => Err(io::Error::other("the pack ended early")),
            (true, None) => Ok(&[]),
            (false, None) => Ok(&self.lines.line[self.at..]),
        }
    }

    fn consume(&mut self, count: usize) {
        if !self.ended {
            self.at += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_lists_without_end_is_left() {
        /// One line, over and over.
        struct Endless(Vec<u8>, usize);
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let rest = &self.0[self.1..];
                let read = (&rest[..]).read(buffer)?;
                self.1 = (self.1 + read) % self.0.len();
                Ok(read)
            }
        }
        let mut line = Vec::new();
        put(&mut line, &"x".repeat(60_000));
        let mut lines = Lines::new(Endless(line, 0));
        let error = loop {
            if let Err(error) = lines.next() {
                break error;
            }
        };
        assert!(error.to_string().contains("268435456 bytes"), "{error}");
    }

    #[test]
    fn lines_have_lengths_and_three_kinds_of_ends() {
        let mut request = Vec::new();
        put(&mut request, "command=ls-refs\n");
        request.extend_from_slice(b"000100020000");
        assert!(request.starts_with(b"0014command"));
        let mut lines = Lines::new(request.as_slice());
        assert_eq!(lines.next().unwrap().text(), Some("command=ls-refs"));
        assert_eq!(lines.next().unwrap(), Line::Delimiter);
        assert_eq!(lines.next().unwrap(), Line::End);
        assert_eq!(lines.next().unwrap(), Line::Flush);
        assert!(lines.is_at_end().unwrap());
    }

    #[test]
    fn what_is_no_line_is_an_error() {
        for bytes in [&b"<htm"[..], b"0003", b"+00a", b"0009ab", b"00", b"ffff"] {
            assert!(Lines::new(bytes).next().is_err(), "{bytes:?}");
        }
        let error = Lines::new(&b"000bERR \x1bno"[..]).next().unwrap_err();
        assert_eq!(error.to_string(), "the server reported: no");
    }

    #[test]
    fn a_pack_is_read_from_its_side_band() {
        let bytes = b"0007\x01ab0005\x020007\x01cd0000";
        let mut lines = Lines::new(&bytes[..]);
        let mut text = String::new();
        Pack::new(&mut lines).read_to_string(&mut text).unwrap();
        assert_eq!(text, "abcd");
        let mut lines = Lines::new(&b"0007\x01ab0009\x03full"[..]);
        let mut pack = Pack::new(&mut lines);
        assert!(pack.read_to_string(&mut text).is_err());
        assert_eq!(
            pack.broken.unwrap().to_string(),
            "the server reported: full"
        );
    }
}
