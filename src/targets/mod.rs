//! Targets: what they depend on, whether what they made is still there, and how it is made.
//! Knows no command line, and of the environment only the variables that it is given.
//!
//! ```text
//! task        one target of a run; the trait that each kind implements:
//! build/        an image, its archives and layouts
//! load            an image into a daemon
//! scan/         the gate
//! push/         what goes where
//! cleared         images that may be published, by the verdicts of gates
//! attested          verdicts that were given before, signed, beside images in registries
//! publish         the only way to tags of images
//! command       commands on the host
//!
//! runner      what targets are run with
//! tools       store, connections, helper process: opened when first needed
//! joined      one index over images of several platforms
//! compare     two images, by config and files
//! images      manifests, children and blobs of images, here and in registries
//! archives, files, outputs
//! attempts    how long one may take, how often it is tried
//! pins        what names outside stand for: lock file or state
//! project     the graph and the place of the manifest
//! dockerfiles what Dockerfiles read of the files that targets make
//! ```

pub mod advisories;
mod archives;
mod attempts;
mod attested;
mod build;
mod certificate;
mod cleared;
mod command;
mod command_output;
pub mod compare;
mod dockerfiles;
mod failure;
mod files;
mod foreground;
pub mod git_ignore;
mod git_index;
pub mod images;
pub mod jobserver;
mod joined;
mod load;
mod lock_holders;
mod outputs;
mod pins;
mod project;
pub mod public_key;
mod publish;
mod pulled;
mod push;
mod registries;
mod remote_names;
mod retry_after_damage;
mod runner;
mod scan;
mod secrets;
mod task;
mod tools;
mod verdicts;
pub mod watchdog;

use imgmake_core::execute::{Admission, Artifacts, Failure, Runner, Upstream};
use imgmake_core::files::ReadFiles;
use imgmake_core::fingerprint::{self, CacheKey, Inputs};
use imgmake_core::graph::{EdgeKind, TargetId};
use imgmake_core::manifest::{PushFrom, ScanFrom, ScannerNode, TargetKind};
use imgmake_core::state::Output;

pub use certificate::{Certificate, trusted};
pub use dockerfiles::Dockerfiles;
pub use failure::plain;
pub use git_index::{GitIndex, TrackedPaths};
pub use pins::{
    LockFileProblem, LockedPins, PinUse, Selected, difference, is_called, label as pin_label,
    shortened,
};
pub use project::{Project, kind_name};
pub use runner::{Recording, RunOptions, TargetRunner};
pub use secrets::{file_of_secret, password, secret_value};
pub use tools::{ImmutableTags, ToolOptions, Tools, project_name};
pub use verdicts::Verdicts;

use task::{Runnable, Task};

impl Runner for TargetRunner<'_> {
    fn inputs(&self, action: usize, upstream: &Upstream<'_>) -> Result<Inputs, Failure> {
        let id = self.plan.order[action];
        let inputs = |runner: &TargetRunner<'_>| {
            retry_after_damage::retry(runner, id, || runner.inputs_of(id, upstream))
        };
        match self.target(id).kind {
            // Its limits are the command's.
            TargetKind::Run(_) => inputs(self),
            TargetKind::Build(_) | TargetKind::Scan(_) | TargetKind::Push(_) => {
                attempts::look_up(self, id, inputs)
            }
        }
    }

    fn known_key(&self, action: usize, upstream: &Upstream<'_>) -> Option<CacheKey> {
        let id = self.plan.order[action];
        match &self.target(id).kind {
            TargetKind::Run(run) => command::known_key(&Task::new(self, id, run), upstream),
            TargetKind::Build(_) | TargetKind::Scan(_) | TargetKind::Push(_) => None,
        }
    }

    fn reads_files(&self, action: usize) -> bool {
        match &self.target(self.plan.order[action]).kind {
            TargetKind::Run(run) => !run.inputs.is_empty(),
            TargetKind::Build(_) => true,
            TargetKind::Scan(scan) => {
                matches!(scan.from, ScanFrom::Tar { .. })
                    || scan.files().next().is_some()
                    || !scan.advisories.is_empty()
            }
            TargetKind::Push(push) => {
                matches!(push.from, PushFrom::Tar { .. }) || !push.needs_attestations.is_empty()
            }
        }
    }

    fn may_write_files(&self, action: usize) -> bool {
        let id = self.plan.order[action];
        let runs_command = match &self.target(id).kind {
            TargetKind::Run(_) => true,
            TargetKind::Scan(scan) => scan.scanner != ScannerNode::Builtin,
            TargetKind::Build(_) | TargetKind::Push(_) => false,
        };
        runs_command || !self.project.graph.outputs(id).is_empty()
    }

    fn verify_outputs(&self, action: usize, outputs: &[Output]) -> Result<Option<String>, Failure> {
        self.task(self.plan.order[action]).verify_outputs(outputs)
    }

    fn fetch(&self, action: usize, upstream: &Upstream<'_>) -> Result<bool, Failure> {
        let Some(source) = &self.tools.source else {
            return Ok(false);
        };
        let id = self.plan.order[action];
        let (client, work) = (self.client()?, self.tools.operation(self.name(id)));
        let fetched = match &self.target(id).kind {
            // Nobody knows what a program reads.
            TargetKind::Run(_) => source.bring_all(client, &work),
            TargetKind::Scan(scan) if scan.scanner != ScannerNode::Builtin => {
                source.bring_all(client, &work)
            }
            TargetKind::Build(_) | TargetKind::Scan(_) | TargetKind::Push(_) => {
                let read = ReadFiles::default();
                self.recording(&read).inputs_of(id, upstream)?;
                source.bring_read(&read.found(), client, &work)
            }
        };
        let fetched = fetched.map_err(failure::failure)?;
        if fetched {
            source.teach(&self.state.stats).map_err(failure::failure)?;
        }
        Ok(fetched)
    }

    fn admit(&self, _: usize) -> Result<Box<dyn Admission + '_>, Failure> {
        Ok(Box::new(self.token()?))
    }

    fn run(
        &self,
        action: usize,
        inputs: &Inputs,
        upstream: &Upstream<'_>,
    ) -> Result<Artifacts, Failure> {
        let id = self.plan.order[action];
        attempts::run(self, id, |runner| {
            let task = runner.task(id);
            if matches!(runner.target(id).kind, TargetKind::Run(_)) {
                // The user's own command: it is not run twice for what is ours.
                return task.run(inputs, upstream);
            }
            retry_after_damage::retry(runner, id, || {
                let made = task.run(inputs, upstream);
                made.map_err(|failure| runner.with_help(failure))
            })
        })
    }
}

