//! `ci`: targets as jobs of a CI system.

use std::path::Path;

use super::args::{CiArgs, CiSystem, Global};
use super::environment::Environment;
use super::output::{print_exactly, tell};
use super::project;
use crate::ci::{self, Options, System};
use crate::exit::{Exit, FAILED};
use crate::output_file::write_whole;
use crate::targets::Project;

pub fn ci(global: &Global, args: &CiArgs, environment: &Environment) -> Result<u8, Exit> {
    let project = project::load(global, environment)?.project;
    if global.file.as_os_str() == "-" {
        let message =
            "the manifest is read from standard input: jobs would not find it in their checkout";
        return Err(Exit::usage(message).with_help("write it to a file, and name it with `-f`"));
    }
    let plan = project::select(&project, &args.targets)?;
    let options = options(global, args, &project)?;
    let pipeline = ci::pipeline(&project.graph, &plan).map_err(Exit::usage)?;
    let system = match args.to {
        CiSystem::Github => System::Github,
        CiSystem::Gitlab => System::Gitlab,
        CiSystem::Tekton => System::Tekton,
        CiSystem::Argo => System::Argo,
    };
    let text = ci::export(&pipeline, system, &options).map_err(Exit::usage)?;
    match &args.output {
        Some(file) => {
            let file = global
                .directory
                .iter()
                .fold(file.clone(), |file, own| own.join(file));
            let written = write_whole(&file, text.as_bytes());
            written.map_err(|error| Exit::error(FAILED, format!("{error:#}")))?;
        }
        None => print_exactly(&text)?,
    }
    if let Some(note) = ci::note(&pipeline, system) {
        tell(format!("note: {note}"));
    }
    Ok(0)
}

fn options(global: &Global, args: &CiArgs, project: &Project) -> Result<Options, Exit> {
    let mut variables = Vec::new();
    for text in &args.variables {
        match text.split_once('=') {
            Some((name, value)) if ci::is_variable(name) => {
                variables.push((name.to_string(), value.to_string()));
            }
            _ => {
                return Err(Exit::usage(format!("invalid variable `{text}`"))
                    .with_help("write it as `--env NAME=VALUE`"));
            }
        }
    }
    let directory = below_checkout(&project.directory);
    let mut arguments = Vec::new();
    if !directory.is_empty() {
        arguments.extend(["-C".to_string(), directory.clone()]);
    }
    let file = Path::new(&project.file).file_name().unwrap_or_default();
    if file != "imgmake.kdl" {
        arguments.extend(["-f".to_string(), file.display().to_string()]);
    }
    for (option, values) in [("--var", &global.vars), ("--set", &global.sets)] {
        for value in values {
            arguments.extend([option.to_string(), value.clone()]);
        }
    }
    if project.lock.is_some() {
        arguments.push("--locked".to_string());
    }
    Ok(Options {
        cache: args.cache.clone(),
        image: args.image.clone(),
        variables,
        arguments,
        directory,
    })
}

/// Where the manifest lies in its checkout; empty at the top of it, and where there is none.
fn below_checkout(directory: &Path) -> String {
    let top = directory.ancestors().find(|at| at.join(".git").exists());
    let below = top.and_then(|top| directory.strip_prefix(top).ok());
    below.unwrap_or(Path::new("")).display().to_string()
}
