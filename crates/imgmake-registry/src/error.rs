//! What can go wrong between us and a registry, and what its reader needs to
//! know: host, repository, operation, the scope that was asked for, where the
//! credential came from, the server's own code and text, and what to try.
//!
//! Knows no request and no secret: credentials are named by their source alone.

use std::fmt;
use std::time::Duration;

use super::challenge::Unanswered;
use imgmake_event::Cancelled;

/// What kind of failure it was; callers decide on this, people read the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// 404, or a code that says the same.
    Missing,
    /// 401: no credential, or one that the registry does not take.
    Unauthorised,
    /// 403: a valid credential without the right.
    Denied,
    /// 429 for longer than we retried.
    Throttled,
    /// Another 4xx: the registry understood and said no.
    Refused,
    /// 5xx.
    Server,
    /// No connection, a reset, a time-out.
    Connection,
    /// A certificate or a handshake.
    Tls,
    /// The answer is not what the protocol or its digest promised.
    Invalid,
    /// Our own settings or credentials cannot be used.
    Configuration,
    /// The local store failed.
    Store,
    Cancelled,
}

/// Statuses that say nothing about the next attempt. Never 401, 403 or 404.
pub(super) fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// A failed operation on a registry.
pub struct RegistryError(Box<Details>);

#[derive(Clone, Default)]
pub(super) struct Details {
    failure: Option<Failure>,
    pub(super) host: String,
    pub(super) repository: String,
    pub(super) operation: String,
    pub(super) scope: Option<String>,
    pub(super) credential: Option<String>,
    /// `host:port` of the proxy that the request went through.
    pub(super) proxy: Option<String>,
    pub(super) status: Option<u16>,
    pub(super) code: Option<String>,
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// A 401 that asks for nothing which can be given.
    pub(super) unanswered: Option<Unanswered>,
    /// How long the server asks us to stay away.
    pub(super) pause: Option<Duration>,
    /// How often it was tried, once that was often enough.
    pub(super) exhausted: Option<u32>,
}

impl RegistryError {
    pub(super) fn new(failure: Failure, message: impl Into<String>) -> RegistryError {
        RegistryError(Box::new(Details {
            failure: Some(failure),
            message: message.into(),
            ..Details::default()
        }))
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Details)) -> RegistryError {
        change(&mut self.0);
        self
    }

    /// Says where and during what, unless somebody nearer has said it already.
    pub(super) fn during(self, host: &str, repository: &str, operation: &str) -> RegistryError {
        self.with(|d| {
            for (field, value) in [
                (&mut d.host, host),
                (&mut d.repository, repository),
                (&mut d.operation, operation),
            ] {
                if field.is_empty() {
                    *field = value.to_string();
                }
            }
        })
    }

    pub(super) fn help(self, help: impl Into<String>) -> RegistryError {
        self.with(|d| d.help = Some(help.into()))
    }

    pub(super) fn store(error: &anyhow::Error) -> RegistryError {
        RegistryError::new(Failure::Store, format!("{error:#}"))
    }

    pub(super) fn configuration(message: impl Into<String>) -> RegistryError {
        RegistryError::new(Failure::Configuration, message)
    }

    pub(super) fn invalid(message: impl Into<String>) -> RegistryError {
        RegistryError::new(Failure::Invalid, message)
    }

    /// An answer with a status that is not success.
    pub(super) fn answered(status: u16, code: Option<String>, message: String) -> RegistryError {
        let missing = ["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN"];
        let name = code.as_deref().unwrap_or("");
        let failure = match status {
            401 => Failure::Unauthorised,
            404 => Failure::Missing,
            403 => Failure::Denied,
            429 => Failure::Throttled,
            400..=499 if missing.contains(&name) => Failure::Missing,
            500..=599 => Failure::Server,
            _ => Failure::Refused,
        };
        RegistryError::new(failure, message).with(|d| {
            d.status = Some(status);
            d.code = code;
        })
    }

    pub fn failure(&self) -> Failure {
        self.0.failure.unwrap_or(Failure::Invalid)
    }

    /// The manifest, blob or repository does not exist.
    pub fn is_missing(&self) -> bool {
        self.failure() == Failure::Missing
    }

    /// The credential is missing, refused or lacks the right.
    pub fn is_unauthorised(&self) -> bool {
        matches!(self.failure(), Failure::Unauthorised | Failure::Denied)
    }

    /// The same request may succeed later, and was not tried often enough.
    pub fn is_retryable(&self) -> bool {
        self.0.exhausted.is_none() && self.is_transient()
    }

    /// The failure says nothing about a later attempt.
    pub(super) fn is_transient(&self) -> bool {
        match self.failure() {
            Failure::Throttled | Failure::Connection => true,
            Failure::Server | Failure::Refused => self.0.status.is_some_and(is_transient_status),
            _ => false,
        }
    }

    /// The tag is there, and the repository's settings do not let it move. There is
    /// no code for it: these are the words of ECR and of Artifact Registry.
    pub fn is_immutable_tag(&self) -> bool {
        let words = ["tag is immutable", "tag immutability"];
        let code = self.code().unwrap_or_default();
        words.iter().any(|words| self.0.message.contains(words))
            || code == "ImageTagAlreadyExistsException"
    }

    pub fn is_cancelled(&self) -> bool {
        self.failure() == Failure::Cancelled
    }

    /// The HTTP status, when the registry answered.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The registry's error code, like `MANIFEST_INVALID`.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    pub(super) fn unanswered(&self) -> Option<&Unanswered> {
        self.0.unanswered.as_ref()
    }

    pub(super) fn pause(&self) -> Option<Duration> {
        self.0.pause
    }

    pub(super) fn message(&self) -> String {
        self.0.message.clone()
    }

    /// What to try next, when we know something.
    pub fn advice(&self) -> Option<&str> {
        self.0.help.as_deref()
    }
}

