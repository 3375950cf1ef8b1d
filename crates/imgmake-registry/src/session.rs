//! A conversation with one registry: finds out how it is reached, answers its
//! challenges, follows its redirects, tries again when that may help.
//!
//! A credential goes to the registry it was meant for, and to the token server
//! which that registry names; on a redirect to any other host it is dropped.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Instant;

use ureq::http::Method;
use url::Url;

use super::challenge::Challenge;
use super::cloud::Transport;
use super::credentials::Credential;
use super::endpoint::Endpoint;
use super::http::{Answer, Body, Call, exchange};
use super::limiter::ConnectionLimiter;
use super::redact::{redact, redacted, secrets_of};
use super::refusal::{AnsweredBy, refused};
use super::retry::{Attempts, Policy};
use super::token::Tokens;
use super::{ClientOptions, RegistryError, warnings};
use imgmake_event::{Cancel, Event};

const REDIRECTS: usize = 10;
/// Transfers at once with one registry, unless its settings say otherwise.
pub(super) const CONNECTIONS: usize = 6;

pub(super) struct Session {
    pub endpoint: Endpoint,
    pub options: Arc<ClientOptions>,
    pub base: Mutex<Option<Url>>,
    pub challenge: RwLock<Option<Challenge>>,
    pub tokens: Tokens,
    pub credentials: Mutex<HashMap<String, KnownCredential>>,
    /// Passed by every transfer with this registry.
    pub limiter: ConnectionLimiter,
    /// A mirror that could not be reached is not asked again in this run.
    given_up: AtomicBool,
    /// It does not know `Expect: 100-continue`.
    pub expects_nothing: AtomicBool,
    /// Repositories that were made in this run.
    pub created: Mutex<BTreeSet<String>>,
    /// What its `Warning` headers said so far.
    warned: Mutex<BTreeSet<String>>,
}

/// A credential, and how long it lasts.
pub(super) struct KnownCredential {
    pub credential: Credential,
    pub until: Option<Instant>,
}

/// One request and all that its failure would have to explain.
#[derive(Clone)]
pub(super) struct Request<'a> {
    /// Completes "cannot …".
    pub operation: &'a str,
    pub repository: &'a str,
    pub scopes: &'a [String],
    pub call: Call<'a>,
    pub retry: Retry,
    pub cancel: &'a Cancel,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// The request may be repeated as it is.
    Whole,
    /// Its caller knows better how to go on.
    Never,
}

