//! What was made here goes into the caches while the build goes on: a few threads send, and the end of a build
//! waits for what it has offered. A build that fails keeps what it had made until then.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex};

use anyhow::{Context, Result, bail};

use super::entry::{self, Entry, FILE, INDEX, Name, StepEntry};
use super::{Answer, Cache, CacheMode, CacheTo, Depth, OnCacheError, StepKind, index, locked};
use crate::Engine;
use crate::define::state::ImageLayer;
use imgmake_event::Events;
use imgmake_oci::image::{Descriptor, media_type};
use imgmake_oci::layer::LayerBlob;
use imgmake_registry::{CachePush, CacheTag, OperationContext, RegistryError};

const SENDERS: usize = 4;

/// Something that other machines could use.
#[derive(Clone)]
pub struct Offer {
    name: Name,
    content: Content,
    depth: Depth,
    /// An entry that is there already is replaced.
    replace: bool,
}

#[derive(Clone)]
enum Content {
    Layer {
        layer: LayerBlob,
        empty: bool,
    },
    /// Found in one cache, wanted in another.
    Found(Box<StepEntry>, Box<ImageLayer>),
    Index(LayerBlob),
    File(Vec<u8>),
}

impl Offer {
    /// A layer that was made here, whether now or before.
    pub fn step(key: &str, layer: &LayerBlob, empty: bool, depth: Depth, replace: bool) -> Offer {
        Offer {
            name: Name::Step(key.to_string()),
            content: Content::Layer {
                layer: layer.clone(),
                empty,
            },
            depth,
            replace,
        }
    }

    pub fn index(layer: &LayerBlob) -> Offer {
        Offer {
            name: Name::Index(layer.diff_id.clone()),
            content: Content::Index(layer.clone()),
            depth: Depth::Final,
            replace: false,
        }
    }

    pub fn file(hash: [u8; 32], bytes: Vec<u8>) -> Offer {
        Offer {
            name: Name::File(hash),
            content: Content::File(bytes),
            depth: Depth::Final,
            replace: false,
        }
    }
}

#[derive(Default)]
pub struct Outbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Parcel>,
    senders: usize,
    /// Offered and not yet dealt with, by target.
    pending: BTreeMap<String, usize>,
    written: BTreeMap<String, usize>,
    /// Asked for already in this run, so not sent twice.
    offered: std::collections::BTreeSet<Name>,
}

struct Parcel {
    engine: Engine,
    target: String,
    offer: Offer,
}

impl Cache {
    /// Whether a step of this kind and depth would be written anywhere.
    pub fn wants(&self, kind: StepKind, depth: Depth) -> bool {
        let deep_enough = |to: &CacheTo| depth == Depth::Final || to.mode == CacheMode::Max;
        self.settings.steps.holds(kind) && self.settings.to.iter().any(deep_enough)
    }

    /// Found in one cache: written to those that are not read.
    pub fn offer_found(
        &self,
        engine: &Engine,
        target: &str,
        key: &str,
        found: &super::Found,
        depth: Depth,
    ) {
        let beside = |to: &CacheTo| Some(&to.at) != found.layer.source.as_ref();
        let index = locked(&self.indexes).get(&found.layer.diff_id).cloned();
        let Some((_, index)) = index.filter(|_| self.settings.to.iter().any(beside)) else {
            return;
        };
        let entry = StepEntry {
            layer: found.layer.descriptor.clone(),
            diff_id: found.layer.diff_id.clone(),
            empty: found.empty,
            index,
        };
        let offer = Offer {
            name: Name::Step(key.to_string()),
            content: Content::Found(Box::new(entry), Box::new(found.layer.clone())),
            depth,
            replace: false,
        };
        self.offer(engine, target, offer);
    }

    /// Returns at once; [`Cache::finish`] waits.
    pub fn offer(&self, engine: &Engine, target: &str, offer: Offer) {
        if self.settings.to.is_empty() {
            return;
        }
        let mut state = locked(&self.outbox.state);
        if !state.offered.insert(offer.name.clone()) {
            return;
        }
        *state.pending.entry(target.to_string()).or_default() += 1;
        state.waiting.push_back(Parcel {
            engine: engine.clone(),
            target: target.to_string(),
            offer,
        });
        if state.senders < SENDERS {
            state.senders += 1;
            let engine = engine.clone();
            std::thread::spawn(move || {
                let cache = engine.cache.as_ref();
                cache.expect("an offer came through a cache").send_all();
            });
        }
    }

    /// Sends until nothing waits.
    fn send_all(&self) {
        loop {
            let parcel = {
                let mut state = locked(&self.outbox.state);
                match state.waiting.pop_front() {
                    Some(parcel) => parcel,
                    None => {
                        state.senders -= 1;
                        return;
                    }
                }
            };
            let written = self.send(&parcel);
            let mut state = locked(&self.outbox.state);
            if let Some(pending) = state.pending.get_mut(&parcel.target) {
                *pending -= 1;
            }
            *state.written.entry(parcel.target).or_default() += written;
            drop(state);
            self.outbox.changed.notify_all();
        }
    }

