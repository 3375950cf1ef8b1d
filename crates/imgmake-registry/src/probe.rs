//! Whether a registry speaks TLS or plain HTTP: asked once, where its settings leave both open.

use ureq::http::Method;
use url::Url;

use super::challenge::Challenge;
use super::endpoint::Scheme;
use super::error::ConnectionFault;
use super::http::{Call, exchange};
use super::refusal::wants_tls;
use super::retry::Attempts;
use super::session::Session;
use super::{Failure, RegistryError};

impl Session {
    /// Scheme and host, found out by asking `/v2/` where both schemes are possible.
    pub(super) fn base(&self) -> Result<Url, RegistryError> {
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
            let error = self.advised(self.on_the_way(error, &asked));
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
                return Err(ConnectionFault::WantsTls.into());
            }
            return Ok(base);
        }
        if scheme == Scheme::Http && answer.status == 400 {
            if wants_tls(&answer.excerpt()) {
                return Err(ConnectionFault::WantsTls.into());
            }
            return Ok(base);
        }
        answer.drain();
        Ok(base)
    }
}
