//! Whether a repository holds a blob, and how long it is, without reading it; and the
//! bytes of a small one, which never touch the store.

use ureq::http::Method;

use super::error::Fault;
use super::http::Call;
use super::session::{Request, Retry, pull_scope};
use super::{Client, OperationContext, RegistryError};
use imgmake_event::Cancel;
use imgmake_oci::image::{Descriptor, Digest, Reference};

impl Client {
    /// A blob of at most `limit` bytes, verified against its digest.
    ///
    /// # Errors
    /// As for [`Client::manifest`]; or it is longer, or not what its digest says.
    pub fn small_blob(
        &self,
        of: &Reference,
        blob: &Descriptor,
        limit: u64,
        work: &OperationContext,
    ) -> Result<Vec<u8>, RegistryError> {
        self.read(of, work, |place| {
            let scopes = [pull_scope(&place.repository)];
            let url = format!("v2/{}/blobs/{}", place.repository, blob.digest);
            let request = Request {
                operation: "pull a blob",
                repository: &place.repository,
                scopes: &scopes,
                call: Call::new(Method::GET, place.session.url(&url)?),
                retry: Retry::Whole,
                cancel: &work.cancel,
            };
            place.session.send_and_read(&request, |answer| {
                let bytes = answer.bytes(limit)?;
                let found = Digest::of(&bytes);
                if found == blob.digest {
                    return Ok(bytes);
                }
                let expected = blob.digest.clone();
                let what = "a blob";
                Err(Fault::DigestMismatch {
                    what,
                    found,
                    expected,
                }
                .into())
            })
        })
    }

    /// The length of a blob; `None` when the repository does not hold it.
    ///
    /// # Errors
    /// The registry cannot be reached, refuses, or does not say a length.
    pub fn blob_size(&self, of: &Reference, blob: &Digest) -> Result<Option<u64>, RegistryError> {
        let found = self.read(of, &OperationContext::background(), |place| {
            let scopes = [pull_scope(&place.repository)];
            let url = format!("v2/{}/blobs/{blob}", place.repository);
            let cancel = Cancel::default();
            let answer = place.session.send(&Request {
                operation: "look for a blob",
                repository: &place.repository,
                scopes: &scopes,
                call: Call::new(Method::HEAD, place.session.url(&url)?),
                retry: Retry::Whole,
                cancel: &cancel,
            })?;
            let length = answer.header("Content-Length").and_then(|s| s.parse().ok());
            length.ok_or_else(|| {
                RegistryError::invalid("the registry does not say how long a blob is")
            })
        });
        match found {
            Ok(size) => Ok(Some(size)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
