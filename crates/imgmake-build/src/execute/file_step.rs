//! COPY, ADD, WORKDIR and the manifest's file steps, executed: owners looked up, sources fetched, the plan
//! keyed, and the layer written unless the store has it.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::cache::StepKind;
use super::stages::Stages;
use super::step_runner::{BegunStep, StepRunner};
use crate::checkouts::Checkout;
use crate::define::config::HistoryKind;
use crate::define::definition::display_path;
use crate::define::state::{ImageState, OwnershipClass};
use crate::error::{BuildError, Context, Place, Result};
use crate::files::context::ContextTree;
use crate::files::copy::contents::{Contents, NoContents};
use crate::files::copy::owner::{self, Accounts, UnknownNames};
use crate::files::copy::read_ahead::ReadAhead;
use crate::files::copy::write::{FromLayers, write_layer};
use crate::files::copy::{Content, Plan, select};
use crate::files::download;
use crate::files::git;
use crate::files::layer_plan::{self, Resolved, ResolvedStep};
use crate::files::patterns::Patterns;
use crate::files::source::{CopyMode, FileStep, FileWork, Operation, Origin, Source, TreeSource};
use crate::files::tree::{LayerTree, Tree, show};
use crate::step_key::{self, Times};
use imgmake_core::fingerprint::LengthPrefixedHasher;
use imgmake_event::StepOutcome;
use imgmake_oci::layer::{EntryKind, Layer, View};

/// Makes layers of files for the stages of one platform.
pub struct FileSteps<'a> {
    pub steps: &'a StepRunner<'a>,
    pub stages: &'a Stages<'a>,
    /// Of the instruction, for warnings.
    pub place: Place,
}

