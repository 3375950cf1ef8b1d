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
use std::collections::BTreeMap;

use anyhow::Result;

use execute::executor::Execution;
use imgmake_core::fingerprint::Inputs;
use imgmake_oci::image::{Descriptor, Platform, Reference};

mod base;
mod define;
mod engine;
mod execute;
mod files;
mod fingerprint;
mod inputs;
mod request;
pub mod rootfs;
mod run;
mod step_key;
#[cfg(test)]
mod tests;

pub use base::policy::{BasePolicy, Refused, TrustedKey};
pub use base::warmed::Warmed;
pub use engine::{Engine, Pins};
pub use execute::cache;
pub use execute::squash::{AddedLayers, IgnoredPaths, LayerCount};
pub use files::copy::tree::FileStat;
pub use request::{
    AlsoStages, BuildRequest, Command, DefaultNetwork, Insecure, NamedContext, Recipe,
    SecretSource, Step,
};
pub use run::worker;

/// The files, bases and settings that this build depends on. Uses `hash_file` (the stat cache) for contents.
///
/// # Errors
/// Whatever a build would refuse before running anything, with file and line.
pub fn inputs(
    request: &BuildRequest,
    engine: &Engine,
    hash_file: inputs::HashFile<'_>,
) -> Result<Inputs> {
    let loaded = define::definition::Loaded::read(request)?;
    let bases = base::image::Bases::new(engine, &request.target, request.pull);
    let mut gathering = inputs::Gathering::new(request, engine, hash_file);
    gathering.recipe(&loaded);
    for platform in platforms(request) {
        let program = define::graph::compile(&loaded.source(request), request, &bases, &platform)?;
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
    define::state::pull_from(engine, target, from, blobs)
}

fn attempt(request: &BuildRequest, engine: &Engine) -> Result<Built> {
    let loaded = define::definition::Loaded::read(request)?;
    let bases = base::image::Bases::new(engine, &request.target, request.pull);
    let programs = platforms(request)
        .iter()
        .map(|platform| define::graph::compile(&loaded.source(request), request, &bases, platform))
        .collect::<Result<Vec<_>>>()?;
    if let Some(first) = programs.first() {
        execute::warnings::of_lint(request, engine, &loaded, first)?;
    }
    let shared = execute::executor::Shared::default();
    let executions: Vec<_> = programs
        .iter()
        .map(|program| Execution::new(engine, request, &loaded, program, &shared))
        .collect();
    execute::executor::run_together(&executions, request.jobs, &shared)?;
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
        manifests.push(execute::assemble::manifest(&image, request, &engine.store)?);
    }
    let root = execute::assemble::root(manifests, request, &engine.store)?;
    remember_sources(engine, &root.digest, &sources)?;
    execute::warnings::of_unused_args(request, engine, &shared.taken_args());
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
    let key = step_key::of("sources").text(root.as_str()).hex();
    engine
        .store
        .put_step(&key, &imgmake_oci::image::to_json(&texts))
}

/// Layer digest -> repository, for an image that was built here.
pub fn sources_of(
    engine: &Engine,
    root: &imgmake_oci::image::Digest,
) -> BTreeMap<String, Reference> {
    let key = step_key::of("sources").text(root.as_str()).hex();
    let record = engine.store.hint(&key).unwrap_or_default();
    let texts: BTreeMap<String, String> =
        imgmake_oci::image::from_json(&record).unwrap_or_default();
    texts
        .into_iter()
        .filter_map(|(digest, text)| Some((digest, text.parse().ok()?)))
        .collect()
}
