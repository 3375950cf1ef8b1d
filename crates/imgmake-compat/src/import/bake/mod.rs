//! `docker-bake.hcl` and `docker-bake.json`: groups, targets, variables, `inherits`,
//! `matrix` and functions become build targets.
//!
//! Bake takes what it does not know for nothing; here it is a mistake with its line
//! and the nearest name.
//!
//! ```text
//! syntax     text → blocks of expressions, with lines (json: one of the texts)
//! composed   a Compose file with those that it includes and extends; yaml
//! others     files that it names
//! compose    services of it → the same blocks; interpolation: its variables
//! expression what a text says; evaluate: what it comes to, in a context
//! value      what it can come to; number: as exact as HCL's
//! values     variables, what the environment makes of them; expressions → values
//! budget     what all of that may take
//! types      what a variable may be
//! functions  bake's own; defined: the file's
//! resolve    matrix, inherits, groups: blocks → values of each target
//! overrides  `--set`
//! given      a target's values, and how later ones add to earlier ones
//! fields     one of these values, read
//! target     values of one target → a build
//! outputs    archives, layouts, daemons and registries of one target
//! ```

mod budget;
mod compose;
mod composed;
mod context;
mod defined;
mod display;
mod evaluate;
mod expression;
mod failed;
mod fields;
mod functions;
mod given;
mod imported;
mod interpolation;
mod json;
mod number;
mod others;
mod outputs;
mod overrides;
mod problem;
mod resolve;
mod syntax;
mod target;
mod types;
mod value;
mod variables;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use budget::Budget;
pub use imported::{Imported, Inline, Place};
pub use interpolation::FROM_ENVIRONMENT;
use others::lines;
pub use others::{NO_OTHERS, Others};
pub(super) use outputs::{Asked, asked};
pub use problem::Mistake;
use problem::Problem;

/// All files of a request; bake files that people write have some thousands of bytes.
const LARGEST: usize = 1 << 20;

/// What to read, and which part of it is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// At least one; what a later one says adds to the earlier, or takes its place.
    pub files: &'a [File<'a>],
    pub environment: &'a BTreeMap<String, String>,
    /// Groups and targets; none is the group or target `default`.
    pub wanted: &'a [String],
    /// `PATTERN.KEY[.SUB]=VALUE`, as bake's `--set`.
    pub overrides: &'a [String],
    /// RFC 3339, for `timestamp()`.
    pub now: &'a str,
    /// Whether a target that cannot be said is left out with a note.
    pub unsayable: Unsayable,
    /// Files that Compose files name with `include` and `extends`.
    pub others: &'a Others,
    /// What a build argument of a Compose file is that has no value.
    pub valueless: Valueless,
}

/// What a build argument is that a Compose file names without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Valueless {
    /// What [`Request::environment`] has, or nothing.
    Now,
    /// [`FROM_ENVIRONMENT`]: the manifest takes it from the environment of each run.
    Later,
}

/// What becomes of targets that no manifest can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsayable {
    Refused,
    /// Left out, each with a note; they were not named one by one. A context that is a repository
    /// cannot be said either.
    LeftOut,
}

/// A bake file.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// Its name, for messages; one that ends with `.json` is JSON.
    pub name: &'a str,
    pub text: &'a str,
}

/// The file of a line, and the line in it. Lines are counted through all files of a request.
fn place<'a>(request: &Request<'a>, line: Option<usize>) -> (&'a str, Option<usize>) {
    let mut rest = line;
    let files = request.files.iter().map(|file| (file.name, file.text));
    let others = request.others.iter();
    let others = others.filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)));
    for (name, text) in files.chain(others) {
        let own = lines(text);
        match rest {
            Some(line) if line > own => rest = Some(line - own),
            Some(line) => return (name, Some(line)),
            None => break,
        }
    }
    (request.files.first().map_or("", |file| file.name), None)
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
    pub form: Form,
}

/// What a manifest has for a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// `var NAME "value"`
    Default,
    /// `var NAME env="NAME"`: without a value, the run ends.
    Given,
    /// The same, and it must not be empty.
    NotEmpty,
    /// `${default(OTHER, 'value')}`, where the other one is a variable.
    DefaultOf(String),
}

/// The mark of the variable with this number.
pub(super) fn mark(number: usize) -> String {
    format!("\u{e000}Aa._-/:+{number}\u{e001}")
}

