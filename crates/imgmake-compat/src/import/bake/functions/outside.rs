//! What functions may learn beside their arguments, while a file is read, and what they may take.

use std::cell::RefCell;
use std::collections::BTreeMap;

use regex::Regex;

use crate::import::bake::budget::{Budget, LARGEST};

#[derive(Clone, Default)]
pub(super) struct Outside {
    pub environment: BTreeMap<String, String>,
    /// RFC 3339.
    pub now: String,
    budget: Budget,
}

thread_local! {
    static OUTSIDE: RefCell<Outside> = RefCell::default();
    /// Those of the file that were read before.
    static PATTERNS: RefCell<BTreeMap<String, Regex>> = RefCell::default();
}

pub(super) fn outside<T>(read: impl FnOnce(&Outside) -> T) -> T {
    OUTSIDE.with_borrow(read)
}

/// # Errors
/// As much is not left of what the file may take.
pub(super) fn spend(cost: usize) -> Result<(), String> {
    outside(|outside| Ok(outside.budget.spend(cost)?))
}

/// For a text that is not made yet.
///
/// # Errors
/// It is longer than any may be, or no room is left.
pub(super) fn room(bytes: usize) -> Result<(), String> {
    if bytes > LARGEST {
        return Err("the value is too long".into());
    }
    spend(bytes)
}

/// The pattern, made once.
pub(super) fn pattern(
    text: &str,
    read: impl FnOnce() -> Result<Regex, String>,
) -> Result<Regex, String> {
    if let Some(known) = PATTERNS.with_borrow(|known| known.get(text).cloned()) {
        return Ok(known);
    }
    let pattern = read()?;
    PATTERNS.with_borrow_mut(|known| known.insert(text.to_string(), pattern.clone()));
    Ok(pattern)
}

/// Until it is dropped, functions see these facts.
pub(in crate::import::bake) struct Facts;

impl Facts {
    pub(in crate::import::bake) fn new(
        environment: &BTreeMap<String, String>,
        now: &str,
        budget: &Budget,
    ) -> Facts {
        OUTSIDE.set(Outside {
            environment: environment.clone(),
            now: now.to_string(),
            budget: budget.clone(),
        });
        Facts
    }
}

impl Drop for Facts {
    fn drop(&mut self) {
        OUTSIDE.take();
        PATTERNS.take();
    }
}