impl From<Cancelled> for RegistryError {
    fn from(_: Cancelled) -> RegistryError {
        RegistryError::new(Failure::Cancelled, "cancelled")
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = &self.0;
        if !d.host.is_empty() {
            write!(f, "{}", d.host)?;
            if !d.repository.is_empty() {
                write!(f, "/{}", d.repository)?;
            }
            write!(f, ": ")?;
        }
        if !d.operation.is_empty() {
            write!(f, "cannot {}: ", d.operation)?;
        }
        if let Some(status) = d.status {
            write!(f, "the registry answered {status}")?;
            if let Some(code) = &d.code {
                write!(f, " {code}")?;
            }
            if !d.message.is_empty() {
                write!(f, ": ")?;
            }
        }
        write!(f, "{}", d.message.trim_end_matches('.'))?;
        let tried = d.exhausted.filter(|tries| *tries > 1);
        let facts: Vec<String> = [
            tried.map(|tries| format!("tried {tries} times")),
            d.scope.as_ref().map(|s| format!("scope `{s}`")),
            d.credential.as_ref().map(|c| format!("credential: {c}")),
            d.proxy.as_ref().map(|p| format!("through the proxy {p}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !facts.is_empty() {
            write!(f, " ({})", facts.join(", "))?;
        }
        if let Some(help) = &d.help {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryError({:?}: {self})", self.failure())
    }
}

impl std::error::Error for RegistryError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_place_operation_scope_credential_and_the_servers_words() {
        let text = "requested access to the resource is denied".to_string();
        let error = RegistryError::answered(403, Some("DENIED".into()), text)
            .during("ghcr.io", "acme/app", "push the manifest")
            .with(|d| {
                d.scope = Some("repository:acme/app:pull,push".into());
                d.credential = Some("/root/.docker/config.json".into());
            });
        assert_eq!(
            error.to_string(),
            "ghcr.io/acme/app: cannot push the manifest: the registry answered 403 DENIED: \
             requested access to the resource is denied \
             (scope `repository:acme/app:pull,push`, credential: /root/.docker/config.json)"
        );
        assert!(error.is_unauthorised() && !error.is_retryable());
    }

    #[test]
    fn only_transient_failures_are_retryable() {
        for (status, retryable) in [
            (401, false),
            (403, false),
            (404, false),
            (408, true),
            (429, true),
            (500, true),
            (501, false),
            (503, true),
        ] {
            assert_eq!(
                RegistryError::answered(status, None, String::new()).is_retryable(),
                retryable,
                "{status}"
            );
        }
    }
}
