//! What can go wrong between us and a registry, as facts, and the one text that they make: host,
//! repository, operation, the scope that was asked for, where the credential came from, the
//! server's own code and words, and what to try.
//!
//! Callers decide by [`Failure`] or [`Fault`]. Knows no request and no secret: credentials are
//! named by their source alone.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use super::challenge::Unanswered;
use super::connection::{NameNotFound, TlsFailure};
use imgmake_event::Cancelled;
use imgmake_guard::offline::Offline;
use imgmake_oci::OciError;
use imgmake_oci::image::Digest;

type Source = Box<dyn StdError + Send + Sync>;

/// What kind of failure it was; callers decide on this, people read the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// 404, or a code that says the same.
    Missing,
    /// 401: no credential, or one that the registry does not take.
    Unauthorized,
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
    /// No connection may be made.
    Offline,
    Cancelled,
}

/// Transient statuses: the next attempt may succeed. Never 401, 403 or 404.
pub(super) fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// What went wrong.
#[derive(Debug)]
pub enum Fault {
    /// An answer with a status that is not success.
    Answer(Refusal),
    /// Something that a registry's content does not have.
    NotFound(String),
    Connection(ConnectionFault),
    Tls(TlsFailure),
    /// Bytes that are not those of the digest by which they were asked for.
    DigestMismatch {
        what: &'static str,
        found: Digest,
        expected: Digest,
    },
    /// An answer that is longer than it may be, in bytes.
    TooLarge {
        what: &'static str,
        limit: u64,
    },
    /// Another answer that is not what the protocol promises.
    Invalid(String),
    /// Settings or credentials of ours that cannot be used.
    Configuration(String),
    /// The local store, as it says it.
    Store(Source),
    /// `--offline`.
    Offline(Offline),
    Cancelled(Cancelled),
}

/// What a server says when it refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub code: Option<String>,
    pub message: String,
    /// The host to which the registry sent the request, where that one answered.
    pub redirected_to: Option<String>,
    /// How long it asks us to stay away.
    pub(super) pause: Option<Duration>,
    /// A 401 that asks for nothing which can be given.
    pub(super) unanswered: Option<Unanswered>,
    /// It speaks TLS and was spoken to without.
    pub(super) wants_tls: bool,
    /// The tag exists, and the repository's settings do not let it move.
    pub(super) is_immutable_tag: bool,
}

/// Why a connection gave no answer.
#[derive(Debug)]
pub enum ConnectionFault {
    NameNotFound(NameNotFound),
    TimedOut(ureq::Timeout),
    /// The server wants https.
    WantsTls,
    NotHttp(String),
    /// Fewer bytes than were promised.
    Truncated {
        received: u64,
        expected: u64,
    },
    /// The status of a proxy that does not let us through.
    Proxy(String),
    /// No mirror of this registry answered, and the registry itself may not be asked.
    NoMirror(String),
    Io(io::Error),
    Other(String),
}

/// A failed operation on a registry.
pub struct RegistryError(Box<Details>);

pub(super) struct Details {
    pub(super) fault: Fault,
    pub(super) host: String,
    pub(super) repository: String,
    pub(super) operation: String,
    pub(super) scope: Option<String>,
    pub(super) credential: Option<String>,
    /// `host:port` of the proxy that the request went through.
    pub(super) proxy: Option<String>,
    pub(super) help: Option<String>,
    /// How often it was tried, once that was often enough.
    pub(super) exhausted: Option<u32>,
}

impl From<Fault> for RegistryError {
    fn from(fault: Fault) -> RegistryError {
        RegistryError(Box::new(Details {
            fault,
            host: String::new(),
            repository: String::new(),
            operation: String::new(),
            scope: None,
            credential: None,
            proxy: None,
            help: None,
            exhausted: None,
        }))
    }
}

impl From<ConnectionFault> for RegistryError {
    fn from(fault: ConnectionFault) -> RegistryError {
        Fault::Connection(fault).into()
    }
}

impl From<Offline> for RegistryError {
    fn from(offline: Offline) -> RegistryError {
        Fault::Offline(offline).into()
    }
}

impl From<Cancelled> for RegistryError {
    fn from(cancelled: Cancelled) -> RegistryError {
        Fault::Cancelled(cancelled).into()
    }
}

impl RegistryError {
    pub(super) fn with(mut self, change: impl FnOnce(&mut Details)) -> RegistryError {
        change(&mut self.0);
        self
    }