impl TargetRunner<'_> {
    fn task(&self, id: TargetId) -> Box<dyn Runnable + '_> {
        match &self.target(id).kind {
            TargetKind::Run(run) => Box::new(Task::new(self, id, run)),
            TargetKind::Build(build) => Box::new(Task::new(self, id, &**build)),
            TargetKind::Scan(scan) => Box::new(Task::new(self, id, scan)),
            TargetKind::Push(push) => Box::new(Task::new(self, id, push)),
        }
    }

    /// Tells which files a target reads: see [`Recording`].
    ///
    /// # Errors
    /// Something is wrong in its definition, or cannot be read, or does not answer.
    pub fn record_files(&self, id: TargetId, upstream: &Upstream<'_>) -> Result<(), Failure> {
        attempts::look_up(self, id, |runner| runner.inputs_of(id, upstream)).map(drop)
    }

    /// Resolves what a build names outside of the project, and nothing else.
    ///
    /// # Errors
    /// Something is wrong in its definition, or does not answer.
    pub fn resolve(&self, id: TargetId, upstream: &Upstream<'_>) -> Result<(), Failure> {
        match &self.target(id).kind {
            TargetKind::Build(target) => attempts::look_up(self, id, |runner| {
                build::resolve(&Task::new(runner, id, &**target), upstream)
            }),
            TargetKind::Run(_) | TargetKind::Scan(_) | TargetKind::Push(_) => Ok(()),
        }
    }

    fn inputs_of(&self, id: TargetId, upstream: &Upstream<'_>) -> Result<Inputs, Failure> {
        if let TargetKind::Run(run) = &self.target(id).kind {
            return command::inputs_of(&Task::new(self, id, run), upstream);
        }
        let mut inputs = Inputs::new();
        self.add_variables(id, &mut inputs);
        self.task(id).inputs(upstream, &mut inputs)?;
        self.add_upstream(id, upstream, &mut inputs);
        Ok(inputs)
    }

    /// What the targets that it needs have made.
    fn add_upstream(&self, id: TargetId, upstream: &Upstream<'_>, inputs: &mut Inputs) {
        let needs = self.project.graph.dependencies(id).iter();
        for (need, _) in needs.filter(|(_, kind)| is_input(*kind)) {
            let name = self.name(*need);
            if let Some(made) = upstream.made(name) {
                fingerprint::upstream(inputs, name, &made.digest);
            }
        }
    }

    /// The variables that interpolation used: their values are in the settings
    /// anyway, but so `why` can name them.
    fn add_variables(&self, id: TargetId, inputs: &mut Inputs) {
        let declared = &self.project.graph.manifest().variables;
        let value = |name: &str| match name.strip_prefix("env.") {
            Some(name) => self.variable(name),
            None => declared
                .iter()
                .find(|v| v.name.value == name)
                .map(|v| v.value.as_str()),
        };
        for name in &self.target(id).used_variables {
            inputs.value("variable", name, value(name).unwrap_or("").as_bytes());
        }
    }

    /// A full disk is mostly the store's, which no message about a layer names.
    fn with_help(&self, mut failure: Failure) -> Failure {
        if failure.is_storage_full {
            let store = self.tools.store_path().display();
            failure.message = format!(
                "{}\n  help: free space on this disk; if it is that of the store, `{store}`, use `imgmake gc`, or `--store` for another one",
                failure.message.trim_end()
            );
        }
        failure
    }
}

/// Whether what an upstream made is part of the key. Outputs of `run` targets
/// are hashed as files by whoever reads them.
fn is_input(kind: EdgeKind) -> bool {
    !matches!(kind, EdgeKind::Output)
}
