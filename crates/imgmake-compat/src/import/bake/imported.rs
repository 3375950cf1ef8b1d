//! What a bake file comes to: targets of a manifest, and what belongs to them.

use std::collections::BTreeMap;

use imgmake_core::manifest::{CacheRegistry, SecretNode, Target};

/// The targets that are wanted, and those that they need.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imported {
    pub targets: Vec<Target>,
    pub secrets: Vec<SecretNode>,
    /// Complete names under which each target is to be published.
    pub published: Vec<(String, Vec<String>)>,
    /// Targets that ask for the push themselves.
    pub pushed: Vec<String>,
    /// Where the names of each target stand.
    pub tag_lines: BTreeMap<String, Place>,
    /// Targets that say `pull`.
    pub pulled: Vec<String>,
    /// The groups that are wanted, with all of their targets.
    pub groups: Vec<(String, Vec<String>)>,
    /// Where steps are shared: those of all targets.
    pub caches: Vec<CacheRegistry>,
    /// Dockerfiles that the bake file holds; they are to be written before the build.
    pub inline: Vec<Inline>,
    /// Files of variables that the manifest reads.
    pub env_files: Vec<String>,
    /// What was accepted and changes nothing, for people.
    pub notes: Vec<String>,
}

/// A line, counted through all files, and what people call it: `b.hcl:4`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub line: Option<usize>,
    pub place: String,
}

/// A Dockerfile, and where its target looks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inline {
    pub path: String,
    pub text: String,
}
