//! What a step is read from, and what it comes to.

use std::collections::BTreeMap;

use crate::step::Step;

/// What is known of the workspace; the caller reads it.
pub struct Workspace<'a> {
    pub environment: &'a BTreeMap<String, String>,
    /// The text of a file, relative to the working directory.
    pub read: &'a dyn Fn(&str) -> std::io::Result<String>,
    /// RFC 3339, for the label that says when.
    pub now: &'a str,
}

/// What a step comes to.
#[derive(Debug)]
pub enum Outcome {
    Run(Box<Step>),
    /// The ref is neither a tag nor the default branch, and this plugin takes that for success.
    NothingToDo(String),
}
