//! Images from Dockerfiles and from manifest steps, without a daemon.
//!
//! ```text
//! request ─recipe→ Dockerfile ─program→ stages ─evaluate→ steps ─execution→ layers ─assemble→ image
//!                                                  └─ inputs: the same walk, reading only
//! ```
//!
//! A COPY is planned from metadata (`copy::plan`), keyed by the plan (`step_key`), and written straight from
//! the context into tar, digest and compression. RUN goes to the helper process (`worker`). Steps made on other
//! machines come from a registry (`cache`). Knows layers,
//! store and registry; knows no manifest target, terminal or environment.
pub mod rootfs;
use anyhow::Result;
use execution::Execution;
use imgmake_event::{Cancel, Events};
use imgmake_guard::checkout::Checkout;
use imgmake_oci::image::{Descriptor, Platform, Reference};
use imgmake_oci::layer::Compression;
use imgmake_oci::store::Store;
use imgmake_registry::Client;
use std::collections::BTreeMap;
use std::path::PathBuf;

mod add;
mod added;
mod assemble;
mod base;
mod base_policy;
pub mod cache;
mod config;
mod context;
pub mod copy;
mod evaluate;
mod execution;
mod file_layers;
mod files;
mod git;
mod inputs;
mod output;
mod patterns;
mod program;
mod recipe;
mod rewrite;
mod run;
mod schedule;
mod state;
mod step_key;
mod steps;
#[cfg(test)]
mod tests;
mod warmed;
mod warnings;
pub mod worker;

pub use added::{AddedLayers, IgnoredPaths, LayerCount};
pub use base_policy::{BasePolicy, Refused, TrustedKey};
pub use copy::tree::FileStat;
pub use warmed::Warmed;

/// Everything that a build works with.
#[derive(Clone)]
pub struct Engine {
    pub store: Store,
    pub registry: Client,
    pub git: imgmake_git::Client,
    pub worker: std::sync::Arc<worker::Worker>,
    pub events: Events,
    pub cancel: Cancel,
    pub pins: std::sync::Arc<dyn Pins>,
    /// Step results in registries, when there are any.
    pub cache: Option<std::sync::Arc<cache::Cache>>,
    /// Base images that need not be pulled.
    pub warmed: Option<Warmed>,
    /// Which images bases may be.
    pub bases: std::sync::Arc<BasePolicy>,
    /// Who shares cache mounts.
    pub cache_scope: worker::CacheScope,
}

/// FROM tags and ADD URLs resolved once and remembered in the project's state; moves only with `--pull`.
pub trait Pins: Send + Sync {
    fn get(&self, name: &str) -> Option<String>;
    fn set(&self, name: &str, value: &str);
}

/// Whether the Dockerfile may say `RUN --security=insecure`, which makes it root of this
/// machine: whoever writes the manifest decides, not whoever writes the Dockerfile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Insecure {
    #[default]
    Refused,
    Allowed,
}

