//! `lint`: the build checks of the reference, for the Dockerfiles of targets.

use std::collections::{BTreeMap, BTreeSet};

use super::args::Global;
use super::environment::Environment;
use super::output::print;
use super::project;
use crate::exit::{self, Exit};
use crate::targets::plain;
use imgmake_core::manifest::{RecipeNode, TargetKind};
use imgmake_dockerfile::{Dockerfile, DockerfileError, lint as checks};

pub fn lint(global: &Global, targets: &[String], environment: &Environment) -> Result<u8, Exit> {
    let project = project::load(global, environment)?.project;
    let plan = project::select(&project, targets)?;
    let mut text = String::new();
    let mut code = 0;
    let mut seen = BTreeSet::new();
    for id in plan.order {
        let TargetKind::Build(build) = &project.graph.target(id).kind else {
            continue;
        };
        let RecipeNode::Dockerfile { path, .. } = &build.recipe else {
            continue;
        };
        if !seen.insert(path.value.clone()) {
            continue;
        }
        let bytes = project
            .checkout(&project.directory)
            .read(&project.directory.join(&path.value))
            .map_err(|error| {
                Exit::error(
                    exit::FAILED,
                    format!("cannot read `{}`: {}", path.value, plain(&error)),
                )
            })?;
        match Dockerfile::parse(&bytes) {
            Err(errors) => {
                code = exit::FAILED;
                for error in &errors.0 {
                    text.push_str(&mistake(&path.value, error));
                }
            }
            Ok(file) => {
                for error in file.stages.iter().flat_map(|stage| &stage.mistakes) {
                    code = exit::FAILED;
                    text.push_str(&mistake(&path.value, error));
                }
                let args: BTreeMap<String, String> = build
                    .args
                    .iter()
                    .map(|(n, v)| (n.clone(), v.value.clone()))
                    .collect();
                let options = args.get("BUILDKIT_DOCKERFILE_CHECK");
                let options = options.map(|text| checks::CheckOptions::parse(text));
                let options = options.transpose().map_err(|error| {
                    Exit::error(exit::FAILED, format!("BUILDKIT_DOCKERFILE_CHECK: {error}"))
                })?;
                let facts = checks::Facts {
                    build_args: Some(&args),
                    check: options.as_ref(),
                    ..checks::Facts::default()
                };
                for warning in checks::lint(&file, &facts) {
                    text.push_str(&format!(
                        "{}:{}: {}: {}\n",
                        path.value,
                        warning.line,
                        warning.rule.name(),
                        warning.message
                    ));
                    code = exit::FAILED;
                }
            }
        }
    }
    if text.is_empty() {
        text = format!(
            "{} Dockerfile{} without a finding\n",
            seen.len(),
            if seen.len() == 1 { "" } else { "s" }
        );
    }
    print(&text)?;
    Ok(code)
}

/// `Dockerfile:2:14: error: what is wrong (what to do)`.
fn mistake(file: &str, error: &DockerfileError) -> String {
    let column = error.column.map_or(String::new(), |c| format!(":{c}"));
    let advice = error.advice().map_or(String::new(), |a| format!(" ({a})"));
    format!(
        "{file}:{}{column}: error: {}{advice}\n",
        error.line, error.mistake
    )
}
