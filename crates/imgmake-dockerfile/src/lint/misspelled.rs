//! Names that are no stage's, and nearly are: as images they would be looked for in a registry.

use super::facts::Facts;
use super::from::Globals;
use super::report::Report;
use super::rule::Rule;
use crate::ast::*;
use crate::stages::StageReference;
use crate::suggest;

pub(super) fn check(file: &Dockerfile, facts: &Facts<'_>, report: &mut Report) {
    let globals = Globals::new(file, facts.build_args);
    for (index, stage) in file.stages.iter().enumerate() {
        let from = globals.image(&stage.from.value, file.directives.escape);
        // `FROM debian` beside a stage `debian-1` is what it says.
        let message = misspelled(file, facts, &from, index, |stage| !stage.starts_with(&from));
        if let Some(message) = message {
            report.at(&stage.from, Rule::MisspelledStage, message);
        }
        for place in &stage.instructions {
            for name in sources(&place.value) {
                if let Some(message) = misspelled(file, facts, name, index, |_| true) {
                    report.at(place, Rule::MisspelledStage, message);
                }
            }
        }
    }
}

/// What `--from` names.
fn sources(instruction: &Instruction) -> Vec<&str> {
    match instruction {
        Instruction::Copy(copy) => copy.from.as_deref().into_iter().collect(),
        Instruction::Run(run) => run.mounts.iter().filter_map(MountSpec::from).collect(),
        _ => Vec::new(),
    }
}

fn misspelled(
    file: &Dockerfile,
    facts: &Facts<'_>,
    name: &str,
    index: usize,
    may_be_meant: impl Fn(&str) -> bool,
) -> Option<String> {
    let is_image = name.is_empty()
        || name.contains(['/', ':', '@', '$'])
        || name.eq_ignore_ascii_case("scratch")
        || facts
            .contexts
            .is_some_and(|contexts| contexts.contains(name));
    if is_image || file.stage_reference(name, index) != StageReference::Other {
        return None;
    }
    let before = file.stages.get(..index)?.iter();
    let before = before
        .filter_map(Stage::name)
        .filter(|stage| may_be_meant(stage));
    let near = suggest::nearest(&name.to_lowercase(), before)?;
    Some(format!(
        "stage `{name}` not found, so it is used as an image; did you mean the stage `{near}`?"
    ))
}
