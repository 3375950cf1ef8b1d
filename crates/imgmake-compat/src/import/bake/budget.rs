//! How much time and memory the expressions of all files of a request may take.

use std::cell::Cell;
use std::rc::Rc;

use super::failed::{Exhausted, Failed};
use super::problem::Problem;

/// Units of about a byte, or a nanosecond.
const ALL: usize = 64 << 20;
/// More elements or characters than this are a mistake in a bake file.
pub(super) const LARGEST: usize = 1 << 20;
/// What an expression costs beside its value.
pub(super) const EACH: usize = 64;
/// Expressions within expressions, through calls; more are a mistake.
const DEEPEST: usize = 256;

/// Its clones spend the same.
#[derive(Clone, Debug)]
pub(super) struct Budget(Rc<State>);

#[derive(Debug)]
struct State {
    /// Nothing left is too much spent: it stays so.
    left: Cell<usize>,
    depth: Cell<usize>,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget(Rc::new(State {
            left: Cell::new(ALL),
            depth: Cell::new(0),
        }))
    }
}

impl Budget {
    /// # Errors
    /// As much is not left.
    pub(super) fn spend(&self, cost: usize) -> Result<(), Exhausted> {
        let left = self.0.left.get().saturating_sub(cost);
        self.0.left.set(left);
        match left {
            0 => Err(Exhausted),
            _ => Ok(()),
        }
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.0.left.get() == 0
    }

    /// One level deeper, until what is given is dropped.
    ///
    /// # Errors
    /// It is too deep.
    pub(super) fn deeper(&self) -> Result<Level<'_>, Failed> {
        let depth = self.0.depth.get();
        if depth == DEEPEST {
            return Err("expressions within expressions go too deep".into());
        }
        self.0.depth.set(depth + 1);
        Ok(Level(self))
    }
}

pub(super) struct Level<'a>(&'a Budget);

impl Drop for Level<'_> {
    fn drop(&mut self) {
        let depth = &self.0.0.depth;
        depth.set(depth.get() - 1);
    }
}

impl From<Exhausted> for Problem {
    fn from(_: Exhausted) -> Problem {
        Problem::at(None, Exhausted::MESSAGE).with_help(Exhausted::HELP)
    }
}
