//! Who we are to one registry: its challenge, the token or the password that answers it, and
//! where tokens may be had.
//!
//! Knows challenges, tokens and credentials; knows no retries and no redirects.

use std::time::Instant;

use url::Url;

use super::challenge::{Bearer, Challenge, Unanswered};
use super::cloud::{self, Transport};
use super::connection::proxy;
use super::credentials::{self, AuthMaterial, Credential};
use super::endpoint::Scheme;
use super::http::Answer;
use super::refusal::AnsweredBy;
use super::session::{KnownCredential, Request, Session};
use super::token::{self, Flow};
use super::{Auth, RegistryError, Secret};

/// Answers of token servers are small.
const SMALL: u64 = 1 << 20;

impl Session {
    /// Sends a request once, answering a challenge if there is one.
    pub(super) fn authorized(
        &self,
        request: &Request,
    ) -> Result<(Answer, AnsweredBy), RegistryError> {
        let mut scopes = request.scopes.to_vec();
        let authorization = self.authorization(request.repository, &scopes)?;
        let (answer, from) = self.follow(&request.call, authorization.as_deref())?;
        if answer.status != 401 || from == AnsweredBy::Elsewhere {
            return Ok((answer, from));
        }
        let Some(challenge) = Challenge::choose(answer.headers("WWW-Authenticate")) else {
            let unanswered = Unanswered::of(answer.headers("WWW-Authenticate"));
            return match authorization {
                None if unanswered == Some(Unanswered::NoChallenge) => {
                    self.send_password_unasked(request, answer)
                }
                _ => Ok((answer, from)),
            };
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

    /// Sends the request again with a password, where there is one: some registries refuse without
    /// saying what they want. One that is let in by it is known to want Basic.
    fn send_password_unasked(
        &self,
        request: &Request,
        refusal: Answer,
    ) -> Result<(Answer, AnsweredBy), RegistryError> {
        let Some(basic) = token::basic(&self.credential(request.repository)?) else {
            return Ok((refusal, AnsweredBy::Registry));
        };
        refusal.drain();
        let (answer, from) = self.follow(&request.call, Some(&basic))?;
        if answer.status != 401 {
            let mut challenge = self.challenge.write().expect("no panic while remembering");
            *challenge = Some(Challenge::Basic);
        }
        Ok((answer, from))
    }

    /// The `Authorization` that the registry is known to want; none before its
    /// first challenge.
    pub(super) fn authorization(
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
            return refused("the registry names a token server with an invalid address".into());
        };
        let host = realm.host_str().unwrap_or_default();
        if !realm.username().is_empty() || realm.password().is_some() {
            return refused(format!(
                "the registry names the token server `{host}` with a user in the address, which hides the real host"
            ));
        }
        if self.endpoint.schemes.contains(&Scheme::Http) {
            return Ok(realm);
        }
        if proxy::is_loopback(host) || proxy::is_link_local(host) {
            return refused(format!(
                "the registry names the token server `{host}`, which is on this machine"
            ));
        }
        if realm.scheme() == "http" && credential.proof != AuthMaterial::Anonymous {
            return Err(RegistryError::configuration(format!(
                "the registry requires the credential over plain HTTP, for `{host}`"
            ))
            .help("declare the registry `insecure` if this is intended"));
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
                KnownCredential {
                    credential,
                    until: lifetime.map(|l| Instant::now() + l),
                }
            }
            None => KnownCredential {
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
    pub(super) fn forget_expiring(&self, repository: &str, used: Option<&str>) {
        if used.is_some() {
            let mut known = self.credentials.lock().expect("no panic while looking up");
            if known.get(repository).is_some_and(|k| k.until.is_some()) {
                known.remove(repository);
            }
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

#[cfg(test)]
mod tests {
    use super::super::session::push_scope;
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
