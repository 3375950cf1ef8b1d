//! Files that Compose files name, as values: whoever can read files gives their texts.

use std::collections::BTreeMap;

/// By their paths from where those of the main file start; one that does not exist has no text.
pub type Others = BTreeMap<String, Option<String>>;

/// For files that name no others.
pub static NO_OTHERS: Others = Others::new();

/// How many lines a text takes among those of all files.
pub(super) fn lines(text: &str) -> usize {
    text.matches('\n').count() + 1
}
