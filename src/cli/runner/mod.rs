//! The work behind targets: what they depend on, whether what they made is
//! still there, and how it is made. One file per kind of target.

mod build;
mod command;
mod files;
mod load;
mod push;
mod scan;

use std::path::PathBuf;
use std::sync::Arc;

use super::environment::Environment;
use super::project::Project;
use super::tools::Tools;
use imgmake_build::Refused;
use imgmake_core::execute::{Artifacts, Failure, FailureKind, Runner, Upstream};
use imgmake_core::fingerprint::{self, Inputs};
use imgmake_core::graph::{EdgeKind, TargetId};
use imgmake_core::manifest::{Target, TargetKind};
use imgmake_core::plan::Plan;
use imgmake_core::state::{FileKind, Output, State, tree_signature};
use imgmake_event::{Cancelled, Event};
use imgmake_oci::image::{Descriptor, Digest};
use imgmake_oci::store::Store;
use imgmake_registry::RegistryError;

/// What a run was asked for besides its targets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    /// Nothing is taken from the step cache.
    pub no_cache: bool,
    /// Base tags are looked up again.
    pub pull: bool,
    pub jobs: usize,
}

pub struct Work<'a> {
    pub project: &'a Project,
    pub plan: &'a Plan,
    pub environment: &'a Environment,
    pub tools: &'a Tools,
    pub state: Arc<State>,
    pub wishes: Wishes,
    /// RFC 3339 date of today, UTC: gates judge by it.
    pub today: String,
}

impl Runner for Work<'_> {
    fn inputs(&self, action: usize, upstream: &Upstream<'_>) -> Result<Inputs, Failure> {
        let id = self.plan.order[action];
        self.mending(id, || self.inputs_of(id, upstream))
    }

    fn verify_outputs(&self, action: usize, outputs: &[Output]) -> Result<Option<String>, Failure> {
        for output in outputs {
            if let Some(damage) = self.damage_of(self.plan.order[action], output)? {
                return Ok(Some(damage));
            }
        }
        Ok(None)
    }

    fn run(&self, action: usize, upstream: &Upstream<'_>) -> Result<Artifacts, Failure> {
        let id = self.plan.order[action];
        if let TargetKind::Run(run) = &self.target(id).kind {
            return command::run(self, id, run);
        }
        self.mending(id, || {
            let made = match &self.target(id).kind {
                TargetKind::Run(run) => command::run(self, id, run),
                TargetKind::Build(build) => build::run(self, id, build, upstream),
                TargetKind::Scan(scan) => scan::run(self, id, scan, upstream),
                TargetKind::Push(push) => push::run(self, id, push, upstream),
            };
            made.map_err(|failure| self.with_help(failure))
        })
    }
}

/// Files of the store that are found damaged in one target: more of them are a broken disk.
const MOST_MENDED: usize = 50;

impl Work<'_> {
    /// Does something again that failed when a damaged file of the store was removed meanwhile:
    /// what it held is then pulled or made anew. Each file is named in a warning.
    fn mending<T>(&self, id: TargetId, act: impl Fn() -> Result<T, Failure>) -> Result<T, Failure> {
        let removed = || self.tools.opened_store().map_or(0, Store::removed_damage);
        for _ in 0..MOST_MENDED {
            let before = removed();
            let result = act();
            self.tell_damage(id);
            match result {
                Err(failure) if removed() > before && failure.kind != FailureKind::Cancelled => {
                    tracing::debug!("tried again, since damage was removed: {}", failure.message);
                }
                result => return result,
            }
        }
        act()
    }

    fn tell_damage(&self, id: TargetId) {
        let damaged = self.tools.opened_store().map(Store::take_damage);
        for damaged in damaged.unwrap_or_default() {
            self.tools.events.send(Event::Warning {
                target: Some(self.project.graph.name(id).to_string()),
                message: damaged.to_string(),
            });
        }
    }

    fn inputs_of(&self, id: TargetId, upstream: &Upstream<'_>) -> Result<Inputs, Failure> {
        let target = self.target(id);
        let mut inputs = Inputs::new();
        self.add_variables(target, &mut inputs);
        match &target.kind {
            TargetKind::Run(run) => command::inputs(self, id, run, &mut inputs)?,
            TargetKind::Build(build) => build::inputs(self, id, build, upstream, &mut inputs)?,
            TargetKind::Scan(scan) => scan::inputs(self, id, scan, &mut inputs)?,
            TargetKind::Push(push) => push::inputs(self, id, push, &mut inputs)?,
        }
        for (need, _) in self
            .project
            .graph
            .dependencies(id)
            .iter()
            .filter(|(_, kind)| counts(*kind))
        {
            let name = self.project.graph.name(*need);
            if let Some(made) = upstream.made(name) {
                fingerprint::upstream(&mut inputs, name, &made.digest);
            }
        }
        Ok(inputs)
    }
}

/// Whether what an upstream made is part of the key. Outputs of `run` targets
/// are hashed as files by whoever reads them.
fn counts(kind: EdgeKind) -> bool {
    !matches!(kind, EdgeKind::Output)
}

