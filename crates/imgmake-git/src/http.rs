//! The protocol over HTTP (gitprotocol-http): a greeting by GET, questions by POST.
//! The greeting may be redirected, questions then go where it came from. A login
//! goes to the server that it was given for, and to no other.

use std::io::{ErrorKind, Read};
use std::time::Duration;

use ureq::http::Response;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};
use url::Url;

use super::address::{Place, same_server};
use super::error::During as _;
use super::{Client, GitError, Login, LoginRefused, Remote, Result, Verification};
use imgmake_guard::{bounded, offline};
use imgmake_registry::connection::{self, proxy};

const GREETING: &str = "/info/refs";
const SERVICE: &str = "git-upload-pack";
const MOST_REDIRECTS: usize = 5;
const CONNECT: Duration = Duration::from_secs(30);

pub(super) struct Http {
    client: Client,
    /// As messages name it.
    name: String,
    base: Url,
    login: Option<Login>,
    verification: Verification,
    agent: Agent,
}

impl Http {
    pub(super) fn new(client: &Client, remote: &Remote) -> Result<Http> {
        let Place::Http(url) = &remote.address.place else {
            unreachable!("other addresses have other links")
        };
        Ok(Http {
            client: client.clone(),
            name: remote.address.to_string(),
            base: url.clone(),
            login: remote.login.clone(),
            verification: remote.verification,
            agent: agent(client, url, remote.verification)?,
        })
    }

    /// # Errors
    /// The repository was not found, a login is required, or the answer is not of git.
    pub(super) fn greeting(&mut self) -> Result<impl Read + use<>> {
        let mut redirects = 0;
        let mut has_asked_around = false;
        loop {
            let url = self.greeting_url();
            let answer = self.get(&url)?;
            match answer.status().as_u16() {
                200 => {
                    let kind = content_type(&answer);
                    if kind != "application/x-git-upload-pack-advertisement" {
                        return Err(self.not_git(kind));
                    }
                    return Ok(answer.into_body().into_reader());
                }
                301 | 302 | 303 | 307 | 308 if redirects < MOST_REDIRECTS => {
                    redirects += 1;
                    self.follow(&url, &answer)?;
                }
                401 if self.login.is_none() && !has_asked_around => {
                    has_asked_around = true;
                    self.login = self.client.stored_login(&self.base);
                    if self.login.is_none() {
                        return Err(self.refused(LoginRefused::Required));
                    }
                }
                401 | 403 => return Err(self.refused(LoginRefused::Wrong)),
                404 | 410 => return Err(self.not_found()),
                status => return Err(self.unexpected(status)),
            }
        }
    }

    fn unexpected(&self, status: u16) -> GitError {
        GitError::Status {
            repository: self.name.clone(),
            status,
        }
    }

    fn refused(&self, refused: LoginRefused) -> GitError {
        GitError::Login {
            repository: self.name.clone(),
            refused,
        }
    }

    fn not_found(&self) -> GitError {
        self.refused(match self.login {
            Some(_) => LoginRefused::NotFound,
            None => LoginRefused::NotFoundAnonymously,
        })
    }

    fn not_git(&self, content_type: &str) -> GitError {
        GitError::NotGit {
            repository: self.name.clone(),
            content_type: content_type.into(),
        }
    }

    fn redirect(&self, reason: &'static str) -> GitError {
        GitError::Redirect {
            repository: self.name.clone(),
            reason,
        }
    }

