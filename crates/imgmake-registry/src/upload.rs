//! One blob into one repository: ask whether it is there, mount it from another
//! repository, else stream it. A stream that breaks goes on from where the
//! registry says it found, then in chunks, then from the start.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::atomic::Ordering;

use ureq::http::Method;
use url::Url;

use super::http::{Answer, Body, Call, EMPTY, Expect};
use super::retry::Attempts;
use super::session::{Request, Retry, Session, pull_scope, push_scope};
use super::transfer::{Outgoing, PROGRESS, Progress};
use super::{OperationContext, RegistryError};
use imgmake_event::Direction;
use imgmake_oci::image::Descriptor;
use imgmake_oci::store::Store;

/// Chunks of a chunked upload, unless the registry wants larger ones.
const CHUNK: u64 = 16 << 20;
/// What a 405 to the beginning of an upload means.
pub(super) const NO_PUSHES: &str =
    "the registry does not accept pushes: it may be a pull-through mirror, or read-only";
/// Proxies that take less than this in one request are beyond help.
const SMALLEST_CHUNK: u64 = 256 << 10;

pub(super) struct Upload<'a> {
    pub session: &'a Session,
    pub repository: &'a str,
    pub blob: &'a Descriptor,
    pub store: &'a Store,
    pub work: &'a OperationContext,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UploadMode {
    /// One PUT with the whole body; what is left of a broken one in one PATCH.
    Whole,
    /// PATCHes of so many bytes, small enough for a proxy that cuts long requests.
    Chunks(u64),
}

/// What a failure says about how to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RetryAction {
    /// As before: the failure had nothing to do with the mode.
    Same,
    Change(UploadMode),
    GiveUp,
}

impl UploadMode {
    /// `moved`: the registry kept what came before the failure.
    fn after(self, error: &RegistryError, moved: bool, smallest_chunk: u64) -> RetryAction {
        let other = match self {
            UploadMode::Whole => UploadMode::Chunks(CHUNK.max(smallest_chunk)),
            UploadMode::Chunks(_) => UploadMode::Whole,
        };
        match (error.status(), self) {
            (Some(429), _) if error.is_retryable() => RetryAction::Same,
            (Some(413), UploadMode::Chunks(size)) => match (size / 4).max(smallest_chunk) {
                smaller if smaller < size && smaller >= SMALLEST_CHUNK => {
                    RetryAction::Change(UploadMode::Chunks(smaller))
                }
                _ => RetryAction::GiveUp,
            },
            (Some(413), UploadMode::Whole) => RetryAction::Change(other),
            // A broken stream that leaves nothing behind is sent in pieces the next time.
            _ if error.is_retryable() => match self {
                UploadMode::Whole if !moved => RetryAction::Change(other),
                _ => RetryAction::Same,
            },
            // The upload was lost (404), its range disputed (416), its parts mixed up
            // (DIGEST_INVALID after a resumption), its method refused by a proxy.
            (Some(404 | 405 | 411 | 416 | 501), _) => RetryAction::Change(other),
            (Some(400), UploadMode::Chunks(_)) => RetryAction::Change(other),
            (Some(400), UploadMode::Whole) if moved => RetryAction::Change(other),
            _ => RetryAction::GiveUp,
        }
    }
}

