//! `logs`: what targets and their steps printed in the last runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::args::{Global, ListFormat};
use super::environment::Environment;
use super::output::{print, print_json};
use super::project::{STDIN, manifest_path};
use crate::exit::{self, Exit};
use crate::report::{duration, stage_label};
use crate::run_logs::{KEPT_RUNS, Run, RunOfTarget, Step, last_runs, name_of};
use crate::targets::project_name;
use imgmake_core::manifest::UNWRITTEN;
use imgmake_guard::printable::{Colors, line, lines_of};

#[derive(Clone, Debug, Args)]
pub struct LogsArgs {
    /// The target
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// Show one step, by its number, its stage, its platform, or a part of its instruction
    #[arg(value_name = "STEP")]
    pub step: Option<String>,
    /// Show this run: 1 is the last run that built the target, 2 the run before it
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub run: usize,
    /// Print the result in this format
    #[arg(long, default_value = "text")]
    pub format: ListFormat,
    /// The same as `--format json`
    #[arg(long)]
    pub json: bool,
}

impl LogsArgs {
    fn format(&self) -> ListFormat {
        match self.json {
            true => ListFormat::Json,
            false => self.format,
        }
    }
}

pub fn logs(global: &Global, args: &LogsArgs, environment: &Environment) -> Result<u8, Exit> {
    let Some(directory) = environment.logs() else {
        let message = "cannot find the directory of logs: HOME is not set";
        return Err(Exit::usage(message).with_help("give it in IMGMAKE_LOGS"));
    };
    let mut runs = Vec::new();
    for project in projects(global)? {
        runs = last_runs(&directory, &project, &args.target);
        if !runs.is_empty() {
            break;
        }
    }
    let Some(log) = args.run.checked_sub(1).and_then(|at| runs.get(at)) else {
        let keeps = environment.kept_logs().is_some();
        return Err(none(args, runs.len(), (&directory, keeps)));
    };
    let run = log.read().map_err(anyhow::Error::from)?;
    let steps = match &args.step {
        None => numbered(&run).collect(),
        Some(step) => chosen(&run, step)?,
    };
    if let ListFormat::Json = args.format() {
        let ids: Vec<u64> = steps.iter().map(|(_, step)| step.id).collect();
        print_json(&document(&run, args.step.as_ref().map(|_| &ids[..])))?;
        return Ok(0);
    }
    let mut text = String::new();
    if args.step.is_none() {
        head(&run, &mut text);
    }
    let cached = steps.iter().map(|(_, step)| *step);
    let cached = cached.filter(|step| step.outcome.as_deref() == Some("cached"));
    let earlier = Earlier::of(cached, &runs[args.run..]);
    for (number, step) in steps {
        shown(number, step, &mut text);
        if step.outcome.as_deref() == Some("cached") {
            earlier.show(step, &mut text);
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

/// The manifest's, then that of `imgmake build` in the directory, which has none.
fn projects(global: &Global) -> Result<Vec<String>, Exit> {
    let named = |directory: &Path, manifest: &str| -> Result<String, Exit> {
        Ok(name_of(&project_name(directory)?, manifest))
    };
    let here = global.directory.as_deref().unwrap_or(Path::new("."));
    let mut projects = Vec::new();
    let manifest = manifest_path(global);
    if manifest.is_file() {
        let parent = manifest.parent().filter(|p| !p.as_os_str().is_empty());
        let file = manifest.to_string_lossy();
        projects.push(named(parent.unwrap_or(Path::new(".")), &file)?);
    } else if global.file == Path::new("-") {
        projects.push(named(here, STDIN)?);
    }
    projects.push(named(here, UNWRITTEN)?);
    Ok(projects)
}

fn none(args: &LogsArgs, runs: usize, (directory, keeps): (&Path, bool)) -> Exit {
    let target = &args.target;
    let message = match runs {
        0 => format!("no run of the target `{target}` is stored"),
        runs => format!(
            "run {} of the target `{target}` not found: {runs} are stored",
            args.run
        ),
    };
    Exit::error(exit::FAILED, message).with_help(match keeps {
        true => format!(
            "logs are in `{}`: the last {KEPT_RUNS} runs of each target that did something, until `imgmake gc` removes them",
            directory.display()
        ),
        false => "the variable CI is set: logs are then kept only if IMGMAKE_LOGS names a directory"
            .to_string(),
    })
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
        None => {
            let is_of =
                [Some(step.stage.as_str()), step.platform.as_deref()].contains(&Some(wanted));
            is_of || step.text.contains(wanted)
        }
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
    let stage = stage_label(step.platform.as_deref(), &step.stage);
    let stage = line(&stage, Colors::Removed);
    writeln!(text, "\nstep {number} {stage}{said} ({outcome}{took})").expect("a string takes all");
    lines(&step.output, text);
}

/// Of steps that were not run because they were in the cache: what they printed when they were.
struct Earlier {
    /// When the run began, and the output, by key: the same instruction may have printed something else for other files.
    printed: BTreeMap<String, (String, Vec<String>)>,
}

impl Earlier {
    /// Reads each log once, and none when there is nothing to look for.
    fn of<'a>(cached: impl Iterator<Item = &'a Step>, runs: &[RunOfTarget]) -> Earlier {
        let mut wanted: BTreeSet<String> = cached.filter_map(|step| step.key.clone()).collect();
        let mut printed = BTreeMap::new();
        for log in runs {
            if wanted.is_empty() {
                break;
            }
            let Ok(run) = log.read() else {
                continue;
            };
            // One that failed, or was not finished, is not what the cache holds.
            let done = |step: &Step| step.outcome.as_deref() == Some("done");
            for step in run.steps.into_iter().filter(done) {
                if let Some(key) = step.key.filter(|key| wanted.remove(key)) {
                    printed.insert(key, (run.begun.clone(), step.output));
                }
            }
        }
        Earlier { printed }
    }

    fn show(&self, step: &Step, text: &mut String) {
        let key = step.key.as_ref();
        if let Some((begun, output)) = key.and_then(|key| self.printed.get(key)) {
            writeln!(text, "  (as printed in the run of {begun})").expect("a string takes all");
            lines(output, text);
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
