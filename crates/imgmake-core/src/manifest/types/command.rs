//! What is started, and the `run` targets that start it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::span::Spanned;

/// One string alone runs under `sh -ec`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CommandNode {
    Shell(String),
    Argv(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunTarget {
    pub command: Spanned<CommandNode>,
    pub dir: Option<Spanned<String>>,
    /// With the values of its env-files, which its own `env` overrides.
    pub env: BTreeMap<String, String>,
    pub env_files: Vec<EnvFile>,
    pub inputs: Vec<Spanned<String>>,
    /// What patterns and directories select of the inputs is without what git ignores.
    pub git_ignore: bool,
    pub outputs: Vec<Spanned<String>>,
    pub timeout: Option<Duration>,
    /// It has the terminal, and nothing else works meanwhile.
    pub interactive: bool,
}

/// Lines of `NAME=value`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvFile {
    pub path: Spanned<String>,
    pub optional: bool,
}
