//! A conversation with one registry: finds out how it is reached, answers its
//! challenges, follows its redirects, tries again when that may help.
//!
//! A credential goes to the registry it was meant for, and to the token server
//! which that registry names; on a redirect to any other host it is dropped.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Instant, SystemTime};

use ureq::http::Method;
use url::Url;

use super::challenge::{Bearer, Challenge};
use super::cloud::{self, Transport};
use super::credentials::{self, AuthMaterial, Credential};
use super::endpoint::{Endpoint, Scheme};
use super::error::{ServerSaid, is_transient_status};
use super::http::{Answer, Body, Call, exchange};
use super::limiter::ConnectionLimiter;
use super::redact::{redact, secrets_in, secrets_of};
use super::retry::{Attempts, Policy, retry_after};
use super::token::{self, Flow, Tokens};
use super::{Auth, ClientOptions, Failure, RegistryError, Secret};
use crate::connection::proxy;
use imgmake_event::Cancel;

const TOO_LARGE: &str = "the registry, or a proxy before it, limits the size of requests; its operator can raise that (nginx: client_max_body_size)";
const REDIRECTS: usize = 10;
/// Transfers at once with one registry, unless its settings say otherwise.
pub(super) const CONNECTIONS: usize = 6;
/// Token answers and error texts are small.
const SMALL: u64 = 1 << 20;

pub(super) struct Session {
    pub endpoint: Endpoint,
    pub options: Arc<ClientOptions>,
    base: Mutex<Option<Url>>,
    challenge: RwLock<Option<Challenge>>,
    tokens: Tokens,
    credentials: Mutex<HashMap<String, Known>>,
    /// Passed by every transfer with this registry.
    pub limiter: ConnectionLimiter,
    /// A mirror that could not be reached is not asked again in this run.
    given_up: AtomicBool,
    /// It does not know `Expect: 100-continue`.
    pub expects_nothing: AtomicBool,
    /// Repositories that were made in this run.
    pub created: Mutex<BTreeSet<String>>,
}

