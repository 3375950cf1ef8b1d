//! One blob into one repository: ask whether it is there, mount it from a
//! neighbour, else stream it. A stream that breaks goes on from where the
//! registry says it stands, then in chunks, then from the start.

use std::io::{self, Read, Seek, SeekFrom};

use ureq::http::Method;
use url::Url;

use super::http::{Answer, Body, Call};
use super::retry::Attempts;
use super::session::{Ask, EMPTY, Retry, Session, pull_scope, push_scope};
use super::transfer::{Outgoing, Progress};
use super::{RegistryError, Work};
use crate::event::Direction;
use crate::image::Descriptor;
use crate::store::Store;

/// Chunks of a chunked upload, unless the registry wants larger ones.
const CHUNK: u64 = 16 << 20;

pub(super) struct Upload<'a> {
    pub session: &'a Session,
    pub repository: &'a str,
    pub blob: &'a Descriptor,
    pub store: &'a Store,
    pub work: &'a Work,
}

/// An upload that the registry has opened.
struct Opened {
    location: Url,
    /// Bytes that the registry has.
    offset: u64,
    smallest_chunk: u64,
}

/// How a mount went.
enum Mounted {
    Yes,
    /// The registry opened an upload instead.
    Opened(Opened),
    No,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// One PUT with the whole body.
    Whole,
    /// PATCHes, each small enough for a proxy that cuts long requests.
    Chunks,
}

