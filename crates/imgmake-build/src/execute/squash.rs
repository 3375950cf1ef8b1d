//! What a build adds to its base, in the form that was asked for: without some paths, as one layer.
//!
//! Only the image changes. The layers that steps made stay whole in the store, so later steps and other stages
//! see everything, and builds that ask for another form take the same steps from the cache.

use super::cache::StepKind;
use super::rewrite::Rewrite;
use super::step_runner::StepRunner;
use crate::define::config::HistoryKind;
use crate::define::graph::{StageGraph, Start};
use crate::define::state::{ImageState, StageRole};
use crate::error::Result;
use crate::request::LayerCount;
use crate::step_key;
use imgmake_core::fingerprint::LengthPrefixedHasher;
use imgmake_oci::image::History;
use imgmake_oci::layer::{Layer, View};

/// The finished image, with its added layers as the request wants them.
///
/// # Errors
/// A layer that cannot be had or written.
pub fn convert_layers(
    steps: &StepRunner<'_>,
    graph: &StageGraph,
    mut image: ImageState,
) -> Result<ImageState> {
    let base = base_layers(graph);
    let convert = Convert { steps };
    let added = &steps.request.added;
    if !added.without.is_empty() {
        convert.leave_out(&mut image, base)?;
    }
    if added.count == LayerCount::One && image.layers.len() > base + 1 {
        convert.squash(&mut image, base)?;
    }
    Ok(image)
}

/// How many layers the image that the target's first stage begins with has.
fn base_layers(graph: &StageGraph) -> usize {
    let mut stage = graph.target;
    loop {
        match &graph.stages[stage].start {
            Start::Stage(below) => stage = *below,
            Start::Image(image) => return image.layers.len(),
            Start::Scratch | Start::Directory(_) => return 0,
        }
    }
}

struct Convert<'a> {
    steps: &'a StepRunner<'a>,
}

impl Convert<'_> {
    fn leave_out(&self, image: &mut ImageState, base: usize) -> Result<()> {
        let ignored = &self.steps.request.added.without;
        let added: Vec<&Layer> = image.layers[base..].iter().collect();
        self.steps.layers.read_indexes(&added)?;
        // From the top: what is taken out moves nothing that is still to be looked at.
        for at in (base..image.layers.len()).rev() {
            let layer = image.layers[at].clone();
            let index = self.steps.layers.cx.store.index(&layer)?;
            if !index.entries.iter().any(|e| ignored.hold(&e.entry.path)) {
                continue;
            }
            let mut key = self.key("without");
            key.list(image.layers[..at].iter().map(|l| &l.diff_id))
                .add(&layer.diff_id)
                .add(ignored);
            let text = format!("leave out {}", ignored.display());
            let rewritten = self.rewritten(image, &key, &text, &[layer], || {
                let below: Vec<&Layer> = image.layers[..at].iter().collect();
                self.steps.layers.read_indexes(&below)?;
                let below = View::new(&self.steps.layers.indexes(&image.layers)?[..at]);
                Ok(Rewrite::without(&index, &|path| ignored.hold(path), &below))
            })?;
            match rewritten {
                None => {
                    let above = image.layers.len() - 1 - at;
                    image.layers.remove(at);
                    nothing_came_of(&mut image.config.image.history, above);
                }
                Some(layer) => image.layers[at] = layer,
            }
        }
        Ok(())
    }

    fn squash(&self, image: &mut ImageState, base: usize) -> Result<()> {
        let count = image.layers.len() - base;
        let mut key = self.key("squash");
        key.list(image.layers[..base].iter().map(|l| &l.diff_id))
            .list(image.layers[base..].iter().map(|l| &l.diff_id));
        let text = format!("squash {count} layers");
        let layers = image.layers.clone();
        let rewritten = self.rewritten(image, &key, &text, &layers, || {
            let all: Vec<&Layer> = layers.iter().collect();
            self.steps.layers.read_indexes(&all)?;
            Rewrite::squash(&self.steps.layers.indexes(&image.layers)?, base)
        })?;
        image.layers.truncate(base);
        for _ in 0..count {
            nothing_came_of(&mut image.config.image.history, 0);
        }
        let history = format!("{text} # imgmake");
        let kind = match rewritten {
            None => HistoryKind::Empty,
            Some(_) => HistoryKind::Layer,
        };
        image.layers.extend(rewritten);
        image.config.history(history, kind);
        Ok(())
    }

    fn key(&self, kind: &str) -> LengthPrefixedHasher {
        let mut key = step_key::of(kind);
        key.add(&self.steps.request.compression);
        key
    }

    /// A layer made of others, as a step of its own.
    fn rewritten(
        &self,
        image: &ImageState,
        key: &LengthPrefixedHasher,
        text: &str,
        layers: &[Layer],
        rewrite: impl FnOnce() -> Result<Rewrite>,
    ) -> Result<Option<Layer>> {
        let kind = match image.has_run_layer {
            true => StepKind::Run,
            false => StepKind::Files,
        };
        let mut output = None;
        self.steps.reported(text, ("", &image.platform), |begun| {
            let (layer, outcome) =
                self.steps
                    .cached(Some(begun), &key.hex(), kind, StageRole::Final, || {
                        let rewrite = rewrite()?;
                        let read: Vec<&Layer> = rewrite.sources().map(|n| &layers[n]).collect();
                        self.steps.layers.pull(&read)?;
                        let compression = self.steps.request.compression;
                        let store = &self.steps.layers.cx.store;
                        rewrite.write(layers, compression, store, &self.steps.stop)
                    })?;
            output = Some(layer);
            Ok(outcome)
        })?;
        Ok(output.expect("what succeeded has made a layer"))
    }
}

/// The instruction of a layer, counted from the top, made none after all.
fn nothing_came_of(history: &mut [History], above: usize) {
    let mut layers = history.iter_mut().rev().filter(|h| !h.empty_layer);
    // Histories of foreign bases may tell of fewer layers than there are.
    if let Some(entry) = layers.nth(above) {
        entry.empty_layer = true;
    }
}
