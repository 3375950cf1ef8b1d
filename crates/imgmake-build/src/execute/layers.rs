//! What the layers of a stage hold: from indexes where the store or a cache has them, else from layers that are
//! pulled for it.

use std::sync::Arc;

use super::cache::{Cache, remembered_file};
use super::coming::Coming;
use crate::define::config::HistoryKind;
use crate::define::state::ImageState;
use crate::error::{BuildError, Context, Result};
use crate::files::copy::owner::Accounts;
use crate::files::copy::write::read_file;
use crate::files::tree::LayerTree;
use crate::target::TargetContext;
use imgmake_oci::image::{Descriptor, Reference};
use imgmake_oci::layer::{FollowLast, Index, Layer, View};

/// Layers of one target's build, here or in registries.
pub struct LayerAccess {
    pub cx: TargetContext,
    pub cache: Option<Arc<Cache>>,
    pub coming: Arc<Coming>,
}

impl LayerAccess {
    /// The merged tree of all layers; those without an index on this machine are pulled for it.
    ///
    /// # Errors
    /// A layer that cannot be had or read.
    pub fn view(&self, state: &mut ImageState) -> Result<View> {
        if let Some(view) = &state.view {
            return Ok(view.clone());
        }
        let layers: Vec<&Layer> = state.layers.iter().collect();
        self.read_indexes(&layers)?;
        let view = View::new(&self.indexes(&state.layers)?);
        Ok(state.view.insert(view).clone())
    }

    /// # Errors
    /// The store has none of a layer: [`LayerAccess::read_indexes`] comes first.
    pub fn indexes(&self, layers: &[Layer]) -> Result<Vec<Arc<Index>>> {
        let index = |layer: &Layer| Ok(self.cx.store.index(layer)?);
        layers.iter().map(index).collect()
    }

    /// A stage as something that COPY reads.
    ///
    /// # Errors
    /// As [`LayerAccess::view`].
    pub fn tree(&self, state: &mut ImageState, name: String) -> Result<LayerTree> {
        let view = self.view(state)?;
        Ok(LayerTree::new(view, &self.indexes(&state.layers)?, name))
    }

    /// `/etc/passwd` and `/etc/group` of the image.
    ///
    /// # Errors
    /// As [`LayerAccess::view`].
    pub fn accounts(&self, state: &mut ImageState) -> Result<Accounts> {
        const MOST: u64 = 4 << 20;
        let view = self.view(state)?;
        let layers = &state.layers;
        let fetch = |n: usize| self.pull(&[&layers[n]]);
        let read = |path: &[u8]| {
            let resolved = view.resolve(path, FollowLast::Yes)?;
            let hash = view.get(&resolved).and_then(|found| found.content);
            let read = || read_file(&self.cx.store, layers, &view, path, MOST, &fetch);
            let found = remembered_file(&self.cx, self.cache.as_ref(), hash, read)?;
            Ok::<_, BuildError>(found.unwrap_or_default())
        };
        Ok(Accounts {
            passwd: read(b"etc/passwd").context("cannot read the image's /etc/passwd")?,
            group: read(b"etc/group").context("cannot read the image's /etc/group")?,
        })
    }

    /// Puts the layer of a step on top, if the step changed something; the history says so either way.
    ///
    /// # Errors
    /// As [`LayerAccess::view`].
    pub fn push_layer(
        &self,
        state: &mut ImageState,
        layer: Option<Layer>,
        text: String,
    ) -> Result<()> {
        let Some(layer) = layer else {
            state.config.history(text, HistoryKind::Empty);
            return Ok(());
        };
        if let Some(view) = &mut state.view {
            self.read_indexes(&[&layer])?;
            view.push(&*self.cx.store.index(&layer)?);
        }
        state.layers.push(layer);
        state.config.history(text, HistoryKind::Layer);
        Ok(())
    }

    /// Whether a layer of the store holds nothing.
    ///
    /// # Errors
    /// The store does not have it, or it is not a layer.
    pub fn is_empty(&self, layer: &Layer) -> Result<bool> {
        Ok(self.cx.store.index(layer)?.entries.is_empty())
    }

    /// Sees to it that the store knows what these layers hold: from the cache where that knows it, else they
    /// are pulled and read.
    ///
    /// # Errors
    /// As [`LayerAccess::pull`].
    pub fn read_indexes(&self, layers: &[&Layer]) -> Result<()> {
        let store = &self.cx.store;
        let unread = || -> Vec<&Layer> {
            let is_indexed = |l: &&&Layer| store.has_index(&l.diff_id);
            layers.iter().filter(|l| !is_indexed(l)).copied().collect()
        };
        self.wait_for(&unread())?;
        if let Some(cache) = &self.cache {
            cache.bring_indexes(&self.cx, &unread());
        }
        let unread = unread();
        self.pull(&unread)?;
        for layer in unread {
            store.index(layer)?;
        }
        Ok(())
    }

    /// Until nobody else brings one of these.
    fn wait_for(&self, layers: &[&Layer]) -> Result<()> {
        for layer in layers {
            self.coming.wait_for(&layer.diff_id, &self.cx.cancel)?;
        }
        Ok(())
    }

    /// Sees to it that layers are in the store, after whoever brings them already.
    ///
    /// # Errors
    /// As [`LayerAccess::bring`].
    pub fn pull(&self, layers: &[&Layer]) -> Result<()> {
        self.wait_for(layers)?;
        self.bring(layers)
    }

    /// Brings layers into the store that are not there yet.
    ///
    /// # Errors
    /// The registry's, or a layer that no registry is known for.
    pub fn bring(&self, layers: &[&Layer]) -> Result<()> {
        let store = &self.cx.store;
        let mut sources: Vec<(&Reference, Vec<Descriptor>)> = Vec::new();
        for layer in layers {
            if store.holds(&layer.descriptor) {
                continue;
            }
            let source = layer.source.as_ref().ok_or_else(|| {
                let what = format!("layer {}", layer.digest().short());
                let help = "it is no longer in the store, and no registry is known to have it";
                BuildError::not_found(what, help)
            })?;
            match sources.iter_mut().find(|(s, _)| *s == source) {
                Some((_, list)) => list.push(layer.descriptor.clone()),
                None => sources.push((source, vec![layer.descriptor.clone()])),
            }
        }
        for (source, blobs) in sources {
            self.pull_from(source, &blobs)
                .with_context(|| format!("cannot pull layers of {}", source.familiar()))?;
        }
        for layer in layers {
            store.record_layer(layer)?;
        }
        Ok(())
    }

    /// Pulls blobs of a repository. If the cache had promised one of them, it promises that no more.
    ///
    /// # Errors
    /// The registry's.
    pub fn pull_from(&self, from: &Reference, blobs: &[Descriptor]) -> Result<()> {
        let cx = &self.cx;
        let pulled = cx
            .registry
            .pull_blobs(from, blobs, &cx.store, &cx.operation());
        if let (Err(error), Some(cache)) = (&pulled, &self.cache)
            && !error.is_cancelled()
        {
            let lost = cache.forget_unavailable(cx, from, blobs);
            if !lost && blobs.iter().all(|blob| cx.store.holds(blob)) {
                return Ok(());
            }
        }
        Ok(pulled?)
    }
}