struct Known {
    credential: Credential,
    until: Option<Instant>,
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

/// Whether an answer came from the registry or from where it sent us.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Registry,
    Elsewhere,
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
            .map_err(|e| RegistryError::invalid(format!("`{path}` makes no address: {e}")))
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
            let taken = match self.authorised(request) {
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

    /// Sends a request once, answering a challenge if there is one.
    fn authorised(&self, request: &Request) -> Result<(Answer, From), RegistryError> {
        let mut scopes = request.scopes.to_vec();
        let authorization = self.authorization(request.repository, &scopes)?;
        let (answer, from) = self.follow(&request.call, authorization.as_deref())?;
        if answer.status != 401 || from == From::Elsewhere {
            return Ok((answer, from));
        }
        let Some(challenge) = Challenge::choose(answer.headers("WWW-Authenticate")) else {
            return Ok((answer, from));
        };
        if let Challenge::Bearer(bearer) = &challenge {
            scopes = with_asked(scopes, bearer.scope.as_deref());
        }
        *self.challenge.write().expect("no panic while remembering") = Some(challenge);
        if let Some(refused) = authorization
            .as_deref()
            .and_then(|a| a.strip_prefix("Bearer "))
        {
            self.tokens
                .refused(request.scopes, &Secret(refused.to_string()));
            self.tokens.refused(&scopes, &Secret(refused.to_string()));
        }
        self.forget_expiring(request.repository, authorization.as_deref());
        let again = self.authorization(request.repository, &scopes)?;
        if again.is_none() || again == authorization {
            return Ok((answer, from));
        }
        answer.drain();
        self.follow(&request.call, again.as_deref())
    }

    /// The `Authorization` that the registry is known to want; none before its
    /// first challenge.
    fn authorization(
        &self,
        repository: &str,
        scopes: &[String],
    ) -> Result<Option<String>, RegistryError> {
        let challenge = self
            .challenge
            .read()
            .expect("no panic while remembering")
            .clone();
        let Some(challenge) = challenge else {
            return Ok(match &self.endpoint.settings.auth {
                Auth::Bearer { token } => Some(format!("Bearer {}", token.0)),
                _ => None,
            });
        };
        let credential = self.credential(repository)?;
        if let AuthMaterial::Bearer { token } = &credential.proof {
            return Ok(Some(format!("Bearer {}", token.0)));
        }
        match challenge {
            Challenge::Basic => Ok(token::basic(&credential)),
            Challenge::Bearer(bearer) => {
                let value = self
                    .tokens
                    .get(scopes, || self.fetch(&bearer, scopes, &credential))?;
                Ok(Some(format!("Bearer {}", value.0)))
            }
        }
    }

    /// A new token from the server that the challenge names.
    fn fetch(
        &self,
        bearer: &Bearer,
        scopes: &[String],
        credential: &Credential,
    ) -> Result<token::Token, RegistryError> {
        let realm = self.realm(bearer, credential)?;
        let first = Flow::of(credential);
        match self.fetch_by(first, &realm, bearer, scopes, credential) {
            // A server without the POST flow says 404 or 405: GET takes the same secret as a password.
            Err(e) if first == Flow::Post && matches!(e.status(), Some(404 | 405)) => {
                self.fetch_by(Flow::Get, &realm, bearer, scopes, credential)
            }
            other => other,
        }
        .map_err(|e| {
            let host = realm.host_str().unwrap_or_default().to_string();
            e.with(|d| {
                d.operation = format!("get a token from {host}");
                d.scope = Some(scopes.join(" "));
                d.credential = Some(credential.source.clone());
            })
        })
    }

    fn fetch_by(
        &self,
        flow: Flow,
        realm: &Url,
        bearer: &Bearer,
        scopes: &[String],
        credential: &Credential,
    ) -> Result<token::Token, RegistryError> {
        let form = token::form(bearer, scopes, credential);
        let (call, proof) = token::request(flow, realm, bearer, scopes, credential, &form);
        let asked = Instant::now();
        let answer = self.send_out_of_band(&call, proof.as_deref())?;
        token::granted(&answer.bytes(SMALL)?, asked)
    }

    /// Where tokens are had, by the registry's word. That word may lead anywhere on
    /// the net, as Docker's protocol has it, but not to this machine or its metadata
    /// service unless the registry is here too, and in clear only if the registry is
    /// spoken to in clear.
    pub(super) fn realm(
        &self,
        bearer: &Bearer,
        credential: &Credential,
    ) -> Result<Url, RegistryError> {
        let refused = |why: String| Err(RegistryError::invalid(why));
        let realm = self
            .base()?
            .join(&bearer.realm)
            .ok()
            .filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
        let Some(realm) = realm else {
            return refused("the registry sends for a token to what is no address".into());
        };
        let host = realm.host_str().unwrap_or_default();
        if !realm.username().is_empty() || realm.password().is_some() {
            return refused(format!(
                "the registry sends for a token to `{host}` with a user in the address, which hides where it leads"
            ));
        }
        if self.endpoint.schemes.contains(&Scheme::Http) {
            return Ok(realm);
        }
        if proxy::is_loopback(host) || proxy::is_link_local(host) {
            return refused(format!(
                "the registry sends for a token to `{host}`, which is this machine and not its own"
            ));
        }
        if realm.scheme() == "http" && credential.proof != AuthMaterial::Anonymous {
            return Err(RegistryError::configuration(format!(
                "the registry wants the credential sent in clear to `{host}`"
            ))
            .help("declare the registry `insecure` if that is meant"));
        }
        Ok(realm)
    }

    /// The credential for a repository, looked up once (and again when it expires).
    pub(super) fn credential(&self, repository: &str) -> Result<Credential, RegistryError> {
        // Held while looking: helper programs and clouds are asked once, not by every thread.
        let mut known = self.credentials.lock().expect("no panic while looking up");
        if let Some(found) = known.get(repository)
            && found.until.is_none_or(|t| t > Instant::now())
        {
            return Ok(found.credential.clone());
        }
        let auth = &self.endpoint.settings.auth;
        let found = match cloud::source(auth, &self.options.environment)? {
            Some(cloud) => {
                let (credential, lifetime) = cloud.issue(self, &self.endpoint.registry)?;
                Known {
                    credential,
                    until: lifetime.map(|l| Instant::now() + l),
                }
            }
            None => Known {
                credential: credentials::find(
                    auth,
                    &self.endpoint.registry,
                    repository,
                    &self.options,
                )?,
                until: None,
            },
        };
        let credential = found.credential.clone();
        known.insert(repository.to_string(), found);
        Ok(credential)
    }

    /// A cloud's credential that was refused may have ended early.
    fn forget_expiring(&self, repository: &str, used: Option<&str>) {
        if used.is_some() {
            let mut known = self.credentials.lock().expect("no panic while looking up");
            if known.get(repository).is_some_and(|k| k.until.is_some()) {
                known.remove(repository);
            }
        }
    }

    fn follow(
        &self,
        call: &Call,
        authorization: Option<&str>,
    ) -> Result<(Answer, From), RegistryError> {
        let base = self.base()?;
        let mut call = call.clone();
        for _ in 0..REDIRECTS {
            let from = if same_origin(&base, &call.url) {
                From::Registry
            } else {
                From::Elsewhere
            };
            let agent = self.endpoint.agent(&call.url)?;
            let proof = authorization.filter(|_| from == From::Registry);
            let answer = exchange(&agent, &call, proof)?;
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

    /// Where a `Location` leads. Registries behind a proxy that ends TLS name
    /// themselves with `http`; the scheme by which we reached them holds.
    pub(super) fn locate(&self, from: &Url, location: &str) -> Result<Url, RegistryError> {
        let mut url = from
            .join(location)
            .ok()
            .filter(|u| matches!(u.scheme(), "http" | "https"))
            .ok_or_else(|| {
                RegistryError::invalid(format!("its Location `{location}` is no address"))
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

    /// Scheme and host, found out by asking `/v2/` where both schemes are possible.
    fn base(&self) -> Result<Url, RegistryError> {
        let mut base = self.base.lock().expect("no panic while probing");
        if let Some(base) = base.as_ref() {
            return Ok(base.clone());
        }
        let found = match self.endpoint.schemes[..] {
            [only] => self.endpoint.base(only)?,
            _ => self.probe()?,
        };
        *base = Some(found.clone());
        Ok(found)
    }

    fn probe(&self) -> Result<Url, RegistryError> {
        let mut attempts = Attempts::new(self.policy());
        loop {
            let mut last = None;
            for scheme in &self.endpoint.schemes {
                match self.reach(*scheme) {
                    Ok(base) => return Ok(base),
                    // The reason why the preferred scheme failed is the telling one,
                    // unless TLS was spoken and the certificate is the problem.
                    Err(error)
                        if last.is_none()
                            || (error.failure() == Failure::Tls && *scheme == Scheme::Https) =>
                    {
                        last = Some(error);
                    }
                    Err(_) => {}
                }
            }
            let error = last.expect("there is at least one scheme").during(
                &self.endpoint.registry,
                "",
                "reach the registry",
            );
            let asked = self.endpoint.base(self.endpoint.schemes[0])?;
            let error = self.on_the_way(error, &asked);
            if !error.is_retryable() {
                return Err(error);
            }
            attempts.again(error, self.cancel())?;
        }
    }

    fn reach(&self, scheme: Scheme) -> Result<Url, RegistryError> {
        let base = self.endpoint.base(scheme)?;
        let url = base.join("v2/").expect("`v2/` can follow any host");
        let agent = self.endpoint.agent(&url)?;
        let answer = exchange(&agent, &Call::new(Method::GET, url), None)?;
        if answer.status == 401 {
            *self.challenge.write().expect("no panic while remembering") =
                Challenge::choose(answer.headers("WWW-Authenticate")).map(Challenge::without_scope);
        }
        if scheme == Scheme::Http && matches!(answer.status, 301 | 302 | 307 | 308) {
            let secure = answer
                .header("Location")
                .and_then(|l| answer.url.join(l).ok())
                .is_some_and(|u| u.scheme() == "https");
            answer.drain();
            if secure && self.endpoint.schemes.contains(&Scheme::Https) {
                return Err(RegistryError::new(Failure::Connection, "it wants https"));
            }
            return Ok(base);
        }
        if scheme == Scheme::Http && answer.status == 400 {
            if wants_tls(&answer.excerpt()) {
                return Err(RegistryError::new(Failure::Connection, "it wants https"));
            }
            return Ok(base);
        }
        answer.drain();
        Ok(base)
    }

    /// Names the proxy, which may be the one that failed.
    fn on_the_way(&self, error: RegistryError, url: &Url) -> RegistryError {
        let answered = error.status().is_some() || error.failure() == Failure::Configuration;
        match self.endpoint.through(url).filter(|_| !answered) {
            Some(proxy) => error.with(|d| d.proxy = Some(proxy)),
            None => error,
        }
    }

    /// Adds what the reader of an error needs to know.
    fn explain(&self, error: RegistryError, request: &Request) -> RegistryError {
        let error = error.during(
            &self.endpoint.registry,
            request.repository,
            request.operation,
        );
        let error = redact(error, self.secrets());
        let error = self.on_the_way(error, &request.call.url);
        match error.failure() {
            Failure::Unauthorised | Failure::Denied => self.explain_refusal(error, request),
            Failure::Throttled if self.endpoint.registry == imgmake_oci::image::DOCKER_HUB => {
                error.help("Docker Hub limits pulls: log in, wait, or use a mirror")
            }
            Failure::Refused => match error.status() {
                Some(413) => error.help(TOO_LARGE),
                Some(400) if wants_tls(error.message().as_bytes()) => {
                    error.help("TLS is spoken there: write `https://` in place of `http://`")
                }
                _ => error,
            },
            _ => error,
        }
    }

    /// Everything that must not come back in a server's words.
    fn secrets(&self) -> Vec<String> {
        let mut secrets = self.tokens.values();
        // Held while a cloud is asked, whose errors are redacted by their request.
        if let Ok(known) = self.credentials.try_lock() {
            secrets.extend(known.values().flat_map(|k| secrets_in(&k.credential)));
        }
        secrets
    }

    fn explain_refusal(&self, error: RegistryError, request: &Request) -> RegistryError {
        let credential = self.credential(request.repository).ok();
        let nobody = credential
            .as_ref()
            .is_none_or(|c| c.proof == AuthMaterial::Anonymous);
        let registry = &self.endpoint.registry;
        let error = error.with(|d| {
            if d.scope.is_none() && !request.scopes.is_empty() {
                d.scope = Some(request.scopes.join(" "));
            }
            if d.credential.is_none() {
                d.credential = credential.map(|c| c.source);
            }
        });
        if error.advice().is_some() {
            return error;
        }
        error.help(match nobody {
            true => format!(
                "log in with `docker login {registry}`, or give credentials in the `registry` node"
            ),
            false => "check that the credential is valid and has the right for this repository"
                .to_string(),
        })
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
                Ok(answer) => refused(answer, From::Registry),
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

/// Turns an unwelcome answer into an error that knows the pause it asks for.
fn refused(answer: Answer, from: From) -> RegistryError {
    let status = answer.status;
    let asked = answer
        .header("Retry-After")
        .filter(|_| is_transient_status(status))
        .and_then(|v| retry_after(v, SystemTime::now()));
    let host = answer.url.host_str().unwrap_or_default().to_string();
    let said = ServerSaid::parse(&answer.excerpt());
    RegistryError::answered(status, &said).with(|d| {
        d.pause = asked;
        if from == From::Elsewhere {
            let told = std::mem::take(&mut d.message);
            d.message = format!("{told} (from {host}, where the registry sent us)")
                .trim_start()
                .to_string();
        }
    })
}

/// Go's and nginx's words to plain HTTP on a TLS port.
fn wants_tls(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("HTTPS")
}

impl Challenge {
    fn without_scope(self) -> Challenge {
        match self {
            Challenge::Bearer(bearer) => Challenge::Bearer(Bearer {
                scope: None,
                ..bearer
            }),
            Challenge::Basic => Challenge::Basic,
        }
    }
}

/// Our scopes, and what the registry asks beyond them.
fn with_asked(mut scopes: Vec<String>, asked: Option<&str>) -> Vec<String> {
    for scope in asked.unwrap_or("").split_whitespace() {
        if !scopes.iter().any(|s| covers(s, scope)) {
            scopes.push(scope.to_string());
        }
    }
    scopes
}

/// `repository:a/b:pull,push` covers `repository:a/b:pull`.
fn covers(have: &str, want: &str) -> bool {
    let (Some((have, rights)), Some((want, wanted))) =
        (have.rsplit_once(':'), want.rsplit_once(':'))
    else {
        return have == want;
    };
    have == want && wanted.split(',').all(|w| rights.split(',').any(|r| r == w))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_that_is_covered_is_not_asked_twice() {
        let push = vec![push_scope("a/b")];
        assert_eq!(with_asked(push.clone(), Some("repository:a/b:pull")), push);
        assert_eq!(
            with_asked(push.clone(), Some("repository:a/b:push,pull")),
            push
        );
        assert_eq!(
            with_asked(push, Some("repository:c:pull")),
            ["repository:a/b:pull,push", "repository:c:pull"]
        );
    }
}
