//! One step of a CI pipeline: the job that a plugin's variables or kaniko's
//! command line come to, run, and its result files written.
//!
//! Steps share the workspace and nothing else, so the store lies in it
//! (`.imgmake/store`). What the step remembers of itself ends with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use serde_json::json;

use super::args::RunArgs;
use super::environment::Environment;
use super::exit::{Exit, FAILED};
use super::output::write_whole;
use super::project::Project;
use super::run::bring_up_to_date;
use super::signals::{self, Stopped};
use super::tools::Tools;
use crate::event::{Cancel, Event};
use crate::image::Reference;
use crate::plugin::job::{BUILD, Job, PUSH, ResultFiles, Source, parts};
use crate::report::{Options, Reporter, Style};
use crate::state::{Lock, Output, State, Wait};
use crate::store::Store;

/// Where a step keeps images for later steps, below the working directory.
const WORKSPACE_STORE: &str = ".imgmake/store";

/// Where a job runs, and how it tells.
pub struct Place {
    /// Relative paths start here.
    pub workspace: PathBuf,
    pub store: PathBuf,
    pub style: Style,
    pub verbose: bool,
}

/// Runs a plugin's job in the working directory; the code is 0 or 1, as the plugins have.
pub fn run(job: Job, workspace: &Path, environment: &Environment) -> Result<u8, Exit> {
    let cancel = Cancel::default();
    let stopped = signals::listen(&cancel);
    let place = Place {
        workspace: workspace.to_path_buf(),
        store: environment
            .get("IMGMAKE_STORE")
            .map_or_else(|| workspace.join(WORKSPACE_STORE), PathBuf::from),
        style: Style::Plain,
        verbose: false,
    };
    run_in(job, &place, environment, &cancel, &stopped)
}

