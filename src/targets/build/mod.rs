//! `build` targets: the image, and what is made of it.
//!
//! ```text
//! inputs       what the cache key covers
//! request      the target's values as `imgmake-build` wants them
//! contexts, dockerfile, stage, steps, secrets, certificates, compression, limits
//! exports      archives, layouts, daemons
//! provenance   what the image is made of, as an attestation says it
//! publishable  what of its texts is nobody's secret
//! verify       whether the image is still in the store
//! ```

mod certificates;
mod compression;
mod contexts;
mod dockerfile;
mod exports;
mod inputs;
mod limits;
mod provenance;
mod publishable;
mod request;
mod secrets;
mod stage;
mod steps;
mod verify;

use super::failure::failure;
use super::task::{BuildTask, Runnable};
use super::tools::project_name;
use super::{images, load, outputs};
use imgmake_build::{self as build, Built, Engine};
use imgmake_core::execute::{Artifacts, Failure, Upstream};
use imgmake_core::fingerprint::{Inputs, LengthPrefixedHasher};
use imgmake_core::state::{FileKind, Output};
use imgmake_event::Product;

pub use provenance::provenances;

impl Runnable for BuildTask<'_> {
    fn inputs(&self, upstream: &Upstream<'_>, inputs: &mut Inputs) -> Result<(), Failure> {
        inputs::add(self, upstream, inputs)
    }

    fn verify_output(&self, output: &Output) -> Result<Option<String>, Failure> {
        match output {
            Output::Image {
                digest,
                blobs,
                sources,
                tags,
                ..
            } => verify::image(self.runner, digest, blobs, sources, tags),
            Output::File {
                path, signature, ..
            } => Ok(outputs::verify_file(self.runner, path, signature)),
            Output::Loaded { daemon, ids } => Ok(load::verify(self.runner, *daemon, ids)),
            Output::Tree { .. }
            | Output::Pushed { .. }
            | Output::Passed { .. }
            | Output::ValidUntil { .. } => Ok(outputs::foreign()),
        }
    }

    fn run(&self, _: &Inputs, upstream: &Upstream<'_>) -> Result<Artifacts, Failure> {
        let request = request::request(self, upstream)?;
        secrets::tell_empty(self, &request.secrets);
        let engine = self.runner.engine()?;
        let (built, exported) = loop {
            let built = build::build(&request, &engine).map_err(|error| {
                let error = error.into();
                limits::exceeded(self, &error).unwrap_or_else(|| stage::failed(self, error))
            })?;
            match exports::write(self, &built.root) {
                Ok(exported) => break (built, exported),
                // A layer that was to come from a cache cannot be had: made again, it is here.
                Err(_) if lost_a_cached_layer(&engine, self.name) => {}
                Err(error) => return Err(failure(error)),
            }
        };
        let project = project_name(&self.runner.project.directory).ok();
        for tag in &self.target.tags {
            let tagged = engine
                .store
                .tag(&tag.value, &built.root, project.as_deref());
            tagged.map_err(failure)?;
        }
        let mut outputs = vec![self.image_output(&built, &engine)?];
        self.announce(&exported);
        outputs.extend(exported);
        Ok(Artifacts {
            digest: LengthPrefixedHasher::new()
                .bytes(built.root.digest.as_str().as_bytes())
                .finish(),
            outputs,
        })
    }
}

/// Resolves what the build names outside of the project.
///
/// # Errors
/// Something is wrong in its definition, or does not answer.
pub fn resolve(task: &BuildTask<'_>, upstream: &Upstream<'_>) -> Result<(), Failure> {
    let request = request::request(task, upstream)?;
    build::resolve(&request, &task.runner.engine()?).map_err(|error| stage::failed(task, error))
}

fn lost_a_cached_layer(engine: &Engine, name: &str) -> bool {
    let cache = engine.cache.as_ref();
    cache.is_some_and(|cache| cache.take_needs_rebuild(name))
}

impl BuildTask<'_> {
    /// The image as the state remembers it, and as the reports show it.
    fn image_output(&self, built: &Built, engine: &Engine) -> Result<Output, Failure> {
        let root = &built.root;
        let blobs = images::blobs(&engine.store, root).map_err(failure)?;
        let size = blobs.iter().map(|blob| blob.size).sum();
        let held = blobs.iter().filter(|blob| engine.store.has(&blob.digest));
        self.runner.produced(
            self.name,
            Product::Image {
                digest: root.digest.to_string(),
                size,
            },
        );
        Ok(Output::Image {
            media_type: root.media_type.clone(),
            digest: root.digest.clone(),
            size: root.size,
            blobs: held.map(|b| (b.digest.clone(), b.size)).collect(),
            sources: built.sources.clone(),
            tags: self.target.tags.iter().map(|t| t.value.clone()).collect(),
        })
    }

    fn announce(&self, exported: &[Output]) {
        for output in exported {
            let Output::File { what, path, .. } = output else {
                continue;
            };
            let path = path.clone();
            let product = match what {
                FileKind::Tar => {
                    let bytes = std::fs::metadata(self.runner.path(&path));
                    let bytes = bytes.map_or(0, |meta| meta.len());
                    Product::Tar { path, bytes }
                }
                FileKind::Layout => Product::Layout { path },
                FileKind::Export => Product::File { path },
                FileKind::Report | FileKind::Digests => continue,
            };
            self.runner.produced(self.name, product);
        }
    }
}
