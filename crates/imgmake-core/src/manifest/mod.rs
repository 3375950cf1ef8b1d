//! What the user wrote: KDL text → [`Manifest`], every string interpolated, every value
//! with its span, and diagnostics for everything that is wrong in one run.
//! Pure: other files come through a closure, the environment through [`Facts`].
//! Knows nothing of graphs, builders or terminals.

mod archive_image;
mod attempts;
mod binding;
mod build;
mod cache;
mod check;
mod condition;
mod context;
mod declarations;
mod diagnostic;
mod duplicates;
mod duration;
mod env_file;
mod evaluate;
mod facts;
mod fields;
mod foreign;
mod gate;
pub mod glob;
#[cfg(test)]
mod golden;
mod image_name;
mod image_pattern;
mod include;
mod index;
mod interpolate;
mod limits;
mod lock_file;
mod matrix;
mod named_contexts;
mod policy;
mod rebase;
mod remote;
mod render;
mod requirement;
mod scope;
mod sets;
mod settings;
mod signers;
mod signing;
mod sources;
mod steps;
pub mod suggest;
mod syntax;
mod targets;
mod templates;
#[cfg(test)]
mod tests;
mod tokens;
mod tree;
pub mod types;
mod variables;

pub use build::NETWORKS;
pub use cache::{CacheOption, cache_option, cache_ttl};
pub use diagnostic::{Diagnostic, Severity};
pub use env_file::env_file_values;
pub use facts::Facts;
pub use glob::Glob;
pub use image_pattern::ImagePattern;
/// What a tag may be: the front ends name the setting that a wrong one comes from.
pub use imgmake_oci::image::{TAG_RULE, is_tag};
pub use include::Files;
pub use lock_file::{LockFile, LockedUrl};
pub use remote::{RemoteKind, remote_kind};
pub use render::render;
pub use sources::{Sources, UNWRITTEN};
pub use syntax::decode;
pub use types::*;

use include::Project;

/// Parses and checks one manifest. `file` is its name for messages; `read` gives env-files (nothing here reads the disk).
/// All errors found are returned together; warnings come with success.
/// An `include` must name its file here; [`load_project`] knows patterns too.
pub fn load(
    file: &str,
    text: &str,
    facts: &Facts,
    read: &dyn Fn(&str) -> std::io::Result<String>,
) -> Result<(Manifest, Vec<Diagnostic>), Vec<Diagnostic>> {
    load_project(file, text, facts, &include::NoDirectory(read)).0
}

/// What [`load_project`] found: the manifest with its warnings, or all errors.
pub type Loaded = Result<(Manifest, Vec<Diagnostic>), Vec<Diagnostic>>;

/// As [`load`], with everything that the manifest includes. The sources render the
/// diagnostics, those of `Graph::new` too.
pub fn load_project(file: &str, text: &str, facts: &Facts, files: &dyn Files) -> (Loaded, Sources) {
    let mut project = Project::new(facts, files);
    project.load(file, text);
    let (manifest, mut found, sources) = project.finish();
    found.sort_by_key(|one| one.span.start);
    once_each(&mut found);
    let is_requirement = |one: &Diagnostic| one.origin == diagnostic::Origin::Requirement;
    if found.iter().any(is_requirement) {
        found.retain(is_requirement);
    }
    let failed = found.iter().any(|one| one.severity == Severity::Error);
    let loaded = match failed {
        true => Err(found),
        false => Ok((manifest, found)),
    };
    (loaded, sources)
}

/// A mistake in a template or a matrix is found once per target; it is told once.
fn once_each(found: &mut Vec<Diagnostic>) {
    let mut seen = std::collections::HashSet::new();
    found.retain(|one| {
        let place = (
            one.span.start,
            one.span.end,
            one.label.clone(),
            one.help.clone(),
        );
        one.span == Span::default() || seen.insert(place)
    });
}
