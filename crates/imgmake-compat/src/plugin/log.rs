//! How much a step says, and in which form: kaniko's words for it.

use super::Refusal;
use imgmake_core::manifest::suggest;

pub const FORMATS: [&str; 3] = ["text", "color", "json"];
pub const LEVELS: [&str; 8] = [
    "trace", "debug", "info", "warn", "warning", "error", "fatal", "panic",
];

/// What a step tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub verbosity: Verbosity,
    /// Lines begin with the time.
    pub timestamps: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// Only warnings and errors.
    Quiet,
    #[default]
    Plain,
    /// Also what was cached.
    Verbose,
    /// Everything, as JSON lines.
    Json,
}

/// The verbosity that a format and a level ask for; empty ones are not said.
pub(super) fn verbosity(format: &str, level: &str) -> Verbosity {
    match (format, level) {
        ("json", _) => Verbosity::Json,
        (_, "trace" | "debug") => Verbosity::Verbose,
        (_, "info" | "") => Verbosity::Plain,
        _ => Verbosity::Quiet,
    }
}

/// # Errors
/// A word that is none of the choices.
pub(super) fn choice(name: &str, text: &str, choices: &[&str]) -> Result<(), Refusal> {
    if text.is_empty() || choices.contains(&text) {
        return Ok(());
    }
    Err(Refusal::new(
        format!("{name}={text:?} is none of its values"),
        suggest::help(text, choices.iter().copied())
            .unwrap_or_else(|| format!("write one of {}", choices.join(", "))),
    ))
}
