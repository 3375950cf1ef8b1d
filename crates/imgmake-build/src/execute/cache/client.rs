//! Asks registries for entries, remembers what they said, and knows which of it can no longer be had.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::entry::{self, Entry, InvalidEntry, Name, StepEntry};
use super::index;
use super::queue::ExportQueue;
use super::settings::{CacheSettings, CacheTo, StepKind};
use crate::target::TargetContext;
use imgmake_oci::image::{Descriptor, Digest, Reference};
use imgmake_oci::layer::Layer;
use imgmake_registry::{Client, Failure, RegistryError};

/// Requests at once, where several are known beforehand.
const CONNECTIONS: usize = 6;

/// The caches of a run. Shared by its builds: what was asked once is not asked again.
pub struct Cache {
    pub(super) settings: CacheSettings,
    /// Asks with little patience: an answer only saves work.
    lookups: Client,
    /// Seconds since 1970, when the run began.
    pub(super) now: u64,
    places: BTreeMap<Reference, Place>,
    pub(super) answers: Mutex<HashMap<(Reference, String), Answer>>,
    /// Layers that were handed out, and where they lie.
    given: Mutex<BTreeMap<Digest, Reference>>,
    /// Indexes of layers that were handed out, by diff id.
    pub(super) indexes: Mutex<HashMap<Digest, (Reference, Descriptor)>>,
    /// Layers that the registry could not give after all.
    unavailable: Mutex<BTreeSet<Digest>>,
    /// Targets that met one of those.
    needs_rebuild: Mutex<BTreeSet<String>>,
    pub(super) queue: ExportQueue,
}

#[derive(Default)]
struct Place {
    /// It cannot be reached or does not let us in; this was told.
    given_up: AtomicBool,
}

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // Nearly all of them fit.
pub(super) enum Answer {
    Missing,
    Valid(Entry),
    Invalid,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    /// `lookups` should give up early. Asks nothing yet.
    pub fn new(settings: CacheSettings, lookups: Client, now: u64) -> Cache {
        let bare = |at: &Reference| Reference {
            tag: None,
            digest: None,
            ..at.clone()
        };
        let settings = CacheSettings {
            from: settings.from.iter().map(bare).collect(),
            to: settings
                .to
                .iter()
                .map(|to| CacheTo {
                    at: bare(&to.at),
                    ..to.clone()
                })
                .collect(),
            ..settings
        };
        let all = settings
            .from
            .iter()
            .chain(settings.to.iter().map(|to| &to.at));
        Cache {
            places: all.map(|at| (at.clone(), Place::default())).collect(),
            settings,
            lookups,
            now,
            answers: Mutex::default(),
            given: Mutex::default(),
            indexes: Mutex::default(),
            unavailable: Mutex::default(),
            needs_rebuild: Mutex::default(),
            queue: ExportQueue::default(),
        }
    }

    /// What a step of this key made somewhere.
    pub fn step(&self, cx: &TargetContext, key: &str, kind: StepKind) -> Option<StepEntry> {
        if !self.settings.steps.holds(kind) {
            return None;
        }
        let name = Name::Step(key.to_string());
        let (at, entry) = self.find(cx, &name)?;
        let Entry::Step(mut entry) = entry else {
            return None;
        };
        let index = (at.clone(), entry.index.clone());
        locked(&self.given).insert(entry.layer.digest().clone(), at.clone());
        locked(&self.indexes).insert(entry.layer.diff_id.clone(), index);
        entry.layer.source = Some(at);
        Some(*entry)
    }

    /// Brings the indexes of layers into the store, as far as the cache has them.
    pub fn bring_indexes(&self, cx: &TargetContext, layers: &[&Layer]) {
        let wanted: Vec<&Layer> = layers
            .iter()
            .filter(|l| !cx.store.has_index(&l.diff_id) && l.diff_id.algorithm() == "sha256")
            .copied()
            .collect();
        let next = std::sync::atomic::AtomicUsize::new(0);
        let bring = || {
            while let Some(layer) = wanted.get(next.fetch_add(1, Ordering::SeqCst)) {
                self.bring_index(cx, &layer.diff_id);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..wanted.len().min(CONNECTIONS) {
                scope.spawn(bring);
            }
            bring();
        });
    }