impl Upload<'_> {
    pub(super) fn exists(&self) -> Result<bool, RegistryError> {
        let url = self.session.url(&format!(
            "v2/{}/blobs/{}",
            self.repository, self.blob.digest
        ))?;
        match self.ask(
            "look for a blob",
            Call::new(Method::HEAD, url),
            Retry::Whole,
            None,
        ) {
            Ok(_) => Ok(true),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Tries to take the blob from a repository of the same registry; a refusal is no error.
    pub(super) fn mount_or_send(&self, neighbours: &[String]) -> Result<(), RegistryError> {
        let mut opened = None;
        for from in neighbours {
            match self.mount(from)? {
                Mounted::Yes => return Ok(()),
                Mounted::Opened(upload) => {
                    opened = Some(upload);
                    break;
                }
                Mounted::No => {}
            }
        }
        self.send(opened)
    }

    /// Only a mount: for blobs that we do not hold.
    pub(super) fn mount_only(&self, neighbours: &[String]) -> Result<bool, RegistryError> {
        for from in neighbours {
            match self.mount(from)? {
                Mounted::Yes => return Ok(true),
                Mounted::Opened(upload) => self.abandon(upload),
                Mounted::No => {}
            }
        }
        Ok(false)
    }

    fn mount(&self, from: &str) -> Result<Mounted, RegistryError> {
        let mut url = self.uploads()?;
        url.query_pairs_mut()
            .append_pair("mount", self.blob.digest.as_str())
            .append_pair("from", from);
        let call = Call::new(Method::POST, url).body(EMPTY);
        match self.ask("mount a blob", call, Retry::Whole, Some(from)) {
            Ok(answer) if answer.status == 201 => {
                answer.drain();
                Ok(Mounted::Yes)
            }
            Ok(answer) => Ok(self.opened(answer).map_or(Mounted::No, Mounted::Opened)),
            Err(error) if error.is_cancelled() => Err(error),
            // Whatever the reason (no right to read there, no mounts here), sending still works.
            Err(_) => Ok(Mounted::No),
        }
    }

    fn abandon(&self, upload: Opened) {
        let call = Call::new(Method::DELETE, upload.location);
        // Registries sweep forgotten uploads themselves; this is politeness.
        drop(self.ask("abandon an upload", call, Retry::Never, None));
    }

    fn send(&self, opened: Option<Opened>) -> Result<(), RegistryError> {
        let mut attempts = Attempts::new(self.session.policy());
        let mut manner = Manner::Whole;
        let mut current = opened;
        loop {
            let mut upload = match current.take() {
                Some(upload) => upload,
                None => self.open()?,
            };
            let before = upload.offset;
            let result = match manner {
                Manner::Whole if upload.offset == 0 => self.put_rest(&upload),
                Manner::Whole => self
                    .patch(&mut upload, u64::MAX)
                    .and_then(|()| self.close(&upload)),
                Manner::Chunks => self.chunks(&mut upload),
            };
            let Err(error) = result else { return Ok(()) };
            if !self.goes_on(&error, before, manner) {
                return Err(error);
            }
            current = self.standing(&upload, &error);
            let moved = current.as_ref().is_some_and(|c| c.offset > before);
            if moved {
                attempts.renew();
            } else {
                // A broken stream that leaves nothing behind is sent in pieces the next time;
                // pieces that are refused, in one.
                manner = match (manner, error.status()) {
                    (Manner::Whole, _) => Manner::Chunks,
                    (Manner::Chunks, Some(400..=499)) => Manner::Whole,
                    (Manner::Chunks, _) => Manner::Chunks,
                };
            }
            attempts.again(error, None, &self.work.cancel)?;
        }
    }

    /// Whether another way of sending may succeed.
    fn goes_on(&self, error: &RegistryError, offset: u64, manner: Manner) -> bool {
        match error.status() {
            _ if error.is_retryable() => true,
            // The upload was lost (404), its range disputed (416), its parts mixed up
            // (DIGEST_INVALID after a resumption), its size or method refused by a proxy.
            Some(404 | 416) => true,
            Some(400) => offset > 0 || manner == Manner::Chunks,
            Some(405 | 411 | 413 | 501) => true,
            _ => false,
        }
    }

    /// Where the registry stands after a failure; `None` means from the start.
    fn standing(&self, upload: &Opened, error: &RegistryError) -> Option<Opened> {
        let lost = matches!(error.status(), Some(400 | 404 | 405 | 411 | 413 | 501));
        if lost || self.work.cancel.is_cancelled() {
            return None;
        }
        let call = Call::new(Method::GET, upload.location.clone());
        let answer = self
            .ask("ask how far an upload is", call, Retry::Whole, None)
            .ok()?;
        let offset = answer.header("Range").and_then(bytes_held)?;
        if offset == 0 || offset > self.blob.size {
            // A fresh upload is cleaner than one about which nothing is known.
            return None;
        }
        let location = self
            .location(&answer)
            .unwrap_or_else(|| upload.location.clone());
        answer.drain();
        Some(Opened {
            location,
            offset,
            smallest_chunk: upload.smallest_chunk,
        })
    }

    fn open(&self) -> Result<Opened, RegistryError> {
        let call = Call::new(Method::POST, self.uploads()?).body(EMPTY);
        let answer = self
            .ask("begin an upload", call, Retry::Whole, None)
            .map_err(|e| match e.is_missing() {
                true => e.help(
                    "the repository does not exist, and this registry does not make it by itself; create it, or set `create-repo` where the registry is ECR",
                ),
                false => e,
            })?;
        let status = answer.status;
        self.opened(answer).ok_or_else(|| {
            RegistryError::invalid(format!(
                "the answer ({status}) to the beginning of an upload has no Location"
            ))
            .during(
                &self.session.endpoint.registry,
                self.repository,
                "begin an upload",
            )
        })
    }

    fn opened(&self, answer: Answer) -> Option<Opened> {
        let location = self.location(&answer)?;
        let smallest_chunk = answer
            .header("OCI-Chunk-Min-Length")
            .and_then(|v| v.trim().parse().ok())
            .unwrap_or(0);
        answer.drain();
        Some(Opened {
            location,
            offset: 0,
            smallest_chunk,
        })
    }

    fn location(&self, answer: &Answer) -> Option<Url> {
        let location = answer.header("Location")?;
        self.session.locate(&answer.url, location).ok()
    }

    fn uploads(&self) -> Result<Url, RegistryError> {
        self.session
            .url(&format!("v2/{}/blobs/uploads/", self.repository))
    }

    /// The one streaming PUT that sends and closes.
    fn put_rest(&self, upload: &Opened) -> Result<(), RegistryError> {
        let open = || self.outgoing(0, self.blob.size);
        let call = Call::new(Method::PUT, self.closing(upload))
            .header("Content-Type", "application/octet-stream")
            .body(Body::Stream {
                length: self.blob.size,
                open: &open,
            });
        self.ask("send a blob", call, Retry::Never, None)
            .map(Answer::drain)
    }

    /// Appends up to `most` bytes.
    fn patch(&self, upload: &mut Opened, most: u64) -> Result<(), RegistryError> {
        let from = upload.offset;
        let length = most.min(self.blob.size - from);
        if length == 0 {
            return Ok(());
        }
        let open = || self.outgoing(from, length);
        let call = Call::new(Method::PATCH, upload.location.clone())
            .header("Content-Type", "application/octet-stream")
            .header("Content-Range", format!("{from}-{}", from + length - 1))
            .body(Body::Stream {
                length,
                open: &open,
            });
        let answer = self.ask("send a part of a blob", call, Retry::Never, None)?;
        if let Some(location) = self.location(&answer) {
            upload.location = location;
        }
        answer.drain();
        upload.offset = from + length;
        Ok(())
    }

    fn chunks(&self, upload: &mut Opened) -> Result<(), RegistryError> {
        while upload.offset < self.blob.size {
            self.patch(upload, CHUNK.max(upload.smallest_chunk))?;
        }
        self.close(upload)
    }

    fn close(&self, upload: &Opened) -> Result<(), RegistryError> {
        let call = Call::new(Method::PUT, self.closing(upload))
            .header("Content-Type", "application/octet-stream")
            .body(EMPTY);
        self.ask("finish an upload", call, Retry::Never, None)
            .map(Answer::drain)
    }

    fn closing(&self, upload: &Opened) -> Url {
        let mut url = upload.location.clone();
        // Appended to the text: parsing and writing a signed query again could change it.
        let query = match url.query() {
            None | Some("") => format!("digest={}", self.blob.digest),
            Some(query) => format!("{query}&digest={}", self.blob.digest),
        };
        url.set_query(Some(&query));
        url
    }

    fn outgoing(&self, from: u64, length: u64) -> io::Result<Box<dyn Read>> {
        let mut file = self
            .store
            .open_blob(&self.blob.digest)
            .map_err(io::Error::other)?;
        file.seek(SeekFrom::Start(from))?;
        let what = format!(
            "{} {}",
            self.session.endpoint.registry,
            self.blob.digest.short()
        );
        Ok(Box::new(Outgoing {
            reader: file,
            left: length,
            done: from,
            progress: Progress::new(self.work, what, Direction::Push, self.blob.size),
        }))
    }

    fn ask(
        &self,
        doing: &str,
        call: Call,
        retry: Retry,
        also_from: Option<&str>,
    ) -> Result<Answer, RegistryError> {
        let mut scopes = vec![push_scope(self.repository)];
        scopes.extend(also_from.map(pull_scope));
        let operation = format!("{doing} ({})", self.blob.digest);
        self.session
            .ask(&Ask {
                operation: &operation,
                repository: self.repository,
                scopes: &scopes,
                call,
                retry,
                cancel: &self.work.cancel,
            })
            .map_err(|error| match error.code() {
                Some("DIGEST_INVALID") => error.help(
                    "the registry received other bytes than the digest says; if it happens again, the blob in the store is damaged",
                ),
                _ => error,
            })
    }
}

/// `Range: 0-1023` says 1024 bytes; `0-0` is how an empty upload looks.
fn bytes_held(header: &str) -> Option<u64> {
    let header = header.trim();
    let (_, last) = header
        .strip_prefix("bytes=")
        .unwrap_or(header)
        .split_once('-')?;
    match last.trim().parse::<u64>().ok()? {
        0 => Some(0),
        last => last.checked_add(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_of_an_upload_says_how_many_bytes_are_there() {
        assert_eq!(bytes_held("0-1023"), Some(1024));
        assert_eq!(bytes_held("bytes=0-9"), Some(10));
        assert_eq!(bytes_held("0-0"), Some(0));
        assert_eq!(bytes_held("x"), None);
        assert_eq!(bytes_held("0-18446744073709551615"), None);
    }
}
