//! One step of a CI pipeline, as a plugin's variables or kaniko's command line say it:
//! prepared, run, and its result files written.
//!
//! Steps share the workspace and nothing else, so the store lies in it
//! (`.imgmake/store`). What the step remembers of itself ends with it.

mod card;
mod results;
mod source;
mod ssh_agent;
mod unused;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::RunArgs;
use super::environment::Environment;
use super::exit::{Exit, FAILED};
use super::kaniko::git::KEEP_GIT;
use super::project;
use super::remote_context;
use super::run::bring_up_to_date;
use super::signals::{self, Stopped};
use super::tools::tools;
use super::trust::{Trust, refuse_links, refuse_tracked};
use crate::report::{Options, Reporter, Style};
use crate::targets::{ImmutableTags, Tools, secret_value};
use imgmake_build::Warmed;
use imgmake_compat::Step;
use imgmake_compat::nodes::plain;
use imgmake_compat::step::{self, PUSH, TextFile, Verbosity};
use imgmake_core::manifest::{ContextNode, RecipeNode, TargetKind};
use imgmake_core::state::{Lock, State, Wait};
use imgmake_event::{Cancel, Event};
use imgmake_git::Client;
use imgmake_oci::image::Reference;
use imgmake_oci::store::Store;
use results::{ResultCollector, Results};
use ssh_agent::SshAgent;

/// Where a step keeps images for later steps, below the working directory.
const WORKSPACE_STORE: &str = ".imgmake/store";

/// Where a job runs.
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
        Ok(Store::open_with(&self.store, self.trust.of_store())?)
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
    check_names(&step)?;
    let store = place.open_store()?;
    if !place.trust.has_key() && store.is_shared() && store.has_steps() {
        step.notes.push(format!(
            "steps recorded in `{}` are not used: anybody who writes into the workspace could have \
             recorded them; give the steps of a pipeline a key in {}",
            store.root().display(),
            imgmake_guard::mac::VARIABLE
        ));
    }
    source::find(&mut step, &store, workspace, environment, cancel)?;
    if step.preparations.name_unused_stages {
        let note = step
            .build()
            .and_then(|build| unused::note(build, workspace));
        step.notes.extend(note);
    }
    if let Some(warmed) = &step.options.warmed
        && !workspace.join(&warmed.directory).is_dir()
    {
        let directory = &warmed.directory;
        step.notes.push(format!(
            "directory `{directory}` with warmed base images not found"
        ));
    }
    let _agent = with_agent(&mut step, workspace, environment, cancel)?;
    write_dockerfiles(&step, workspace)?;
    fetch_repositories(&mut step, &store, environment, cancel)?;
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
    let options = Options {
        style: match step.options.log.verbosity {
            Verbosity::Quiet => Style::Quiet,
            Verbosity::Json => Style::Json,
            Verbosity::Plain | Verbosity::Verbose => Style::Plain,
        },
        color: false,
        width: environment.width,
        annotations: false,
        verbose: step.options.log.verbosity == Verbosity::Verbose,
        timestamps: step.options.log.timestamps,
    };
    let reporter = Reporter::to_terminal(options);
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
    tools.immutable_tags = match step.options.immutable_tags {
        step::ImmutableTags::Refuse => ImmutableTags::Refuse,
        step::ImmutableTags::Accept => ImmutableTags::Accept,
    };
    tools.warmed = step.options.warmed.as_ref().map(|warmed| Warmed {
        directory: workspace.join(&warmed.directory),
        ttl: warmed.ttl,
    });
    let checked = source::check(&step, &tools, &store);
    if let Err(exit) = checked.and_then(|()| check_permission(&step, &tools)) {
        reporter.finish();
        return stopped.exit_code().ok_or(exit);
    }
    let plan = project::select(&project, &names)?;
    let args = RunArgs {
        pull: step.options.pull,
        ..RunArgs::default()
    };
    let summary = bring_up_to_date(&project, &plan, &tools, &state, environment, &args);
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