    pub(super) fn bring_index(&self, cx: &TargetContext, diff_id: &Digest) {
        let cached = locked(&self.indexes).get(diff_id).cloned();
        let name = Name::Index(diff_id.clone());
        let found = cached.or_else(|| match self.find(cx, &name)? {
            (at, Entry::Blob(blob)) => Some((at, blob)),
            _ => None,
        });
        let Some((at, blob)) = found else { return };
        let read = self
            .blob(cx, &at, &blob)
            .and_then(|()| cx.store.with_blob(&blob.digest, |blob| index::unpack(blob)))
            .and_then(|index| Ok(cx.store.put_index(diff_id, &index)?));
        if let Err(error) = read {
            self.skip_entry(cx, &at, &name, &format!("{error:#}"));
        }
    }

    pub(super) fn blob(
        &self,
        cx: &TargetContext,
        at: &Reference,
        blob: &Descriptor,
    ) -> crate::error::Result<()> {
        self.lookups
            .pull_blob(at, blob, &cx.store, &cx.operation())?;
        Ok(())
    }

    /// The first place that has a fitting entry.
    pub(super) fn find(&self, cx: &TargetContext, name: &Name) -> Option<(Reference, Entry)> {
        self.settings.from.iter().find_map(|at| {
            let key = (at.clone(), name.tag());
            let cached = locked(&self.answers).get(&key).cloned();
            let answer = match cached {
                Some(answer) => answer,
                None => self.ask(cx, at, name)?,
            };
            match answer {
                Answer::Valid(entry) if !self.is_unavailable(&entry) => Some((at.clone(), entry)),
                _ => None,
            }
        })
    }

    /// One request; `None` where nobody can be asked.
    pub(super) fn ask(&self, cx: &TargetContext, at: &Reference, name: &Name) -> Option<Answer> {
        if self.is_given_up(at) || cx.cancel.is_cancelled() {
            return None;
        }
        let tag = name.tag();
        let answer = match self.lookups.manifest(&at.with_tag(&tag)) {
            Ok(fetched) => {
                let not_before = self
                    .settings
                    .ttl
                    .map_or(0, |ttl| self.now.saturating_sub(ttl.as_secs()));
                let media_type = &fetched.descriptor.media_type;
                match entry::read(&fetched.bytes, media_type, name, not_before) {
                    Ok(entry) => Answer::Valid(entry),
                    Err(InvalidEntry::Expired) => Answer::Invalid,
                    Err(InvalidEntry::Foreign(why)) => {
                        self.skip_entry(cx, at, name, &why);
                        Answer::Invalid
                    }
                }
            }
            Err(error) if error.is_missing() => Answer::Missing,
            Err(error) if error.is_cancelled() => return None,
            Err(error) if error.failure() == Failure::Invalid => {
                self.skip_entry(cx, at, name, &one_line(&error));
                Answer::Invalid
            }
            Err(error) => {
                self.give_up(cx, at, &one_line(&error));
                return None;
            }
        };
        locked(&self.answers).insert((at.clone(), tag), answer.clone());
        Some(answer)
    }

    pub(super) fn is_unavailable(&self, entry: &Entry) -> bool {
        match entry {
            Entry::Step(step) => locked(&self.unavailable).contains(step.layer.digest()),
            Entry::Blob(_) => false,
        }
    }

    pub(super) fn is_given_up(&self, at: &Reference) -> bool {
        self.places
            .get(at)
            .is_none_or(|place| place.given_up.load(Ordering::SeqCst))
    }

