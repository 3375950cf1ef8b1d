//! Reports duplicate names within one name space.

use std::collections::BTreeMap;

use super::context::DecodeContext;
use super::diagnostic::Diagnostic;
use super::types::{Span, Spanned};

/// Names that are taken, per name space, with the place of the first.
#[derive(Default)]
pub(super) struct Names {
    file_begins: usize,
    taken: BTreeMap<(&'static str, String), Span>,
}

impl Names {
    /// Books a name of the project; two in one file are not told again.
    pub fn book_of_other_file(
        &mut self,
        space: &'static str,
        name: &Spanned<String>,
        cx: &DecodeContext,
    ) {
        let before = self.taken.get(&(space, name.value.clone()));
        let told = before.is_some_and(|taken| taken.start >= self.file_begins);
        if !told {
            self.book(space, name, cx);
        }
    }

    /// Spans from here on belong to another file.
    pub fn begin_file(&mut self, base: usize) {
        self.file_begins = base;
    }

    /// Books a name; one that is taken is told with both places, but kept for further checks.
    pub fn book(&mut self, space: &'static str, name: &Spanned<String>, cx: &DecodeContext) {
        match self.taken.entry((space, name.value.clone())) {
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(name.span);
            }
            std::collections::btree_map::Entry::Occupied(taken) if *taken.get() == name.span => cx
                .error_help(
                    name.span,
                    format!("several members of the matrix are named `{}`", name.value),
                    "the same for each of them",
                    "use every axis in `name`, such as `name \"app-${slug(py)}\"`",
                ),
            std::collections::btree_map::Entry::Occupied(taken) => {
                let message = format!("the {space} name `{}` is taken", name.value);
                let mut diagnostic = Diagnostic::at(name.span, message, "declared again");
                if space == "target" {
                    diagnostic = diagnostic.with_help(
                        "targets, groups and templates share one name space; rename one",
                    );
                }
                cx.report(diagnostic.with_related(*taken.get(), "first declared here"));
            }
        }
    }
}
