//! How much a step writes to its log, and in which form: kaniko's words for it.

use super::Refusal;
use crate::error::invalid;
use crate::step::Verbosity;
use imgmake_core::manifest::suggest;

pub const FORMATS: [&str; 3] = ["text", "color", "json"];
pub const LEVELS: [&str; 8] = [
    "trace", "debug", "info", "warn", "warning", "error", "fatal", "panic",
];

/// The verbosity that a format and a level ask for; empty ones ask for nothing.
pub(super) fn verbosity(format: &str, level: &str) -> Verbosity {
    match (format, level) {
        ("json", _) => Verbosity::Json,
        (_, "trace" | "debug") => Verbosity::Verbose,
        (_, "info" | "") => Verbosity::Plain,
        _ => Verbosity::Quiet,
    }
}

/// # Errors
/// The word is not one of the choices.
pub(super) fn choice(name: &str, text: &str, choices: &[&str]) -> Result<(), Refusal> {
    if text.is_empty() || choices.contains(&text) {
        return Ok(());
    }
    Err(Refusal::new(
        invalid("value", format!("{name}={text:?}")),
        suggest::help(text, choices.iter().copied())
            .unwrap_or_else(|| format!("write one of {}", choices.join(", "))),
    ))
}
