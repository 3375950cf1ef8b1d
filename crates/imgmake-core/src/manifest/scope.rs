//! The values that interpolation sees: variables, the environment, a matrix's axes.
//! Remembers which of them were used, for keys and for the manifest cache.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::binding::{Binding, Refusal};
use super::facts::Facts;
use super::suggest;
use crate::error::ExpressionProblem;

/// What `${git.…}` knows.
pub(super) const GIT: [&str; 4] = ["sha", "short", "branch", "tag"];

/// A declared variable's state.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Slot {
    Value(Binding),
    Unset,
    /// Its own error has been told; whoever uses it says nothing more.
    Broken,
}

pub(super) struct Scope<'f> {
    facts: &'f Facts,
    /// Of the env-files; the environment wins.
    pub env_file: BTreeMap<String, String>,
    variables: BTreeMap<String, Slot>,
    /// Axes of the matrix whose member is being decoded.
    locals: RefCell<BTreeMap<String, String>>,
    used: RefCell<BTreeSet<String>>,
    /// Every environment variable that was looked at, found or not.
    looked_at: RefCell<BTreeSet<String>>,
    /// Bytes of all values so far.
    length: Cell<usize>,
    /// Targets of all files so far.
    targets: Rc<Cell<usize>>,
}

/// Targets of a project: small matrices must not fill the memory.
pub const MOST_TARGETS: usize = 100_000;

/// Bytes of all values of a manifest: a small one must not fill the memory.
const MOST_BYTES: usize = 64 << 20;

impl<'f> Scope<'f> {
    pub fn facts(&self) -> &Facts {
        self.facts
    }

    pub fn new(facts: &'f Facts) -> Scope<'f> {
        Scope {
            facts,
            env_file: BTreeMap::new(),
            variables: BTreeMap::new(),
            locals: RefCell::default(),
            used: RefCell::default(),
            looked_at: RefCell::default(),
            length: Cell::new(0),
            targets: Rc::default(),
        }
    }

    /// An included file's: it sees the main file's variables, and may declare its own.
    pub fn inherited(&self) -> Scope<'f> {
        Scope {
            env_file: self.env_file.clone(),
            variables: self.variables.clone(),
            targets: Rc::clone(&self.targets),
            ..Scope::new(self.facts)
        }
    }

    pub fn count(&self, bytes: usize) -> Result<(), Refusal> {
        self.length.set(self.length.get().saturating_add(bytes));
        match self.length.get() > MOST_BYTES {
            true => Err(Refusal::new(ExpressionProblem::TooLong(
                "the values are longer than 64 MiB together",
            ))
            .with_help("one value is repeated in many places: keep it in a file")),
            false => Ok(()),
        }
    }

    /// Counts targets of a declaration; gives how many there were before, and how many there are now.
    pub fn count_targets(&self, more: usize) -> (usize, usize) {
        let before = self.targets.get();
        self.targets.set(before.saturating_add(more));
        (before, self.targets.get())
    }

    pub fn declare(&mut self, name: &str, slot: Slot) {
        self.variables.insert(name.to_string(), slot);
    }

    pub fn set_locals(&self, locals: BTreeMap<String, String>) {
        *self.locals.borrow_mut() = locals;
    }

