//! What targets are run with: the project, the tools, the state and the options of this run.
//! Knows no kind of target.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::failure::failure;
use super::jobserver;
use super::project::Project;
use super::tools::Tools;
use super::verdicts::Verdicts;
use super::watchdog::{self, Watchdog};
use imgmake_build::Engine;
use imgmake_core::execute::Failure;
use imgmake_core::files::{self, ReadAs, ReadFiles, Signature};
use imgmake_core::graph::TargetId;
use imgmake_core::manifest::Target;
use imgmake_core::plan::Plan;
use imgmake_core::state::State;
use imgmake_event::{Event, Product};
use imgmake_oci::store::Store;
use imgmake_registry::Client;

/// What a run was asked for besides its targets.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Nothing is taken from the step cache.
    pub no_cache: bool,
    /// Base tags are looked up again.
    pub pull: bool,
    /// Nothing is built: images of other targets may be unknown.
    pub only_resolves: bool,
    pub jobs: usize,
}

pub struct TargetRunner<'a> {
    pub project: &'a Project,
    pub plan: &'a Plan,
    /// The environment's variables.
    pub variables: &'a BTreeMap<String, String>,
    pub tools: &'a Tools,
    pub state: Arc<State>,
    pub options: RunOptions,
    /// What follows `--` on the command line, for the command of one target.
    pub arguments: Option<(TargetId, Vec<String>)>,
    pub verdicts: Verdicts,
    /// RFC 3339 date of today, UTC: gates judge by it.
    pub today: String,
    pub recording: Option<Recording>,
}

/// Where it is told which files keys are made of.
#[derive(Clone)]
pub struct Recording {
    pub files: ReadFiles,
    /// Where nothing is built: an empty directory in the place of images that are not built yet. What targets write
    /// may be missing, too.
    pub unbuilt: Option<PathBuf>,
}

/// A token, and the word that it is given back should this run be killed: taken back first.
pub(super) struct HeldToken<'a> {
    _told: Option<watchdog::HeldToken<'a>>,
    _token: jobserver::Token<'a>,
}

impl TargetRunner<'_> {
    /// The same with other tools.
    pub(super) fn with_tools<'t>(&'t self, tools: &'t Tools) -> TargetRunner<'t> {
        TargetRunner {
            project: self.project,
            plan: self.plan,
            variables: self.variables,
            tools,
            state: Arc::clone(&self.state),
            options: self.options,
            arguments: self.arguments.clone(),
            verdicts: self.verdicts.clone(),
            today: self.today.clone(),
            recording: self.recording.clone(),
        }
    }

    /// The same, which tells which files it reads for keys.
    pub(super) fn recording(&self, files: &ReadFiles) -> TargetRunner<'_> {
        let mut runner = self.with_tools(self.tools);
        runner.recording = Some(Recording {
            files: files.clone(),
            unbuilt: None,
        });
        runner
    }

    /// A file that a key depends on.
    pub(super) fn record(&self, path: impl Into<PathBuf>, how: ReadAs) {
        if let Some(recording) = &self.recording {
            recording.files.add(path, how);
        }
    }

    /// What stands for an image that is not built yet, where nothing is built.
    pub(super) fn stand_in(&self) -> Option<PathBuf> {
        let unbuilt = self.recording.as_ref().and_then(|one| one.unbuilt.clone());
        unbuilt.or_else(|| {
            let directory = &self.project.directory;
            self.options.only_resolves.then(|| directory.clone())
        })
    }

    /// Whether a file is missing because a target is yet to write it, where nothing is built.
    pub(super) fn is_yet_to_be_made(&self, path: &Path) -> bool {
        let recording = self.recording.as_ref();
        recording.is_some_and(|Recording { files, unbuilt }| {
            unbuilt.is_some()
                && (files.is_output(path) || (!path.exists() && files.has_output_beneath(path)))
        })
    }

    /// The same, with names outside of the project as they were looked up before.
    pub(super) fn without_pulling(&self) -> TargetRunner<'_> {
        let mut runner = self.with_tools(self.tools);
        runner.options.pull = false;
        runner
    }

    pub(super) fn name(&self, id: TargetId) -> &str {
        self.project.graph.name(id)
    }

    pub(super) fn target(&self, id: TargetId) -> &Target {
        self.project.graph.target(id)
    }

    /// Stops what this run started, should it be killed.
    pub(super) fn watchdog(&self) -> &Watchdog {
        self.tools.watchdog()
    }

    /// What a target holds while it works, where somebody counts.
    pub(super) fn token(&self) -> Result<Option<HeldToken<'_>>, Failure> {
        let Some(jobserver) = &self.tools.jobserver else {
            return Ok(None);
        };
        let token = jobserver.take(&self.tools.cancel).map_err(failure)?;
        let told = token
            .of_parent()
            .map(|byte| self.watchdog().hold_token(byte));
        Ok(Some(HeldToken {
            _told: told,
            _token: token,
        }))
    }

    pub(super) fn path(&self, written: &str) -> PathBuf {
        self.project.directory.join(written)
    }

    pub(super) fn arguments(&self, id: TargetId) -> &[String] {
        match &self.arguments {
            Some((target, arguments)) if *target == id => arguments,
            _ => &[],
        }
    }

    /// The value of a variable of the environment that is set and not empty.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    pub(super) fn store(&self) -> Result<&Store, Failure> {
        self.tools.store().map_err(failure)
    }

    pub(super) fn client(&self) -> Result<&Client, Failure> {
        self.tools.client().map_err(failure)
    }

    pub(super) fn engine(&self) -> Result<Engine, Failure> {
        self.tools.engine(&self.state).map_err(failure)
    }

    /// blake3 of a file, from the stat cache when it is known.
    pub(super) fn hash_file(
        &self,
        signature: &Signature,
        open: impl FnOnce() -> io::Result<File>,
    ) -> io::Result<[u8; 32]> {
        let (stats, cancel) = (&self.state.stats, &self.tools.cancel);
        stats.hash_file(signature, open, cancel)
    }

    /// Whether a file or a tree is as it was: see [`files::tree_signature`].
    pub(super) fn tree_signature(&self, path: &Path) -> io::Result<[u8; 32]> {
        files::tree_signature(path, &self.tools.cancel)
    }

    pub(super) fn warn(&self, target: &str, message: String) {
        self.tools.events.send(Event::Warning {
            target: Some(target.to_string()),
            message,
        });
    }

    pub(super) fn note(&self, target: &str, message: String) {
        self.tools.events.send(Event::Note {
            target: Some(target.to_string()),
            message,
        });
    }

    pub(super) fn produced(&self, target: &str, what: Product) {
        self.tools.events.send(Event::Produced {
            target: target.to_string(),
            what,
        });
    }
}
