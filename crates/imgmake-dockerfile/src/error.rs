//! Mistakes in a Dockerfile: where, what, and what to do.

use std::fmt;

/// One mistake. `line` and `column` count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerfileError {
    pub line: usize,
    /// Of the offending word, in characters, where it could be found in the line.
    pub column: Option<usize>,
    pub message: String,
    pub help: Option<String>,
    /// The offending word as written, for underlining.
    pub word: Option<String>,
    /// The nearest legal word.
    pub nearest: Option<String>,
}

impl DockerfileError {
    pub(crate) fn new(line: usize, message: impl Into<String>) -> DockerfileError {
        DockerfileError {
            line,
            column: None,
            message: message.into(),
            help: None,
            word: None,
            nearest: None,
        }
    }
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
    pub(crate) fn word(mut self, word: impl Into<String>) -> Self {
        self.word = Some(word.into());
        self
    }
    pub(crate) fn nearest(mut self, nearest: Option<&str>) -> Self {
        self.nearest = nearest.map(str::to_owned);
        self
    }
    pub(crate) fn at(mut self, line: usize) -> Self {
        self.line = line;
        self
    }

    /// The help text, with the nearest legal word in front.
    pub fn advice(&self) -> Option<String> {
        let near = self
            .nearest
            .as_ref()
            .map(|n| format!("did you mean `{n}`?"));
        match (near, &self.help) {
            (Some(near), Some(help)) => Some(format!("{near} {help}")),
            (near, help) => near.or_else(|| help.clone()),
        }
    }
}

impl fmt::Display for DockerfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(column) = self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": {}", self.message)?;
        match self.advice() {
            Some(advice) => write!(f, " ({advice})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for DockerfileError {}

/// Every mistake found in one file, in the order of lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerfileErrors(pub Vec<DockerfileError>);

impl fmt::Display for DockerfileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for DockerfileErrors {}