    pub fn is_declared(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    /// What was used since the last call.
    pub fn take_used(&self) -> Vec<String> {
        std::mem::take(&mut *self.used.borrow_mut())
            .into_iter()
            .collect()
    }

    pub fn looked_at(&self) -> Vec<String> {
        self.looked_at.borrow().iter().cloned().collect()
    }

    /// The environment, then the env-files.
    pub fn environment(&self, name: &str) -> Option<(&str, Origin)> {
        self.looked_at.borrow_mut().insert(name.to_string());
        let environment = self.facts.environment.get(name);
        environment
            .map(|value| (value.as_str(), Origin::Environment))
            .or_else(|| {
                let value = self.env_file.get(name)?;
                Some((value.as_str(), Origin::EnvFile))
            })
    }

    pub fn get(&self, name: &str) -> Result<Binding, Refusal> {
        if let Some(value) = self.locals.borrow().get(name) {
            return Ok(Binding::Text(value.clone()));
        }
        self.used.borrow_mut().insert(name.to_string());
        if let Some(variable) = name.strip_prefix("env.") {
            return match self.environment(variable) {
                Some((value, _)) => Ok(Binding::Text(value.to_string())),
                None => Err(self.unset_environment(variable)),
            };
        }
        if name.starts_with("git.") {
            return self.git(name);
        }
        match self.variables.get(name) {
            Some(Slot::Value(value)) => Ok(value.clone()),
            Some(Slot::Broken) => Err(Refusal::new(ExpressionProblem::Reported)),
            Some(Slot::Unset) => Err(Refusal::new(ExpressionProblem::VariableNotSet(
                name.to_string(),
            ))
            .with_help(format!(
                "give it a default, set `{name}` in the environment, or pass `--var {name}=…`"
            ))),
            None => Err(self.undeclared(name)),
        }
    }

    fn git(&self, name: &str) -> Result<Binding, Refusal> {
        let fact = name.trim_start_matches("git.");
        if !GIT.contains(&fact) {
            let refusal = Refusal::new(ExpressionProblem::UnknownFact(name.to_string()));
            return Err(match suggest::help(fact, GIT) {
                Some(help) => refusal.with_help(help),
                None => refusal,
            });
        }
        match self.facts.git.get(fact) {
            Some(value) => Ok(Binding::Text(value.clone())),
            None => Err(
                Refusal::new(ExpressionProblem::FactNotKnown(name.to_string())).with_help(
                    match fact {
                        "branch" | "tag" => {
                            format!(
                                "the checkout has no {fact}; write `${{default({name}, 'text')}}`"
                            )
                        }
                        _ => {
                            format!("is this a git checkout? Write `${{default({name}, 'text')}}`")
                        }
                    },
                ),
            ),
        }
    }

    fn unset_environment(&self, variable: &str) -> Refusal {
        let names = self.facts.environment.keys().chain(self.env_file.keys());
        let near = suggest::nearest(variable, names.map(String::as_str));
        Refusal::new(ExpressionProblem::EnvironmentNotSet(variable.to_string())).with_help(
            match near {
                Some(near) => format!("did you mean `${{env.{near}}}`?"),
                None => format!("set it, or write `${{default(env.{variable}, 'text')}}`"),
            },
        )
    }

    fn undeclared(&self, name: &str) -> Refusal {
        let locals = self.locals.borrow();
        let names = self.variables.keys().chain(locals.keys());
        let refusal = Refusal::new(ExpressionProblem::NotFound {
            what: "variable",
            name: name.to_string(),
        });
        if let Some(near) = suggest::nearest(name, names.map(String::as_str)) {
            return refusal.with_help(format!("did you mean `${{{near}}}`?"));
        }
        if self.facts.environment.contains_key(name) {
            return refusal.with_help(format!(
                "write `${{env.{name}}}` for the environment variable, or `$${{{name}}}` to leave it to the shell"
            ));
        }
        refusal.with_help(format!(
            "declare it: `var {name} \"…\"`; write `$${{{name}}}` to leave it to the shell"
        ))
    }

    /// Declared without a value, or an environment variable that is not set.
    pub fn is_unset(&self, name: &str) -> bool {
        let fact = name.strip_prefix("git.");
        let unset = match name.strip_prefix("env.") {
            Some(variable) => self.environment(variable).is_none(),
            None if fact.is_some_and(|fact| GIT.contains(&fact)) => {
                fact.is_some_and(|fact| !self.facts.git.contains_key(fact))
            }
            None => matches!(self.variables.get(name), Some(Slot::Unset)),
        };
        if unset {
            self.used.borrow_mut().insert(name.to_string());
        }
        unset
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    CommandLine,
    Environment,
    EnvFile,
    Default,
}
