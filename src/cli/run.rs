//! `imgmake run`: brings targets up to date.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::{Global, RunArgs};
use super::claims;
use super::environment::Environment;
use super::jobs::jobs;
use super::output::tell;
use super::outside::{self, pin_use};
use super::project::{self, Loaded};
use super::report_file;
use super::shared_cache;
use super::shell::UserTerminal;
use super::signals::{self, Stopped};
use super::timing::Timing;
use super::tokens;
use super::tools::tools;
use super::trust::Keys;
use crate::exit::{self, Exit};
use crate::no_links::refuse_links;
use crate::report::{Reporter, Style, duration};
use crate::run_logs;
use crate::targets::{
    PinUse, Project, RunOptions, TargetRunner, Tools, Verdicts, images, project_name,
};
use imgmake_build::worker::Terminals;
use imgmake_core::execute::{self, CacheUse, OnFailure};
use imgmake_core::graph::TargetId;
use imgmake_core::manifest::TargetKind;
use imgmake_core::plan::Plan;
use imgmake_core::state::State;
use imgmake_event::{Cancel, Event, Events, TargetOutcome};
use imgmake_oci::image::Reference;

/// One run of a manifest that is in no file.
pub fn in_memory(
    loaded: &Loaded,
    global: &Global,
    args: &RunArgs,
    environment: &Environment,
) -> Result<u8, Exit> {
    let cancel = Cancel::default();
    let stopped = signals::listen(&cancel);
    once(loaded, global, args, environment, &cancel, &stopped, None)
}

pub fn run(global: &Global, args: &RunArgs, environment: &Environment) -> Result<u8, Exit> {
    if args.shell_on_fail {
        // Before the project is loaded, which makes the user's key.
        UserTerminal::of(environment)?;
    }
    if args.attempt.is_some() {
        signals::end_with_parent();
    }
    let loaded = project::load_lazily(global, environment, Keys::Make, args.network)?;
    let cancel = Cancel::default();
    let stopped = signals::listen(&cancel);
    once(&loaded, global, args, environment, &cancel, &stopped, None)
}

/// Hears of everything that happens in a run.
pub type Listener = Arc<dyn Fn(&Event) + Send + Sync>;

/// Who watches, and runs whenever something changes.
pub struct Watch {
    pub listener: Listener,
    /// What has changed since the last run, as far as it is known.
    pub changed: BTreeSet<PathBuf>,
}