impl Upload<'_> {
    pub(super) fn exists(&self) -> Result<bool, RegistryError> {
        let url = self.session.url(&format!(
            "v2/{}/blobs/{}",
            self.repository, self.blob.digest
        ))?;
        match self.request(
            "look for a blob",
            Call::new(Method::HEAD, url),
            Retry::Whole,
            None,
        ) {
            Ok(_) => Ok(true),
            Err(error) if error.is_missing() => Ok(false),
            // HEAD is not supported: the blob is uploaded without asking. A GET would fetch all of it.
            Err(error) if matches!(error.status(), Some(405 | 501)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Tries to take the blob from a repository of the same registry; a refusal is no error.
    pub(super) fn mount_or_send(&self, mount_candidates: &[String]) -> Result<(), RegistryError> {
        let mut opened = None;
        for from in mount_candidates {
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
    pub(super) fn mount_only(&self, mount_candidates: &[String]) -> Result<bool, RegistryError> {
        for from in mount_candidates {
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
        match self.request("mount a blob", call, Retry::Whole, Some(from)) {
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
        drop(self.request("abandon an upload", call, Retry::Never, None));
    }

    fn send(&self, opened: Option<Opened>) -> Result<(), RegistryError> {
        let mut attempts = Attempts::new(self.session.policy());
        let mut mode = UploadMode::Whole;
        let mut current = opened;
        loop {
            let mut upload = match current.take() {
                Some(upload) => upload,
                None => self.open()?,
            };
            let before = upload.offset;
            let Err(error) = self.send_as(mode, &mut upload) else {
                return Ok(());
            };
            if self.no_longer_expects(&error) {
                continue;
            }
            let limited = error.status() == Some(413);
            let found = self.query_upload_offset(&upload, &error)?;
            let moved = found
                .as_ref()
                .map_or(0, |s| s.offset.saturating_sub(before));
            match mode.after(&error, before + moved > 0, upload.smallest_chunk) {
                RetryAction::GiveUp => return Err(error),
                RetryAction::Same => {}
                RetryAction::Change(next) => mode = next,
            }
            // The answer to the last part may be all that was lost.
            if found.is_none() && error.is_transient() && self.exists().unwrap_or(false) {
                return Ok(());
            }
            current = found;
            if moved > PROGRESS {
                attempts.renew();
            }
            // Smaller and smaller chunks end by themselves.
            if !limited {
                attempts.again(error, &self.work.cancel)?;
            }
        }
    }

    fn send_as(&self, mode: UploadMode, upload: &mut Opened) -> Result<(), RegistryError> {
        if mode == UploadMode::Whole && upload.offset == 0 {
            return self.put_whole(upload);
        }
        while upload.offset < self.blob.size {
            match mode {
                UploadMode::Whole => self.patch(upload, u64::MAX)?,
                UploadMode::Chunks(size) => self.patch(upload, size)?,
            }
        }
        self.close(upload)
    }

    /// A server or a proxy that does not know `Expect` is not asked again.
    fn no_longer_expects(&self, error: &RegistryError) -> bool {
        error.status() == Some(417) && !self.session.expects_nothing.swap(true, Ordering::SeqCst)
    }

    /// Where the registry is after a failure; `None` means from the start.
    fn query_upload_offset(
        &self,
        upload: &Opened,
        error: &RegistryError,
    ) -> Result<Option<Opened>, RegistryError> {
        let lost = matches!(error.status(), Some(400 | 404 | 405 | 411 | 501))
            // The whole body was refused before a byte of it was kept.
            || (error.status() == Some(413) && upload.offset == 0);
        if lost || self.work.cancel.is_cancelled() {
            return Ok(None);
        }
        let call = Call::new(Method::GET, upload.location.clone());
        let answer = match self.request("ask how far an upload is", call, Retry::Whole, None) {
            Ok(answer) => answer,
            // It is gone altogether, not only our upload.
            Err(error) if error.is_transient() || error.is_cancelled() => return Err(error),
            Err(_) => return Ok(None),
        };
        let offset = answer.header("Range").and_then(bytes_held).unwrap_or(0);
        // Nothing was read of what was answered at once.
        let untouched = offset == 0
            && error
                .status()
                .is_some_and(super::error::is_transient_status);
        if (offset == 0 && !untouched) || offset > self.blob.size {
            // A fresh upload is cleaner than one about which nothing is known.
            answer.drain();
            return Ok(None);
        }
        let location = self
            .location(&answer)
            .unwrap_or_else(|| upload.location.clone());
        answer.drain();
        Ok(Some(Opened {
            location,
            offset,
            smallest_chunk: upload.smallest_chunk,
        }))
    }

    fn open(&self) -> Result<Opened, RegistryError> {
        let call = Call::new(Method::POST, self.uploads()?).body(EMPTY);
        let answer = self
            .request("begin an upload", call, Retry::Whole, None)
            .map_err(|e| match e.status() {
                _ if e.is_missing() => e.help(
                    "the repository does not exist, and this registry does not create it; create it, or set `create-repo` if the registry is ECR",
                ),
                Some(405) => e.help(NO_PUSHES),
                _ => e,
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
    fn put_whole(&self, upload: &Opened) -> Result<(), RegistryError> {
        let open = || self.outgoing(0, self.blob.size);
        let call = Call::new(Method::PUT, self.closing(upload))
            .header("Content-Type", "application/octet-stream")
            .body(Body::Stream {
                length: self.blob.size,
                open: &open,
            });
        self.request("send a blob", call, Retry::Never, None)
            .map(Answer::drain)
    }

    /// Appends up to `most` bytes.
    fn patch(&self, upload: &mut Opened, most: u64) -> Result<(), RegistryError> {
        let from = upload.offset;
        let length = most.min(self.blob.size - from);
        let open = || self.outgoing(from, length);
        let mut call = Call::new(Method::PATCH, upload.location.clone())
            .header("Content-Type", "application/octet-stream")
            .header("Content-Range", format!("{from}-{}", from + length - 1))
            .body(Body::Stream {
                length,
                open: &open,
            });
        if most < u64::MAX {
            // What cuts requests may count the bytes of a connection.
            call = call.header("Connection", "close");
        }
        let answer = self.request("send a part of a blob", call, Retry::Never, None)?;
        if let Some(location) = self.location(&answer) {
            upload.location = location;
        }
        // A registry may keep less than came; then the rest is sent again.
        let held = answer.header("Range").and_then(bytes_held);
        answer.drain();
        upload.offset = match held {
            Some(held) if held > from && held < from + length => held,
            _ => from + length,
        };
        Ok(())
    }

    fn close(&self, upload: &Opened) -> Result<(), RegistryError> {
        let call = Call::new(Method::PUT, self.closing(upload))
            .header("Content-Type", "application/octet-stream")
            .body(EMPTY);
        self.request("finish an upload", call, Retry::Never, None)
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
        let reader: Box<dyn Read> = if (from, length) == (0, self.blob.size) {
            let blob = self.store.open_blob(&self.blob.digest);
            Box::new(blob.map_err(io::Error::other)?)
        } else {
            // In parts: it is read once more, before the first of them.
            let file = self.store.verified_blob(&self.blob.digest);
            let mut file = file.map_err(io::Error::other)?;
            file.seek(SeekFrom::Start(from))?;
            Box::new(file)
        };
        let what = format!(
            "{} {}",
            self.session.endpoint.registry,
            self.blob.digest.short()
        );
        Ok(Box::new(Outgoing {
            reader,
            left: length,
            done: from,
            progress: Progress::new(self.work, what, Direction::Push, self.blob.size),
        }))
    }

    fn request(
        &self,
        doing: &str,
        mut call: Call,
        retry: Retry,
        also_from: Option<&str>,
    ) -> Result<Answer, RegistryError> {
        if self.session.expects_nothing.load(Ordering::SeqCst) {
            call.expect = Expect::Nothing;
        }
        let mut scopes = vec![push_scope(self.repository)];
        scopes.extend(also_from.map(pull_scope));
        let operation = format!("{doing} ({})", self.blob.digest);
        self.session
            .send(&Request {
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
    use super::super::error::{ConnectionFault, Fault, Refusal};
    use super::*;

    fn answered(status: u16) -> RegistryError {
        RegistryError::from(Fault::Answer(Refusal::of_status(status)))
    }

    #[test]
    fn each_failure_has_its_way_on() {
        let (whole, chunks) = (UploadMode::Whole, UploadMode::Chunks(CHUNK));
        let cut = || RegistryError::from(ConnectionFault::Other("cut".into()));
        for (mode, error, moved, next) in [
            // A stream that breaks with nothing kept goes on in chunks, else where it stopped.
            (whole, cut(), false, RetryAction::Change(chunks)),
            (whole, cut(), true, RetryAction::Same),
            (chunks, cut(), false, RetryAction::Same),
            (whole, answered(502), false, RetryAction::Change(chunks)),
            // Being asked to wait says nothing about the mode.
            (whole, answered(429), false, RetryAction::Same),
            // Chunks that are refused, or an upload without status: in one.
            (chunks, answered(404), true, RetryAction::Change(whole)),
            (chunks, answered(405), false, RetryAction::Change(whole)),
            (chunks, answered(400), false, RetryAction::Change(whole)),
            (whole, answered(416), true, RetryAction::Change(chunks)),
            // A limit on the size of a request: less of it, and less again.
            (whole, answered(413), false, RetryAction::Change(chunks)),
            (
                chunks,
                answered(413),
                true,
                RetryAction::Change(UploadMode::Chunks(4 << 20)),
            ),
            (
                UploadMode::Chunks(256 << 10),
                answered(413),
                true,
                RetryAction::GiveUp,
            ),
            // What will not change.
            (whole, answered(400), false, RetryAction::GiveUp),
            (whole, answered(401), false, RetryAction::GiveUp),
            (chunks, answered(403), true, RetryAction::GiveUp),
        ] {
            assert_eq!(
                mode.after(&error, moved, 0),
                next,
                "{mode:?} {error} {moved}"
            );
        }
        let smallest = 32 << 20;
        assert_eq!(
            whole.after(&cut(), false, smallest),
            RetryAction::Change(UploadMode::Chunks(smallest))
        );
        assert_eq!(
            UploadMode::Chunks(smallest).after(&answered(413), false, smallest),
            RetryAction::GiveUp
        );
    }

    /// end-13: `Range: 0-N` means N + 1 bytes; a missing one means none.
    #[test]
    fn the_range_of_an_upload_says_how_many_bytes_are_there() {
        assert_eq!(bytes_held("0-1023"), Some(1024));
        assert_eq!(bytes_held("bytes=0-9"), Some(10));
        assert_eq!(bytes_held("0-0"), Some(0));
        assert_eq!(bytes_held("x"), None);
        assert_eq!(bytes_held("0-18446744073709551615"), None);
    }
}