/// One build target, values final.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    pub target: String,
    pub recipe: Recipe,
    /// Directory; `None` for steps-only builds without a context.
    pub context: PathBuf,
    /// Paths that leave every context unless copied by name: declared outputs, `.imgmake/` (absolute).
    pub excluded: Vec<PathBuf>,
    /// Where the Dockerfile and ignore files may lie as links, and not lead out.
    pub checkout: Checkout,
    pub contexts: BTreeMap<String, NamedContext>,
    pub args: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub platforms: Vec<Platform>,
    pub secrets: BTreeMap<String, SecretSource>,
    pub ssh: BTreeMap<String, PathBuf>,
    /// Names that RUN finds in `/etc/hosts`; they are in no layer.
    pub add_hosts: BTreeMap<String, String>,
    /// Whom RUN asks for names.
    pub resolver: worker::Resolver,
    /// Certificates in PEM that RUN trusts; they are in no layer and no key.
    pub authorities: Vec<u8>,
    /// Of every RUN that does not say its own.
    pub network: DefaultNetwork,
    /// What each RUN may use.
    pub limits: imgmake_sandbox::Limits,
    pub insecure: Insecure,
    /// SOURCE_DATE_EPOCH, seconds.
    pub epoch: Option<i64>,
    pub compression: Compression,
    pub format: imgmake_oci::image::ManifestFormat,
    /// Stages that are built although the image does not need them.
    pub also: AlsoStages,
    /// What becomes of the layers that are added to the base.
    pub added: AddedLayers,
    pub no_cache: bool,
    pub pull: bool,
    pub jobs: usize,
}
/// The network of every RUN that does not say its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefaultNetwork {
    #[default]
    Host,
    None,
    /// Neither the host's nor, by a Dockerfile's own word, to be had as the host's.
    Isolated,
}
#[derive(Clone, Debug)]
pub enum Recipe {
    Dockerfile {
        path: PathBuf,
        stage: Option<String>,
    },
    Steps {
        base: String,
        steps: Vec<Step>,
    },
}
/// Stages to build beside those that the target's stage needs: one that runs tests, say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AlsoStages {
    #[default]
    None,
    Named(Vec<String>),
    /// Every one before the target's.
    Earlier,
}
/// One step of a build without a Dockerfile (manifest.md); paths relative to `context`.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Copy {
        sources: Vec<String>,
        to: String,
        mode: Option<String>,
        owner: Option<String>,
    },
    Layer(Vec<Step>),
    File {
        path: String,
        content: String,
        mode: Option<String>,
        owner: Option<String>,
    },
    Symlink {
        path: String,
        to: String,
    },
    Mkdir {
        path: String,
        mode: Option<String>,
        owner: Option<String>,
    },
    Run {
        command: Command,
    },
    Env(Vec<(String, String)>),
    User(String),
    Workdir(String),
    Expose(Vec<String>),
    Entrypoint(Vec<String>),
    Cmd(Vec<String>),
    Label(Vec<(String, String)>),
    Volume(Vec<String>),
    StopSignal(String),
    Healthcheck(imgmake_oci::image::Healthcheck),
}
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Shell(String),
    Argv(Vec<String>),
}
#[derive(Clone, Debug)]
pub enum NamedContext {
    Target(Descriptor),
    Image(Reference),
    Path(PathBuf),
}
#[derive(Clone, Debug)]
pub enum SecretSource {
    Value(Vec<u8>),
    File(PathBuf),
}

/// What the build reads, for the target's key: (label, hash) pairs with names for `why`.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    pub entries: Vec<Input>,
}
/// `name` is what `why` shows: `file src/main.c`, `base debian:12`, `arg VERSION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    pub kind: &'static str,
    pub name: String,
    pub hash: [u8; 32],
}

/// The files, bases and settings that this build depends on. Uses `hash_file` (the stat cache) for contents.
///
/// # Errors
/// Whatever a build would refuse before running anything, with file and line.
pub fn inputs(
    request: &BuildRequest,
    engine: &Engine,
    hash_file: inputs::HashFile<'_>,
) -> Result<Inputs> {
    let loaded = recipe::Loaded::read(request)?;
    let bases = base::Bases::new(engine, &request.target, request.pull);
    let mut gathering = inputs::Gathering::new(request, engine, hash_file);
    gathering.recipe(&loaded);
    for platform in platforms(request) {
        let program = program::compile(&loaded.source(request), request, &bases, &platform)?;
        gathering.program(&program, &loaded)?;
    }
    Ok(gathering.finish())
}

#[derive(Clone, Debug)]
pub struct Built {
    /// Manifest (one platform) or index, in the store.
    pub root: Descriptor,
    /// Where layers that were never pulled can be had.
    pub sources: Vec<Reference>,
    pub steps_run: usize,
    pub steps_cached: usize,
    /// Of those, the ones that a cache in a registry had.
    pub steps_found: usize,
}

/// Builds the image for every platform asked for. Manifest and index are in the store afterwards, and every
/// layer that is not a base's.
///
/// # Errors
/// The first step that failed, with file and line.
pub fn build(request: &BuildRequest, engine: &Engine) -> Result<Built> {
    let Some(cache) = &engine.cache else {
        return attempt(request, engine);
    };
    loop {
        let result = attempt(request, engine);
        // Whatever it came to: each time at least one layer fewer is expected from the cache.
        if cache.was_disappointed(&request.target) {
            continue;
        }
        let written = cache.finish(&request.target);
        let built = result?;
        told_of_cache(engine, &request.target, built.steps_found, written?);
        return Ok(built);
    }
}