/// Runs a job; signals are already listened to.
pub fn run_in(
    mut job: Job,
    place: &Place,
    environment: &Environment,
    cancel: &Cancel,
    stopped: &Stopped,
) -> Result<u8, Exit> {
    let (workspace, store_path) = (place.workspace.as_path(), place.store.clone());
    let environment = &with_docker_config(&job, environment);
    let store = Store::open(&store_path)?;
    find_source(&mut job, &store, workspace)?;
    let project = Project::in_memory(workspace.to_path_buf(), job.manifest(), environment)?;
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
    let state = Arc::new(State::open(&memory, &lock)?);
    let options = Options {
        style: place.style,
        colour: false,
        width: environment.width,
        annotations: false,
        verbose: place.verbose,
    };
    let reporter = Reporter::to_terminal(options);
    let events = reporter.events();
    for note in &job.notes {
        let (target, message) = (None, note.clone());
        events.send(Event::Note { target, message });
    }
    let mut tools = Tools::new(&project, environment, store_path, events, cancel.clone())?;
    tools.immutable_tags = job.immutable_tags;
    if let Err(exit) = check_permission(&job, &tools) {
        reporter.finish();
        return stopped.exit_code().ok_or(exit);
    }
    let plan = project.select(&names)?;
    let args = RunArgs {
        pull: matches!(&job.source, Source::Build(build) if build.pull),
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
    Results::of(&state, &store)?.write(&job, workspace)?;
    Ok(0)
}

/// The job's docker config goes the way of everybody's: through `DOCKER_CONFIG`.
fn with_docker_config(job: &Job, environment: &Environment) -> Environment {
    let mut variables = environment.variables.clone();
    let directory = job.docker_config.as_ref().map(Path::new);
    if let Some(directory) = directory.and_then(Path::parent) {
        variables.insert("DOCKER_CONFIG".into(), directory.display().to_string());
    }
    environment.with_variables(variables)
}

/// A push that would be refused is refused before anything is built for it.
fn check_permission(job: &Job, tools: &Tools) -> Result<(), Exit> {
    if !job.push || !job.check_permission {
        return Ok(());
    }
    let mut asked: Vec<String> = Vec::new();
    for destination in &job.destinations {
        let to: Reference = destination
            .parse()
            .map_err(|error| Exit::error(FAILED, format!("`{destination}`: {error}")))?;
        if asked.contains(&to.name()) {
            continue;
        }
        asked.push(to.name());
        let checked = tools.client()?.check_push(&to, &tools.work(PUSH));
        checked.map_err(|error| {
            Exit::error(
                FAILED,
                format!("nothing is built, since it could not be pushed: {error}"),
            )
        })?;
    }
    Ok(())
}

/// Push-only takes an image that an earlier step left in the workspace, else one
/// of a registry where the plugin would have looked there too.
fn find_source(job: &mut Job, store: &Store, workspace: &Path) -> Result<(), Exit> {
    match &job.source {
        Source::Named { name, .. } if store.tagged(name).is_some() => {
            job.source = Source::Stored(name.clone())
        }
        Source::Named {
            name,
            remote: false,
        } => {
            return Err(Exit::error(FAILED, format!("there is no image `{name}` to push in the workspace's store `{}`", store.root().display()))
                .with_help("build it in an earlier step with PLUGIN_NO_PUSH=true, or name an archive in PLUGIN_SOURCE_TAR_PATH"));
        }
        Source::Tar(path) if !workspace.join(path).exists() => {
            return Err(Exit::error(FAILED, format!("there is no archive `{path}` to push in `{}`", workspace.display()))
                .with_help("write it in an earlier step with PLUGIN_TAR_PATH; paths start at the working directory"));
        }
        _ => {}
    }
    Ok(())
}

/// What the step came to, for its result files.
struct Results {
    digest: String,
    size: u64,
    media_type: String,
    config: String,
}

impl Results {
    fn of(state: &State, store: &Store) -> Result<Results, Exit> {
        let outputs = |target: &str| {
            state
                .recorded(target)
                .map(|(_, outputs)| outputs)
                .unwrap_or_default()
        };
        let built = outputs(BUILD).into_iter().find_map(|output| match output {
            Output::Image { digest, .. } => Some(digest),
            _ => None,
        });
        let pushed = outputs(PUSH).into_iter().find_map(|output| match output {
            Output::Pushed { digest, .. } => Some(digest),
            _ => None,
        });
        let digest = built
            .or(pushed)
            .ok_or_else(|| Exit::error(FAILED, "the step made no image"))?;
        let parsed = digest.parse().map_err(|error| Exit::error(FAILED, error))?;
        let bytes = store.read_blob(&parsed, 4 << 20)?;
        let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_string();
        Ok(Results {
            digest,
            size: bytes.len() as u64,
            media_type: text(&document["mediaType"]),
            config: text(&document["config"]["digest"]),
        })
    }

    fn write(&self, job: &Job, workspace: &Path) -> Result<(), Exit> {
        let files = &job.files;
        let put = |path: &str, text: String| match path.starts_with("https://") {
            // kaniko's own: an address that was signed for one upload.
            true => super::kaniko::http::put(path, &text).context("cannot upload the digest"),
            false => write_whole(&workspace.join(path), text.as_bytes()),
        };
        for path in &files.digest {
            put(path, self.digest.clone())?;
        }
        for path in &files.name_with_digest {
            put(
                path,
                self.lines(job, |repository, _| format!("{repository}@{}", self.digest)),
            )?;
        }
        for path in &files.name_tag_with_digest {
            put(
                path,
                self.lines(job, |repository, tag| {
                    format!("{repository}:{tag}@{}", self.digest)
                }),
            )?;
        }
        if let Some(path) = &files.images {
            let line =
                |name: &String| format!("{}\n", json!({"name": name, "digest": self.digest}));
            put(path, job.destinations.iter().map(line).collect())?;
        }
        if let Some(path) = &files.artifact {
            put(path, self.artifact(job, files))?;
        }
        if let Some(path) = &files.output {
            self.add_output(&workspace.join(path), job)?;
        }
        if let Some(path) = &files.metadata {
            put(path, self.metadata(job))?;
        }
        if let Some(path) = &files.cache_metrics {
            let metrics = json!({"total_layers": 0, "done": 0, "cached": 0, "error": 0, "canceled": 0, "layers": {}});
            put(path, format!("{metrics}\n"))?;
        }
        if let Some(path) = &files.card {
            let tags: Vec<&String> = job.destinations.iter().collect();
            let card = json!({"schema": "https://drone.github.io/drone-docker/card.json",
                "data": {"Id": self.config, "RepoTags": tags, "Digest": self.digest}});
            put(path, format!("{card}\n"))?;
        }
        Ok(())
    }

    /// One line for each destination, in their order, each once.
    fn lines(&self, job: &Job, line: impl Fn(&str, &str) -> String) -> String {
        let mut lines: Vec<String> = Vec::new();
        for destination in &job.destinations {
            let (_, _, tag) = parts(destination);
            let repository = destination
                .strip_suffix(&format!(":{tag}"))
                .unwrap_or(destination);
            let line = line(repository, &tag);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    fn artifact(&self, job: &Job, files: &ResultFiles) -> String {
        let images: Vec<_> = job
            .destinations
            .iter()
            .map(|image| json!({"image": image, "digest": self.digest}))
            .collect();
        let data = json!({"registryType": files.registry_type, "registryUrl": files.registry_url, "images": images});
        json!({"kind": "docker/v1", "data": data}).to_string()
    }

    /// Dotenv lines for later steps, beside what other tools wrote there.
    fn add_output(&self, path: &Path, job: &Job) -> Result<(), Exit> {
        let mut lines: BTreeMap<String, String> = BTreeMap::new();
        for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
            if let Some((name, value)) = line.split_once('=') {
                lines.insert(name.to_string(), value.to_string());
            }
        }
        lines.insert("digest".into(), format!("{:?}", self.digest));
        if let Some((tar, _)) = &job.tar {
            lines.insert("IMAGE_TAR_PATH".into(), format!("{tar:?}"));
        }
        let text: String = lines
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        Ok(write_whole(path, text.as_bytes())?)
    }

    fn metadata(&self, job: &Job) -> String {
        let value = json!({
            "containerimage.config.digest": self.config,
            "containerimage.descriptor": {"mediaType": self.media_type, "digest": self.digest, "size": self.size},
            "containerimage.digest": self.digest,
            "image.name": job.destinations.join(","),
        });
        format!(
            "{}\n",
            serde_json::to_string_pretty(&value).expect("strings are JSON")
        )
    }
}
