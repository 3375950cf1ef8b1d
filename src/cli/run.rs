//! `imgmake run`: brings targets up to date.

use std::sync::Arc;

use super::args::{Global, RunArgs};
use super::environment::Environment;
use super::output::tell;
use super::project::{self, Loaded};
use super::shared_cache;
use super::shell::UserTerminal;
use super::signals::{self, Stopped};
use super::tools::tools;
use super::trust::Keys;
use crate::exit::{self, Exit};
use crate::report::{Reporter, Style};
use crate::targets::{Project, RunOptions, TargetRunner, Tools, Verdicts};
use imgmake_build::worker::Terminals;
use imgmake_core::error::CoreError;
use imgmake_core::execute::{self, CacheUse, OnFailure};
use imgmake_core::plan::Plan;
use imgmake_core::state::{Lock, State, Wait};
use imgmake_event::{Cancel, Event, Events};

pub fn run(global: &Global, args: &RunArgs, environment: &Environment) -> Result<u8, Exit> {
    if args.shell_on_fail {
        // Before the project is loaded, which makes the user's key.
        UserTerminal::of(environment)?;
    }
    let loaded = project::load_with(global, environment, Keys::Make, args.network)?;
    let cancel = Cancel::default();
    let stopped = signals::listen(&cancel);
    once(&loaded, global, args, environment, &cancel, &stopped, None)
}

/// Hears of everything that happens in a run.
pub type Listener = Arc<dyn Fn(&Event) + Send + Sync>;

/// One run, from the lock to the summary.
pub fn once(
    loaded: &Loaded,
    global: &Global,
    args: &RunArgs,
    environment: &Environment,
    cancel: &Cancel,
    stopped: &Stopped,
    listener: Option<Listener>,
) -> Result<u8, Exit> {
    if args.locked {
        return Err(Exit::usage("`--locked`: lock files are not supported yet"));
    }
    let Loaded { project, trust } = loaded;
    let terminal = match args.shell_on_fail {
        true => Some(UserTerminal::of(environment)?),
        false => None,
    };
    let plan = project::select(project, &args.targets)?;
    let caches = shared_cache::of_arguments(args)?;
    let lock = take_lock(project, args, cancel, stopped)?;
    let state = Arc::new(State::open(&project.directory, &trust.key, &lock)?);
    if let Some(ignored) = state.ignored() {
        trust.tell_ignored(ignored);
    }
    let mut report = environment.report_options(global);
    if terminal.is_some() {
        // Nothing else may draw on the terminal that a shell has.
        report.style = Style::Plain;
    }
    let reporter = Reporter::to_terminal(report);
    let mut tools = tools(
        project,
        trust.of_store(),
        environment,
        environment.store(global)?,
        heard_by(listener, reporter.events()),
        cancel.clone(),
    )?;
    tools.add_caches(caches);
    tools.terminals = terminal.map(|t| Arc::new(t) as Arc<dyn Terminals>);
    let summary = bring_up_to_date(project, &plan, &tools, &state, environment, args);
    reporter.finish();
    if let Some(code) = stopped.exit_code() {
        return Ok(code);
    }
    Ok(summary
        .failure
        .map_or(0, |(_, failure)| exit::code_of(failure.kind)))
}

fn heard_by(listener: Option<Listener>, events: Events) -> Events {
    match listener {
        None => events,
        Some(listener) => Events::to(move |event| {
            listener(&event);
            events.send(event);
        }),
    }
}

/// Executes a plan with everything in place.
pub fn bring_up_to_date(
    project: &Project,
    plan: &Plan,
    tools: &Tools,
    state: &Arc<State>,
    environment: &Environment,
    args: &RunArgs,
) -> execute::Summary {
    let jobs = jobs(args, project);
    let runner = TargetRunner {
        project,
        plan,
        variables: &environment.variables,
        tools,
        state: Arc::clone(state),
        verdicts: Verdicts::default(),
        options: RunOptions {
            no_cache: args.force,
            pull: args.pull,
            jobs,
        },
        today: today(),
    };
    let options = execute::Options {
        jobs,
        on_failure: if args.keep_going {
            OnFailure::KeepGoing
        } else {
            OnFailure::Stop
        },
        cache: if args.force {
            CacheUse::Ignore
        } else {
            CacheUse::Fresh
        },
        events: tools.events.clone(),
        cancel: tools.cancel.clone(),
    };
    let summary = execute::execute(&project.actions(plan), &runner, state, &options);
    state.save_stats();
    summary
}

/// `-j`, else the manifest's `jobs`, else more than there are processors: steps
/// wait for disks, networks and other programs as often as they compute.
fn jobs(args: &RunArgs, project: &Project) -> usize {
    if args.shell_on_fail {
        return 1;
    }
    let processors = || std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let settings = &project.graph.manifest().settings;
    args.jobs
        .map(std::num::NonZero::get)
        .or(settings.jobs)
        .unwrap_or_else(|| (2 * processors()).max(4))
}

pub fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

fn take_lock(
    project: &Project,
    args: &RunArgs,
    cancel: &Cancel,
    stopped: &Stopped,
) -> Result<Lock, Exit> {
    let on_wait = |holder: &str| {
        tell(format!(
            "waiting: another run works in this project ({holder})"
        ))
    };
    let give_up = || cancel.is_cancelled();
    let wait = if args.no_wait {
        Wait::No
    } else {
        Wait::Yes {
            on_wait: &on_wait,
            give_up: &give_up,
        }
    };
    Lock::take(&project.directory, &wait).map_err(|error| match error {
        CoreError::Locked { .. } => {
            Exit::error(exit::LOCKED, error).with_help("without `--no-wait` imgmake waits for it")
        }
        CoreError::LockedByOurs { .. } => Exit::error(exit::LOCKED, error).with_help(
            "it would wait for itself: name what the command needs with `needs`; `plan`, `why`, `check` and `list` work everywhere",
        ),
        CoreError::Cancelled => Exit::silent(stopped.exit_code().unwrap_or(exit::FAILED)),
        error => error.into(),
    })
}
