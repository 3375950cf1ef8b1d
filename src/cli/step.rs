//! One step of a CI pipeline, as a plugin's variables or kaniko's command line say it:
//! prepared, run, and its result files written.
//!
//! Steps share the workspace and nothing else, so the store lies in it
//! (`.imgmake/store`). What the step remembers of itself ends with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::RunArgs;
use super::environment::Environment;
use super::output::tell;
use super::project;
use super::run::bring_up_to_date;
use super::signals::{self, Stopped};
use super::tools::tools;
use super::trust::{self, Trust, refuse_tracked};
use crate::exit::{Exit, FAILED};
use crate::no_links::refuse_links;
use crate::report::{Folding, Options, Reporter, Style};
use crate::step::preparations::{self, Surroundings};
use crate::step::results::{ResultCollector, Results};
use crate::targets::ImmutableTags;
use imgmake_build::Warmed;
use imgmake_compat::Step;
use imgmake_compat::step::{self, Log, Verbosity};
use imgmake_core::state::{Lock, State, Wait};
use imgmake_event::{Cancel, Event};
use imgmake_oci::store::Store;
use imgmake_registry::connection::SettingNames;

/// Where a step keeps images for later steps, below the working directory.
const WORKSPACE_STORE: &str = ".imgmake/store";

/// Where a step runs.
pub struct Place {
    /// Relative paths start here.
    pub workspace: PathBuf,
    pub store: PathBuf,
    pub trust: Trust,
}

impl Place {
    /// # Errors
    /// The key in the environment is too short; git tracks `.imgmake`, or a link leads out of it.
    pub fn new(
        workspace: PathBuf,
        store: PathBuf,
        environment: &Environment,
    ) -> Result<Place, Exit> {
        refuse_tracked(&workspace)?;
        refuse_links(&store, &workspace)?;
        let trust = Trust::of_step(&workspace, &store, environment)?;
        Ok(Place {
            workspace,
            store,
            trust,
        })
    }

    /// The same for a context that lies elsewhere and may hold the store.
    ///
    /// # Errors
    /// As for [`Place::new`].
    pub fn of_context(self, context: &Path, environment: &Environment) -> Result<Place, Exit> {
        let context = self.workspace.join(context);
        let Ok(context) = context.canonicalize() else {
            // Whoever reads it says so.
            return Ok(self);
        };
        refuse_links(&self.store, &context)?;
        match self.trust.is_shared() {
            true => Ok(self),
            false => Ok(Place {
                trust: Trust::of_step(&context, &self.store, environment)?,
                ..self
            }),
        }
    }

    /// # Errors
    /// It cannot be opened.
    pub fn open_store(&self) -> Result<Store, Exit> {
        let cancel = Cancel::default();
        trust::open_told(&self.store, self.trust.of_store(), &cancel)
    }
}

/// Runs a plugin's step in the working directory; the code is 0 or 1, as the plugins have.
pub fn run(step: Step, workspace: &Path, environment: &Environment) -> Result<u8, Exit> {
    let run = || {
        let cancel = Cancel::default();
        let stopped = signals::listen(&cancel);
        let store = store_path(workspace, environment);
        let place = Place::new(workspace.to_path_buf(), store, environment)?;
        run_in(step, &place, environment, &cancel, &stopped)
    };
    run().map_err(|exit: Exit| Exit {
        code: exit.code.min(FAILED),
        ..exit
    })
}

/// The store of a plugin's step.
pub fn store_path(workspace: &Path, environment: &Environment) -> PathBuf {
    let named = environment.get("IMGMAKE_STORE");
    named.map_or_else(|| workspace.join(WORKSPACE_STORE), PathBuf::from)
}

