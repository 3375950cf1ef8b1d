//! COPY, ADD, WORKDIR and the manifest's file steps, executed: owners looked up, sources fetched, the plan
//! keyed, and the layer written unless the store has it.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::cache::StepKind;
use super::stages::Stages;
use super::step_runner::StepRunner;
use crate::define::config::HistoryKind;
use crate::define::state::{ImageState, OwnershipClass};
use crate::files::context::ContextTree;
use crate::files::copy::contents::{Contents, NoContents};
use crate::files::copy::owner::{self, Accounts};
use crate::files::copy::tree::show;
use crate::files::copy::write::{FromLayers, write_layer};
use crate::files::copy::{Content, LayerTree, Plan, Tree};
use crate::files::download;
use crate::files::git::{self, Checkout};
use crate::files::hash::hash_plan;
use crate::files::operation::Origin;
use crate::files::operation::{self, FileStep, FileWork, Operation};
use crate::files::patterns::Patterns;
use crate::layer::ImageLayer;
use crate::step_key::{self, Times};
use imgmake_event::StepOutcome;
use imgmake_oci::layer::{LayerBlob, View};

/// Makes layers of files for the stages of one platform.
pub struct FileSteps<'a> {
    pub steps: &'a StepRunner<'a>,
    pub stages: &'a Stages<'a>,
}

impl FileSteps<'_> {
    /// # Errors
    /// A source that is missing or cannot be had.
    pub fn run(&self, state: &mut ImageState, work: &FileWork) -> Result<StepOutcome> {
        let mut steps = self.resolved_steps(state, work)?;
        let _checkouts = self.checked_out(&mut steps, work)?;
        let below = match work.link {
            true => View::default(),
            false => self.steps.layers.view(state)?,
        };
        let mut sources = self.sources(work)?;
        let mut plan = operation::plan(
            &steps,
            &*sources.tree,
            &mut *sources.contents,
            &below,
            self.steps.definition.epoch,
            &self.steps.stop,
        )?;
        if !plan.changes {
            state
                .config
                .history(work.history.clone(), HistoryKind::Empty);
            return Ok(StepOutcome::Cached);
        }
        hash_plan(&mut plan, sources.context.as_deref(), &self.steps.stop)?;
        state.class = state.class.max(sources.class);
        let times = match sources.ran && self.steps.definition.epoch.is_none() {
            true => Times::OfCopiesDoNot,
            false => Times::Count,
        };
        state.ran |= sources.ran;
        let key = step_key::of_plan(
            &plan,
            times,
            self.steps.request.compression,
            state.class.name(),
        );
        let (layer, outcome) = self.steps.cached(&key, StepKind::Files, state.role, || {
            self.write(&plan, &mut sources)
        })?;
        self.steps
            .layers
            .push_layer(state, layer, work.history.clone())?;
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
            let fetch = |n: usize| self.steps.layers.pull(&[&layers[n]]);
            let gathered = FromLayers::gather(
                &self.steps.layers.cx.store,
                &blobs,
                &wanted,
                &fetch,
                &self.steps.stop,
            )?;
            sources.contents = Box::new(gathered);
        }
        write_layer(
            plan,
            &mut *sources.contents,
            self.steps.request.compression,
            &self.steps.layers.cx.store,
            &self.steps.stop,
        )
    }

    /// Owners looked up in the image, downloads done.
    fn resolved_steps(&self, state: &mut ImageState, work: &FileWork) -> Result<Vec<FileStep>> {
        let named = |owner: &Option<String>| owner.as_deref().is_some_and(owner::needs_accounts);
        let accounts = match work.steps.iter().any(|(_, owner)| named(owner)) {
            true => self.steps.layers.accounts(state)?,
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
                file: download::fetch(download, &self.steps.layers.cx, self.steps.request)?,
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
            let commit = git::resolve(source, &self.steps.layers.cx, self.steps.request)?;
            let checkout =
                git::checkout(source, &commit, &self.steps.layers.cx, self.steps.request)?;
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
                let mut from = self.stages.finished(*number).clone();
                let name = match self.stages.graph.stages[*number].name.as_str() {
                    "" => "the stage".into(),
                    name => format!("`{name}`"),
                };
                return Ok(Sources {
                    tree: Arc::new(self.steps.layers.tree(&mut from, name)?),
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
        let tree = self.steps.context(directory)?;
        Ok(Sources {
            contents: Box::new(InContext(tree.clone())),
            context: Some(tree.clone()),
            tree,
            class: OwnershipClass::Full,
            ran: false,
            layers: None,
        })
    }

    pub fn whole_directory(&self, state: &mut ImageState, directory: &Path) -> Result<()> {
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
            history: format!(
                "FROM {}",
                crate::define::definition::display_path(directory)
            ),
        };
        self.run(state, &work).map(drop)
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
