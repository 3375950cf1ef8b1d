//! What a build adds to its base, in the form that was asked for: without some paths, as one layer.
//!
//! Only the image changes. The layers that steps made stay whole in the store, so later steps and other stages
//! see everything, and builds that ask for another form take the same steps from the cache.

use anyhow::Result;

use crate::define::config::Made;
use crate::define::graph::Start;
use crate::define::state::{ImageLayer, ImageState, StepLayer, pull, read_indexes};
use crate::execute::cache::{Depth, StepKind};
use crate::execute::executor::Execution;
use crate::execute::rewrite::Rewrite;
use crate::files::copy::tree::show;
use crate::step_key;
use imgmake_core::fingerprint::{Bytes, Fingerprint, LengthPrefixedHasher};
use imgmake_oci::image::History;
use imgmake_oci::layer::{LayerBlob, View, Whiteout, clean};

/// The form of what is added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddedLayers {
    pub count: LayerCount,
    pub without: IgnoredPaths,
}

/// How many layers a build adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LayerCount {
    #[default]
    OnePerStep,
    /// All that is added becomes one; the base keeps its own.
    One,
}

/// What a build changes at or beneath these paths is in no layer of the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoredPaths(Vec<Vec<u8>>);

impl Fingerprint for AddedLayers {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        let Self { count, without } = self;
        hasher.add(count).add(without);
    }
}

impl Fingerprint for LayerCount {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        hasher.text(match self {
            Self::OnePerStep => "one per step",
            Self::One => "one",
        });
    }
}

impl Fingerprint for IgnoredPaths {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        let Self(paths) = self;
        hasher.list(paths.iter().map(|path| Bytes(path)));
    }
}

impl IgnoredPaths {
    /// Absolute paths of the image.
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a str>) -> IgnoredPaths {
        let mut paths: Vec<Vec<u8>> = paths.into_iter().map(|p| clean(p.as_bytes())).collect();
        paths.sort();
        paths.dedup();
        IgnoredPaths(paths)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn shown(&self) -> String {
        let paths = self.0.iter();
        imgmake_guard::printable::list(paths.map(|p| format!("/{}", show(p))))
    }

    /// Whether an entry of a layer is left out; a whiteout counts as what it removes.
    pub fn hold(&self, path: &[u8]) -> bool {
        let meant = match Whiteout::parse(path) {
            Some(Whiteout::Removes(path) | Whiteout::Opaque(path)) => path,
            Some(Whiteout::Reserved) | None => path.to_vec(),
        };
        let beneath = |ignored: &Vec<u8>| {
            let rest = meant.strip_prefix(ignored.as_slice());
            rest.is_some_and(|rest| rest.first().is_none_or(|b| *b == b'/'))
        };
        self.0.iter().any(beneath)
    }
}

impl Execution<'_> {
    /// The finished image, with its added layers as the request wants them.
    ///
    /// # Errors
    /// A layer that cannot be had or written.
    pub(crate) fn in_form(&self, mut image: ImageState) -> Result<ImageState> {
        let base = self.base_layers();
        if !self.request.added.without.is_empty() {
            self.leave_out(&mut image, base)?;
        }
        if self.request.added.count == LayerCount::One && image.layers.len() > base + 1 {
            self.squash(&mut image, base)?;
        }
        Ok(image)
    }

    /// How many layers the image that the target's first stage begins with has.
    fn base_layers(&self) -> usize {
        let mut stage = self.program.target;
        loop {
            match &self.program.stages[stage].start {
                Start::Stage(below) => stage = *below,
                Start::Image(image) => return image.layers.len(),
                Start::Scratch | Start::Directory(_) => return 0,
            }
        }
    }

    fn leave_out(&self, image: &mut ImageState, base: usize) -> Result<()> {
        let ignored = &self.request.added.without;
        let added: Vec<&ImageLayer> = image.layers[base..].iter().collect();
        read_indexes(self.engine, &self.request.target, &added)?;
        // From the top: what is taken out moves nothing that is still to be looked at.
        for at in (base..image.layers.len()).rev() {
            let layer = image.layers[at].clone();
            let index = self.engine.store.index(&layer.blob())?;
            if !index.entries.iter().any(|e| ignored.hold(&e.entry.path)) {
                continue;
            }
            let mut key = self.key("without");
            key.list(image.layers[..at].iter().map(|l| &l.diff_id))
                .add(&layer.diff_id)
                .add(ignored);
            let text = format!("leave out {}", ignored.shown());
            let made = self.rewritten(image, &key, &text, &[layer], || {
                let below: Vec<&ImageLayer> = image.layers[..at].iter().collect();
                read_indexes(self.engine, &self.request.target, &below)?;
                let below = View::new(&image.indexes(self.engine)?[..at]);
                Ok(Rewrite::without(&index, &|path| ignored.hold(path), &below))
            })?;
            match made.empty {
                true => {
                    let above = image.layers.len() - 1 - at;
                    image.layers.remove(at);
                    nothing_came_of(&mut image.config.image.history, above);
                }
                false => image.layers[at] = made.layer,
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
        let made = self.rewritten(image, &key, &text, &layers, || {
            let all: Vec<&ImageLayer> = layers.iter().collect();
            read_indexes(self.engine, &self.request.target, &all)?;
            Rewrite::squash(&image.indexes(self.engine)?, base)
        })?;
        image.layers.truncate(base);
        for _ in 0..count {
            nothing_came_of(&mut image.config.image.history, 0);
        }
        let history = format!("{text} # imgmake");
        if made.empty {
            image.config.history(history, Made::Nothing);
            return Ok(());
        }
        image.layers.push(made.layer);
        image.config.history(history, Made::Layer);
        Ok(())
    }

    fn key(&self, kind: &str) -> LengthPrefixedHasher {
        let mut key = step_key::of(kind);
        key.add(&self.request.compression);
        key
    }

    /// A layer made of others, as a step of its own.
    fn rewritten(
        &self,
        image: &ImageState,
        key: &LengthPrefixedHasher,
        text: &str,
        layers: &[ImageLayer],
        rewrite: impl FnOnce() -> Result<Rewrite>,
    ) -> Result<StepLayer> {
        let kind = match image.ran {
            true => StepKind::Run,
            false => StepKind::Files,
        };
        let mut made = None;
        self.reported(text, "", |_| {
            let (layer, outcome) = self.cached(&key.hex(), kind, Depth::Final, || {
                let rewrite = rewrite()?;
                let read: Vec<&ImageLayer> = rewrite.sources().map(|n| &layers[n]).collect();
                pull(self.engine, &self.request.target, &read)?;
                let blobs: Vec<LayerBlob> = layers.iter().map(ImageLayer::blob).collect();
                let compression = self.request.compression;
                let store = &self.engine.store;
                rewrite.write(&blobs, compression, store, &self.shared.stop)
            })?;
            made = Some(layer);
            Ok(outcome)
        })?;
        Ok(made.expect("what succeeded has made a layer"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_holds_itself_and_what_is_beneath_it() {
        let paths = IgnoredPaths::new(["/var/run", "/tmp/x/../y/"]);
        for (path, held) in [
            ("var/run", true),
            ("var/run/app.pid", true),
            ("var/runner", false),
            ("var", false),
            ("run", false),
            ("tmp/y/z", true),
            ("tmp/x", false),
            ("var/.wh.run", true),
            ("var/run/.wh.app.pid", true),
            ("var/run/.wh..wh..opq", true),
            ("var/.wh..wh..opq", false),
            (".wh.var", false),
        ] {
            assert_eq!(paths.hold(path.as_bytes()), held, "{path}");
        }
    }
}
