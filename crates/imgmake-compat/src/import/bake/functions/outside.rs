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

pub(super) fn outside<T>(read: impl FnOnce(&Outside) -> T) -> T {
    OUTSIDE.with_borrow(read)
}

/// Until it is dropped, functions see these facts.
pub(in crate::import::bake) struct Facts;

impl Facts {
    pub(in crate::import::bake) fn new(environment: &BTreeMap<String, String>, now: &str) -> Facts {
        OUTSIDE.set(Outside {
            environment: environment.clone(),
            now: now.to_string(),
            ..Outside::default()
        });
        Facts
    }
}

impl Drop for Facts {
    fn drop(&mut self) {
        OUTSIDE.take();
    }
}

/// A variable of the file, for the results of its functions.
pub(in crate::import::bake) fn remember(name: &str, value: &Value) {
    OUTSIDE.with_borrow_mut(|outside| outside.variables.push((name.to_string(), value.clone())));
}