impl Work<'_> {
    /// A full disk is mostly the store's, which no message about a layer names.
    fn with_help(&self, mut failure: Failure) -> Failure {
        if failure.message.contains("No space left on device") {
            let store = self.tools.store_path().display();
            failure.message = format!(
                "{}\n  help: make room with `imgmake gc`, or keep the store, which is `{store}`, elsewhere with `--store`",
                failure.message.trim_end()
            );
        }
        failure
    }

    fn target(&self, id: TargetId) -> &Target {
        self.project.graph.target(id)
    }

    /// The variables that interpolation used: their values are in the settings
    /// anyway, but so `why` can name them.
    fn add_variables(&self, target: &Target, inputs: &mut Inputs) {
        let declared = &self.project.graph.manifest().variables;
        let value = |name: &str| match name.strip_prefix("env.") {
            Some(name) => self.environment.get(name),
            None => declared
                .iter()
                .find(|v| v.name.value == name)
                .map(|v| v.value.as_str()),
        };
        for name in &target.used_variables {
            inputs.value("variable", name, value(name).unwrap_or("").as_bytes());
        }
    }

    fn path(&self, written: &str) -> PathBuf {
        self.project.directory.join(written)
    }

    /// blake3 of a file, from the stat cache when it is known.
    fn hash_file(
        &self,
        path: &std::path::Path,
        metadata: &std::fs::Metadata,
    ) -> std::io::Result<[u8; 32]> {
        let cancel = &self.tools.cancel;
        self.state.stats.hash(path, metadata, cancel)
    }

    fn damage_of(&self, id: TargetId, output: &Output) -> Result<Option<String>, Failure> {
        match output {
            Output::Image {
                digest,
                blobs,
                sources,
                tags,
                ..
            } => {
                let store = self.tools.store()?;
                let lost = blobs.iter().find(|(digest, size)| {
                    digest
                        .parse()
                        .is_ok_and(|digest| !store.holds(&Descriptor::new("", digest, *size)))
                });
                if lost.is_some() {
                    return Ok(Some("the image is no longer in the store".to_string()));
                }
                self.lost_records(store, digest, sources, tags)
            }
            Output::File {
                path, signature, ..
            } => Ok(match tree_signature(&self.path(path)) {
                Ok(now) if now == *signature => None,
                Ok(_) => Some(format!("output {path} changed")),
                Err(_) => Some(format!("output {path} is missing")),
            }),
            Output::Tree { path, hash } => Ok(match files::tree_hash(self, &self.path(path)) {
                Ok(now) if now == *hash => None,
                Ok(_) => Some(format!("output {path} changed")),
                Err(_) => Some(format!("output {path} is missing")),
            }),
            Output::Pushed { reference, digest } => {
                push::damage(self, self.project.graph.name(id), reference, digest)
            }
            Output::Loaded { engine, ids } => Ok(load::damage(self, engine, ids)),
            Output::Passed { .. } => Ok(scan::must_ask_again(self.target(id))),
        }
    }

    /// What the store said of an image beside its blobs: without it, base layers that were
    /// never pulled could not be had, and its names would lead nowhere.
    fn lost_records(
        &self,
        store: &Store,
        digest: &str,
        sources: &[String],
        tags: &[String],
    ) -> Result<Option<String>, Failure> {
        let Ok(digest) = digest.parse::<Digest>() else {
            return Ok(None);
        };
        let engine = self.tools.engine(&self.state)?;
        if !sources.is_empty() && imgmake_build::sources_of(&engine, &digest).is_empty() {
            let lost = "the store has lost where the image's base layers are";
            return Ok(Some(lost.to_string()));
        }
        let lost = tags.iter().find(|tag| store.tagged(tag).is_none());
        Ok(lost.map(|tag| format!("the store has lost the name `{tag}`")))
    }

    /// A file that was written, as the state remembers it.
    fn file_output(&self, what: FileKind, path: &str) -> Result<Output, Failure> {
        let signature = tree_signature(&self.path(path))
            .map_err(|error| Failure::failed(format!("cannot read `{path}` back: {error}")))?;
        Ok(Output::File {
            what,
            path: path.to_string(),
            signature,
        })
    }

    /// The image that a build made, among the outcomes upstream.
    fn image(&self, upstream: &Upstream<'_>, id: TargetId) -> Result<Descriptor, Failure> {
        let name = self.project.graph.name(id);
        let made = upstream
            .made(name)
            .expect("an image is made before what uses it");
        let found = made.outputs.iter().find_map(|output| match output {
            Output::Image {
                media_type,
                digest,
                size,
                ..
            } => Some((media_type, digest, *size)),
            _ => None,
        });
        let (media_type, digest, size) = found.expect("a build's outcome holds its image");
        let digest = digest
            .parse()
            .map_err(|_| Failure::failed("the project's state is damaged; remove `.imgmake/`"))?;
        Ok(Descriptor::new(media_type.clone(), digest, size))
    }
}

/// What an error is to the exit code, and its text for people.
fn failure(error: anyhow::Error) -> Failure {
    let kind = error.chain().find_map(|cause| {
        let ended = |error: &std::io::Error| Cancelled::ended(error);
        if cause.is::<Cancelled>() || cause.downcast_ref().is_some_and(ended) {
            return Some(FailureKind::Cancelled);
        }
        if cause.downcast_ref::<Refused>().is_some() {
            return Some(FailureKind::Gate);
        }
        let registry = cause.downcast_ref::<RegistryError>()?;
        Some(if registry.is_cancelled() {
            FailureKind::Cancelled
        } else {
            FailureKind::Registry
        })
    });
    Failure::new(kind.unwrap_or(FailureKind::Failed), format!("{error:#}"))
}
