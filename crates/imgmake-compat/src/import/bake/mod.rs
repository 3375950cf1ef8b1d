//! `docker-bake.hcl` and `docker-bake.json`: groups, targets, variables, `inherits`,
//! `matrix` and functions become build targets.
//!
//! Bake takes what it does not know for nothing; here it is a mistake with its line
//! and the nearest name.
//!
//! ```text
//! syntax     text → blocks of expressions, with lines
//! values     variables, what the environment makes of them; expressions → values
//! types      what a variable may be
//! functions  bake's own, and the file's
//! resolve    matrix, inherits, groups: blocks → values of each target
//! overrides  `--set`
//! given      a target's values, and how later ones add to earlier ones
//! fields     one of these values, read
//! target     values of one target → a build
//! outputs    archives, layouts, daemons and registries of one target
//! ```

mod display;
mod fields;
mod functions;
mod given;
mod imported;
mod outputs;
mod overrides;
mod problem;
mod resolve;
mod syntax;
mod target;
mod types;
mod values;

use std::collections::BTreeMap;

pub use imported::{Imported, Inline, Repository};
pub use problem::Mistake;
use problem::Problem;

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
    /// RFC 3339, for `timestamp()`.
    pub now: &'a str,
}

/// A variable whose value is a text in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    pub name: String,
    pub value: String,
    pub description: Option<String>,
    /// What takes the value's place to see where it goes. No function leaves it as it
    /// is, except by not touching it.
    pub mark: String,
}

/// Everything that a file holds to be built: groups, and targets that are no mere
/// parents of others.
///
/// # Errors
/// As [`read`].
pub fn everything(request: &Request) -> Result<Vec<String>, Mistake> {
    let names = with_file(request, |file| Ok(file.everything()));
    names.map_err(|problem| mistake(request, problem))
}

/// The names of all variables of a file.
///
/// # Errors
/// It is not a bake file.
pub fn variable_names(request: &Request) -> Result<Vec<String>, Mistake> {
    let blocks = blocks(request).map_err(|problem| mistake(request, problem))?;
    let names = blocks.into_iter().filter(|block| block.kind == "variable");
    Ok(names.map(|block| block.name).collect())
}

/// The variables of a file that can be marked.
///
/// # Errors
/// It is not a bake file.
pub fn variables(request: &Request) -> Result<Vec<Variable>, Mistake> {
    let blocks = blocks(request).map_err(|problem| mistake(request, problem))?;
    let texts = blocks.iter().filter(|block| block.kind == "variable");
    let marked = texts.filter_map(values::plain_text).enumerate();
    Ok(marked
        .map(|(at, (name, value, description))| Variable {
            name,
            value,
            description,
            mark: format!("\u{e000}Aa._-/:+{at}\u{e001}"),
        })
        .collect())
}

/// # Errors
/// The first mistake of the file, or of what is wanted of it.
pub fn read(request: &Request) -> Result<Imported, Mistake> {
    imported(request).map_err(|problem| mistake(request, problem))
}

fn mistake(request: &Request, problem: Problem) -> Mistake {
    Mistake {
        file: request.file.to_string(),
        line: problem.line,
        message: problem.message,
        help: problem.help,
    }
}

fn blocks(request: &Request) -> Result<Vec<syntax::Block>, Problem> {
    let name = request.file.to_ascii_lowercase();
    if name.ends_with(".yml") || name.ends_with(".yaml") {
        return Err(Problem::at(None, "a Compose file is not a bake file")
            .with_help("write its services as targets of a `docker-bake.hcl`"));
    }
    match name.ends_with(".json") {
        true => syntax::json(request.text),
        false => syntax::hcl(request.text),
    }
}

fn with_file<T>(
    request: &Request,
    read: impl FnOnce(&resolve::File) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let _facts = functions::Facts::new(request.environment, request.now);
    let blocks = blocks(request)?;
    if truthy(request, "BUILDX_BAKE_FILE_RELATIVE_PATHS") && request.file.contains('/') {
        let message =
            "BUILDX_BAKE_FILE_RELATIVE_PATHS is set, and the file is in another directory";
        return Err(Problem::at(None, message)
            .with_help("paths start at the working directory: run the step in the file's"));
    }
    let nothing = BTreeMap::new();
    let overriding = match truthy(request, "BUILDX_BAKE_DISABLE_VARS_ENV_LOOKUP") {
        true => &nothing,
        false => request.environment,
    };
    read(&resolve::File::new(&blocks, overriding)?)
}

fn imported(request: &Request) -> Result<Imported, Problem> {
    with_file(request, |file| {
        let resolved = file.resolve(request.wanted, request.overrides, request.environment)?;
        let mut imported = Imported {
            groups: file.groups(request.wanted)?,
            ..Imported::default()
        };
        for (name, values) in &resolved {
            target::add(name, values, &mut imported)?;
        }
        Ok(imported)
    })
}

fn truthy(request: &Request, name: &str) -> bool {
    let value = request.environment.get(name).map(String::as_str);
    matches!(value, Some("1" | "t" | "T" | "true" | "TRUE" | "True"))
}

#[cfg(test)]
mod tests;