impl Session {
    pub(super) fn new(endpoint: Endpoint, options: Arc<ClientOptions>) -> Session {
        Session {
            limiter: ConnectionLimiter::new(endpoint.settings.concurrency.unwrap_or(CONNECTIONS)),
            endpoint,
            options,
            base: Mutex::default(),
            challenge: RwLock::default(),
            tokens: Tokens::default(),
            credentials: Mutex::default(),
            given_up: AtomicBool::new(false),
            expects_nothing: AtomicBool::new(false),
            created: Mutex::default(),
            warned: Mutex::default(),
        }
    }

    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::SeqCst)
    }

    /// Ends what is done on nobody's behalf, and every connection.
    pub(super) fn cancel(&self) -> &Cancel {
        &self.options.work.cancel
    }

    /// Whether the registry has asked who we are.
    pub(super) fn was_challenged(&self) -> bool {
        let challenge = self.challenge.read();
        challenge.expect("no panic while remembering").is_some()
    }

    pub(super) fn policy(&self) -> Policy {
        Policy {
            attempts: self.options.attempts,
            backoff: self.options.backoff,
        }
    }

    /// The address of something below the registry's root.
    pub(super) fn url(&self, path: &str) -> Result<Url, RegistryError> {
        let base = self.base()?;
        base.join(path)
            .map_err(|e| RegistryError::invalid(format!("invalid address `{path}`: {e}")))
    }

    /// Sends a request until it succeeds or cannot: the answer is a 2xx.
    pub(super) fn send(&self, request: &Request) -> Result<Answer, RegistryError> {
        self.send_and_read(request, Ok)
    }

    /// Sends a request until its answer could be read to the end, or cannot.
    pub(super) fn send_and_read<T>(
        &self,
        request: &Request,
        take: impl Fn(Answer) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let mut attempts = Attempts::new(self.policy());
        loop {
            request.cancel.check()?;
            let taken = match self.authorized(request) {
                Ok((answer, _)) if answer.is_success() => take(answer),
                Ok((answer, from)) => Err(refused(answer, from)),
                Err(error) => Err(error),
            };
            let error = match taken {
                Ok(taken) => return Ok(taken),
                Err(error) => self.explain(error, request),
            };
            if request.retry == Retry::Never || !error.is_retryable() {
                return Err(error);
            }
            attempts.again(error, request.cancel)?;
        }
    }

    pub(super) fn follow(
        &self,
        call: &Call,
        authorization: Option<&str>,
    ) -> Result<(Answer, AnsweredBy), RegistryError> {
        let base = self.base()?;
        let mut call = call.clone();
        for _ in 0..REDIRECTS {
            let from = if same_origin(&base, &call.url) {
                AnsweredBy::Registry
            } else {
                AnsweredBy::Elsewhere
            };
            let agent = self.endpoint.agent(&call.url)?;
            let proof = authorization.filter(|_| from == AnsweredBy::Registry);
            let answer = exchange(&agent, &call, proof)?;
            if from == AnsweredBy::Registry {
                self.hand_on_warnings(&answer, &call, proof);
            }
            let location = match answer.status {
                301 | 302 | 303 | 307 | 308 => answer.header("Location"),
                _ => None,
            };
            let Some(location) = location else {
                return Ok((answer, from));
            };
            call.url = self.locate(&answer.url, location)?;
            if answer.status == 303 {
                // RFC 9110 §15.4.4: the answer is to be had there, by GET.
                call.method = Method::GET;
                call.body = Body::None;
            }
            answer.drain();
        }
        Err(RegistryError::invalid(format!(
            "more than {REDIRECTS} redirects"
        )))
    }

    fn hand_on_warnings(&self, answer: &Answer, call: &Call, proof: Option<&str>) {
        let mut warned = self.warned.lock().expect("no panic while remembering");
        for text in warnings::new(answer.headers("Warning"), &mut warned) {
            let secrets = [secrets_of(call, proof), self.secrets()].concat();
            let text = redacted(&text, secrets);
            self.options.work.events.send(Event::Warning {
                target: None,
                message: format!("{} warns: {text}", self.endpoint.host),
            });
        }
    }

    /// Where a `Location` leads. Registries behind a proxy that ends TLS name
    /// themselves with `http`; the scheme by which we reached them holds.
    pub(super) fn locate(&self, from: &Url, location: &str) -> Result<Url, RegistryError> {
        let mut url = from
            .join(location)
            .ok()
            .filter(|u| matches!(u.scheme(), "http" | "https"))
            .ok_or_else(|| {
                RegistryError::invalid(format!("invalid address `{location}` in its Location"))
            })?;
        let base = self.base()?;
        if base.scheme() == "https"
            && url.scheme() == "http"
            && url.host() == base.host()
            && (url.port() == base.port() || url.port().is_none())
        {
            let port = base.port();
            // Both fail only for addresses without a host, which a join never makes.
            let _ = url.set_scheme("https");
            let _ = url.set_port(port);
        }
        Ok(url)
    }
}

/// What is sent beside the registry's API: to token servers and clouds.
impl Transport for Session {
    fn url(&self, path: &str) -> Result<Url, RegistryError> {
        self.url(path)
    }

    fn send_out_of_band(&self, call: &Call, proof: Option<&str>) -> Result<Answer, RegistryError> {
        let mut attempts = Attempts::new(self.policy());
        loop {
            let agent = self.endpoint.agent(&call.url)?;
            let error = match exchange(&agent, call, proof) {
                Ok(answer) if answer.is_success() => return Ok(answer),
                Ok(answer) => refused(answer, AnsweredBy::Registry),
                Err(error) => error,
            };
            let error = redact(error, secrets_of(call, proof));
            if !error.is_retryable() {
                return Err(error);
            }
            attempts.again(error, self.cancel())?;
        }
    }

    fn cancel(&self) -> &Cancel {
        self.cancel()
    }
}

fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host() == b.host()
        && a.port_or_known_default() == b.port_or_known_default()
}

pub(super) fn pull_scope(repository: &str) -> String {
    format!("repository:{repository}:pull")
}

pub(super) fn push_scope(repository: &str) -> String {
    format!("repository:{repository}:pull,push")
}
