//! What `.gitattributes` say of a file (gitattributes).

use std::path::{Path, PathBuf};

use gix_attributes::glob::pattern::Case;
use gix_attributes::search::{MetadataCollection, Outcome};
use gix_object::bstr::ByteSlice;

use super::convert::ATTRIBUTES;
use super::error::During as _;
use super::{GitError, Result};

/// What `.gitattributes` say, from the root down to one directory.
pub(super) struct Attributes {
    built_in: gix_attributes::Search,
    files: gix_attributes::Search,
    names: MetadataCollection,
    outcome: Outcome,
}

impl Attributes {
    pub fn new() -> Result<Attributes> {
        let mut names = MetadataCollection::default();
        let none: [PathBuf; 0] = [];
        let built_in = gix_attributes::Search::new_globals(none, &mut Vec::new(), &mut names)
            .during("cannot read the built-in attributes")?;
        Ok(Attributes {
            built_in,
            files: gix_attributes::Search::default(),
            names,
            outcome: Outcome::default(),
        })
    }

    pub fn enter(&mut self, text: &[u8], directory: &[u8]) -> Result<()> {
        // Patterns hold from the directory of their file on; only the root names macros.
        let root = Path::new("/");
        let source = root
            .join(super::index::path(directory))
            .join(".gitattributes");
        let is_root = directory.is_empty();
        self.files
            .add_patterns_buffer(text, source, Some(root), &mut self.names, is_root)
            .map_err(GitError::store("cannot read .gitattributes"))
    }

    pub fn leave(&mut self) {
        self.files.pop_pattern_list();
    }

    /// What holds for a file; `None` where no file says anything.
    pub fn outcome(&mut self, path: &[u8]) -> Option<&Outcome> {
        if self.files.num_pattern_lists() == 0 {
            return None;
        }
        let outcome = &mut self.outcome;
        outcome.initialize_with_selection(&self.names, ATTRIBUTES);
        for search in [&self.files, &self.built_in] {
            let path = path.as_bstr();
            search.pattern_matching_relative_path(path, Case::Sensitive, Some(false), outcome);
            if outcome.is_done() {
                break;
            }
        }
        Some(outcome)
    }
}
