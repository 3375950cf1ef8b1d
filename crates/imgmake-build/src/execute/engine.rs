//! What builds work with: the store, registries, the helper process, caches.

use std::path::PathBuf;
use std::sync::Arc;

use imgmake_core::files::StatCache;
use imgmake_event::{Cancel, Events};
use imgmake_oci::store::Store;
use imgmake_registry::Client;

use super::cache::Cache;
use super::coming::Coming;
use crate::base::image::Bases;
use crate::base::policy::BasePolicy;
use crate::base::warmed::Warmed;
use crate::checkouts::Checkouts;
use crate::pins::Pins;
use crate::run::worker::{CacheScope, Worker};
use crate::target::TargetContext;

/// Everything that a build works with.
#[derive(Clone)]
pub struct Engine {
    pub store: Store,
    /// Where the whole output of a RUN that failed is kept.
    pub logs: Option<PathBuf>,
    pub registry: Client,
    pub git: imgmake_git::Client,
    /// Of contexts, between their Dockerfiles and their files.
    pub checkouts: Checkouts,
    pub worker: Arc<Worker>,
    pub events: Events,
    pub cancel: Cancel,
    pub pins: Arc<dyn Pins>,
    /// Hashes of files that were read before.
    pub stats: Arc<StatCache>,
    /// Layers that somebody in this run is bringing.
    pub coming: Arc<Coming>,
    /// Step results in registries, when there are any.
    pub cache: Option<Arc<Cache>>,
    /// Base images that need not be pulled.
    pub warmed: Option<Warmed>,
    /// Which images bases may be.
    pub bases: Arc<BasePolicy>,
    /// Who shares cache mounts.
    pub cache_scope: CacheScope,
}

impl Engine {
    /// For the build of one target.
    pub fn for_target(&self, target: &str) -> TargetContext {
        TargetContext {
            target: target.to_string(),
            store: self.store.clone(),
            logs: self.logs.clone(),
            registry: self.registry.clone(),
            git: self.git.clone(),
            checkouts: self.checkouts.clone(),
            pins: self.pins.clone(),
            stats: self.stats.clone(),
            events: self.events.clone(),
            cancel: self.cancel.clone(),
        }
    }

    /// The base images of one build. `pull` resolves their tags again.
    pub(crate) fn bases<'a>(&'a self, cx: &'a TargetContext, pull: bool) -> Bases<'a> {
        Bases::new(&self.bases, self.warmed.as_ref(), cx, pull)
    }
}
