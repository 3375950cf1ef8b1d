//! Values that are invalid whatever the variables are: mistakes of the stage that contains them.

use super::ast::*;
use super::error::{DockerfileError, Mistake};
use super::expand::{is_signal, not_a_signal};
use super::expose;
use super::words;

type Result<T, E = DockerfileError> = std::result::Result<T, E>;

/// Values that are the same with every environment, and can be used in none: of ports, signals and
/// modes.
///
/// # Errors
/// The first of them.
pub fn check(instruction: &Instruction, escape: Escape) -> Result<()> {
    match instruction {
        Instruction::Expose(words) => {
            let plain = words
                .iter()
                .filter(|w| !w.contains(['$', '\'', '"', '\\', '`']));
            for word in plain {
                expose::Word::parse(word)?;
            }
            Ok(())
        }
        Instruction::Stopsignal(word) => {
            match constant(word, escape).filter(|signal| !is_signal(signal)) {
                Some(signal) => Err(not_a_signal(&signal, word)),
                None => Ok(()),
            }
        }
        Instruction::Copy(copy) => check_mode(&copy.chmod),
        Instruction::Add(add) => check_mode(&add.chmod),
        _ => Ok(()),
    }
}

/// Digits must be an octal mode; symbolic modes are left to whoever applies them.
fn check_mode(mode: &Option<String>) -> Result<()> {
    let Some(mode) = mode
        .as_deref()
        .filter(|m| m.starts_with(|c: char| c.is_ascii_digit()))
    else {
        return Ok(());
    };
    match u32::from_str_radix(mode, 8) {
        Ok(0..=0o7777) => Ok(()),
        _ if !is_constant(mode) => Ok(()),
        _ => Err(Mistake::invalid(format!("mode `--chmod={mode}`"))
            .in_word(mode)
            .help("write an octal number up to 7777, or symbols such as u=rwX,go=rX")),
    }
}

/// The word without quotes and escapes, if it says the same with every environment.
fn constant(word: &str, escape: Escape) -> Option<String> {
    let expanded = is_constant(word).then(|| words::expand(word, &|_| None, escape))?;
    expanded.ok().map(|e| e.text)
}

/// Whether a word says the same with every environment.
fn is_constant(word: &str) -> bool {
    !word.contains('$')
}
