//! What functions may learn beside their arguments, while a file is read.

use std::cell::RefCell;
use std::collections::BTreeMap;

use hcl::{Expression, Value};

/// What functions may learn beside their arguments, while a file is read.
#[derive(Clone, Default)]
pub(super) struct Outside {
    pub environment: BTreeMap<String, String>,
    /// RFC 3339.
    pub now: String,
    pub(super) functions: Vec<Own>,
    pub(super) variables: Vec<(String, Value)>,
    pub(super) depth: usize,
}

#[derive(Clone)]
pub(super) struct Own {
    pub(super) name: String,
    pub(super) parameters: Vec<String>,
    /// What takes all further arguments, as a list.
    pub(super) rest: Option<String>,
    pub(super) result: Expression,
}

thread_local! {
    pub(super) static OUTSIDE: RefCell<Outside> = RefCell::default();
}

pub(super) fn outside<T>(ask: impl FnOnce(&Outside) -> T) -> T {
    OUTSIDE.with_borrow(ask)
}

/// Until it is dropped, functions know these facts.
pub(in crate::import::bake) struct Known;

impl Known {
    pub(in crate::import::bake) fn new(environment: &BTreeMap<String, String>, now: &str) -> Known {
        OUTSIDE.set(Outside {
            environment: environment.clone(),
            now: now.to_string(),
            ..Outside::default()
        });
        Known
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        OUTSIDE.take();
    }
}

/// A variable of the file, for the results of its functions.
pub(in crate::import::bake) fn remember(name: &str, value: &Value) {
    OUTSIDE.with_borrow_mut(|outside| outside.variables.push((name.to_string(), value.clone())));
}
