//! The build checks of the Dockerfile reference: warnings that know their line.
//!
//! Knows the parsed file and the [`Facts`] it is given. Fetches nothing: what a base image holds, or what an
//! ignore file hides, comes in as values.

mod facts;
mod from;
mod misspelled;
mod report;
mod rule;
mod stage;
#[cfg(test)]
mod tests;

pub use crate::checks::{CheckOptions, Rules};
pub use facts::{Facts, PlatformMismatch};
pub use rule::{Rule, Warning};
pub use stage::looks_secret;

use report::Report;

use super::ast::*;
use std::collections::BTreeSet;

/// Everything worth a warning, in the order of lines.
pub fn lint(file: &Dockerfile, facts: &Facts<'_>) -> Vec<Warning> {
    let mut report = Report {
        options: facts.check.unwrap_or(&file.directives.check).clone(),
        warnings: BTreeSet::new(),
    };
    for line in &file.empty_continuations {
        let message = "a blank line inside a continued instruction will become an error";
        report.at_line(*line, Rule::NoEmptyContinuation, message);
    }
    from::check(file, facts, &mut report);
    casing(file, &mut report);
    stage::check(file, facts, &mut report);
    misspelled::check(file, facts, &mut report);
    report.warnings.into_iter().collect()
}

/// Whether the warnings must fail the build: `# check=error=true`.
pub fn is_fatal(file: &Dockerfile, facts: &Facts<'_>, warnings: &[Warning]) -> bool {
    facts.check.unwrap_or(&file.directives.check).error && !warnings.is_empty()
}

/// The file's majority decides between capitals and small letters; mixed words count for nobody.
fn casing(file: &Dockerfile, report: &mut Report) {
    let froms = file.stages.iter().map(|s| s.from.with(()));
    let others = file.stages.iter().flat_map(|s| &s.instructions);
    let all: Vec<Located<()>> = froms.chain(others.map(|i| i.with(()))).collect();
    let lower = all.iter().filter(|i| i.keyword == i.keyword.to_lowercase());
    let upper = all.iter().filter(|i| i.keyword == i.keyword.to_uppercase());
    let small = lower.count() > upper.count();
    for place in &all {
        let (expected, case) = match small {
            true => (place.keyword.to_lowercase(), "lower case"),
            false => (place.keyword.to_uppercase(), "upper case"),
        };
        if place.keyword != expected {
            let message = format!("write `{expected}`: most instructions here are in {case}");
            report.at(place, Rule::ConsistentInstructionCasing, message);
        }
    }
}
