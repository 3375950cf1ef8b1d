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
    pub env: BTreeMap<String, String>,
    pub inputs: Vec<Spanned<String>>,
    pub outputs: Vec<Spanned<String>>,
    pub timeout: Option<Duration>,
}