    /// Waits until all that a target offered is sent; how many steps were new.
    ///
    /// # Errors
    /// A cache that must be written could not be.
    pub fn finish(&self, target: &str) -> Result<usize> {
        let mut state = locked(&self.outbox.state);
        while state
            .pending
            .get(target)
            .is_some_and(|pending| *pending > 0)
        {
            state = self
                .outbox
                .changed
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        let written = state.written.remove(target).unwrap_or(0);
        drop(state);
        for to in &self.settings.to {
            if to.on_error == OnCacheError::Fail && self.is_given_up(&to.at) {
                bail!(
                    "the cache `{}` could not be written, and the build was asked to fail then",
                    to.at.familiar()
                );
            }
        }
        Ok(written)
    }

    /// In how many caches a step is new.
    fn send(&self, parcel: &Parcel) -> usize {
        let Parcel {
            engine,
            target,
            offer,
        } = parcel;
        let mut written = 0;
        for to in &self.settings.to {
            let too_deep = offer.depth == Depth::Intermediate && to.mode == CacheMode::Min;
            if too_deep || self.is_given_up(&to.at) || engine.cancel.is_cancelled() {
                continue;
            }
            match self.send_to(engine, target, to, offer) {
                Ok(true) if matches!(offer.name, Name::Step(_)) => written += 1,
                Ok(_) => {}
                Err(error) if engine.cancel.is_cancelled() => drop(error),
                Err(error) => {
                    let why = format!("{error:#}").replace('\n', "; ");
                    self.give_up(engine, target, &to.at, &why);
                }
            }
        }
        written
    }

    fn send_to(&self, engine: &Engine, target: &str, to: &CacheTo, offer: &Offer) -> Result<bool> {
        if !offer.replace && self.is_there(engine, target, to, &offer.name) {
            return Ok(false);
        }
        let (entry, source) = self.entry(engine, &offer.content)?;
        let written = entry::write(&offer.name, &entry, self.now);
        engine.store.put_bytes(&written.config)?;
        engine.store.put_bytes(&written.manifest)?;
        let tag = offer.name.tag();
        let push = CachePush {
            to: to.at.clone(),
            root: Descriptor::of(media_type::OCI_MANIFEST, &written.manifest),
            tag: CacheTag::parse(&tag).with_context(|| format!("invalid cache tag `{tag}`"))?,
            sources: source.into_iter().collect(),
        };
        // Nobody asked for these pushes by name: they are counted, not told one by one.
        let work = OperationContext {
            target: target.to_string(),
            events: Events::nowhere(),
            cancel: engine.cancel.clone(),
        };
        let pushed = engine.registry.push_cache(push, &engine.store, &work);
        pushed.map_err(|error: RegistryError| anyhow::Error::new(error))?;
        locked(&self.answers).insert((to.at.clone(), tag), Answer::Fit(entry));
        Ok(true)
    }

    /// Whether a fitting entry is there, as far as was seen or as asking once more says: another machine may
    /// have been faster, and two entries of one key are as good as each other.
    fn is_there(&self, engine: &Engine, target: &str, to: &CacheTo, name: &Name) -> bool {
        let known = locked(&self.answers)
            .get(&(to.at.clone(), name.tag()))
            .cloned();
        let answer = match known {
            Some(Answer::Missing) | None => self.ask(engine, target, &to.at, name),
            known => known,
        };
        matches!(answer, Some(Answer::Fit(entry)) if !self.is_lost(&entry))
    }

    fn entry(
        &self,
        engine: &Engine,
        content: &Content,
    ) -> Result<(Entry, Option<imgmake_oci::image::Reference>)> {
        let store = &engine.store;
        let index_of = |layer: &LayerBlob| -> Result<Descriptor> {
            let packed = index::pack(&*store.index(layer)?)?;
            store.put_bytes(&packed)?;
            Ok(Descriptor::of(INDEX, &packed))
        };
        Ok(match content {
            Content::Layer { layer, empty } => {
                let entry = StepEntry {
                    layer: ImageLayer::own(layer).descriptor,
                    diff_id: layer.diff_id.clone(),
                    empty: *empty,
                    index: index_of(layer)?,
                };
                (Entry::Step(Box::new(entry)), None)
            }
            Content::Found(entry, layer) => (Entry::Step(entry.clone()), layer.source.clone()),
            Content::Index(layer) => (Entry::Blob(index_of(layer)?), None),
            Content::File(bytes) => {
                store.put_bytes(bytes)?;
                (Entry::Blob(Descriptor::of(FILE, bytes)), None)
            }
        })
    }
}
