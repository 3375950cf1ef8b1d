//! What names outside of the project mean: resolved once, and remembered until `--pull` or `update`.

use std::io;

/// A name outside of the project.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PinName {
    /// An image by its tag, in full: `docker.io/library/alpine:3.22`. Its value is a digest.
    Image(String),
    /// Its value is `DIGEST SECONDS BYTES`. Holds no login.
    Url(String),
    /// Its value is a commit.
    Git { address: String, reference: String },
    /// Its value is seconds. Follows from the commit alone.
    TimeOfCommit(String),
    /// Its value is seconds, or `none`. Follows from the content alone.
    TimeOfArchive(String),
}

impl PinName {
    /// A URL, without the login that it may have.
    pub fn url(url: &str) -> PinName {
        let plain = url::Url::parse(url).ok().and_then(|mut parsed| {
            let has_login = !parsed.username().is_empty() || parsed.password().is_some();
            let taken_out = parsed.set_username("").is_ok() && parsed.set_password(None).is_ok();
            (has_login && taken_out).then(|| parsed.to_string())
        });
        PinName::Url(plain.unwrap_or_else(|| url.to_string()))
    }

    /// One text for each name, for memories that know no kinds.
    pub fn text(&self) -> String {
        match self {
            PinName::Image(name) | PinName::Url(name) => name.clone(),
            PinName::Git { address, reference } => format!("git {address}#{reference}"),
            PinName::TimeOfCommit(commit) => format!("time of git commit {commit}"),
            PinName::TimeOfArchive(hash) => format!("time of archive {hash}"),
        }
    }
}

/// FROM tags, ADD URLs and git references, resolved once and remembered; moves only with `--pull`.
pub trait Pins: Send + Sync {
    /// # Errors
    /// It is not known and must not be asked for.
    fn get(&self, name: &PinName) -> Result<Option<String>, PinError>;

    /// # Errors
    /// It cannot be remembered where it has to be.
    fn set(&self, name: &PinName, value: &str) -> Result<(), PinError>;
}

#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// `--locked`.
    #[error(
        "`{name}` is not in the lock file `{file}`, and `--locked` resolves nothing; `imgmake update` adds it"
    )]
    NotLocked { name: String, file: String },
    /// `--locked`, and a definition that says something else.
    #[error(
        "`{name}` is not what the lock file `{file}` says ({difference}), and `--locked` changes nothing; `imgmake update` writes the new value"
    )]
    Outdated {
        name: String,
        file: String,
        difference: String,
    },
    #[error("cannot write the lock file `{file}`")]
    Unwritable {
        file: String,
        #[source]
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_url_holds_no_login_and_is_else_as_written() {
        for (url, name) in [
            ("https://u:p@e.com/a", "https://e.com/a"),
            ("https://token@e.com/a?b=c", "https://e.com/a?b=c"),
            ("https://E.com/a%2Fb", "https://E.com/a%2Fb"),
        ] {
            assert_eq!(PinName::url(url), PinName::Url(name.into()), "{url}");
        }
    }
}
