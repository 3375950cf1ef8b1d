//! The message of a failed request: where and during what it failed, the proxy on the way, which
//! credential was sent, and what to do. Secrets are removed from it.

use url::Url;

use super::challenge::Unanswered;
use super::credentials::AuthMaterial;
use super::redact::{redact, secrets_in};
use super::session::{Request, Session};
use super::{Failure, RegistryError};

const TOO_LARGE: &str = "the registry, or a proxy before it, limits the size of requests; its operator can raise that (nginx: client_max_body_size)";

impl Session {
    /// Names the proxy, which may be the one that failed.
    pub(super) fn on_the_way(&self, error: RegistryError, url: &Url) -> RegistryError {
        let answered = error.status().is_some() || error.failure() == Failure::Configuration;
        match self.endpoint.through(url).filter(|_| !answered) {
            Some(proxy) => error.with(|d| d.proxy = Some(proxy)),
            None => error,
        }
    }

    /// What to do about a certificate, by the names that this reader's settings have.
    pub(super) fn advised(&self, error: RegistryError) -> RegistryError {
        let names = &self.endpoint.names;
        match error.tls().and_then(|failure| failure.advice(names)) {
            Some(advice) => error.help(advice),
            None => error,
        }
    }

    /// Adds what the reader of an error needs to know.
    pub(super) fn explain(&self, error: RegistryError, request: &Request) -> RegistryError {
        let error = error.during(
            &self.endpoint.registry,
            request.repository,
            request.operation,
        );
        let error = redact(error, self.secrets());
        let error = self.advised(self.on_the_way(error, &request.call.url));
        match error.failure() {
            Failure::Unauthorized | Failure::Denied => self.explain_refusal(error, request),
            Failure::Throttled if self.endpoint.registry == imgmake_oci::image::DOCKER_HUB => {
                error.help("Docker Hub limits pulls: log in, wait, or use a mirror")
            }
            Failure::Refused => match error.refusal() {
                Some(refusal) if refusal.status == 413 => error.help(TOO_LARGE),
                Some(refusal) if refusal.wants_tls => {
                    error.help("it uses TLS: write `https://` instead of `http://`")
                }
                _ => error,
            },
            _ => error,
        }
    }

    /// Everything that must not come back in a server's words.
    pub(super) fn secrets(&self) -> Vec<String> {
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
        let log_in = self.endpoint.names.credentials;
        let log_in = log_in.replace("REGISTRY`", &format!("{registry}`"));
        let help = match (error.refusal().and_then(|r| r.unanswered.as_ref()), nobody) {
            (Some(Unanswered::Schemes(schemes)), _) => format!(
                "no credential was sent: the registry requires `{}`, but only Basic and Bearer are supported",
                schemes.join("`, `")
            ),
            (Some(Unanswered::NoChallenge), true) => format!("no credential was sent: {log_in}"),
            (None, true) => log_in,
            (_, false) => {
                "check that the credential is valid and has the right for this repository".into()
            }
        };
        error.help(help)
    }
}
