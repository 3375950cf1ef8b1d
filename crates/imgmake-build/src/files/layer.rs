//! COPY, ADD, WORKDIR and the manifest's file steps, executed: owners looked up, sources fetched, the plan
//! keyed, and the layer written unless the store has it.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use crate::define::config::Made;
use crate::define::evaluate::FileWork;
use crate::define::graph::Origin;
use crate::define::state::{ImageLayer, ImageState, OwnershipClass, pull};
use crate::execute::cache::StepKind;
use crate::execute::executor::Execution;
use crate::files::context::ContextTree;
use crate::files::copy::contents::{Contents, NoContents};
use crate::files::copy::owner::{self, Accounts};
use crate::files::copy::tree::show;
use crate::files::copy::write::{FromLayers, write_layer};
use crate::files::copy::{Content, LayerTree, Plan, Tree};
use crate::files::download;
use crate::files::git::{self, Checkout};
use crate::files::operation::{self, FileStep, Operation};
use crate::files::patterns::Patterns;
use crate::step_key::{self, Times};
use imgmake_event::StepOutcome;
use imgmake_oci::layer::{LayerBlob, View};

impl Execution<'_> {
    pub(crate) fn files(&self, state: &mut ImageState, work: &FileWork) -> Result<StepOutcome> {
        let mut steps = self.resolved_steps(state, work)?;
        let _checkouts = self.checked_out(&mut steps, work)?;
        let below = match work.link {
            true => View::default(),
            false => state.view(self.engine, &self.request.target)?.clone(),
        };
        let mut sources = self.sources(work)?;
        let mut plan = operation::plan(
            &steps,
            &*sources.tree,
            &mut *sources.contents,
            &below,
            self.loaded.epoch,
            &self.shared.stop,
        )?;
        if !plan.changes {
            state.config.history(work.history.clone(), Made::Nothing);
            return Ok(StepOutcome::Cached);
        }
        operation::hash(&mut plan, sources.context.as_deref(), &self.shared.stop)?;
        state.class = state.class.max(sources.class);
        let times = match sources.ran && self.loaded.epoch.is_none() {
            true => Times::OfCopiesDoNot,
            false => Times::Count,
        };
        state.ran |= sources.ran;
        let key = step_key::of_plan(&plan, times, self.request.compression, state.class.name());
        let (layer, outcome) = self.cached(&key, StepKind::Files, state.depth, || {
            self.write(&plan, &mut sources)
        })?;
        state.push_layer(
            self.engine,
            &self.request.target,
            layer,
            work.history.clone(),
        )?;
        Ok(outcome)
    }

    fn write(&self, plan: &Plan, sources: &mut Sources) -> Result<LayerBlob> {
        if let Some(layers) = &sources.layers {
            let wanted: Vec<Vec<u8>> = plan
                .entries
                .values()
                .filter_map(|p| match &p.content {
                    Content::Source(path) => Some(path.clone()),
                    _ => None,
                })
                .collect();
            let blobs: Vec<LayerBlob> = layers.iter().map(ImageLayer::blob).collect();
            let fetch = |n: usize| pull(self.engine, &self.request.target, &[&layers[n]]);
            let gathered = FromLayers::gather(
                &self.engine.store,
                &blobs,
                &wanted,
                &fetch,
                &self.shared.stop,
            )?;
            sources.contents = Box::new(gathered);
        }
        write_layer(
            plan,
            &mut *sources.contents,
            self.request.compression,
            &self.engine.store,
            &self.shared.stop,
        )
    }

    /// Owners looked up in the image, downloads done.
    fn resolved_steps(&self, state: &mut ImageState, work: &FileWork) -> Result<Vec<FileStep>> {
        let named = |owner: &Option<String>| owner.as_deref().is_some_and(owner::needs_accounts);
        let accounts = match work.steps.iter().any(|(_, owner)| named(owner)) {
            true => state.accounts(self.engine, &self.request.target)?,
            false => Accounts::default(),
        };
        let mut steps = Vec::new();
        for (step, owner) in &work.steps {
            let mut step = step.clone();
            if let Some(owner) = owner {
                owner::check(owner)?;
                step.owner = Some(owner::resolve(owner, &accounts)?);
            }
            steps.push(step);
        }
        for (at, download) in &work.downloads {
            let to = match &steps[*at].operation {
                Operation::Copy { to, .. } => to.clone(),
                _ => continue,
            };
            steps[*at].operation = Operation::Fetched {
                name: download.name.clone(),
                file: download::fetch(download, self.engine, self.request)?,
                unpack: download.unpack,
                to,
            };
        }
        Ok(steps)
    }

    /// The checkouts live as long as what is returned.
    fn checked_out(&self, steps: &mut [FileStep], work: &FileWork) -> Result<Vec<Checkout>> {
        let mut list = Vec::new();
        for (at, source) in &work.checkouts {
            let commit = git::resolve(source, self.engine, self.request)?;
            let checkout = git::checkout(source, &commit, self.engine, self.request)?;
            if let Operation::Copy { to, .. } = &steps[*at].operation {
                steps[*at].operation = Operation::Checkout {
                    directory: checkout.root.clone(),
                    to: to.clone(),
                };
            }
            list.push(checkout);
        }
        Ok(list)
    }

    fn sources(&self, work: &FileWork) -> Result<Sources> {
        let directory = match &work.from {
            Some(Origin::Stage(number)) => {
                let mut from = self.finished(*number).clone();
                let name = match self.program.stages[*number].name.as_str() {
                    "" => "the stage".into(),
                    name => format!("`{name}`"),
                };
                return Ok(Sources {
                    tree: Arc::new(from.tree(self.engine, &self.request.target, name)?),
                    contents: Box::new(NoContents),
                    class: from.class,
                    ran: from.ran,
                    layers: Some(from.layers),
                    context: None,
                });
            }
            Some(Origin::Directory(directory)) => Some(directory.as_path()),
            None => None,
        };
        let reads = |(step, _): &(FileStep, Option<String>)| match &step.operation {
            Operation::Copy { sources, .. }
            | Operation::Parents { sources, .. }
            | Operation::Unpack { sources, .. } => !sources.is_empty(),
            _ => false,
        };
        if !work.steps.iter().any(reads) {
            // Nothing comes from the context, which then need not even be there.
            return Ok(Sources {
                tree: Arc::new(LayerTree::new(View::default(), &[], String::new())),
                contents: Box::new(NoContents),
                class: OwnershipClass::Full,
                ran: false,
                layers: None,
                context: None,
            });
        }
        let tree = self.context(directory)?;
        Ok(Sources {
            contents: Box::new(InContext(tree.clone())),
            context: Some(tree.clone()),
            tree,
            class: OwnershipClass::Full,
            ran: false,
            layers: None,
        })
    }

    pub(crate) fn whole_directory(&self, state: &mut ImageState, directory: &Path) -> Result<()> {
        let operation = Operation::Copy {
            sources: vec![".".into()],
            to: "/".into(),
        };
        let step = FileStep {
            operation,
            owner: None,
            chmod: None,
            exclude: Patterns::default(),
        };
        let work = FileWork {
            steps: vec![(step, None)],
            from: Some(Origin::Directory(directory.to_path_buf())),
            link: false,
            downloads: Vec::new(),
            checkouts: Vec::new(),
            history: format!("FROM {}", crate::define::graph::shown(directory)),
        };
        self.files(state, &work).map(drop)
    }
}

/// Where a layer's files come from.
struct Sources {
    tree: Arc<dyn Tree + Send>,
    contents: Box<dyn Contents>,
    class: OwnershipClass,
    /// As in [`ImageState`].
    ran: bool,
    /// Of the stage that is copied from.
    layers: Option<Vec<ImageLayer>>,
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
