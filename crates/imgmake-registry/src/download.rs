//! One blob on its way into the store: verified while it streams, resumed where it stopped.
//!
//! Knows one place to read from; knows no mirrors and no manifests.

use std::io::{Read, Write};

use ureq::http::Method;

use super::client::PullEndpoint;
use super::error::ConnectionFault;
use super::http::{Answer, Call, broken};
use super::retry::Attempts;
use super::session::{Request, Retry, pull_scope};
use super::transfer::{BLOCK, PROGRESS, Progress};
use super::{Failure, OperationContext, RegistryError};
use imgmake_event::Direction;
use imgmake_oci::image::Descriptor;
use imgmake_oci::store::{BlobWriter, Store};

/// One blob on its way into the store.
pub(super) struct Download<'a> {
    pub endpoint: &'a PullEndpoint,
    pub blob: &'a Descriptor,
    pub store: &'a Store,
    pub work: &'a OperationContext,
}

impl Download<'_> {
    pub(super) fn run(&self) -> Result<(), RegistryError> {
        let session = &self.endpoint.session;
        let operation = format!("pull the blob {}", self.blob.digest);
        self.transfer(&operation).map_err(|e| {
            e.during(
                &session.endpoint.registry,
                &self.endpoint.repository,
                &operation,
            )
        })
    }

    fn transfer(&self, operation: &str) -> Result<(), RegistryError> {
        let mut attempts = Attempts::new(self.endpoint.session.policy());
        let what = format!(
            "{} {}",
            self.endpoint.session.endpoint.registry,
            self.blob.digest.short()
        );
        let mut progress = Progress::new(self.work, what, Direction::Pull, self.blob.size);
        let mut writer = self.writer()?;
        let mut corrupt = false;
        loop {
            let before = writer.size();
            match self.fetch(&mut writer, &mut progress, operation) {
                Ok(()) => match self.commit(writer) {
                    // What was put together from two answers, or by a broken cache, may be right the next time.
                    Err(error) if !corrupt && error.failure() == Failure::Invalid => {
                        corrupt = true;
                        writer = self.writer()?;
                    }
                    other => return other,
                },
                Err(error) if error.is_retryable() => {
                    if writer.size() > before + PROGRESS {
                        attempts.renew();
                    }
                    attempts.again(error, &self.work.cancel)?;
                }
                // A range that the server does not serve, or served wrongly: from the start.
                Err(error)
                    if before > 0
                        && (error.status() == Some(416) || error.failure() == Failure::Invalid) =>
                {
                    writer = self.writer()?;
                    attempts.again(error, &self.work.cancel)?;
                }
                Err(error) if error.is_missing() => {
                    return Err(
                        error.help("the registry does not have a blob that its manifest names")
                    );
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn writer(&self) -> Result<BlobWriter, RegistryError> {
        self.store.blob_writer().map_err(RegistryError::store)
    }

    fn commit(&self, writer: BlobWriter) -> Result<(), RegistryError> {
        let size = writer.size();
        match writer.commit(Some(self.blob)) {
            Ok(_) => Ok(()),
            Err(error) if error.find::<std::io::Error>().is_some() => {
                Err(RegistryError::store(error))
            }
            Err(error) => Err(RegistryError::invalid(format!(
                "the received bytes are not the blob that the manifest names ({size} bytes): {error:#}"
            ))),
        }
    }

    /// Reads from where the writer stands to the end of the blob.
    fn fetch(
        &self,
        writer: &mut BlobWriter,
        progress: &mut Progress,
        operation: &str,
    ) -> Result<(), RegistryError> {
        let answer = self.open(writer.size(), operation)?;
        let mut skip = match answer.status {
            206 => {
                let from = answer.header("Content-Range").and_then(range_start);
                if from.is_some_and(|f| f != writer.size()) {
                    return Err(RegistryError::invalid(
                        "the registry answered with another range than requested",
                    ));
                }
                0
            }
            // No ranges here: what we have comes again.
            _ => writer.size(),
        };
        let coming = answer
            .header("Content-Length")
            .and_then(|l| l.trim().parse::<u64>().ok());
        if coming.is_some_and(|c| (writer.size() - skip).saturating_add(c) > self.blob.size) {
            return Err(self.too_long());
        }
        let mut reader = answer.reader();
        let mut block = vec![0; BLOCK];
        loop {
            self.work.cancel.check()?;
            let count = match reader.read(&mut block) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(broken(error.into())),
            };
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(count);
            skip -= known as u64;
            if writer.size() + (count - known) as u64 > self.blob.size {
                return Err(self.too_long());
            }
            writer
                .write_all(&block[known..count])
                .map_err(RegistryError::store)?;
            progress.at(writer.size());
        }
        if writer.size() < self.blob.size {
            let (received, expected) = (writer.size(), self.blob.size);
            return Err(ConnectionFault::Truncated { received, expected }.into());
        }
        Ok(())
    }

    fn too_long(&self) -> RegistryError {
        RegistryError::invalid(format!(
            "the blob is longer than the {} bytes that the manifest says",
            self.blob.size
        ))
    }

    fn open(&self, from: u64, operation: &str) -> Result<Answer, RegistryError> {
        let PullEndpoint {
            session,
            repository,
            ..
        } = self.endpoint;
        let scopes = [pull_scope(repository)];
        let url = session.url(&format!("v2/{repository}/blobs/{}", self.blob.digest))?;
        let mut call = Call::new(Method::GET, url);
        if from > 0 {
            call = call.header("Range", format!("bytes={from}-"));
        }
        session.send(&Request {
            operation,
            repository,
            scopes: &scopes,
            call,
            // Counted together with what breaks later.
            retry: Retry::Never,
            cancel: &self.work.cancel,
        })
    }
}

/// `bytes 100-199/200` starts at 100.
fn range_start(header: &str) -> Option<u64> {
    header
        .trim()
        .strip_prefix("bytes")?
        .trim()
        .split('-')
        .next()?
        .parse()
        .ok()
}
