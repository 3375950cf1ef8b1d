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
//!     attributes  what `.gitattributes` say of a file
//!     convert     what git changes in a file
//!   repository  a `.git`: packs, objects, references
//! session     references asked for, packs received: protocol versions 0 and 2
//!   line        the protocol's lines and side bands
//!   http        over HTTP, with redirects and a login
//!   stream      over ssh, and git's own port
//! address     where a repository is; login: who we are there, credentials: of this machine
//! local       a repository of this machine
//!   facts       commit, branch and tag of a directory
//!   history     commits by their names, and how they descend from each other
//!   since       which files changed since a commit
//!     tree_files  the files of a tree, by their paths
//!     line_ends   how lines end once git stores a file
//!   tracked     what the index names
//!   index_file  the index, entry by entry
//! error       what fails, as facts
//! ```

mod address;
mod attributes;
mod checkout;
mod clone;
mod commit;
mod config;
mod convert;
mod credentials;
mod error;
mod facts;
mod fetch;
mod history;
mod http;
mod index;
mod index_file;
mod line;
mod line_ends;
mod local;
mod login;
mod repository;
mod session;
mod since;
mod stream;
mod submodule;
#[cfg(test)]
mod tests;
mod tracked;
mod tree_files;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use address::Address;
pub use clone::Clone as CloneOf;
pub use error::{GitError, LoginRefused, Result};
pub use facts::facts;
pub use fetch::{GitDirectory, Submodules};
pub use login::Login;
pub use session::understands_answer;
pub use since::{Held, Since};
pub use tracked::{Tracked, index_of, tracked_paths, tracks};

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

/// Where a connection broke or a server was busy.
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

    /// Tries again after a transient failure.
    fn with_retries<T>(&self, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        let mut pause = self.pause;
        for _ in 1..ATTEMPTS {
            match attempt() {
                Err(error) if error.is_transient() => {}
                other => return other,
            }
            if self.cancel.wait(pause) {
                return Err(GitError::Cancelled);
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
    /// The address is invalid, or its scheme is not supported.
    pub fn parse(text: &str) -> Result<Remote> {
        let (address, login) = Address::parse(text)?;
        Ok(Remote {
            address,
            login,
            verification: Verification::Full,
        })
    }
}
