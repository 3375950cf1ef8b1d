//! The project that targets belong to: its graph, where it lies, and how a problem at a place of
//! its manifest is shown. Knows neither how a manifest is found nor who is believed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::failure::plain;
use super::git_index::GitIndex;
use super::pins::LockedPins;
use imgmake_core::execute::{Action, Failure, FailureKind, When};
use imgmake_core::graph::{Graph, TargetId};
use imgmake_core::manifest::{Diagnostic, Sources, Span, Spanned, TargetKind, UNWRITTEN};
use imgmake_core::plan::Plan;
use imgmake_guard::checkout::Checkout;

pub struct Project {
    /// Absolute: where the manifest is, and its paths start.
    pub directory: PathBuf,
    /// The manifest's name, for messages; empty for a manifest that is no file.
    pub file: String,
    /// The texts behind the spans.
    pub sources: Sources,
    pub graph: Graph,
    /// What `lock` names.
    pub lock: Option<Arc<LockedPins>>,
    /// The manifest of the directory, which is another one, demands a gate of each push.
    pub demands_gate: bool,
    /// What a CI step's context is a part of, where it is not itself the whole.
    pub whole: Option<PathBuf>,
    /// Which files git tracks.
    pub git_index: Arc<GitIndex>,
    pub color: bool,
    pub width: usize,
}

impl Project {
    /// Whether somebody wrote the manifest, so that messages can show its lines.
    pub fn is_written(&self) -> bool {
        !self.file.is_empty() && self.file != UNWRITTEN
    }

    /// What strangers may have written of what is built from `context`: the project, where a
    /// manifest says what belongs together, else the context and then the working directory.
    pub fn checkout(&self, context: &Path) -> Checkout {
        match self.file.is_empty() {
            false => Checkout::new([self.directory.as_path(), context]),
            true => {
                let whole = self.whole.as_deref().unwrap_or(context);
                Checkout::new([whole, context, self.directory.as_path()])
            }
        }
    }

    /// The plan as execute wants it.
    pub fn actions(&self, plan: &Plan) -> Vec<Action> {
        let places: BTreeMap<TargetId, usize> = plan
            .order
            .iter()
            .enumerate()
            .map(|(at, id)| (*id, at))
            .collect();
        let action = |id: &TargetId| {
            let mut needs: Vec<usize> = self
                .graph
                .dependencies(*id)
                .iter()
                .filter_map(|(need, _)| places.get(need).copied())
                .collect();
            needs.sort_unstable();
            needs.dedup();
            Action {
                target: self.graph.name(*id).to_string(),
                kind: kind_name(&self.graph, *id),
                needs,
                when: self.when(*id),
                pool: self.pool(*id),
                alone: matches!(&self.graph.target(*id).kind, TargetKind::Run(run) if run.interactive),
            }
        };
        plan.order.iter().map(action).collect()
    }

    /// How many targets of each pool work at the same time.
    pub fn pools(&self) -> Vec<usize> {
        let pools = &self.graph.manifest().settings.pools;
        pools.values().copied().collect()
    }

    /// Its place among [`Project::pools`].
    fn pool(&self, id: TargetId) -> Option<usize> {
        let name = &self.graph.target(id).pool.as_ref()?.value;
        let mut names = self.graph.manifest().settings.pools.keys();
        names.position(|known| known == name)
    }

    fn when(&self, id: TargetId) -> When {
        match &self.graph.target(id).kind {
            TargetKind::Run(run) if run.inputs.is_empty() => When::Always,
            _ => When::Stale,
        }
    }

    /// A target that failed for a place in the manifest, which is shown where there is a manifest.
    pub fn failed_at(
        &self,
        target: &str,
        kind: FailureKind,
        mut diagnostic: Diagnostic,
    ) -> Failure {
        if !self.is_written() {
            return Failure::new(kind, self.problem(diagnostic));
        }
        // A rendered message is shown as it is.
        diagnostic.message = format!("target `{target}`: {}", diagnostic.message);
        Failure::new(kind, self.problem(diagnostic)).rendered()
    }

    /// A problem at a place in the manifest, rendered; without a manifest, the message alone.
    pub fn problem(&self, diagnostic: Diagnostic) -> String {
        if !self.is_written() {
            let help = diagnostic
                .help
                .map(|h| format!("\n  help: {h}"))
                .unwrap_or_default();
            return format!("{}: {}{help}", diagnostic.message, diagnostic.label);
        }
        self.sources.render(&[diagnostic], self.color, self.width)
    }

    /// A target that failed for a place in the manifest.
    pub fn failure(
        &self,
        target: &str,
        place: Span,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Failure {
        let diagnostic = Diagnostic::at(place, message, label);
        self.failed_at(target, FailureKind::Failed, diagnostic)
    }

    /// A file of the manifest that cannot be read.
    pub fn unreadable(
        &self,
        target: &str,
        path: &Spanned<String>,
        error: &std::io::Error,
    ) -> Failure {
        let message = format!("cannot read `{}`", path.value);
        self.failure(target, path.span, message, plain(error))
    }

    /// `imgmake.kdl:3`
    pub fn place(&self, at: usize) -> Option<String> {
        let (file, line) = self.sources.place(at)?;
        Some(format!("{file}:{line}"))
    }
}

/// How people call the kind of a target.
pub fn kind_name(graph: &Graph, id: TargetId) -> &'static str {
    match graph.target(id).kind {
        TargetKind::Build(_) => "build",
        TargetKind::Scan(_) => "scan",
        TargetKind::Push(_) => "push",
        TargetKind::Run(_) => "run",
    }
}
