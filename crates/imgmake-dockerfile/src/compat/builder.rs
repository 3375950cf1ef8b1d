//! Other builders, and versions of them.

use std::fmt;
use std::str::FromStr;

/// A builder whose Dockerfiles people bring here, or to which they take theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Builder {
    Buildah,
    Kaniko,
    /// Docker's own builder, without BuildKit.
    Docker,
    BuildKit,
}

impl Builder {
    pub const ALL: [Builder; 4] = [
        Builder::Buildah,
        Builder::Kaniko,
        Builder::Docker,
        Builder::BuildKit,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Builder::Buildah => "buildah",
            Builder::Kaniko => "kaniko",
            Builder::Docker => "docker",
            Builder::BuildKit => "buildkit",
        }
    }
}

impl fmt::Display for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Builder {
    type Err = String;

    fn from_str(text: &str) -> Result<Builder, String> {
        let found = Builder::ALL.into_iter().find(|b| b.name() == text);
        found.ok_or_else(|| {
            let names = Builder::ALL.map(Builder::name).join(", ");
            format!("unknown builder `{text}`: the builders are {names}")
        })
    }
}

/// `1.28.2`, as far as it counts: what follows the numbers does not.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(Vec<u32>);

impl Version {
    /// From `v0.32.1`, `28.5.2+dfsg4`, `1.28`; nothing from a word without a dot.
    pub fn parse(text: &str) -> Option<Version> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
        let text = &text[..end.unwrap_or(text.len())];
        let numbers: Option<Vec<u32>> = text.split('.').map(|n| n.parse().ok()).collect();
        numbers.filter(|n| n.len() > 1).map(Version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}
