//! Where a repository is: `https://`, `git://`, `ssh://` and `user@host:path`.
//! The text that is kept holds no login.

use std::fmt;

use url::Url;

use super::{GitError, Login, Result};
use imgmake_registry::connection::url_problem;

#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// As written, without user and password where those are a login.
    text: String,
    pub(super) place: Place,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Place {
    Http(Url),
    /// git's own port.
    Daemon {
        host: String,
        port: u16,
        path: String,
    },
    Ssh {
        /// `user@host` or `host`.
        host: String,
        port: Option<u16>,
        path: String,
    },
}

const DAEMON_PORT: u16 = 9418;

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Address {
    /// # Errors
    /// The address is invalid, or its scheme is not supported.
    pub fn parse(text: &str) -> Result<(Address, Option<Login>)> {
        if text.chars().any(char::is_control) {
            return Err(invalid("control characters"));
        }
        match text.split_once("://") {
            Some(("http" | "https", _)) => web(text),
            Some(("git", _)) => Ok((daemon(text)?, None)),
            Some(("ssh" | "git+ssh" | "ssh+git", rest)) => Ok((ssh(text, rest)?, None)),
            Some((scheme, _)) => Err(GitError::invalid(
                "repository address",
                format!("{scheme}://…"),
                "expected https, http, ssh or git",
            )),
            None => Ok((scp(text)?, None)),
        }
    }

    /// An address as `.gitmodules` has it: `../other.git` starts where this one is.
    pub(super) fn join(&self, written: &str) -> Result<(Address, Option<Login>)> {
        if !written.starts_with("./") && !written.starts_with("../") {
            return Address::parse(written);
        }
        let mut base = self.text.trim_end_matches('/').to_string();
        let mut rest = written;
        loop {
            if let Some(after) = rest.strip_prefix("./") {
                rest = after;
            } else if let Some(after) = rest.strip_prefix("../") {
                rest = after;
                match (base.find("://"), base.rfind('/'), base.rfind(':')) {
                    (Some(scheme), Some(at), _) if at > scheme + 2 => base.truncate(at),
                    (None, Some(at), _) => base.truncate(at),
                    // The colon of `host:path` stays.
                    (None, None, Some(at)) if at + 1 < base.len() => base.truncate(at + 1),
                    _ => {
                        let reason = format!("it leads out of `{self}`");
                        return Err(GitError::invalid("relative address", written, reason));
                    }
                }
            } else {
                break;
            }
        }
        let slash = if base.ends_with(':') { "" } else { "/" };
        Address::parse(&format!("{base}{slash}{}", rest.trim_end_matches('/')))
    }

    /// Whether a login for the one is meant for the other.
    pub(super) fn is_beside(&self, other: &Address) -> bool {
        match (&self.place, &other.place) {
            (Place::Http(one), Place::Http(other)) => same_server(one, other),
            _ => false,
        }
    }

    /// `example.com`.
    pub fn host(&self) -> &str {
        match &self.place {
            Place::Http(url) => url.host_str().unwrap_or_default(),
            Place::Daemon { host, .. } => host,
            Place::Ssh { host, .. } => host.rsplit('@').next().unwrap_or_default(),
        }
    }
}

pub(super) fn same_server(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// Without the text, which may hold a login.
fn invalid(reason: &str) -> GitError {
    GitError::Invalid {
        what: "repository address",
        value: None,
        reason: reason.into(),
    }
}

fn web(text: &str) -> Result<(Address, Option<Login>)> {
    let url = Url::parse(text).map_err(|error| invalid(&url_problem(error)))?;
    let url = Some(url).filter(Url::has_host);
    let mut url = url.ok_or_else(|| invalid("expected `https://HOST/PATH`"))?;
    let decoded = |part: &str| {
        let plus = part.replace('+', "%2B");
        let pair = format!("x={plus}");
        url::form_urlencoded::parse(pair.as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    let user = decoded(url.username());
    let password = decoded(url.password().unwrap_or_default());
    let login = (!user.is_empty() || !password.is_empty()).then(|| Login::basic(&user, &password));
    // Both can be cleared wherever there is a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    let written = match text.split_once("://") {
        Some((scheme, rest)) => {
            let host_ends = rest.find('/').unwrap_or(rest.len());
            let start = rest[..host_ends].rfind('@').map_or(0, |at| at + 1);
            format!("{scheme}://{}", &rest[start..])
        }
        None => url.to_string(),
    };
    let address = Address {
        text: written,
        place: Place::Http(url),
    };
    Ok((address, login))
}

fn daemon(text: &str) -> Result<Address> {
    let url = Url::parse(text)
        .map_err(|error| GitError::invalid("repository address", text, url_problem(error)))?;
    let host = url.host_str();
    let host = host.filter(|host| !host.is_empty() && !host.starts_with('-'));
    let host = host.ok_or_else(|| GitError::invalid("repository address", text, "no host"))?;
    Ok(Address {
        text: text.to_string(),
        place: Place::Daemon {
            host: host.trim_matches(['[', ']']).to_string(),
            port: url.port().unwrap_or(DAEMON_PORT),
            path: url.path().to_string(),
        },
    })
}

fn ssh(text: &str, rest: &str) -> Result<Address> {
    let (server, path) = rest
        .split_once('/')
        .ok_or_else(|| GitError::invalid("repository address", text, "no path"))?;
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            let number = port.parse().map_err(|_| {
                GitError::invalid("repository address", text, format!("invalid port `{port}`"))
            })?;
            (host, Some(number))
        }
        _ => (server, None),
    };
    // `/~ann/app` is below somebody's home.
    let path = match path.strip_prefix('~') {
        Some(_) => path.to_string(),
        None => format!("/{path}"),
    };
    Ok(Address {
        text: text.to_string(),
        place: Place::Ssh {
            host: ssh_host(text, host)?,
            port,
            path,
        },
    })
}

