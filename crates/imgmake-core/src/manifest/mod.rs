//! What the user wrote: KDL text → [`Manifest`], every string interpolated, every value
//! with its span, and diagnostics for everything that is wrong in one run.
//! Pure: other files come through a closure, the environment through [`Facts`].
//! Knows nothing of graphs, builders or terminals.

mod build;
mod cache;
mod context;
mod declarations;
mod duration;
mod env_file;
mod fields;
pub mod glob;
#[cfg(test)]
mod golden;
mod image_pattern;
mod include;
mod interpolate;
mod limits;
mod matrix;
mod policy;
mod rebase;
mod render;
mod scope;
mod sets;
mod settings;
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

use std::collections::BTreeMap;

pub use build::NETWORKS;
pub use cache::{CacheOption, cache_option, cache_ttl};
pub use glob::Glob;
pub use image_pattern::ImagePattern;
pub use include::Files;
pub use render::render;
pub use sources::Sources;
pub use syntax::decode;
pub use types::*;

use context::Cx;
use include::Project;
use tree::Node;

/// One message about the manifest. Several come out of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub message: String,
    /// What stands under the span; without one (and without a span) no source is shown.
    pub label: String,
    pub span: Span,
    pub help: Option<String>,
    /// Other places: (span, text)
    pub related: Vec<(Span, String)>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

impl Diagnostic {
    /// An error at a place.
    pub fn at(span: Span, message: impl Into<String>, label: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            message: message.into(),
            label: label.into(),
            span,
            help: None,
            related: Vec::new(),
        }
    }

    /// An error about no place in the text.
    pub fn plain(message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(Span::default(), message, "")
    }

    pub fn with_help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    pub fn with_related(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.related.push((span, text.into()));
        self
    }

    fn moved(mut self, base: usize) -> Diagnostic {
        if self.span != Span::default() {
            self.span = Span::new(self.span.start + base, self.span.end + base);
        }
        self
    }
}

/// Facts that interpolation may use; the cli gathers them.
#[derive(Clone, Default)]
pub struct Facts {
    /// `--var NAME=VALUE`, in order.
    pub vars: Vec<(String, String)>,
    pub environment: BTreeMap<String, String>,
    /// `sha`, `short`, `branch`, `tag` of the checkout, as far as there are any.
    pub git: BTreeMap<String, String>,
    /// `--set pattern.key[.sub]=value`, in order.
    pub sets: Vec<String>,
}

/// Names only: an environment holds secrets.
impl std::fmt::Debug for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let vars: Vec<&str> = self.vars.iter().map(|(name, _)| name.as_str()).collect();
        let environment: Vec<&String> = self.environment.keys().collect();
        f.debug_struct("Facts")
            .field("vars", &vars)
            .field("environment", &environment)
            .finish_non_exhaustive()
    }
}

/// Parses and checks one manifest. `file` is its name for messages; `read` gives env-files (the room itself reads no disk).
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

fn not_yet(node: &Node, cx: &Cx) {
    cx.error(
        node.name.span,
        format!("`{}` is not supported yet", node.name.value),
        "not supported yet",
    );
}
