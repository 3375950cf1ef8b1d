//! What each instruction is parsed to, and what is refused.

mod commands;
mod directives;
mod expansion;
mod files;
mod heredocs;
mod lines;
mod mistakes;
mod onbuild;
mod settings;
mod stages;

use super::*;
use crate::{Access, Mount, RunCommand, StageReference};
use std::time::Duration;

fn parsed(text: &str) -> Dockerfile {
    Dockerfile::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}\n{e}"))
}

/// The one instruction behind `FROM scratch`.
fn one(text: &str) -> Instruction {
    let file = parsed(&format!("FROM scratch\n{text}\n"));
    assert_eq!(file.stages[0].instructions.len(), 1, "{text}");
    file.stages[0].instructions[0].value.clone()
}

fn errors(text: &str) -> Vec<DockerfileError> {
    match Dockerfile::parse(text.as_bytes()) {
        Err(DockerfileErrors(errors)) => errors,
        Ok(file) => {
            let mistakes = file.stages.into_iter().flat_map(|stage| stage.mistakes);
            let mistakes: Vec<DockerfileError> = mistakes.collect();
            assert!(!mistakes.is_empty(), "{text}");
            mistakes
        }
    }
}

fn error(instruction: &str) -> DockerfileError {
    errors(&format!("FROM scratch\n{instruction}\n")).remove(0)
}

fn shell(text: &str) -> CommandLine {
    CommandLine::Shell(text.to_owned())
}

fn exec(arguments: &[&str]) -> CommandLine {
    CommandLine::Exec(arguments.iter().map(|a| (*a).to_owned()).collect())
}

fn run(text: &str) -> Run {
    match one(text) {
        Instruction::Run(run) => run,
        other => panic!("{other:?}"),
    }
}

fn copy(text: &str) -> Copy {
    match one(text) {
        Instruction::Copy(copy) => copy,
        other => panic!("{other:?}"),
    }
}

fn pairs(text: &str) -> Vec<(String, String)> {
    match one(text) {
        Instruction::Env(pairs) | Instruction::Label(pairs) => {
            pairs.into_iter().map(|p| (p.key, p.value)).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn owned(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}
