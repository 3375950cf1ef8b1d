//! `logs`: what targets and their steps printed in the last runs.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::args::{Global, ListFormat};
use super::environment::Environment;
use super::output::{print, print_json};
use super::project::manifest_path;
use super::trust::open_store;
use crate::exit::{self, Exit};
use crate::report::duration;
use crate::run_logs::{KEPT_RUNS, Run, RunOfTarget, Step, last_runs};
use crate::targets::project_name;
use imgmake_guard::printable::{Colors, line, lines_of};

#[derive(Clone, Debug, Args)]
pub struct LogsArgs {
    /// The target
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// One step: its number, or a part of its instruction
    #[arg(value_name = "STEP")]
    pub step: Option<String>,
    /// Which run: 1 is the last in which the target was done, 2 the one before
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub run: usize,
    /// The form of the answer
    #[arg(long, default_value = "text")]
    pub format: ListFormat,
}

pub fn logs(global: &Global, args: &LogsArgs, environment: &Environment) -> Result<u8, Exit> {
    let project = project(global)?;
    let store = open_store(global, environment)?;
    let runs = last_runs(store.root(), &project, &args.target).map_err(anyhow::Error::from)?;
    let Some(log) = args.run.checked_sub(1).and_then(|at| runs.get(at)) else {
        return Err(none(args, runs.len()));
    };
    let run = log.read().map_err(anyhow::Error::from)?;
    let steps = match &args.step {
        None => numbered(&run).collect(),
        Some(step) => chosen(&run, step)?,
    };
    if let ListFormat::Json = args.format {
        let ids: Vec<u64> = steps.iter().map(|(_, step)| step.id).collect();
        print_json(&document(&run, args.step.as_ref().map(|_| &ids[..])))?;
        return Ok(0);
    }
    let mut text = String::new();
    if args.step.is_none() {
        head(&run, &mut text);
    }
    for (number, step) in steps {
        shown(number, step, &mut text);
        if step.outcome.as_deref() == Some("cached") {
            earlier(&runs[args.run..], step, &mut text);
        }
    }
    if args.step.is_none() {
        lines(&run.output, &mut text);
        if let Some(message) = &run.message {
            text.push_str("failure:\n");
            lines(std::slice::from_ref(message), &mut text);
        }
    }
    print(&text)?;
    Ok(0)
}

/// The directory of the manifest; without one, that which `imgmake build` worked in.
fn project(global: &Global) -> Result<String, Exit> {
    let manifest = manifest_path(global);
    let directory = match manifest.is_file() {
        true => manifest.parent().filter(|p| !p.as_os_str().is_empty()),
        false => global.directory.as_deref(),
    };
    Ok(project_name(directory.unwrap_or(Path::new(".")))?)
}

fn none(args: &LogsArgs, runs: usize) -> Exit {
    let target = &args.target;
    let message = match runs {
        0 => format!("no run of the target `{target}` is kept"),
        runs => format!(
            "run {} of the target `{target}` not found: {runs} are kept",
            args.run
        ),
    };
    Exit::error(exit::FAILED, message).with_help(format!(
        "logs are in the user's store: the last {KEPT_RUNS} runs of each target that did something there, until `imgmake gc` removes them"
    ))
}

/// The steps in the order in which they began, from 1.
fn numbered(run: &Run) -> impl Iterator<Item = (usize, &Step)> {
    run.steps
        .iter()
        .enumerate()
        .map(|(at, step)| (at + 1, step))
}

fn chosen<'a>(run: &'a Run, wanted: &str) -> Result<Vec<(usize, &'a Step)>, Exit> {
    let number: Option<usize> = wanted.parse().ok();
    let fits = |(at, step): &(usize, &Step)| match number {
        Some(number) => *at == number,
        None => step.text.contains(wanted) || step.stage == wanted,
    };
    let found: Vec<(usize, &Step)> = numbered(run).filter(fits).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let message = format!("step `{wanted}` not found in this run of `{}`", run.target);
    let help = match run.steps.len() {
        0 => "it has no steps".to_string(),
        steps => format!("it has {steps}: `imgmake logs {}` shows them", run.target),
    };
    Err(Exit::error(exit::FAILED, message).with_help(help))
}

fn head(run: &Run, text: &mut String) {
    let outcome = run.outcome.as_deref().unwrap_or("not finished");
    let took = match run.outcome {
        Some(_) => format!(" in {}", time(run.seconds)),
        None => String::new(),
    };
    let target = line(&run.target, Colors::Removed);
    writeln!(text, "{target}: {outcome}{took}, begun {}", run.begun).expect("a string takes all");
    if !run.reasons.is_empty() {
        let reasons = run.reasons.join("; ");
        let reasons = line(&reasons, Colors::Removed);
        writeln!(text, "because: {reasons}").expect("a string takes all");
    }
}

fn shown(number: usize, step: &Step, text: &mut String) {
    let outcome = step.outcome.as_deref().unwrap_or("not finished");
    let took = match outcome {
        "done" | "failed" => format!(", {}", time(step.seconds)),
        _ => String::new(),
    };
    let said = step.text.lines().next().unwrap_or_default();
    let said = line(said, Colors::Removed);
    let stage = match step.stage.is_empty() {
        true => String::new(),
        false => format!("[{}] ", line(&step.stage, Colors::Removed)),
    };
    writeln!(text, "\nstep {number} {stage}{said} ({outcome}{took})").expect("a string takes all");
    lines(&step.output, text);
}

/// Of a step that was not run because it was in the cache: what it printed when it was.
fn earlier(runs: &[RunOfTarget], step: &Step, text: &mut String) {
    for run in runs.iter().filter_map(|log| log.read().ok()) {
        let same = |other: &&Step| {
            other.stage == step.stage
                && other.text == step.text
                && other.outcome.as_deref() != Some("cached")
        };
        if let Some(found) = run.steps.iter().find(same) {
            writeln!(text, "  (as printed in the run of {})", run.begun)
                .expect("a string takes all");
            lines(&found.output, text);
            return;
        }
    }
}

/// Others wrote them: escape sequences and control characters are removed or shown.
fn lines(output: &[String], text: &mut String) {
    for written in output
        .iter()
        .flat_map(|line| lines_of(line, Colors::Removed))
    {
        writeln!(text, "  {written}").expect("a string takes all");
    }
}

fn time(seconds: f64) -> String {
    duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

fn document(run: &Run, steps: Option<&[u64]>) -> String {
    let events = run.events.iter().filter(|event| match steps {
        None => event["event"].is_string(),
        Some(ids) => {
            let id = event["step"].as_u64().or(event["id"].as_u64());
            id.is_some_and(|id| ids.contains(&id))
        }
    });
    let events: Vec<_> = events.collect();
    let value = json!({"target": run.target, "begun": run.begun, "events": events});
    let text = serde_json::to_string_pretty(&value).expect("strings are JSON");
    format!("{text}\n")
}
