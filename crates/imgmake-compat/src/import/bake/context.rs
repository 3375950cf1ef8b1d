//! What an expression may refer to: variables, and the functions that a file defines.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::budget::{Budget, EACH};
use super::defined::Own;
use super::failed::{Evaluated, Failed};
use super::value::Value;

#[derive(Clone, Debug, Default)]
pub(super) struct Context {
    /// Those of the file, which its functions see wherever they are called.
    file: Rc<BTreeMap<String, Value>>,
    /// Those around one expression: elements of `for`, axes of a matrix, parameters.
    local: BTreeMap<Rc<str>, Rc<Value>>,
    /// Declared, and not evaluated yet.
    waiting: Rc<BTreeSet<String>>,
    functions: Rc<BTreeMap<String, Own>>,
    /// Calls within calls.
    pub(super) depth: usize,
    pub(super) budget: Budget,
}

impl Context {
    pub(super) fn new(
        functions: BTreeMap<String, Own>,
        waiting: BTreeSet<String>,
        budget: &Budget,
    ) -> Context {
        Context {
            functions: Rc::new(functions),
            waiting: Rc::new(waiting),
            budget: budget.clone(),
            ..Context::default()
        }
    }

    /// A variable of the file.
    pub(super) fn define(&mut self, name: &str, value: Value) {
        Rc::make_mut(&mut self.waiting).remove(name);
        Rc::make_mut(&mut self.file).insert(name.to_string(), value);
    }

    /// A variable of what is evaluated in this context alone.
    pub(super) fn declare(&mut self, name: &str, value: impl Into<Rc<Value>>) {
        self.local.insert(name.into(), value.into());
    }

    /// For one round of a `for`.
    pub(super) fn inner(&self) -> Result<Context, Failed> {
        self.budget.spend(EACH * (self.local.len() + 1))?;
        Ok(self.clone())
    }

    pub(super) fn variable(&self, name: &str) -> Result<&Value, Failed> {
        let local = self.local.get(name).map(|value| &**value);
        let found = local.or_else(|| self.file.get(name));
        found.ok_or_else(|| match self.waiting.contains(name) {
            true => Failed::NotYet(name.to_string()),
            false => Failed::Variable(name.to_string()),
        })
    }

    /// # Errors
    /// There is no room for another one.
    pub(super) fn copy(&self, value: &Value) -> Evaluated {
        self.budget.spend(value.weight())?;
        Ok(value.clone())
    }

    pub(super) fn function(&self, name: &str) -> Option<&Own> {
        self.functions.get(name)
    }

    pub(super) fn function_names(&self) -> impl Iterator<Item = &str> {
        self.functions.keys().map(String::as_str)
    }

    /// What a function of the file sees: not what is around its call.
    pub(super) fn of_function(&self, parameters: impl Iterator<Item = (String, Value)>) -> Context {
        let parameters = parameters.map(|(name, value)| (name.into(), value.into()));
        Context {
            local: parameters.collect(),
            depth: self.depth + 1,
            ..self.clone()
        }
    }
}
