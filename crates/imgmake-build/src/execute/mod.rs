//! Stages run step by step, each from the step cache when its key is known; then the image is put together.

mod assemble;
pub mod cache;
mod coming;
mod engine;
mod executor;
mod export;
mod file_step;
mod layers;
mod prefetch;
mod rewrite;
mod run_step;
mod schedule;
mod squash;
mod stages;
mod step_runner;
mod warnings;

pub use coming::Coming;
pub(crate) use warnings::of_misspelled_stages;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::define::compile::compile;
use crate::error::Result;
use crate::layer_sources::{self, Sources};
use crate::prepared::prepare;
use crate::request::BuildRequest;
use crate::target::TargetContext;
pub use engine::Engine;
use executor::{Execution, run_together};
pub use export::{FilesForm, write_files};
use imgmake_oci::image::{Descriptor, Reference};
use layers::LayerAccess;
use step_runner::StepRunner;

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
    let cx = engine.for_target(&request.target);
    let Some(cache) = &engine.cache else {
        return attempt(request, engine, &cx);
    };
    loop {
        let result = attempt(request, engine, &cx);
        // Whatever it came to: each time at least one layer fewer is expected from the cache.
        if cache.take_needs_rebuild(&request.target) {
            continue;
        }
        let written = cache.finish(&request.target);
        let built = result?;
        note_cache_use(&cx, built.steps_found, written?);
        return Ok(built);
    }
}

fn note_cache_use(cx: &TargetContext, found: usize, written: usize) {
    match (found, written) {
        (0, 0) => {}
        (found, 0) => cx.note(format!("cache: {found} found")),
        (found, written) => cx.note(format!("cache: {found} found, {written} written")),
    }
}

/// Pulls blobs that an output needs. When the cache cannot give one after all, the error is of no use any
/// more: [`build`] makes the image again, without it, if [`cache::Cache::take_needs_rebuild`].
///
/// # Errors
/// The registry's.
pub fn pull_blobs(
    engine: &Engine,
    target: &str,
    from: &Reference,
    blobs: &[Descriptor],
) -> Result<()> {
    layers_of(engine, &engine.for_target(target)).pull_from(from, blobs)
}

fn layers_of(engine: &Engine, cx: &TargetContext) -> LayerAccess {
    LayerAccess {
        cx: cx.clone(),
        cache: engine.cache.clone(),
        coming: Arc::clone(&engine.coming),
    }
}

fn attempt(request: &BuildRequest, engine: &Engine, cx: &TargetContext) -> Result<Built> {
    let (definition, request) = &prepare(request, cx)?;
    let bases = engine.bases(cx, request.pull);
    let graphs = request
        .platforms()
        .iter()
        .map(|platform| compile(definition, request, &bases, platform))
        .collect::<Result<Vec<_>>>()?;
    if let Some(note) = definition.epoch.note() {
        cx.note(note);
    }
    warnings::of_lint(request, cx, definition, &graphs)?;
    let steps = StepRunner::new(request, definition, layers_of(engine, cx));
    let executions: Vec<_> = graphs
        .iter()
        .map(|graph| Execution::new(engine, &steps, graph))
        .collect();
    run_together(engine, &executions, &steps)?;
    let mut manifests = Vec::new();
    let mut sources = Sources::new();
    for (execution, platform) in executions.into_iter().zip(request.platforms()) {
        let image = execution.into_image()?;
        if let Some(cache) = &engine.cache {
            cache.confirm(cx, &image.layers);
        }
        for layer in &image.layers {
            if let Some(source) = &layer.source {
                sources.insert(layer.descriptor.digest.to_string(), source.clone());
            }
        }
        manifests.push(assemble::manifest(&image, request, &platform, &cx.store)?);
    }
    let root = assemble::root(manifests, request, &cx.store)?;
    layer_sources::remember(&cx.store, &root.digest, &sources)?;
    warnings::of_unused_args(request, cx, &steps.taken_args());
    sources.retain(|digest, _| digest.parse().is_ok_and(|d| !cx.store.has(&d)));
    let sources: BTreeSet<Reference> = sources.into_values().collect();
    let counts = steps.counts();
    Ok(Built {
        root,
        sources: sources.into_iter().collect(),
        steps_run: counts.run,
        steps_cached: counts.cached,
        steps_found: counts.found,
    })
}

/// Layer digest -> repository, for an image that was built here.
pub fn sources_of(
    engine: &Engine,
    root: &imgmake_oci::image::Digest,
) -> BTreeMap<String, Reference> {
    layer_sources::of_image(&engine.store, root)
}