/// Files that Compose files name and [`Request::others`] does not have yet, by their paths.
///
/// # Errors
/// They name too many.
pub fn missing(request: &Request) -> Result<Vec<String>, Mistake> {
    let library = composed::Library::new(request.others, lines_of(request));
    let read = blocks_with(request, &library);
    match (library.missing(), read) {
        (missing, _) if !missing.is_empty() => Ok(missing),
        (_, Err(problem)) => Err(mistake(request, problem)),
        _ => Ok(Vec::new()),
    }
}

fn lines_of(request: &Request) -> usize {
    request.files.iter().map(|file| lines(file.text)).sum()
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

/// Targets that [`everything`] leaves out although bake builds them by their names.
///
/// # Errors
/// As [`read`].
pub fn mere_parents(request: &Request) -> Result<Vec<String>, Mistake> {
    let names = with_file(request, |file| Ok(file.mere_parents()));
    names.map_err(|problem| mistake(request, problem))
}

/// The names of all variables of a file.
///
/// # Errors
/// It is not a bake file.
pub fn variable_names(request: &Request) -> Result<Vec<String>, Mistake> {
    let blocks = blocks(request).map_err(|problem| mistake(request, problem))?;
    let names = blocks.into_iter().filter(is_variable);
    Ok(names.map(|block| block.name).collect())
}

fn is_variable(block: &syntax::Block) -> bool {
    ["variable", interpolation::PLACE].contains(&block.kind.as_str())
}

/// The variables of a file that can be marked.
///
/// # Errors
/// It is not a bake file.
pub fn variables(request: &Request) -> Result<Vec<Variable>, Mistake> {
    let blocks = blocks(request).map_err(|problem| mistake(request, problem))?;
    let said = |block: &syntax::Block| match interpolation::default_of(block) {
        Some((of, value)) => Some((
            block.name.clone(),
            value.to_string(),
            None,
            Form::DefaultOf(of.to_string()),
        )),
        None => {
            let (name, value, description) = variables::plain_text(block)?;
            let form = match interpolation::demand_of(block) {
                None => Form::Default,
                Some(interpolation::Demand::Set) => Form::Given,
                Some(interpolation::Demand::NotEmpty) => Form::NotEmpty,
            };
            Some((name, value, description, form))
        }
    };
    let texts = blocks.iter().filter(|block| is_variable(block));
    let marked = texts.filter_map(said).enumerate();
    Ok(marked
        .map(|(at, (name, value, description, form))| Variable {
            name,
            value,
            description,
            mark: mark(at),
            form,
        })
        .collect())
}

/// # Errors
/// The first mistake of the file, or of what is wanted of it.
pub fn read(request: &Request) -> Result<Imported, Mistake> {
    imported(request).map_err(|problem| mistake(request, problem))
}

fn mistake(request: &Request, problem: Problem) -> Mistake {
    let (file, line) = place(request, problem.line);
    // A Compose file may name any file of this machine, and the message goes into a log.
    let is_outside = file.starts_with('/') || file.starts_with("../");
    if is_outside && request.others.contains_key(file) && line.is_some() {
        return Mistake {
            file: file.to_string(),
            line,
            message: "this is not understood".to_string(),
            help: Some(
                "the file is outside of the project, so its text is not shown; name it with `-f` to see it"
                    .to_string(),
            ),
        };
    }
    Mistake {
        file: file.to_string(),
        line,
        message: problem.message,
        help: problem.help,
    }
}

fn blocks(request: &Request) -> Result<Vec<syntax::Block>, Problem> {
    let library = composed::Library::new(request.others, lines_of(request));
    blocks_with(request, &library)
}

fn blocks_with(
    request: &Request,
    library: &composed::Library,
) -> Result<Vec<syntax::Block>, Problem> {
    let mut all: Vec<syntax::Block> = Vec::new();
    let mut before = 0;
    let files = request.files.iter().map(|file| file.text.len());
    let others = request.others.values().flatten().map(String::len);
    if files.chain(others).sum::<usize>() > LARGEST {
        return Err(Problem::at(None, "the bake files are larger than 1 MiB"));
    }
    for file in request.files {
        let name = file.name.to_ascii_lowercase();
        let ends = |end: &str| name.ends_with(end);
        let blocks = if ends(".yml") || ends(".yaml") {
            let given = match request.valueless {
                Valueless::Now => Some(request.environment),
                Valueless::Later => None,
            };
            // Its lines are counted through all files already.
            composed::composed(file.name, file.text, before, library)
                .and_then(|composed| compose::blocks(&composed, given))?
        } else {
            let blocks = match ends(".json") {
                true => syntax::json(file.text),
                false => syntax::hcl(file.text),
            };
            let mut blocks = blocks.map_err(|problem| Problem {
                line: problem.line.map(|line| line + before),
                ..problem
            })?;
            blocks.iter_mut().for_each(|block| block.move_down(before));
            blocks
        };
        let names = |kind: &str| -> BTreeSet<String> {
            let of_kind = blocks.iter().filter(|block| block.kind == kind);
            of_kind.map(|block| block.name.clone()).collect()
        };
        // A variable or function of a later file takes the place of the earlier.
        let (variables, functions) = (names("variable"), names("function"));
        let places = names(interpolation::PLACE);
        all.retain(|block| match block.kind.as_str() {
            "variable" => !variables.contains(&block.name),
            "function" => !functions.contains(&block.name),
            interpolation::PLACE => !places.contains(&block.name),
            _ => true,
        });
        all.extend(blocks);
        before += lines(file.text);
    }
    Ok(all)
}

fn with_file<T>(
    request: &Request,
    read: impl FnOnce(&resolve::File) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let budget = Budget::default();
    let _facts = functions::Facts::new(request.environment, request.now, &budget);
    let blocks = blocks(request)?;
    if truthy(request, "BUILDX_BAKE_FILE_RELATIVE_PATHS")
        && request.files.iter().any(|file| file.name.contains('/'))
    {
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
    read(&resolve::File::new(&blocks, overriding, &budget)?)
}

fn imported(request: &Request) -> Result<Imported, Problem> {
    with_file(request, |file| {
        let resolved = file.resolve(request.wanted, request.overrides, request.environment)?;
        let mut imported = Imported {
            groups: file.groups(request.wanted)?,
            ..Imported::default()
        };
        match request.unsayable {
            Unsayable::Refused => {
                for (name, values) in &resolved {
                    target::add(name, values, &mut imported)?;
                }
            }
            Unsayable::LeftOut => sayable(request, &resolved, &mut imported),
        }
        // Said of each of several targets, it is said once.
        let mut said = BTreeSet::new();
        imported.notes.retain(|note| said.insert(note.clone()));
        for line in imported.tag_lines.values_mut() {
            let (file, own) = place(request, line.line);
            line.place = own.map_or_else(|| file.to_string(), |own| format!("{file}:{own}"));
        }
        Ok(imported)
    })
}

/// Those of the targets that can be said, and whose contexts can.
fn sayable(request: &Request, resolved: &[(String, given::Values)], imported: &mut Imported) {
    let mut left_out: BTreeMap<String, String> = BTreeMap::new();
    let groups = imported.groups.clone();
    loop {
        let before = left_out.len();
        *imported = Imported {
            groups: groups.clone(),
            ..Imported::default()
        };
        for (name, values) in resolved {
            if left_out.contains_key(name) {
                continue;
            }
            let kept = imported.clone();
            let needed = resolve::needed_by(values);
            let gone = needed.iter().find(|needed| left_out.contains_key(*needed));
            let added = match gone {
                Some(gone) => Err(Problem::at(
                    None,
                    format!("its context `{gone}` is left out"),
                )),
                None => target::add(name, values, imported),
            };
            if let Some(problem) = added.err() {
                let found = mistake(request, problem);
                let at = |line| format!("{}:{line}: ", found.file);
                let line = found.line.map_or_else(String::new, at);
                let note = format!("target `{name}` is left out: {line}{}", found.message);
                left_out.insert(name.clone(), note);
                *imported = kept;
            }
        }
        if left_out.len() == before {
            break;
        }
    }
    for (_, members) in &mut imported.groups {
        members.retain(|member| !left_out.contains_key(member));
    }
    imported.groups.retain(|(_, members)| !members.is_empty());
    imported.notes.extend(left_out.into_values());
}

fn truthy(request: &Request, name: &str) -> bool {
    let value = request.environment.get(name).map(String::as_str);
    matches!(value, Some("1" | "t" | "T" | "true" | "TRUE" | "True"))
}

#[cfg(test)]
mod tests;