impl FileSteps<'_> {
    /// `on_made` hears of the layers below once it turns out that the layer has to be made.
    ///
    /// # Errors
    /// A source that is missing or cannot be had.
    pub fn run(
        &self,
        state: &mut ImageState,
        work: &FileWork,
        begun: Option<&BegunStep>,
        on_made: &dyn Fn(&[Layer]),
    ) -> Result<StepOutcome> {
        if work.is_context {
            return self.fetched_context(state, work, begun);
        }
        // The checkouts live as long as the step.
        let mut checkouts = Vec::new();
        let steps = self.resolved_steps(state, work, &mut checkouts)?;
        let below = match work.link {
            true => View::default(),
            false => self.steps.layers.view(state)?,
        };
        let mut sources = self.sources(work)?;
        self.open_archives(work, &mut sources)?;
        let mut plan = layer_plan::plan(
            &steps,
            work.is_one_instruction,
            &*sources.tree,
            &mut *sources.contents,
            &below,
            self.steps.definition.epoch.seconds,
            &self.steps.stop,
        )?;
        for warning in &plan.warnings {
            self.warn(warning);
        }
        if !plan.changes {
            state
                .config
                .history(work.history.clone(), HistoryKind::Empty);
            return Ok(StepOutcome::Cached);
        }
        let hashes = self.steps.file_hashes();
        hashes.of_plan(&mut plan, sources.context.as_deref())?;
        state.class = state.class.max(sources.class);
        let times = match sources.has_run_layer && self.steps.definition.epoch.seconds.is_none() {
            true => Times::ExceptOfCopies,
            false => Times::All,
        };
        state.has_run_layer |= sources.has_run_layer;
        let key = step_key::of_plan(
            &plan,
            times,
            self.steps.request.compression,
            state.class.name(),
        );
        let (layer, outcome) =
            self.steps
                .cached(begun, &key, StepKind::Files, state.role, || {
                    on_made(&state.layers);
                    self.write(&plan, &mut sources)
                })?;
        self.steps
            .layers
            .push_layer(state, layer, work.history.clone())?;
        Ok(outcome)
    }

    fn warn(&self, warning: &str) {
        let cx = &self.steps.layers.cx;
        cx.warn(format!("{}: {warning}", self.place));
    }

    fn write(&self, plan: &Plan, sources: &mut Sources) -> Result<Layer> {
        if let Some(layers) = &sources.layers {
            let contents = plan.entries.values().map(|planned| &planned.content);
            let contents = contents.chain(&plan.archives);
            let wanted = contents.filter_map(|content| match content {
                Content::Source(path) => Some(path.clone()),
                _ => None,
            });
            let wanted: Vec<Vec<u8>> = wanted.collect();
            sources.contents = Box::new(self.gathered(layers, &wanted)?);
        }
        if let Some(context) = &sources.context {
            sources.contents = Box::new(ReadAhead::new(Arc::clone(context), plan));
        }
        write_layer(
            plan,
            &mut *sources.contents,
            self.steps.request.compression,
            &self.steps.layers.cx.store,
            &self.steps.stop,
        )
    }

    fn gathered(&self, layers: &[Layer], wanted: &[Vec<u8>]) -> Result<FromLayers> {
        let fetch = |n: usize| self.steps.layers.pull(&[&layers[n]]);
        let store = &self.steps.layers.cx.store;
        FromLayers::gather(store, layers, wanted, &fetch, &self.steps.stop)
    }

    /// ADD looks into files of a fetched context before they are planned: they may be archives.
    fn open_archives(&self, work: &FileWork, sources: &mut Sources) -> Result<()> {
        let Some(layers) = &sources.layers else {
            return Ok(());
        };
        let mut wanted = BTreeSet::new();
        for step in &work.steps {
            let Some(tree) = step.operation.tree() else {
                continue;
            };
            if tree.mode != CopyMode::Unpack {
                continue;
            }
            for path in &tree.paths {
                for found in select::sources(&*sources.tree, path, &step.exclude)? {
                    let node = sources.tree.get(&found)?;
                    let file = node.filter(|node| matches!(node.kind, EntryKind::File { .. }));
                    wanted.extend(file.map(|node| node.path));
                }
            }
        }
        if !wanted.is_empty() {
            let wanted: Vec<Vec<u8>> = wanted.into_iter().collect();
            sources.contents = Box::new(self.gathered(layers, &wanted)?);
        }
        Ok(())
    }

    /// All that a fetched context holds. What was fetched is the key, so that nothing is fetched for a layer that
    /// is here.
    fn fetched_context(
        &self,
        state: &mut ImageState,
        work: &FileWork,
        begun: Option<&BegunStep>,
    ) -> Result<StepOutcome> {
        let (cx, request) = (&self.steps.layers.cx, self.steps.request);
        let [
            FileStep {
                operation: Operation::Copy { source, .. },
                ..
            },
        ] = &work.steps[..]
        else {
            return Err(BuildError::internal("a context is one source"));
        };
        let mut key = LengthPrefixedHasher::new();
        key.text("files of a context");
        key.add(&request.compression)
            .add(&self.steps.definition.epoch.seconds);
        let commit = match source {
            Source::Git(source) => {
                let commit = git::resolve(source, cx, request)?;
                key.text(&source.key(&commit));
                Some((source, commit))
            }
            Source::Download(download) => {
                key.bytes(&download::fetch(download, cx, request)?.hash);
                None
            }
            Source::Tree(_) | Source::Inline(_) => {
                return Err(BuildError::internal("what is fetched is elsewhere"));
            }
        };
        let make = || {
            // It was read for its Dockerfile, perhaps.
            let waiting = commit
                .as_ref()
                .and_then(|(source, commit)| cx.checkouts.take(&source.key(commit)));
            let mut checkouts = Vec::new();
            let steps = match &waiting {
                Some(checkout) => vec![FileStep {
                    operation: Operation::Copy {
                        source: Resolved::Checkout(checkout.root.clone()),
                        to: "/".into(),
                    },
                    owner: None,
                    chmod: None,
                    exclude: Patterns::default(),
                }],
                None => self.resolved_steps(&mut state.clone(), work, &mut checkouts)?,
            };
            let mut sources = self.sources(work)?;
            let mut plan = layer_plan::plan(
                &steps,
                work.is_one_instruction,
                &*sources.tree,
                &mut *sources.contents,
                &View::default(),
                self.steps.definition.epoch.seconds,
                &self.steps.stop,
            )?;
            if let (Source::Download(download), true) = (source, plan.archives.is_empty()) {
                let what = format!("the context `{}`", download::redacted(&download.url));
                return Err(BuildError::invalid(what, "expected a tar archive"));
            }
            self.steps.file_hashes().of_plan(&mut plan, None)?;
            self.write(&plan, &mut sources)
        };
        let (layer, outcome) =
            self.steps
                .cached(begun, &key.hex(), StepKind::Files, state.role, make)?;
        let history = work.history.clone();
        self.steps.layers.push_layer(state, layer, history)?;
        Ok(outcome)
    }

    /// Owners looked up in the image, sources fetched.
    fn resolved_steps(
        &self,
        state: &mut ImageState,
        work: &FileWork,
        checkouts: &mut Vec<Checkout>,
    ) -> Result<Vec<ResolvedStep>> {
        let named = |step: &FileStep| step.owner.as_deref().is_some_and(owner::needs_accounts);
        let accounts = match work.steps.iter().any(named) {
            true => self.steps.layers.accounts(state)?,
            false => Accounts::default(),
        };
        // Sources of one instruction have one owner.
        let mut told = Vec::new();
        let mut resolve = |owner: &String| {
            owner::check(owner)?;
            let found = owner::resolve(owner, &accounts)?;
            for unknown in found.unknown {
                match work.unknown_names {
                    UnknownNames::Root => told.push(unknown.warning()),
                    UnknownNames::Refused => return Err(unknown.into_error()),
                }
            }
            Ok(found.ids)
        };
        let owners = work
            .steps
            .iter()
            .map(|step| step.owner.as_ref().map(&mut resolve).transpose())
            .collect::<Result<Vec<_>>>()?;
        let mut known = BTreeSet::new();
        told.retain(|warning| known.insert(warning.clone()));
        told.iter().for_each(|warning| self.warn(warning));
        let with_owner = work.steps.iter().zip(owners);
        with_owner
            .map(|(step, owner)| {
                Ok(ResolvedStep {
                    operation: self.resolved(&step.operation, checkouts)?,
                    owner,
                    chmod: step.chmod.clone(),
                    exclude: step.exclude.clone(),
                })
            })
            .collect()
    }

    fn resolved(
        &self,
        operation: &Operation,
        checkouts: &mut Vec<Checkout>,
    ) -> Result<Operation<Resolved>> {
        let (cx, request) = (&self.steps.layers.cx, self.steps.request);
        let (source, to) = match operation {
            Operation::Copy { source, to } => (source, to),
            Operation::Directory { path, mode } => {
                return Ok(Operation::Directory {
                    path: path.clone(),
                    mode: mode.clone(),
                });
            }
            Operation::Symlink { path, target } => {
                return Ok(Operation::Symlink {
                    path: path.clone(),
                    target: target.clone(),
                });
            }
        };
        let source = match source {
            Source::Tree(tree) => Resolved::Tree {
                paths: tree.paths.clone(),
                mode: tree.mode,
            },
            Source::Download(download) => Resolved::Fetched {
                name: download.name.clone(),
                file: download::fetch(download, cx, request)?,
                unpack: download.unpack,
            },
            Source::Git(source) => {
                let commit = git::resolve(source, cx, request)?;
                let checkout = git::checkout(source, &commit, cx, request)?;
                let root = checkout.root.clone();
                checkouts.push(checkout);
                Resolved::Checkout(root)
            }
            Source::Inline(inline) => Resolved::Inline(inline.clone()),
        };
        Ok(Operation::Copy {
            source,
            to: to.clone(),
        })
    }

    fn sources(&self, work: &FileWork) -> Result<Sources> {
        let directory = match work.origin() {
            Some(Origin::Stage(number)) => {
                let mut from = self.stages.finished(*number).clone();
                let name = match self.stages.graph.stages[*number].name.as_str() {
                    "" => "the stage".into(),
                    name => format!("`{name}`"),
                };
                return Ok(Sources {
                    tree: Arc::new(self.steps.layers.tree(&mut from, name)?),
                    contents: Box::new(NoContents),
                    class: from.class,
                    has_run_layer: from.has_run_layer,
                    layers: Some(from.layers),
                    context: None,
                });
            }
            Some(Origin::Directory(directory)) => Some(directory.as_path()),
            Some(Origin::Context) => None,
            None => {
                // Nothing comes from the context, which then need not even be there.
                return Ok(Sources {
                    tree: Arc::new(LayerTree::new(View::default(), &[], String::new())),
                    contents: Box::new(NoContents),
                    class: OwnershipClass::Full,
                    has_run_layer: false,
                    layers: None,
                    context: None,
                });
            }
        };
        let tree = self.steps.context(directory)?;
        Ok(Sources {
            contents: Box::new(InContext(tree.clone())),
            context: Some(tree.clone()),
            tree,
            class: OwnershipClass::Full,
            has_run_layer: false,
            layers: None,
        })
    }

    pub fn whole_directory(&self, state: &mut ImageState, directory: &Path) -> Result<()> {
        let operation = Operation::Copy {
            source: Source::Tree(TreeSource {
                from: Origin::Directory(directory.to_path_buf()),
                paths: vec![".".into()],
                mode: CopyMode::Plain,
            }),
            to: "/".into(),
        };
        let work = FileWork {
            steps: vec![FileStep::plain(operation)],
            link: false,
            unknown_names: UnknownNames::Refused,
            is_one_instruction: true,
            is_context: false,
            history: format!("FROM {}", display_path(directory)),
        };
        self.run(state, &work, None, &|_| ()).map(drop)
    }
}

/// Where a layer's files come from.
struct Sources {
    tree: Arc<dyn Tree + Send>,
    contents: Box<dyn Contents>,
    class: OwnershipClass,
    /// As in [`ImageState`].
    has_run_layer: bool,
    /// Of the stage that is copied from.
    layers: Option<Vec<Layer>>,
    /// The directory that is copied from.
    context: Option<Arc<ContextTree>>,
}

/// Files of a context, from the directory that was walked.
struct InContext(Arc<ContextTree>);

impl Contents for InContext {
    fn open(&mut self, source: &[u8]) -> Result<Box<dyn Read + Send + '_>> {
        let file = self.0.open_file(source);
        let at = || format!("cannot read `{}`", show(source));
        Ok(Box::new(file.with_context(at)?))
    }
}