/// Runs a step; signals are already listened to.
pub fn run_in(
    mut step: Step,
    place: &Place,
    environment: &Environment,
    cancel: &Cancel,
    stopped: &Stopped,
) -> Result<u8, Exit> {
    let (workspace, store_path) = (place.workspace.as_path(), place.store.clone());
    let environment = &with_variables(&step, environment);
    preparations::check_names(&step)?;
    let store = place.open_store()?;
    if !place.trust.has_key() && store.is_shared() && store.has_steps() {
        step.notes.push(format!(
            "steps recorded in `{}` are not used: anyone who can write to the workspace could have \
             recorded them; give the steps of a pipeline a key in {}",
            store.root().display(),
            imgmake_guard::mac::VARIABLE
        ));
    }
    let around = Surroundings {
        workspace,
        variables: &environment.variables,
        store: &store,
        cancel,
        tell: &|line| tell(line),
    };
    let _prepared = preparations::prepare(&mut step, &around)?;
    let manifest = step.manifest.clone();
    let mut project = project::in_memory(workspace.to_path_buf(), manifest, environment)?;
    project.whole = step.options.whole.as_ref().map(|path| workspace.join(path));
    let names: Vec<String> = project
        .graph
        .ids()
        .map(|id| project.graph.name(id).to_string())
        .collect();
    if names.is_empty() {
        return Ok(0);
    }
    // Parallel steps of a pipeline do not wait for each other.
    let memory = store.temporary_dir()?;
    let lock = Lock::take(&memory, &Wait::No).map_err(|error| Exit::error(FAILED, error))?;
    let state = Arc::new(State::open(&memory, &place.trust.key, &lock)?);
    let reporter = Reporter::to_terminal(report_options(&step.options.log, environment));
    let collector = ResultCollector::default();
    let events = collector.before(reporter.events());
    for note in &step.notes {
        let (target, message) = (None, note.clone());
        events.send(Event::Note { target, message });
    }
    let mut tools = tools(
        &project,
        place.trust.of_store(),
        environment,
        store_path,
        events,
        cancel.clone(),
    )?;
    tools.call_settings(match step.options.words {
        step::Words::Kaniko => SettingNames::KANIKO,
        step::Words::KanikoPlugin => SettingNames::KANIKO_PLUGIN,
        step::Words::DockerPlugin => SettingNames::DOCKER_PLUGIN,
    });
    tools.run_file = lock.identity();
    tools.immutable_tags = match step.options.immutable_tags {
        step::ImmutableTags::Refuse => ImmutableTags::Refuse,
        step::ImmutableTags::Accept => ImmutableTags::Accept,
    };
    tools.warmed = step.options.warmed.as_ref().map(|warmed| Warmed {
        directory: workspace.join(&warmed.directory),
        ttl: warmed.ttl,
    });
    if let Err(exit) = preparations::check(&step, &tools, &store) {
        reporter.finish();
        return stopped.exit_code().ok_or(exit);
    }
    let plan = project::select(&project, &names)?;
    let args = RunArgs {
        pull: step.options.pull,
        ..RunArgs::default()
    };
    let summary = bring_up_to_date(
        &project,
        &plan,
        &tools,
        &state,
        &environment.variables,
        &args,
    );
    reporter.finish();
    if let Some(code) = stopped.exit_code() {
        return Ok(code);
    }
    if summary.failure.is_some() || summary.cancelled {
        return Ok(FAILED);
    }
    if step.results.any() {
        Results::of(&collector, &store)?.write(&step, workspace)?;
    }
    Ok(0)
}

/// The step's own variables go the way of everybody's.
fn with_variables(step: &Step, environment: &Environment) -> Environment {
    let mut variables = environment.variables.clone();
    let own = step.options.variables.iter();
    variables.extend(own.map(|(name, value)| (name.clone(), value.0.clone())));
    environment.with_variables(variables)
}

fn report_options(log: &Log, environment: &Environment) -> Options {
    Options {
        style: match log.verbosity {
            Verbosity::Quiet => Style::Quiet,
            Verbosity::Json => Style::Json,
            Verbosity::Plain | Verbosity::Verbose => Style::Plain,
        },
        color: false,
        width: environment.width,
        annotations: false,
        folding: Folding::None,
        short_digests: false,
        keeps_logs: false,
        verbose: log.verbosity == Verbosity::Verbose,
        timestamps: log.timestamps,
    }
}
