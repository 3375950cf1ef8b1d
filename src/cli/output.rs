//! Results on standard output, and words to people on standard error.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result};

use crate::wrapped::{broken, wrapped};
use imgmake_event::{Event, Events};
use imgmake_guard::printable::{self, Colors};

/// Columns of the terminal that messages go to; 0 is no terminal, whose lines stay whole.
static COLUMNS: AtomicUsize = AtomicUsize::new(0);

/// The same for results.
static RESULT_COLUMNS: AtomicUsize = AtomicUsize::new(0);

/// Whether standard error takes colors, once that is decided.
static COLORS: AtomicBool = AtomicBool::new(false);

/// From now on [`tell`] lets colors pass.
pub fn allow_colors(wanted: bool) {
    COLORS.store(wanted, Ordering::Relaxed);
}

/// From now on [`tell`] breaks messages between words for a terminal of so many columns.
pub fn wrap_at(columns: usize) {
    COLUMNS.store(columns, Ordering::Relaxed);
}

/// From now on [`print_sentences`] breaks lines between words for a terminal of so many columns.
pub fn wrap_results_at(columns: usize) {
    RESULT_COLUMNS.store(columns, Ordering::Relaxed);
}

/// Prints a result that is read and not copied: no line is broken within a word.
pub fn print_sentences(text: &str) -> Result<()> {
    let text = printable::text(text, Colors::Removed);
    write(&broken(&text, RESULT_COLUMNS.load(Ordering::Relaxed)))
}

/// Prints a result for people, with words of others in it.
pub fn print(text: &str) -> Result<()> {
    write(&printable::text(text, Colors::Removed))
}

/// Prints a result that is JSON.
pub fn print_json(text: &str) -> Result<()> {
    write(&printable::json(text))
}

/// Prints a program of ours as it is.
pub fn print_exactly(text: &str) -> Result<()> {
    write(text)
}

/// A closed pipe is not an error: its reader has seen enough.
fn write(text: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

/// For commands that report nothing else: warnings are told.
pub fn warnings() -> Events {
    Events::to(|event| {
        if let Event::Warning { message, .. } = event {
            tell(format!("warning: {message}"));
        }
    })
}

/// Tells people something on standard error. A closed reader is not an error,
/// and no panic, which `eprintln!` would make of it.
pub fn tell(text: impl std::fmt::Display) {
    let text = text.to_string();
    let text = printable::message(&text, Colors::when(COLORS.load(Ordering::Relaxed)));
    let text = wrapped(&text, COLUMNS.load(Ordering::Relaxed));
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
