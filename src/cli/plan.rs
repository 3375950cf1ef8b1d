//! `plan`, `check`: what a run would do, touching nothing.

use std::sync::Arc;

use super::args::{Global, ListFormat, PlanArgs, PlanFormat, RunArgs};
use super::environment::Environment;
use super::output::{print_json, print_sentences};
use super::outside::{self, pin_use};
use super::plan_json;
use super::plan_rows::{self, Row};
use super::project::{self, Loaded};
use super::run::{arguments_of, run, today};
use super::tools::tools;
use super::trust::Keys;
use crate::exit::{Exit, STALE};
use crate::targets::{PinUse, Project, RunOptions, TargetRunner, Verdicts};
use imgmake_core::execute::{self, Action, Decision};
use imgmake_core::plan::Plan;
use imgmake_core::state::State;
use imgmake_event::{Cancel, Events};

/// Decides about the requested targets and what they need, and hands it on.
pub(super) fn decide<T>(
    global: &Global,
    args: &PlanArgs,
    environment: &Environment,
    then: impl FnOnce(&Project, &Plan, &[Action], &[Decision]) -> T,
) -> Result<T, Exit> {
    let select = |project: &Project| project::select(project, &args.targets);
    decide_about(global, args, environment, select, then)
}

/// The same of the targets that `select` chooses, whatever `args` names.
pub(super) fn decide_about<T>(
    global: &Global,
    args: &PlanArgs,
    environment: &Environment,
    select: impl FnOnce(&Project) -> Result<Plan, Exit>,
    then: impl FnOnce(&Project, &Plan, &[Action], &[Decision]) -> T,
) -> Result<T, Exit> {
    outside::apply(args.outside);
    let loaded = project::load_lazily(global, environment, Keys::Read, args.network)?;
    let Loaded { project, trust, .. } = &loaded;
    let plan = select(project)?;
    let arguments = arguments_of(project, &plan, &args.arguments)?;
    let mut state = State::read(&project.directory, &trust.key)?;
    state.look_at_files(&project.directory);
    if args.rehash {
        state.forget_hashes();
    }
    loaded.teach(&state)?;
    let state = Arc::new(state);
    if let Some(ignored) = state.ignored() {
        trust.tell_ignored(ignored);
    }
    let mut tools = tools(
        project,
        trust.of_store(),
        environment,
        environment.store(global)?,
        Events::discard(),
        Cancel::default(),
    )?;
    tools.pin_use = pin_use(project, args.outside, PinUse::Read)?;
    let runner = TargetRunner {
        arguments,
        project,
        plan: &plan,
        variables: &loaded.variables(environment),
        tools: &tools,
        state: Arc::clone(&state),
        verdicts: Verdicts::default(),
        options: RunOptions {
            jobs: 1,
            ..RunOptions::default()
        },
        today: today(),
        recording: None,
    };
    let actions = project.actions(&plan);
    let decisions = execute::preview(&actions, &runner, &state);
    if let Some(ignored) = state.ignored() {
        trust.tell_ignored(ignored);
    }
    Ok(then(project, &plan, &actions, &decisions))
}

/// A run, or with `--dry-run` what it would do.
pub fn or_run(global: &Global, args: &RunArgs, environment: &Environment) -> Result<u8, Exit> {
    match args.dry_run {
        true => {
            let format = PlanFormat::Text;
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
    format: PlanFormat,
    environment: &Environment,
) -> Result<u8, Exit> {
    let text = decide(
        global,
        args,
        environment,
        |project, plan, actions, decisions| {
            let stale = decisions
                .iter()
                .filter(|decision| is_forced || !decision.reasons.is_empty());
            match format {
                PlanFormat::Json => plan_json::text(project, actions, decisions, is_forced),
                PlanFormat::GithubMatrix => {
                    let requested = |action: &&Action| {
                        let mut names = plan.requested.iter().map(|id| project.graph.name(*id));
                        names.any(|name| name == action.target)
                    };
                    let stale = stale.map(|decision| &actions[decision.action]);
                    let wanted = stale.filter(requested);
                    plan_rows::matrix(wanted.map(|action| (action.target.as_str(), action.kind)))
                }
                PlanFormat::Text => {
                    let rows: Vec<Row<'_>> = stale
                        .map(|decision| {
                            let mut reasons: Vec<String> =
                                decision.reasons.iter().map(ToString::to_string).collect();
                            if reasons.is_empty() {
                                reasons.push("up to date, but `--force` is given".to_string());
                            }
                            Row {
                                kind: actions[decision.action].kind,
                                target: &actions[decision.action].target,
                                reasons,
                            }
                        })
                        .collect();
                    match rows.is_empty() {
                        true => format!("nothing to do: {} up to date\n", counted(actions.len())),
                        false => plan_rows::text(&rows),
                    }
                }
            }
        },
    )?;
    match format {
        PlanFormat::Text => print_sentences(&text)?,
        PlanFormat::Json | PlanFormat::GithubMatrix => print_json(&text)?,
    }
    Ok(0)
}

pub(super) fn show(text: &str, format: ListFormat) -> Result<(), Exit> {
    match format {
        ListFormat::Text => print_sentences(text)?,
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

pub fn check(
    global: &Global,
    args: &PlanArgs,
    format: ListFormat,
    environment: &Environment,
) -> Result<u8, Exit> {
    let (listed, is_stale) = decide(
        global,
        args,
        environment,
        |project, _, actions, decisions| {
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
        },
    )?;
    show(&listed, format)?;
    Ok(if is_stale { STALE } else { 0 })
}
