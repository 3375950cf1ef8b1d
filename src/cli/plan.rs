//! `plan`, `why`, `check`: what a run would do, touching nothing.

use std::sync::Arc;

use super::args::{Global, ListFormat, PlanArgs, RunArgs};
use super::environment::Environment;
use super::output::{print, print_json};
use super::outside::{self, pin_use};
use super::plan_json;
use super::project::{self, Loaded};
use super::run::{arguments_of, run, today};
use super::tools::tools;
use super::trust::Keys;
use crate::exit::{Exit, STALE};
use crate::targets::{PinUse, Project, RunOptions, TargetRunner, Verdicts};
use imgmake_core::execute::{self, Action, Decision};
use imgmake_core::state::State;
use imgmake_event::{Cancel, Events};

/// Decides about the requested targets and what they need, and hands it on.
fn decide<T>(
    global: &Global,
    args: &PlanArgs,
    environment: &Environment,
    then: impl FnOnce(&Project, &[Action], &[Decision]) -> T,
) -> Result<T, Exit> {
    outside::apply(args.outside);
    let Loaded { project, trust, .. } =
        project::load_with(global, environment, Keys::Read, args.network)?;
    let plan = project::select(&project, &args.targets)?;
    let arguments = arguments_of(&project, &plan, &args.arguments)?;
    let state = Arc::new(State::read(&project.directory, &trust.key)?);
    if let Some(ignored) = state.ignored() {
        trust.tell_ignored(ignored);
    }
    let mut tools = tools(
        &project,
        trust.of_store(),
        environment,
        environment.store(global)?,
        Events::discard(),
        Cancel::default(),
    )?;
    tools.pin_use = pin_use(&project, args.outside, PinUse::Read)?;
    let runner = TargetRunner {
        arguments,
        project: &project,
        plan: &plan,
        variables: &environment.variables,
        tools: &tools,
        state: Arc::clone(&state),
        verdicts: Verdicts::default(),
        options: RunOptions {
            jobs: 1,
            ..RunOptions::default()
        },
        today: today(),
    };
    let actions = project.actions(&plan);
    let decisions = execute::preview(&actions, &runner, &state);
    Ok(then(&project, &actions, &decisions))
}

/// A run, or with `--dry-run` what it would do.
pub fn or_run(global: &Global, args: &RunArgs, environment: &Environment) -> Result<u8, Exit> {
    match args.dry_run {
        true => {
            let format = ListFormat::Text;
            plan(global, &args.planned(), args.force, format, environment)
        }
        false => run(global, args, environment),
    }
}

/// `is_forced`: what a run with `--force` would do.
pub fn plan(
    global: &Global,
    args: &PlanArgs,
    is_forced: bool,
    format: ListFormat,
    environment: &Environment,
) -> Result<u8, Exit> {
    let text = decide(global, args, environment, |project, actions, decisions| {
        if format == ListFormat::Json {
            return plan_json::text(project, actions, decisions, is_forced);
        }
        let stale: Vec<&Decision> = decisions
            .iter()
            .filter(|decision| is_forced || !decision.reasons.is_empty())
            .collect();
        let width = stale
            .iter()
            .map(|d| actions[d.action].target.chars().count())
            .max()
            .unwrap_or(0);
        let mut text = String::new();
        for decision in &stale {
            let action = &actions[decision.action];
            let reasons = decision.reasons.iter().take(3);
            let mut reasons: Vec<String> = reasons.map(ToString::to_string).collect();
            if reasons.is_empty() {
                reasons.push("up to date, but `--force` is given".to_string());
            }
            let more = decision.reasons.len().saturating_sub(3);
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            text.push_str(&format!(
                "{:5}  {:width$}  {}{more}\n",
                action.kind,
                action.target,
                reasons.join(", ")
            ));
        }
        if stale.is_empty() {
            text.push_str(&format!(
                "nothing to do: {} up to date\n",
                counted(actions.len())
            ));
        }
        text
    })?;
    show(&text, format)?;
    Ok(0)
}

fn show(text: &str, format: ListFormat) -> Result<(), Exit> {
    match format {
        ListFormat::Text => print(text)?,
        ListFormat::Json => print_json(text)?,
    }
    Ok(())
}

fn counted(targets: usize) -> String {
    if targets == 1 {
        "1 target is".to_string()
    } else {
        format!("{targets} targets are")
    }
}

pub fn why(
    global: &Global,
    args: &PlanArgs,
    format: ListFormat,
    environment: &Environment,
) -> Result<u8, Exit> {
    let target = &args.targets[0];
    let text = decide(global, args, environment, |project, actions, decisions| {
        if format == ListFormat::Json {
            return plan_json::text(project, actions, decisions, false);
        }
        let mut text = String::new();
        for decision in decisions.iter().filter(|d| !d.reasons.is_empty()) {
            let name = &actions[decision.action].target;
            if !decision.is_stale() {
                text.push_str(&format!("{name} is run every time: it has no inputs\n"));
                continue;
            }
            text.push_str(&format!("{name} is stale:\n"));
            for reason in &decision.reasons {
                text.push_str(&format!("  {reason}\n"));
            }
        }
        if text.is_empty() {
            text = format!("{target} is up to date\n");
        }
        text
    })?;
    show(&text, format)?;
    Ok(0)
}

pub fn check(
    global: &Global,
    args: &PlanArgs,
    format: ListFormat,
    environment: &Environment,
) -> Result<u8, Exit> {
    let (listed, is_stale) = decide(global, args, environment, |project, actions, decisions| {
        let is_stale = decisions.iter().any(Decision::is_stale);
        if format == ListFormat::Json {
            return (
                plan_json::text(project, actions, decisions, false),
                is_stale,
            );
        }
        let shown = decisions
            .iter()
            .filter(|decision| !decision.reasons.is_empty());
        let listed = shown
            .map(|decision| {
                format!(
                    "{}: {}\n",
                    actions[decision.action].target, decision.reasons[0]
                )
            })
            .collect::<String>();
        (listed, is_stale)
    })?;
    show(&listed, format)?;
    Ok(if is_stale { STALE } else { 0 })
}
