//! SKELETON: what the user wrote, decoded, checked and interpolated, every value with its span.
pub mod types;
pub use types::*;

/// One message about the manifest. Several come out of one run.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    pub severity: Severity,
    pub message: String,
    pub label: String,
    pub span: Span,
    pub help: Option<String>,
    /** Other places: (span, text) */
    pub related: Vec<(Span, String)>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// Facts that interpolation may use; the cli gathers them.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// `--var NAME=VALUE`, in order.
    pub vars: Vec<(String, String)>,
    pub environment: std::collections::BTreeMap<String, String>,
}

/// Parses and checks one manifest. `file` is its name for messages; `read` gives env-files (the room itself reads no disk).
/// All errors found are returned together; warnings come with success.
pub fn load(
    file: &str,
    text: &str,
    facts: &Facts,
    read: &dyn Fn(&str) -> std::io::Result<String>,
) -> Result<(Manifest, Vec<Diagnostic>), Vec<Diagnostic>> {
    todo!()
}

/// Renders diagnostics with miette against the source text (the cli calls this once).
pub fn render(
    diagnostics: &[Diagnostic],
    file: &str,
    text: &str,
    colour: bool,
    width: usize,
) -> String {
    todo!()
}