/// One run, from the lock to the summary.
pub fn once(
    loaded: &Loaded,
    global: &Global,
    args: &RunArgs,
    environment: &Environment,
    cancel: &Cancel,
    stopped: &Stopped,
    watch: Option<Watch>,
) -> Result<u8, Exit> {
    outside::apply(args.outside);
    let Loaded {
        project,
        trust,
        memory,
        ..
    } = loaded;
    let memory = memory.as_ref().unwrap_or(&project.directory);
    let terminal = match args.shell_on_fail {
        true => Some(UserTerminal::of(environment)?),
        false => None,
    };
    let plan = project::select(project, &args.targets)?;
    arguments_of(project, &plan, &args.arguments)?;
    let caches = shared_cache::of_arguments(args)?;
    let timing = Timing::of(&args.timing)?;
    let lock = claims::take(project, &plan, memory, args.no_wait, cancel, stopped)?;
    project::read_lock_file_again(project)?;
    let pin_use = pin_use(project, args.outside, PinUse::Follow)?;
    if let (Some(lock), PinUse::Follow) = (&project.lock, &pin_use) {
        refuse_links(lock.path(), &project.directory)?;
    }
    let mut state = State::open_read(memory, &trust.key, &lock, loaded.take_ahead())?;
    let (listener, changed) = match watch {
        Some(watch) => (Some(watch.listener), watch.changed),
        None => (None, BTreeSet::new()),
    };
    if loaded.memory.is_none() {
        state.look_at_files(&project.directory);
        state.sightings.expect_moved(names_in(project, &changed));
    }
    if args.rehash {
        state.forget_hashes();
    }
    loaded.teach(&state)?;
    let state = Arc::new(state);
    if let Some(ignored) = state.ignored() {
        trust.tell_ignored(ignored);
    }
    let mut report = environment.report_options(global);
    let lends_terminal = listener.is_none() && report.style != Style::Json;
    if terminal.is_some() || (report.style == Style::Live && has_interactive(project, &plan)) {
        // Nothing else may draw on the terminal that a shell or a command has.
        report.style = Style::Plain;
    }
    let reporter = Reporter::to_terminal(report);
    let store = environment.store(global)?;
    let logs = Arc::new(logs(project, environment)?);
    let mut tools = tools(
        project,
        trust.of_store(),
        environment,
        store,
        timing.on_the_way_to(heard_by(listener, logged(&logs, reporter.events()))),
        cancel.clone(),
    )?;
    if let Some(layout) = &args.attempt {
        tools.share_no_steps();
        tools.layout_of = plan.requested.first().map(|id| (*id, layout.clone()));
    }
    tools.add_caches(caches);
    tools.pin_use = pin_use;
    tools.source = loaded.source.clone();
    tools.lends_terminal = lends_terminal;
    tools.input_is_terminal = environment.stdin_is_terminal;
    tools.run_file = lock.identity();
    tools.jobserver = tokens::of(project, &plan, args, environment)?;
    tools.terminals = terminal.map(|t| Arc::new(t) as Arc<dyn Terminals>);
    let step_summary = environment.get("GITHUB_STEP_SUMMARY");
    let step_summary = step_summary.filter(|_| environment.is_github());
    let before = match step_summary {
        Some(_) => sizes(project, &plan, &tools, &state),
        None => BTreeMap::new(),
    };
    let variables = loaded.variables(environment);
    let summary = bring_up_to_date(project, &plan, &tools, &state, &variables, args);
    logs.finish();
    reporter.finish();
    if let Some(ignored) = state.ignored() {
        trust.tell_ignored(ignored);
    }
    let written = timing.write(global, &project.directory);
    let written = written.and(reports(global, project, args, &reporter));
    if args.summary {
        tell(reused(project, &plan, &summary, &state));
    }
    if let Some(path) = step_summary {
        append(Path::new(path), &reporter.markdown(&before));
    }
    let failed = summary.failure.map(|(_, why)| exit::code_of(why.kind));
    match (stopped.exit_code().or(failed), written) {
        (None, written) => written.map(|()| 0),
        (Some(code), Ok(())) => Ok(code),
        (Some(code), Err(error)) => {
            tell(error.text);
            Ok(code)
        }
    }
}

/// As patterns name them.
fn names_in(project: &Project, paths: &BTreeSet<PathBuf>) -> Vec<Vec<u8>> {
    let inside = |path: &PathBuf| {
        let inside = path.strip_prefix(&project.directory).ok()?;
        Some(inside.as_os_str().as_encoded_bytes().to_vec())
    };
    paths.iter().filter_map(inside).collect()
}

fn has_interactive(project: &Project, plan: &Plan) -> bool {
    let mut kinds = plan.order.iter().map(|id| &project.graph.target(*id).kind);
    kinds.any(|kind| matches!(kind, TargetKind::Run(run) if run.interactive))
}

/// What was up to date, and how long it took when it was made.
fn reused(project: &Project, plan: &Plan, summary: &execute::Summary, state: &State) -> String {
    let ended = plan.order.iter().zip(&summary.outcomes);
    let fresh = ended.filter(|(_, outcome)| **outcome == TargetOutcome::UpToDate);
    let fresh: Vec<&str> = fresh.map(|(id, _)| project.graph.name(*id)).collect();
    let took = fresh.iter().filter_map(|name| state.took(name)).sum();
    format!(
        "reused {} of {}; building them took {}",
        fresh.len(),
        match plan.order.len() {
            1 => "1 target".to_string(),
            n => format!("{n} targets"),
        },
        duration(took)
    )
}

/// The images that the targets had before this run.
fn sizes(project: &Project, plan: &Plan, tools: &Tools, state: &State) -> BTreeMap<String, u64> {
    let mut sizes = BTreeMap::new();
    for id in &plan.order {
        let name = project.graph.name(*id);
        let root = images::of_state(state, name);
        // What the store has lost is no reason to fail.
        let blobs = root.and_then(|root| images::blobs(tools.store().ok()?, &root).ok());
        if let Some(blobs) = blobs {
            sizes.insert(name.to_string(), blobs.iter().map(|blob| blob.size).sum());
        }
    }
    sizes
}