fn told_of_cache(engine: &Engine, target: &str, found: usize, written: usize) {
    let message = match (found, written) {
        (0, 0) => return,
        (found, 0) => format!("cache: {found} found"),
        (found, written) => format!("cache: {found} found, {written} written"),
    };
    engine.events.send(imgmake_event::Event::Note {
        target: Some(target.to_string()),
        message,
    });
}

/// Pulls blobs that an output needs. When the cache cannot give one after all, the error is of no use any
/// more: [`build`] makes the image again, without it, if [`cache::Cache::was_disappointed`].
///
/// # Errors
/// The registry's.
pub fn pull_blobs(
    engine: &Engine,
    target: &str,
    from: &Reference,
    blobs: &[Descriptor],
) -> Result<()> {
    state::pull_from(engine, target, from, blobs)
}

fn attempt(request: &BuildRequest, engine: &Engine) -> Result<Built> {
    let loaded = recipe::Loaded::read(request)?;
    let bases = base::Bases::new(engine, &request.target, request.pull);
    let programs = platforms(request)
        .iter()
        .map(|platform| program::compile(&loaded.source(request), request, &bases, platform))
        .collect::<Result<Vec<_>>>()?;
    if let Some(first) = programs.first() {
        warnings::of_lint(request, engine, &loaded, first)?;
    }
    let shared = execution::Shared::default();
    let executions: Vec<_> = programs
        .iter()
        .map(|program| Execution::new(engine, request, &loaded, program, &shared))
        .collect();
    execution::run_together(&executions, request.jobs, &shared)?;
    let mut manifests = Vec::new();
    let mut sources: BTreeMap<String, Reference> = BTreeMap::new();
    for execution in executions {
        let image = execution.into_image()?;
        if let Some(cache) = &engine.cache {
            cache.confirm(engine, &request.target, &image.layers);
        }
        for layer in &image.layers {
            if let Some(source) = &layer.source {
                sources.insert(layer.descriptor.digest.to_string(), source.clone());
            }
        }
        manifests.push(assemble::manifest(&image, request, &engine.store)?);
    }
    let root = assemble::root(manifests, request, &engine.store)?;
    remember_sources(engine, &root.digest, &sources)?;
    warnings::of_unused_args(request, engine, &shared.taken_args());
    sources.retain(|digest, _| digest.parse().is_ok_and(|d| !engine.store.has(&d)));
    let sources: std::collections::BTreeSet<Reference> = sources.into_values().collect();
    Ok(Built {
        root,
        sources: sources.into_iter().collect(),
        steps_run: shared.run.into_inner(),
        steps_cached: shared.cached.into_inner(),
        steps_found: shared.found.into_inner(),
    })
}

fn platforms(request: &BuildRequest) -> Vec<Platform> {
    match request.platforms.is_empty() {
        true => vec![Platform::host()],
        false => request.platforms.clone(),
    }
}

/// Where layers can be had that an image of ours names but the store may not hold.
fn remember_sources(
    engine: &Engine,
    root: &imgmake_oci::image::Digest,
    sources: &BTreeMap<String, Reference>,
) -> Result<()> {
    if sources.is_empty() {
        return Ok(());
    }
    let texts: BTreeMap<&String, String> =
        sources.iter().map(|(d, r)| (d, r.to_string())).collect();
    let key = step_key::Framed::new("sources").text(root.as_str()).hex();
    engine
        .store
        .put_step(&key, &imgmake_oci::image::to_json(&texts))
}

/// Layer digest -> repository, for an image that was built here.
pub fn sources_of(
    engine: &Engine,
    root: &imgmake_oci::image::Digest,
) -> BTreeMap<String, Reference> {
    let key = step_key::Framed::new("sources").text(root.as_str()).hex();
    let record = engine.store.hint(&key).unwrap_or_default();
    let texts: BTreeMap<String, String> =
        imgmake_oci::image::from_json(&record).unwrap_or_default();
    texts
        .into_iter()
        .filter_map(|(digest, text)| Some((digest, text.parse().ok()?)))
        .collect()
}