fn scp(text: &str) -> Result<Address> {
    let (host, path) = text
        .split_once(':')
        .filter(|(host, path)| !host.contains('/') && !path.is_empty() && !path.starts_with(':'))
        .ok_or_else(|| {
            let reason = "expected `https://…` or `user@host:path`";
            GitError::invalid("repository address", text, reason)
        })?;
    Ok(Address {
        text: text.to_string(),
        place: Place::Ssh {
            host: ssh_host(text, host)?,
            port: None,
            path: path.to_string(),
        },
    })
}

/// What ssh would take for an option is no host.
fn ssh_host(text: &str, host: &str) -> Result<String> {
    let name = host.rsplit('@').next().unwrap_or_default();
    let name = name.trim_matches(['[', ']']);
    if name.is_empty() || host.starts_with('-') || name.starts_with('-') {
        return Err(GitError::invalid("repository address", text, "no host"));
    }
    Ok(match host.rsplit_once('@') {
        Some((user, _)) => format!("{user}@{name}"),
        None => name.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap().0
    }

    #[test]
    fn a_login_is_taken_out_of_the_address() {
        let (address, login) = Address::parse("https://ann:s%40cret@example.com/a.git").unwrap();
        assert_eq!(address.to_string(), "https://example.com/a.git");
        assert_eq!(login, Some(Login::basic("ann", "s@cret")));
        let error = Address::parse("https://b\u{fc}cher.example/a.git").unwrap_err();
        assert!(error.to_string().contains("`xn--` form"), "{error}");
        for text in [
            "https://ann:secret@/a.git",
            "https://ann:secret@a/\u{1}",
            "https://ann:secret@b\u{fc}cher.example/a.git",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"));
        }
    }

    #[test]
    fn ssh_is_written_in_two_ways_and_never_an_option() {
        for text in [
            "ssh://git@example.com/team/app.git",
            "git@example.com:/team/app.git",
        ] {
            let Place::Ssh { host, port, path } = address(text).place else {
                panic!("{text}")
            };
            assert_eq!(
                (host.as_str(), port, path.as_str()),
                ("git@example.com", None, "/team/app.git")
            );
        }
        for text in [
            "ssh://-oProxyCommand=x/a",
            "-oProxyCommand=x:a",
            "ssh://git@-o/a",
            "plain",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn relative_addresses_start_at_the_repository() {
        let joined = |base: &str, written: &str| address(base).join(written).unwrap().0.to_string();
        let web = "https://example.com/team/app.git";
        assert_eq!(
            joined(web, "../lib.git"),
            "https://example.com/team/lib.git"
        );
        assert_eq!(
            joined(web, "../../else/lib"),
            "https://example.com/else/lib"
        );
        assert_eq!(joined(web, "./sub"), "https://example.com/team/app.git/sub");
        assert_eq!(
            joined("git@example.com:app.git", "../lib.git"),
            "git@example.com:lib.git"
        );
        assert_eq!(
            joined("git@example.com:a/app.git", "../lib.git"),
            "git@example.com:a/lib.git"
        );
        assert_eq!(joined(web, "git://other/x"), "git://other/x");
        let port = "https://example.com:8443/app.git";
        assert_eq!(joined(port, "../lib"), "https://example.com:8443/lib");
        assert!(address(port).join("../../lib").is_err());
        for outside in ["file:///etc", "ext::sh -c x", "/srv/a", "../../../../x"] {
            assert!(address(web).join(outside).is_err(), "{outside}");
        }
    }
}