    /// # Errors
    /// The connection's, or an answer that is none of git's.
    pub(super) fn ask(&mut self, request: &[u8], is_two: bool) -> Result<impl Read + use<>> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{SERVICE}", trimmed(&self.base)));
        let mut post = self
            .agent
            .post(url.as_str())
            .header("Content-Type", "application/x-git-upload-pack-request")
            .header("Accept", "application/x-git-upload-pack-result");
        if is_two {
            post = post.header("Git-Protocol", "version=2");
        }
        if let Some(login) = &self.login {
            post = post.header("Authorization", login.value());
        }
        let answer = post.send(request).map_err(|error| self.broken(error))?;
        match answer.status().as_u16() {
            200 => {}
            401 | 403 => return Err(self.refused(LoginRefused::Wrong)),
            status => return Err(self.unexpected(status)),
        }
        let kind = content_type(&answer);
        if kind != "application/x-git-upload-pack-result" {
            return Err(self.not_git(kind));
        }
        Ok(answer.into_body().into_reader())
    }

    fn greeting_url(&self) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{GREETING}", trimmed(&self.base)));
        url.set_query(Some(&format!("service={SERVICE}")));
        url
    }

    fn get(&self, url: &Url) -> Result<Response<Body>> {
        let mut get = self
            .agent
            .get(url.as_str())
            .header("Git-Protocol", "version=2")
            .header("Accept", "*/*");
        if let Some(login) = &self.login {
            get = get.header("Authorization", login.value());
        }
        get.call().map_err(|error| self.broken(error))
    }

    /// Another address for the same repository: its greeting lies below it too.
    fn follow(&mut self, from: &Url, answer: &Response<Body>) -> Result<()> {
        let location = answer
            .headers()
            .get("location")
            .and_then(|v| v.to_str().ok());
        let to = location.and_then(|location| from.join(location).ok());
        let mut to = to.ok_or_else(|| self.redirect("no address"))?;
        if !matches!(to.scheme(), "http" | "https")
            || (from.scheme(), to.scheme()) == ("https", "http")
        {
            return Err(self.redirect("it leaves TLS"));
        }
        let Some(path) = to.path().strip_suffix(GREETING).map(str::to_string) else {
            // A page to log in at, in most cases.
            return Err(self.not_found());
        };
        to.set_path(&path);
        to.set_query(None);
        to.set_fragment(None);
        let _ = to.set_username("");
        let _ = to.set_password(None);
        if !same_server(&self.base, &to) {
            self.login = None;
            self.agent = agent(&self.client, &to, self.verification)?;
        }
        self.base = to;
        Ok(())
    }

    fn broken(&self, error: ureq::Error) -> GitError {
        if self.client.cancel.is_cancelled() {
            return GitError::Cancelled;
        }
        let repository = self.name.clone();
        match error {
            ureq::Error::Timeout(_) => GitError::Timeout {
                repository: Some(repository),
            },
            ureq::Error::BadUri(reason) => {
                GitError::invalid("repository address", repository, reason)
            }
            // Certificates are data that is not valid.
            ureq::Error::Io(error) if error.kind() != ErrorKind::InvalidData => {
                GitError::Unreachable {
                    repository,
                    source: error.into(),
                    is_transient: true,
                }
            }
            error => GitError::Unreachable {
                repository,
                source: error.into(),
                is_transient: false,
            },
        }
    }
}

/// The path without slashes at its end.
fn trimmed(url: &Url) -> &str {
    url.path().trim_end_matches('/')
}

fn content_type(answer: &Response<Body>) -> &str {
    let header = answer.headers().get("content-type");
    let text = header.and_then(|value| value.to_str().ok());
    let kind = text.and_then(|text| text.split(';').next());
    kind.unwrap_or_default().trim()
}

fn agent(client: &Client, url: &Url, verification: Verification) -> Result<Agent> {
    let host = url.host_str().unwrap_or_default();
    offline::check(host).map_err(|error| GitError::Unreachable {
        repository: host.to_string(),
        source: error.into(),
        is_transient: false,
    })?;
    let proxy = proxy::proxy_for(url, &client.environment)
        .map(|address| {
            let http = !address.starts_with("socks");
            let proxy = http.then(|| ureq::Proxy::new(&address).ok()).flatten();
            proxy.ok_or_else(|| GitError::Invalid {
                what: "proxy in the environment",
                value: None,
                reason: "expected `[http://][user:password@]host[:port]`".into(),
            })
        })
        .transpose()?;
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(proxy)
        .user_agent(format!("git/2.0 ({})", super::AGENT))
        .timeout_connect(Some(client.patience.min(CONNECT)))
        .timeout_per_read(Some(client.patience))
        .timeout_per_write(Some(client.patience))
        .tls_config(tls(client, verification)?)
        .build();
    Ok(connection::agent(config, &client.cancel))
}

/// git's own variables count as they do for git.
fn tls(client: &Client, verification: Verification) -> Result<TlsConfig> {
    let off = |text: &str| !matches!(text, "0" | "false" | "no" | "off");
    let unverified = client.variable("GIT_SSL_NO_VERIFY").is_some_and(off);
    let roots = match client.variable("GIT_SSL_CAINFO") {
        None => RootCerts::new_with_certs(&connection::trust::system(&client.environment)?),
        Some(path) => {
            let pem = client.cancel.open(path.as_ref());
            let pem = pem.and_then(|file| bounded::take(file, bounded::LARGEST_TEXT));
            let pem = pem.with_during(|| {
                format!("cannot read the certificates `{path}` of GIT_SSL_CAINFO")
            })?;
            let certificates: Vec<_> = parse_pem(&pem)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            if certificates.is_empty() {
                let reason = "no PEM certificate in it";
                return Err(GitError::invalid("GIT_SSL_CAINFO", path, reason));
            }
            RootCerts::new_with_certs(&certificates)
        }
    };
    Ok(TlsConfig::builder()
        .disable_verification(verification == Verification::Off || unverified)
        .root_certs(roots)
        .build())
}
