//! Mistakes in a bake file: what is wrong, where, and what would be right.

use std::fmt;

use imgmake_core::manifest::suggest;

/// What is wrong, where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub file: String,
    pub line: Option<usize>,
    pub message: String,
    pub help: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

/// A mistake that does not know its file yet.
#[derive(Debug)]
pub(super) struct Problem {
    pub line: Option<usize>,
    pub message: String,
    pub help: Option<String>,
}

impl Problem {
    pub(super) fn at(line: Option<usize>, message: impl Into<String>) -> Problem {
        Problem {
            line,
            message: message.into(),
            help: None,
        }
    }

    pub(super) fn with_help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into()).filter(|help| !help.is_empty());
        self
    }
}

pub(super) fn unknown(line: Option<usize>, key: &str, keys: &[&str]) -> Problem {
    let help = suggest::help(key, keys.iter().copied()).unwrap_or_default();
    Problem::at(line, format!("unknown key `{key}`")).with_help(help)
}
