//! How much a step writes to its log, and in which form: kaniko's words for it.

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

/// The word as it is known, in any case.
///
/// # Errors
/// It is not one of the choices, in words.
pub(super) fn choice(name: &str, text: &str, choices: &[&str]) -> Result<String, String> {
    let lower = text.to_lowercase();
    if text.is_empty() || choices.contains(&lower.as_str()) {
        return Ok(lower);
    }
    let help = suggest::help(&lower, choices.iter().copied())
        .unwrap_or_else(|| format!("write one of {}", choices.join(", ")));
    Err(format!(
        "{name}={text:?} has no effect: unknown value; {help}"
    ))
}
