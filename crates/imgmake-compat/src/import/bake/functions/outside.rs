//! What functions may learn beside their arguments, while a file is read.

use std::cell::RefCell;
use std::collections::BTreeMap;

#[derive(Clone, Default)]
pub(super) struct Outside {
    pub environment: BTreeMap<String, String>,
    /// RFC 3339.
    pub now: String,
}

thread_local! {
    static OUTSIDE: RefCell<Outside> = RefCell::default();
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
        });
        Facts
    }
}

impl Drop for Facts {
    fn drop(&mut self) {
        OUTSIDE.take();
    }
}