/// A bake file's contexts that are repositories become directories, with the
/// Dockerfiles in them.
fn fetch_repositories(
    step: &mut Step,
    store: &Store,
    environment: &Environment,
    cancel: &Cancel,
) -> Result<(), Exit> {
    let client = Client::new(environment.variables.clone(), cancel);
    let mut directories: BTreeMap<(String, Option<String>), String> = BTreeMap::new();
    for repository in &step.preparations.repositories {
        let address = &repository.address;
        let mut targets = step.manifest.targets.iter_mut();
        let wanted = targets.find(|one| one.name.value == repository.target);
        let Some(TargetKind::Build(build)) = wanted.map(|target| &mut target.kind) else {
            continue;
        };
        let keep = build.args.get(KEEP_GIT).map(|keep| keep.value.clone());
        let key = (address.clone(), keep);
        if !directories.contains_key(&key) {
            let (place, keep) = (&repository.place, key.1.as_deref());
            let path = remote_context::repository(place, address, keep, store, &client)?;
            directories.insert(key.clone(), path.display().to_string());
        }
        let directory = &directories[&key];
        if let RecipeNode::Dockerfile { path, .. } = &mut build.recipe
            && let Some(rest) = path.value.strip_prefix(address.trim_end_matches('/'))
        {
            path.value = format!("{directory}{rest}");
        }
        let named = build
            .contexts
            .iter_mut()
            .filter_map(|(_, node)| match node {
                ContextNode::Path(path) => Some(path),
                _ => None,
            });
        for path in named.chain(&mut build.context) {
            if path.value == *address {
                path.value.clone_from(directory);
            }
        }
    }
    Ok(())
}

/// Those that a bake file holds. They stay: messages name their lines.
fn write_dockerfiles(step: &Step, workspace: &Path) -> Result<(), Exit> {
    for TextFile { path, text } in &step.preparations.files {
        let file = workspace.join(path);
        refuse_links(&file, workspace)?;
        let parent = file.parent().unwrap_or(workspace);
        let written = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&file, text));
        written.map_err(|error| Exit::error(FAILED, format!("cannot write `{path}`: {error}")))?;
    }
    Ok(())
}

/// An agent with the step's key, for as long as what is returned lives.
fn with_agent(
    step: &mut Step,
    workspace: &Path,
    environment: &Environment,
    cancel: &Cancel,
) -> Result<Option<SshAgent>, Exit> {
    let Some(source) = &step.preparations.ssh_key else {
        return Ok(None);
    };
    let key = secret_value(source, workspace, &environment.variables, cancel)?;
    let key = key.unwrap_or_default();
    let agent = SshAgent::start(&String::from_utf8_lossy(&key), environment)?;
    let socket = agent.socket.display().to_string();
    if let Some(build) = step.build_mut() {
        build.ssh.retain(|(id, _)| id.value != "default");
        build.ssh.push((plain("default"), Some(socket)));
    }
    Ok(Some(agent))
}

/// The step's own variables go the way of everybody's.
fn with_variables(step: &Step, environment: &Environment) -> Environment {
    let mut variables = environment.variables.clone();
    let own = step.options.variables.iter();
    variables.extend(own.map(|(name, value)| (name.clone(), value.0.clone())));
    environment.with_variables(variables)
}

/// Names that no registry would take are refused where nothing is pushed, too: a
/// later step means to.
fn check_names(step: &Step) -> Result<(), Exit> {
    for destination in &step.names {
        let parsed: Result<Reference, _> = destination.parse();
        parsed.map_err(|error| {
            Exit::error(
                FAILED,
                format!("invalid image name `{destination}`: {error}"),
            )
        })?;
    }
    Ok(())
}

/// A push that would be refused is refused before anything is built for it: every registry is asked.
fn check_permission(step: &Step, tools: &Tools) -> Result<(), Exit> {
    if !step.preparations.check_permission {
        return Ok(());
    }
    let mut checked: Vec<String> = Vec::new();
    let mut refused: Vec<String> = Vec::new();
    for destination in &step.names {
        let to: Reference = destination
            .parse()
            .map_err(|error| Exit::error(FAILED, format!("`{destination}`: {error}")))?;
        if checked.contains(&to.name()) {
            continue;
        }
        checked.push(to.name());
        if let Err(error) = tools.client()?.check_push(&to, &tools.operation(PUSH)) {
            refused.push(error.to_string());
        }
        if tools.cancel.is_cancelled() {
            break;
        }
    }
    let nothing = match step.builds() {
        true => "nothing is built, since it could not be pushed",
        false => "nothing is pushed",
    };
    match refused.is_empty() {
        true => Ok(()),
        false => Err(Exit::error(
            FAILED,
            format!("{nothing}: {}", refused.join("\n")),
        )),
    }
}
