//! How the lines of a file in a checkout end once git stores it: what `.gitattributes` and `core.autocrlf`
//! say, of the repository, the user and the machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Result;
use super::attributes::Attributes;
use super::config::settings;
use super::convert::stored;
use super::error::During as _;
use super::index_file::plain;
use super::local::{LocalRepository, value};
use imgmake_guard::bounded;
use imgmake_guard::checkout::Checkout;

const ATTRIBUTES: &str = ".gitattributes";

pub(super) struct LineEnds {
    /// Of the checkout.
    top: PathBuf,
    /// Attributes that are not committed.
    own: PathBuf,
    is_automatic: bool,
}

impl LineEnds {
    pub fn of(
        repository: &LocalRepository,
        top: &Path,
        environment: &BTreeMap<String, String>,
    ) -> LineEnds {
        let set = value(&repository.settings, "core", "autocrlf").map(str::to_string);
        let set = set.or_else(|| of_user(environment)).unwrap_or_default();
        LineEnds {
            top: top.to_path_buf(),
            own: repository.common.join("info/attributes"),
            is_automatic: matches!(
                set.to_ascii_lowercase().as_str(),
                "true" | "yes" | "on" | "1" | "input"
            ),
        }
    }

    /// What git stores of a file; `None` where that is what it holds.
    ///
    /// # Errors
    /// Attributes cannot be read.
    pub fn stored(&self, path: &[u8], content: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut attributes = Attributes::new()?;
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends = [0].into_iter().chain(slashes.map(|(at, _)| at + 1));
        let checkout = Checkout::new([self.top.as_path()]);
        for end in ends {
            let directory = &path[..end];
            let file = self.top.join(super::index::path(directory));
            let file = file.join(ATTRIBUTES);
            // git follows no link either.
            if !file.symlink_metadata().is_ok_and(|found| found.is_file()) {
                continue;
            }
            let text = checkout.read(&file);
            let text = text.with_during(|| format!("cannot read `{}`", file.display()))?;
            attributes.enter(&text, directory)?;
        }
        if let Ok(text) = small(&self.own) {
            attributes.enter(&text, b"")?;
        }
        Ok(stored(content, attributes.outcome(path), self.is_automatic))
    }
}

fn small(path: &Path) -> std::io::Result<Vec<u8>> {
    bounded::take(plain(path)?, bounded::LARGEST_TEXT)
}

/// `core.autocrlf` of whoever works here.
fn of_user(environment: &BTreeMap<String, String>) -> Option<String> {
    let named = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let path = |name: &str| named(name).map(PathBuf::from);
    // The last one that says something counts.
    let mut files = Vec::new();
    if named("GIT_CONFIG_NOSYSTEM").is_none() {
        files.push(path("GIT_CONFIG_SYSTEM").unwrap_or_else(|| "/etc/gitconfig".into()));
    }
    match (path("GIT_CONFIG_GLOBAL"), path("HOME")) {
        (Some(file), _) => files.push(file),
        (None, home) => {
            let below = home.as_ref().map(|home| home.join(".config"));
            let general = path("XDG_CONFIG_HOME").or(below);
            files.extend(general.map(|general| general.join("git/config")));
            files.extend(home.map(|home| home.join(".gitconfig")));
        }
    }
    files.iter().rev().find_map(|file| {
        let text = small(file).ok()?;
        let settings = settings(&String::from_utf8_lossy(&text));
        value(&settings, "core", "autocrlf").map(str::to_string)
    })
}