    /// Told once; the place is then left alone for the rest of the run.
    pub(super) fn give_up(&self, cx: &TargetContext, at: &Reference, why: &str) {
        let Some(place) = self.places.get(at) else {
            return;
        };
        if !place.given_up.swap(true, Ordering::SeqCst) {
            let at = at.familiar();
            cx.warn(format!(
                "the build continues without the cache `{at}`: {why}"
            ));
        }
    }

    /// Tells that an entry is not used, and does not look at it again.
    pub(super) fn skip_entry(&self, cx: &TargetContext, at: &Reference, name: &Name, why: &str) {
        let entry = at.with_tag(&short(&name.tag())).familiar();
        cx.warn(format!("the cache entry `{entry}…` is not used: {why}"));
        locked(&self.answers).insert((at.clone(), name.tag()), Answer::Invalid);
    }

    /// Which of these blobs the cache handed out and cannot give after all, now that pulling them failed. They
    /// are not handed out again; [`Cache::take_needs_rebuild`] then says that the target should be built again.
    pub fn forget_unavailable(
        &self,
        cx: &TargetContext,
        from: &Reference,
        blobs: &[Descriptor],
    ) -> bool {
        let ours: Vec<&Descriptor> = blobs
            .iter()
            .filter(|b| locked(&self.given).get(&b.digest) == Some(from))
            .filter(|b| !cx.store.holds(b))
            .collect();
        let mut found = false;
        for blob in ours {
            let pulled = self.blob(cx, from, blob);
            if let Err(error) = pulled.and_then(|()| cx.cancel.check().map_err(Into::into)) {
                self.mark_unavailable(cx, &blob.digest, &format!("{error:#}"));
                found = true;
            }
        }
        found
    }

    pub(super) fn mark_unavailable(&self, cx: &TargetContext, layer: &Digest, why: &str) {
        if cx.cancel.is_cancelled() {
            return;
        }
        let why = why.replace('\n', "; ");
        let layer_text = layer.short();
        let message = format!(
            "a layer of the cache, {layer_text}, is not available; its step is run again: {why}"
        );
        cx.warn(message);
        locked(&self.unavailable).insert(layer.clone());
        locked(&self.needs_rebuild).insert(cx.target.clone());
    }

    /// Whether a layer of the target was lost since this was last asked.
    pub fn take_needs_rebuild(&self, target: &str) -> bool {
        locked(&self.needs_rebuild).remove(target)
    }

    /// Layers of a finished image that still lie in the cache are asked for by name: a later pull or a mount
    /// must not find out that they are gone or cut short.
    pub fn confirm(&self, cx: &TargetContext, layers: &[Layer]) {
        let given = locked(&self.given).clone();
        let remote: Vec<(&Descriptor, &Reference)> = layers
            .iter()
            .filter_map(|layer| {
                let from = given.get(layer.digest())?;
                let absent = !cx.store.holds(&layer.descriptor);
                absent.then_some((&layer.descriptor, from))
            })
            .collect();
        let next = std::sync::atomic::AtomicUsize::new(0);
        let check = || {
            while let Some((blob, from)) = remote.get(next.fetch_add(1, Ordering::SeqCst)) {
                let why = match self.lookups.blob_size(from, &blob.digest) {
                    Ok(Some(size)) if size == blob.size => continue,
                    Ok(Some(size)) => format!("it has {size} bytes, not {}", blob.size),
                    Ok(None) => "the registry no longer has it".to_string(),
                    Err(error) => one_line(&error),
                };
                self.mark_unavailable(cx, &blob.digest, &why);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..remote.len().min(CONNECTIONS) {
                scope.spawn(check);
            }
            check();
        });
    }
}

fn one_line(error: &RegistryError) -> String {
    error.to_string().replace('\n', "; ")
}

/// Enough of a tag to find it by.
fn short(tag: &str) -> String {
    tag.chars().take("index-".len() + 12).collect()
}
