//! What is worth a warning before and after a build: the build checks, and arguments that nothing took.

use std::collections::{BTreeMap, BTreeSet};

use crate::define::definition::ParsedDefinition;
use crate::define::graph::StageGraph;
use crate::error::{BuildError, Result};
use crate::request::{BuildDefinition, BuildRequest};
use crate::target::TargetContext;
use imgmake_dockerfile::lint::{
    CheckOptions, Facts, PlatformMismatch, Rule, Warning, is_fatal, lint,
};
use imgmake_dockerfile::{PLATFORM_ARGS, PROXY_ARGS};
use imgmake_guard::printable;

/// The build checks, with file and line: those of the first platform, and bases of other platforms
/// for each.
///
/// # Errors
/// There are some, and the file has `check=error=true`.
pub fn of_lint(
    request: &BuildRequest,
    cx: &TargetContext,
    definition: &ParsedDefinition,
    graphs: &[StageGraph],
) -> Result<()> {
    let mismatches = mismatches(graphs);
    let Some(parsed) = definition.parsed() else {
        for mismatch in &mismatches {
            cx.warn(mismatch.to_string());
        }
        return Ok(());
    };
    let Some(graph) = graphs.first() else {
        return Ok(());
    };
    // Docker reads no ignore file of a context that is fetched.
    let context = match &request.fetched {
        None => definition.context(request, None).ok(),
        Some(_) => None,
    };
    let mut environments = BTreeMap::new();
    let mut triggers = BTreeMap::new();
    for (stage, (image, _)) in &graph.bases {
        let pairs = image.config.config.env.iter();
        let environment: BTreeMap<String, String> = pairs
            .filter_map(|p| p.split_once('='))
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        environments.insert(*stage, environment);
        triggers.insert(*stage, image.config.config.on_build.clone());
    }
    let check = check_options(request)?;
    let contexts: BTreeSet<String> = request.contexts.keys().cloned().collect();
    let facts = Facts {
        build_args: Some(&request.args),
        check: check.as_ref(),
        contexts: Some(&contexts),
        base_environments: Some(&environments),
        base_triggers: Some(&triggers),
        base_platforms: &mismatches,
        ignore: context.as_ref().map(|c| c.ignore_rules().rules()),
    };
    let warnings = lint(parsed, &facts);
    // Misspelled stages were reported before a registry was asked for them.
    let others = warnings
        .iter()
        .filter(|one| one.rule != Rule::MisspelledStage);
    for warning in others {
        let place = format!("{}:{}", graph.file, warning.line);
        let name = warning.rule.name();
        cx.warn(format!("{place}: {name}: {}", warning.message));
    }
    if is_fatal(parsed, &facts, &warnings) {
        let who = match check {
            Some(_) => "BUILDKIT_DOCKERFILE_CHECK has `error=true`",
            None => "the file has `check=error=true`",
        };
        return Err(BuildError::Checks {
            file: graph.file.clone(),
            report: refusal(&warnings, who),
        });
    }
    Ok(())
}

fn check_options(request: &BuildRequest) -> Result<Option<CheckOptions>> {
    let written = request.args.get("BUILDKIT_DOCKERFILE_CHECK");
    let parsed = written.map(|text| CheckOptions::parse(text)).transpose();
    parsed.map_err(|why| BuildError::invalid("BUILDKIT_DOCKERFILE_CHECK", why.to_string()))
}

/// Names that nearly are those of stages: a registry is about to be asked for them, perhaps for long.
///
/// # Errors
/// `BUILDKIT_DOCKERFILE_CHECK` is wrong.
pub fn of_misspelled_stages(
    request: &BuildRequest,
    cx: &TargetContext,
    definition: &ParsedDefinition,
) -> Result<()> {
    let Some((file, parsed)) = definition.dockerfile() else {
        return Ok(());
    };
    let check = check_options(request)?;
    let contexts: BTreeSet<String> = request.contexts.keys().cloned().collect();
    let facts = Facts {
        build_args: Some(&request.args),
        check: check.as_ref(),
        contexts: Some(&contexts),
        ..Facts::default()
    };
    for warning in lint(parsed, &facts) {
        if warning.rule == Rule::MisspelledStage {
            let name = warning.rule.name();
            cx.warn(format!(
                "{file}:{}: {name}: {}",
                warning.line, warning.message
            ));
        }
    }
    Ok(())
}

/// Bases that are there for another platform only; of each stage and wanted platform one.
fn mismatches(graphs: &[StageGraph]) -> Vec<PlatformMismatch> {
    let mut found: Vec<PlatformMismatch> = Vec::new();
    let bases = graphs.iter().flat_map(|graph| &graph.bases);
    for (stage, (image, wanted)) in bases {
        let actual = image.config.platform();
        if actual.serves(wanted) {
            continue;
        }
        let mismatch = PlatformMismatch {
            stage: *stage,
            image: image.name.clone(),
            expected: wanted.to_string(),
            actual: actual.to_string(),
        };
        if !found.contains(&mismatch) {
            found.push(mismatch);
        }
    }
    found
}

/// `2 build checks failed: StageNameCasing (line 2), …`: the checks by their first lines.
fn refusal(warnings: &[Warning], who: &str) -> String {
    let mut by_rule: Vec<(String, Vec<usize>)> = Vec::new();
    for warning in warnings {
        let name = warning.rule.name();
        match by_rule.iter_mut().find(|(rule, _)| *rule == name) {
            Some((_, lines)) => lines.push(warning.line),
            None => by_rule.push((name, vec![warning.line])),
        }
    }
    let summaries = by_rule.iter().map(|(rule, lines)| {
        let mut lines = lines.clone();
        lines.dedup();
        let word = if lines.len() == 1 { "line" } else { "lines" };
        format!("{rule} ({word} {})", printable::list(&lines))
    });
    let count = match warnings.len() {
        1 => "a build check".to_string(),
        n => format!("{n} build checks"),
    };
    format!(
        "{count} failed, and {who}: {} (fix them, or skip checks with `# check=skip=NAME`)",
        printable::list(summaries)
    )
}

/// BuildKit's own arguments that mean something here.
const BUILDKIT_ARGS: [&str; 5] = [
    "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
    "BUILDKIT_DOCKERFILE_CHECK",
    "BUILDKIT_MULTI_PLATFORM",
    "BUILDKIT_SANDBOX_HOSTNAME",
    "BUILDKIT_SYNTAX",
];

/// A build argument that nothing takes is mostly misspelt.
pub fn of_unused_args(request: &BuildRequest, cx: &TargetContext, taken: &BTreeSet<String>) {
    if !matches!(request.definition, BuildDefinition::Dockerfile { .. }) {
        return;
    }
    for name in request.args.keys() {
        let is_used = taken.contains(name)
            || PROXY_ARGS.contains(&name.as_str())
            || PLATFORM_ARGS.contains(&name.as_str())
            || BUILDKIT_ARGS.contains(&name.as_str())
            || name == "SOURCE_DATE_EPOCH";
        if is_used {
            continue;
        }
        let message = match name.starts_with("BUILDKIT_") {
            true => format!("the build argument `{name}` is for BuildKit and has no effect here"),
            false => format!("no ARG declares the build argument `{name}`"),
        };
        cx.warn(message);
    }
}