    /// Whether the disk of the store was full, or the user's quota used up.
    pub fn is_storage_full(&self) -> bool {
        let Fault::Store(source) = &self.0.fault else {
            return false;
        };
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&**source);
        while let Some(error) = cause {
            let of_system = match error.downcast_ref() {
                Some(OciError::Io(error)) => Some(error),
                _ => error.downcast_ref::<io::Error>(),
            };
            let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
            if of_system.is_some_and(|error| full.contains(&error.kind())) {
                return true;
            }
            cause = error.source();
        }
        false
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

    pub(super) fn store(error: impl Into<Source>) -> RegistryError {
        Fault::Store(error.into()).into()
    }

    pub(super) fn configuration(message: impl Into<String>) -> RegistryError {
        Fault::Configuration(message.into()).into()
    }

    pub(super) fn invalid(message: impl Into<String>) -> RegistryError {
        Fault::Invalid(message.into()).into()
    }

    pub(super) fn not_found(message: impl Into<String>) -> RegistryError {
        Fault::NotFound(message.into()).into()
    }

    pub fn fault(&self) -> &Fault {
        &self.0.fault
    }

    pub fn failure(&self) -> Failure {
        match &self.0.fault {
            Fault::Answer(refusal) => refusal.failure(),
            Fault::NotFound(_) => Failure::Missing,
            Fault::Connection(ConnectionFault::Proxy(status)) if status.starts_with('4') => {
                Failure::Refused
            }
            Fault::Connection(_) => Failure::Connection,
            Fault::Tls(_) => Failure::Tls,
            Fault::DigestMismatch { .. } | Fault::TooLarge { .. } | Fault::Invalid(_) => {
                Failure::Invalid
            }
            Fault::Configuration(_) => Failure::Configuration,
            Fault::Store(_) => Failure::Store,
            Fault::Offline(_) => Failure::Offline,
            Fault::Cancelled(_) => Failure::Cancelled,
        }
    }

    /// The manifest, blob or repository does not exist.
    pub fn is_missing(&self) -> bool {
        self.failure() == Failure::Missing
    }

    /// One thing is gone or is not what it must be; others in the same registry may well be in order.
    pub(super) fn is_of_this_alone(&self) -> bool {
        matches!(self.failure(), Failure::Missing | Failure::Invalid)
    }