/// `--junit` and `--code-quality`.
fn reports(
    global: &Global,
    project: &Project,
    args: &RunArgs,
    reporter: &Reporter,
) -> Result<(), Exit> {
    let write =
        |path: &Path, text: &str| report_file::write(global, &project.directory, path, text);
    if let Some(path) = &args.junit {
        write(path, &reporter.junit())?;
    }
    if let Some(path) = &args.code_quality {
        write(path, &reporter.code_quality(&project.file))?;
    }
    Ok(())
}

/// The job's summary is for people, and no reason to fail.
fn append(path: &Path, text: &str) {
    let appended = std::fs::File::options()
        .append(true)
        .create(true)
        .open(path);
    if let Err(error) = appended.and_then(|mut file| file.write_all(text.as_bytes())) {
        tell(format!(
            "warning: cannot write the summary `{}`: {error}",
            path.display()
        ));
    }
}

/// Arguments go to one command: whose they are is never guessed.
///
/// # Errors
/// Something else than one `run` target was asked for.
pub fn arguments_of(
    project: &Project,
    plan: &Plan,
    arguments: &[String],
) -> Result<Option<(TargetId, Vec<String>)>, Exit> {
    let is_run = |id: &TargetId| matches!(project.graph.target(*id).kind, TargetKind::Run(_));
    match plan.requested.as_slice() {
        _ if arguments.is_empty() => Ok(None),
        [only] if is_run(only) => Ok(Some((*only, arguments.to_vec()))),
        _ => Err(
            Exit::usage("arguments after `--` are for a command: name one `run` target")
                .with_help("such as `imgmake test -- --verbose`"),
        ),
    }
}

/// The name that two builds of a plan give to their images.
fn warn_of_shared_tags(project: &Project, plan: &Plan, events: &Events) {
    let mut known: BTreeMap<String, &str> = BTreeMap::new();
    for id in &plan.order {
        let TargetKind::Build(build) = &project.graph.target(*id).kind else {
            continue;
        };
        let name = project.graph.name(*id);
        for tag in &build.tags {
            let full = tag.value.parse::<Reference>();
            let full = full.map_or_else(|_| tag.value.clone(), |tag| tag.to_string());
            let Some(first) = known.insert(full, name).filter(|first| *first != name) else {
                continue;
            };
            let tag = &tag.value;
            events.send(Event::Warning {
                target: Some(name.to_string()),
                message: format!(
                    "tag `{tag}` is also a tag of `{first}`: the build that ends last keeps it"
                ),
            });
        }
    }
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

/// For `imgmake logs`.
fn logs(project: &Project, environment: &Environment) -> Result<run_logs::Writer, Exit> {
    let name = run_logs::name_of(&project_name(&project.directory)?, &project.file);
    Ok(run_logs::Writer::new(name, environment.kept_logs()))
}

fn logged(logs: &Arc<run_logs::Writer>, events: Events) -> Events {
    let logs = Arc::clone(logs);
    Events::to(move |event| {
        logs.event(&event);
        events.send(event);
    })
}

/// Executes a plan with everything in place.
pub fn bring_up_to_date(
    project: &Project,
    plan: &Plan,
    tools: &Tools,
    state: &Arc<State>,
    variables: &BTreeMap<String, String>,
    args: &RunArgs,
) -> execute::Summary {
    let jobs = jobs(args, project);
    warn_of_shared_tags(project, plan, &tools.events);
    let runner = TargetRunner {
        arguments: arguments_of(project, plan, &args.arguments).ok().flatten(),
        project,
        plan,
        variables,
        tools,
        state: Arc::clone(state),
        verdicts: Verdicts::default(),
        options: RunOptions {
            no_cache: args.force,
            pull: args.pull,
            // Make counts what works at once.
            jobs: match &tools.jobserver {
                Some(jobserver) if jobserver.is_client() => 1,
                _ => jobs,
            },
            ..RunOptions::default()
        },
        today: today(),
        recording: None,
    };
    let options = execute::Options {
        jobs,
        pools: project.pools(),
        on_failure: match args.keep_going {
            None => OnFailure::Stop,
            Some(0) => OnFailure::KeepGoing,
            Some(most) => OnFailure::StopAfter(most),
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

pub fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}
