//! `docker-bake.hcl` and `docker-bake.json`: groups, targets, variables, `inherits`,
//! `matrix` and functions become build targets.
//!
//! Bake takes what it does not know for nothing; here it is a mistake with its line
//! and the nearest name.
//!
//! ```text
//! syntax    text → blocks of expressions, with lines
//! values    variables, their overrides, and functions
//! resolve   matrix, inherits, groups, `--set`: blocks → values of each target
//! target    values of one target → a build
//! ```

mod resolve;
mod syntax;
mod target;
mod values;

use std::collections::BTreeMap;
use std::fmt;

use crate::manifest::{SecretNode, Target};

/// What to read, and which part of it is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its name, for messages; one that ends with `.json` is JSON.
    pub file: &'a str,
    pub text: &'a str,
    pub environment: &'a BTreeMap<String, String>,
    /// Groups and targets; none is the group or target `default`.
    pub wanted: &'a [String],
    /// `PATTERN.KEY[.SUB]=VALUE`, as bake's `--set`.
    pub overrides: &'a [String],
}

/// The targets that are wanted, and those that they need.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imported {
    pub targets: Vec<Target>,
    pub secrets: Vec<SecretNode>,
    /// Complete names under which each target is to be published.
    pub published: Vec<(String, Vec<String>)>,
    /// What was accepted and changes nothing, for people.
    pub notes: Vec<String>,
}

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
struct Problem {
    line: Option<usize>,
    message: String,
    help: Option<String>,
}

impl Problem {
    fn at(line: Option<usize>, message: impl Into<String>) -> Problem {
        Problem {
            line,
            message: message.into(),
            help: None,
        }
    }

    fn with_help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into()).filter(|help| !help.is_empty());
        self
    }
}

/// # Errors
/// The first mistake of the file, or of what is wanted of it.
pub fn read(request: &Request) -> Result<Imported, Mistake> {
    imported(request).map_err(|problem| Mistake {
        file: request.file.to_string(),
        line: problem.line,
        message: problem.message,
        help: problem.help,
    })
}

fn imported(request: &Request) -> Result<Imported, Problem> {
    let is_json = request.file.to_ascii_lowercase().ends_with(".json");
    let blocks = match is_json {
        true => syntax::json(request.text)?,
        false => syntax::hcl(request.text)?,
    };
    let file = resolve::File::new(&blocks, request.environment)?;
    let resolved = file.resolve(request.wanted, request.overrides)?;
    let mut imported = Imported::default();
    for (name, values) in &resolved {
        target::add(name, values, &mut imported)?;
    }
    Ok(imported)
}

#[cfg(test)]
mod tests;