    /// The credential is missing, refused or lacks the right.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self.failure(), Failure::Unauthorized | Failure::Denied)
    }

    /// The same request may succeed later, and was not tried often enough.
    pub fn is_retryable(&self) -> bool {
        self.0.exhausted.is_none() && self.is_transient()
    }

    /// The failure is transient: a later attempt may succeed.
    pub(super) fn is_transient(&self) -> bool {
        match &self.0.fault {
            Fault::Answer(refusal) => is_transient_status(refusal.status),
            Fault::Connection(_) => self.failure() == Failure::Connection,
            _ => false,
        }
    }

    /// The tag is there, and the repository's settings do not let it move.
    pub fn is_immutable_tag(&self) -> bool {
        self.refusal()
            .is_some_and(|refusal| refusal.is_immutable_tag)
    }

    pub fn is_cancelled(&self) -> bool {
        self.failure() == Failure::Cancelled
    }

    pub(super) fn refusal(&self) -> Option<&Refusal> {
        match &self.0.fault {
            Fault::Answer(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// The HTTP status, when the registry answered.
    pub fn status(&self) -> Option<u16> {
        Some(self.refusal()?.status)
    }

    /// The registry's error code, like `MANIFEST_INVALID`.
    pub fn code(&self) -> Option<&str> {
        self.refusal()?.code.as_deref()
    }

    pub(super) fn pause(&self) -> Option<Duration> {
        self.refusal()?.pause
    }

    /// The fact alone: a server's own words, where it answered.
    pub(super) fn message(&self) -> String {
        match &self.0.fault {
            Fault::Answer(refusal) => refusal.message.clone(),
            fault => fault.to_string(),
        }
    }

    /// What to try next, when we know something.
    pub(super) fn tls(&self) -> Option<&TlsFailure> {
        match &self.0.fault {
            Fault::Tls(failure) => Some(failure),
            _ => None,
        }
    }

    pub fn advice(&self) -> Option<&str> {
        self.0.help.as_deref()
    }
}

impl Refusal {
    #[cfg(test)]
    pub(super) fn of_status(status: u16) -> Refusal {
        Refusal {
            status,
            ..Refusal::default()
        }
    }

    fn failure(&self) -> Failure {
        let missing = ["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN"];
        let code = self.code.as_deref().unwrap_or_default();
        match self.status {
            401 => Failure::Unauthorized,
            404 => Failure::Missing,
            403 => Failure::Denied,
            429 => Failure::Throttled,
            400..=499 if missing.contains(&code) => Failure::Missing,
            500..=599 => Failure::Server,
            _ => Failure::Refused,
        }
    }
}

impl Fault {
    /// Words that came from outside, for those who take secrets out of them.
    pub(super) fn foreign_texts(&mut self) -> Vec<&mut String> {
        match self {
            Fault::Answer(refusal) => {
                let code = refusal.code.as_mut();
                code.into_iter().chain([&mut refusal.message]).collect()
            }
            Fault::NotFound(text) | Fault::Invalid(text) | Fault::Configuration(text) => {
                vec![text]
            }
            Fault::Connection(ConnectionFault::NotHttp(text) | ConnectionFault::Other(text)) => {
                vec![text]
            }
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Answer(refusal) => refusal.write(f),
            Fault::Connection(fault) => fault.write(f),
            Fault::Tls(failure) => write!(f, "{failure}"),
            Fault::DigestMismatch {
                what,
                found,
                expected,
            } => write!(
                f,
                "the registry sent {what} with digest {found} for {expected}"
            ),
            Fault::TooLarge { what, limit } => write!(f, "{what} is longer than {limit} bytes"),
            Fault::NotFound(text) | Fault::Invalid(text) | Fault::Configuration(text) => {
                f.write_str(text.trim_end_matches('.'))
            }
            Fault::Store(error) => {
                write!(f, "{error}")?;
                let mut next = error.source();
                while let Some(cause) = next {
                    write!(f, ": {cause}")?;
                    next = cause.source();
                }
                Ok(())
            }
            Fault::Offline(offline) => write!(f, "{offline}"),
            Fault::Cancelled(cancelled) => write!(f, "{cancelled}"),
        }
    }
}

impl Refusal {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the registry answered {}", self.status)?;
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        let message = self.message.trim_end_matches('.');
        let from = self.redirected_to.as_ref();
        let from = from.map(|host| format!("(from {host}, to which the registry redirected)"));
        match (message, from) {
            ("", None) => Ok(()),
            ("", Some(from)) => write!(f, ": {from}"),
            (message, None) => write!(f, ": {message}"),
            (message, Some(from)) => write!(f, ": {message} {from}"),
        }
    }
}

impl ConnectionFault {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectionFault::NameNotFound(name) => write!(f, "{name}"),
            ConnectionFault::TimedOut(what) => f.write_str(match what {
                ureq::Timeout::Connect => "it does not answer: no connection in time",
                ureq::Timeout::PerRead => "it sent no data in time",
                ureq::Timeout::PerWrite => "it accepted no data in time",
                ureq::Timeout::Resolve => "its name was not resolved in time",
                _ => "no answer in time",
            }),
            ConnectionFault::WantsTls => f.write_str("it requires https"),
            ConnectionFault::NotHttp(detail) => write!(f, "the answer is not HTTP: {detail}"),
            ConnectionFault::Truncated { received, expected } => {
                write!(f, "the blob ended after {received} of {expected} bytes")
            }
            ConnectionFault::Proxy(status) => write!(f, "the proxy refused: {status}"),
            ConnectionFault::NoMirror(registry) => write!(
                f,
                "no mirror of `{registry}` can be reached, and falling back to the registry is turned off"
            ),
            ConnectionFault::Io(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof => f.write_str("the connection was closed early"),
                io::ErrorKind::ConnectionRefused => {
                    f.write_str("nothing listens there (connection refused)")
                }
                _ => write!(f, "{error}"),
            },
            ConnectionFault::Other(text) => f.write_str(text.trim_end_matches('.')),
        }
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
        write!(f, "{}", d.fault)?;
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

/// Its text has the causes already.
impl StdError for RegistryError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_place_operation_scope_credential_and_the_servers_words() {
        let refusal = Refusal {
            code: Some("DENIED".into()),
            message: "requested access to the resource is denied".into(),
            ..Refusal::of_status(403)
        };
        let error = RegistryError::from(Fault::Answer(refusal))
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
        assert!(error.is_unauthorized() && !error.is_retryable());
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
                RegistryError::from(Fault::Answer(Refusal::of_status(status))).is_retryable(),
                retryable,
                "{status}"
            );
        }
    }
}
