//! What a cloud is to the rest of the client, and what the client is to a cloud.

use std::time::Duration;

use url::Url;

use super::super::RegistryError;
use super::super::credentials::Credential;
use super::super::http::{Answer, Call};
use imgmake_event::Cancel;

/// A credential and how long it lasts.
pub(in super::super) type Issued = (Credential, Option<Duration>);

/// Issues credentials for a registry.
pub(in super::super) trait CredentialSource {
    /// Asks the cloud once, through this transport.
    fn issue(&self, transport: &dyn Transport, registry: &str) -> Result<Issued, RegistryError>;
}

/// Sends a cloud's requests: with the registry's certificates, proxy and retries.
pub(in super::super) trait Transport {
    /// The address of something below the registry's root.
    fn url(&self, path: &str) -> Result<Url, RegistryError>;

    /// Sends a request that is not for the registry's API: retried, no challenge, no redirect.
    fn send_out_of_band(
        &self,
        call: &Call,
        authorization: Option<&str>,
    ) -> Result<Answer, RegistryError>;

    /// Ends programs that are asked for credentials.
    fn cancel(&self) -> &Cancel;
}
