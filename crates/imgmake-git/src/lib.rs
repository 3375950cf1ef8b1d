//! Git repositories without the `git` program: what a server offers, commits
//! fetched into a `.git`, and their trees as files.
//!
//! The protocol is spoken here, because a fetch into an empty directory needs little
//! of it and every wait must end with the run's cancellation; conversions of files
//! are made here, because gitoxide's differ from git's. Objects, packs, attributes,
//! names and local references are gitoxide's.
//!
//! Knows connections; knows no build, no manifest, no terminal and no environment:
//! variables come in as values.
//!
//! ```text
//! clone       all branches and the `.git`, as kaniko's contexts have them
//! commit      one commit's files, as ADD takes them
//!   fetch       its objects, and how much beside them
//!   submodule   what .gitmodules adds to either
//!   checkout    a tree as files, converted as attributes say; index
//!   repository  a `.git`: packs, objects, references
//! session     references asked for, packs received: protocol versions 0 and 2
//!   line        the protocol's lines and side bands
//!   http        over HTTP, with redirects and a login
//!   stream      over ssh, and git's own port
//! address     where a repository is; login: who we are there, remembered: by this machine
//! facts       commit, branch and tag of a directory of this machine
//! tracked     whether its index names something
//! ```

mod address;
mod checkout;
mod clone;
mod commit;
mod config;
mod convert;
mod facts;
mod fetch;
mod http;
mod index;
mod line;
mod login;
mod remembered;
mod repository;
mod session;
mod stream;
mod submodule;
#[cfg(test)]
mod tests;
mod tracked;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use address::Address;
pub use clone::Clone as CloneOf;
pub use facts::facts;
pub use fetch::{GitDirectory, Submodules};
pub use login::Login;
pub use session::understands_answer;
pub use tracked::{Tracked, tracks};

use imgmake_event::Cancel;

const AGENT: &str = concat!("imgmake/", env!("CARGO_PKG_VERSION"));

/// What every fetch has in common.
#[derive(Clone)]
pub struct Client {
    /// Proxies, `GIT_SSL_CAINFO`, `GIT_SSH_COMMAND`, `HOME`.
    pub environment: Arc<BTreeMap<String, String>>,
    pub cancel: Cancel,
    /// How long a server may stay silent.
    pub patience: Duration,
    /// Before a second attempt; it doubles with each.
    pub pause: Duration,
}

/// Of what a broken connection or a busy server kept from being done.
const ATTEMPTS: u32 = 4;

impl Client {
    pub fn new(environment: BTreeMap<String, String>, cancel: &Cancel) -> Client {
        Client {
            environment: Arc::new(environment),
            cancel: cancel.clone(),
            patience: Duration::from_secs(90),
            pause: Duration::from_millis(500),
        }
    }

    /// The same with another value of a variable.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Client {
        let mut environment = (*self.environment).clone();
        environment.insert(name.into(), value.into());
        Client {
            environment: Arc::new(environment),
            ..self.clone()
        }
    }

    /// Tries again what failed in passing.
    fn with_retries<T>(&self, mut attempt: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let mut pause = self.pause;
        for _ in 1..ATTEMPTS {
            match attempt() {
                Err(error) if error.is::<Passing>() => {}
                other => return other,
            }
            let until = Instant::now() + pause;
            while Instant::now() < until {
                self.cancel.check()?;
                std::thread::sleep(pause.min(Duration::from_millis(20)));
            }
            pause *= 2;
        }
        attempt()
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let value = self.environment.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }
}

/// A repository and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    pub address: Address,
    pub login: Option<Login>,
    pub verification: Verification,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    #[default]
    Full,
    /// Any certificate will do.
    Off,
}

impl Remote {
    /// An address that may hold a login.
    ///
    /// # Errors
    /// It is none, or of a kind that is not fetched from.
    pub fn parse(text: &str) -> anyhow::Result<Remote> {
        let (address, login) = Address::parse(text)?;
        Ok(Remote {
            address,
            login,
            verification: Verification::Full,
        })
    }
}

/// There is no such branch, tag or commit.
#[derive(Debug, thiserror::Error)]
#[error("`{repository}` has no reference `{name}`")]
pub struct NoReference {
    pub repository: String,
    pub name: String,
    /// The short names of those that there are.
    pub known: Vec<String>,
}

/// The server wants another login, or any.
#[derive(Debug, thiserror::Error)]
pub enum LoginRefused {
    #[error("`{0}` asks for a login, and none was given")]
    Wanted(String),
    #[error("`{0}` refused the login")]
    Wrong(String),
    #[error("`{0}` is not there, or its server does not show it to this login")]
    Hidden(String),
    #[error("`{0}` is not there, or its server shows it only to those who log in")]
    Unseen(String),
}

/// A broken connection or a busy server: another attempt may do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Passing(String);

/// What the server said instead of sending something.
#[derive(Debug, thiserror::Error)]
#[error("the server said: {0}")]
struct ServerSaid(String);
