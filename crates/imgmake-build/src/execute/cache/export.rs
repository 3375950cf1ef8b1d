//! What was made here goes into the caches while the build goes on: a few threads send, and the end of a build
//! waits for what it has offered. A build that fails keeps what it had made until then.

use std::sync::Arc;

use super::client::{Answer, Cache, locked};
use super::entry::{self, Entry, FILE, INDEX, Name, StepEntry};
use super::index;
use super::queue::{CacheExport, Content, Queued};
use super::settings::{CacheMode, CacheTo, OnCacheError, StepKind};
use crate::define::state::StageRole;
use crate::error::{BuildError, Result};
use crate::target::TargetContext;
use imgmake_event::Events;
use imgmake_oci::image::{Descriptor, media_type};
use imgmake_oci::layer::Layer;
use imgmake_registry::{CachePush, CacheTag, OperationContext};

const SENDERS: usize = 4;

impl Cache {
    /// Whether a step of this kind and role would be written anywhere.
    pub fn wants(&self, kind: StepKind, role: StageRole) -> bool {
        let wanted = |to: &CacheTo| role == StageRole::Final || to.mode == CacheMode::Max;
        self.settings.steps.holds(kind) && self.settings.to.iter().any(wanted)
    }

    /// Found in one cache: written to those that are not read.
    pub fn offer_found(
        self: &Arc<Self>,
        cx: &TargetContext,
        key: &str,
        found: &StepEntry,
        role: StageRole,
    ) {
        let beside = |to: &CacheTo| Some(&to.at) != found.layer.source.as_ref();
        if !self.settings.to.iter().any(beside) {
            return;
        }
        let export = CacheExport {
            name: Name::Step(key.to_string()),
            content: Content::Found(Box::new(found.clone())),
            role,
            replace: false,
        };
        self.export(cx, export);
    }

    /// Returns at once; [`Cache::finish`] waits.
    pub fn export(self: &Arc<Self>, cx: &TargetContext, export: CacheExport) {
        if self.settings.to.is_empty() {
            return;
        }
        let mut state = locked(&self.queue.state);
        if !state.offered.insert(export.name.clone()) {
            return;
        }
        *state.pending.entry(cx.target.clone()).or_default() += 1;
        state.waiting.push_back(Queued {
            cx: cx.clone(),
            export,
        });
        if state.senders < SENDERS {
            state.senders += 1;
            let cache = Arc::clone(self);
            std::thread::spawn(move || cache.send_all());
        }
    }

    /// Sends until nothing waits.
    fn send_all(&self) {
        loop {
            let queued = {
                let mut state = locked(&self.queue.state);
                match state.waiting.pop_front() {
                    Some(queued) => queued,
                    None => {
                        state.senders -= 1;
                        return;
                    }
                }
            };
            let written = self.send(&queued);
            let mut state = locked(&self.queue.state);
            if let Some(pending) = state.pending.get_mut(&queued.cx.target) {
                *pending -= 1;
            }
            *state.written.entry(queued.cx.target).or_default() += written;
            drop(state);
            self.queue.changed.notify_all();
        }
    }

    /// Waits until all that a target offered is sent; how many steps were new.
    ///
    /// # Errors
    /// A cache that must be written could not be.
    pub fn finish(&self, target: &str) -> Result<usize> {
        let mut state = locked(&self.queue.state);
        while state
            .pending
            .get(target)
            .is_some_and(|pending| *pending > 0)
        {
            state = self
                .queue
                .changed
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        let written = state.written.remove(target).unwrap_or(0);
        drop(state);
        for to in &self.settings.to {
            if to.on_error == OnCacheError::Fail && self.is_given_up(&to.at) {
                let action = format!("write the cache `{}`", to.at.familiar());
                let obstacle = "the registry did not accept it, and `on-error=fail` is set";
                return Err(BuildError::conflict(action, obstacle));
            }
        }
        Ok(written)
    }

    /// In how many caches a step is new.
    fn send(&self, queued: &Queued) -> usize {
        let Queued { cx, export } = queued;
        let mut written = 0;
        for to in &self.settings.to {
            let not_wanted = export.role == StageRole::Intermediate && to.mode == CacheMode::Min;
            if not_wanted || self.is_given_up(&to.at) || cx.cancel.is_cancelled() {
                continue;
            }
            match self.send_to(cx, to, export) {
                Ok(true) if matches!(export.name, Name::Step(_)) => written += 1,
                Ok(_) => {}
                Err(error) if cx.cancel.is_cancelled() => drop(error),
                Err(error) => {
                    let why = format!("{error:#}").replace('\n', "; ");
                    self.give_up(cx, &to.at, &why);
                }
            }
        }
        written
    }

    fn send_to(&self, cx: &TargetContext, to: &CacheTo, export: &CacheExport) -> Result<bool> {
        if !export.replace && self.is_there(cx, to, &export.name) {
            return Ok(false);
        }
        let (entry, source) = self.entry(cx, &export.content)?;
        let written = entry::write(&export.name, &entry, self.now);
        cx.store.put_bytes(&written.config)?;
        cx.store.put_bytes(&written.manifest)?;
        let tag = export.name.tag();
        let push = CachePush {
            to: to.at.clone(),
            root: Descriptor::of(media_type::OCI_MANIFEST, &written.manifest),
            tag: CacheTag::parse(&tag)
                .ok_or_else(|| BuildError::invalid(format!("cache tag `{tag}`"), ""))?,
            sources: source.into_iter().collect(),
        };
        // Nobody asked for these pushes by name: they are counted, not told one by one.
        let work = OperationContext {
            target: cx.target.clone(),
            events: Events::discard(),
            cancel: cx.cancel.clone(),
        };
        let pushed = cx.registry.push_cache(push, &cx.store, &work);
        pushed?;
        locked(&self.answers).insert((to.at.clone(), tag), Answer::Valid(entry));
        Ok(true)
    }

    /// Whether a fitting entry is there, as far as was seen or as asking once more says: another machine may
    /// have been faster, and two entries of one key are as good as each other.
    fn is_there(&self, cx: &TargetContext, to: &CacheTo, name: &Name) -> bool {
        let cached = locked(&self.answers)
            .get(&(to.at.clone(), name.tag()))
            .cloned();
        let answer = match cached {
            Some(Answer::Missing) | None => self.ask(cx, &to.at, name),
            cached => cached,
        };
        matches!(answer, Some(Answer::Valid(entry)) if !self.is_unavailable(&entry))
    }

    fn entry(
        &self,
        cx: &TargetContext,
        content: &Content,
    ) -> Result<(Entry, Option<imgmake_oci::image::Reference>)> {
        let store = &cx.store;
        let index_of = |layer: &Layer| -> Result<Descriptor> {
            let packed = index::pack(&*store.index(layer)?)?;
            store.put_bytes(&packed)?;
            Ok(Descriptor::of(INDEX, &packed))
        };
        Ok(match content {
            Content::Layer { layer, empty } => {
                let entry = StepEntry {
                    layer: layer.clone(),
                    empty: *empty,
                    index: index_of(layer)?,
                };
                (Entry::Step(Box::new(entry)), None)
            }
            Content::Found(entry) => (Entry::Step(entry.clone()), entry.layer.source.clone()),
            Content::Index(layer) => (Entry::Blob(index_of(layer)?), None),
            Content::File(bytes) => {
                store.put_bytes(bytes)?;
                (Entry::Blob(Descriptor::of(FILE, bytes)), None)
            }
        })
    }
}
