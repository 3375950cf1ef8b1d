//! Step results in a registry, shared by machines that have nothing else in common.
//!
//! ```text
//! step-<key>     what a step made: its layer, and what that holds   ┐ one manifest under one tag each,
//! index-<diff>   what a base's layer holds, without the layer       │ in the repository that was given
//! file-<hash>    the image's passwd and group, for `--chown=name`   ┘
//! ```
//!
//! A key needs to know what lies below a step, not its bytes: with indexes at hand, a build of nothing but hits
//! pulls no layer at all. The cache only ever saves work. What is missing, foreign, damaged or out of reach is
//! passed by with one line, and the step is made as if there were no cache.
//!
//! Knows step keys and layers; entries hold hashes and descriptors, never a command, an argument or a path.

mod entry;
mod export;
mod files;
mod index;
mod settings;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Engine;
use crate::define::state::{ImageLayer, work};
use entry::{Entry, Name, StepEntry, Unfit};
use export::Outbox;
use imgmake_event::Event;
use imgmake_oci::image::{Descriptor, Digest, Reference};
use imgmake_registry::{Client, Failure, RegistryError};

pub use export::Offer;
pub use files::remembered_file;
pub use settings::{CacheMode, CacheSettings, CacheTo, CachedSteps, OnCacheError, StepKind};

/// Requests at once, where several are known beforehand.
const CONNECTIONS: usize = 6;

/// The caches of a run. Shared by its builds: what was asked once is not asked again.
pub struct Cache {
    settings: CacheSettings,
    /// Asks with little patience: an answer only saves work.
    lookups: Client,
    /// Seconds since 1970, when the run began.
    now: u64,
    places: BTreeMap<Reference, Place>,
    answers: Mutex<HashMap<(Reference, String), Answer>>,
    /// Layers that were handed out, and where they lie.
    given: Mutex<BTreeMap<Digest, Reference>>,
    /// Indexes of layers that were handed out, by diff id.
    indexes: Mutex<HashMap<Digest, (Reference, Descriptor)>>,
    /// Layers that the registry could not give after all.
    lost: Mutex<BTreeSet<Digest>>,
    /// Targets that met one of those.
    disappointed: Mutex<BTreeSet<String>>,
    outbox: Outbox,
}

#[derive(Default)]
struct Place {
    /// It cannot be reached or does not let us in; this was told.
    given_up: AtomicBool,
}

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // Nearly all of them fit.
enum Answer {
    Missing,
    Fit(Entry),
    Unfit,
}

/// A step's layer, from the cache.
pub struct Found {
    pub layer: ImageLayer,
    pub empty: bool,
}

/// Whether steps of this stage end up in the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    #[default]
    Final,
    Intermediate,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
            lost: Mutex::default(),
            disappointed: Mutex::default(),
            outbox: Outbox::default(),
        }
    }

    /// What a step of this key made somewhere.
    pub fn step(&self, engine: &Engine, target: &str, key: &str, kind: StepKind) -> Option<Found> {
        if !self.settings.steps.holds(kind) {
            return None;
        }
        let name = Name::Step(key.to_string());
        let (at, entry) = self.find(engine, target, &name)?;
        let Entry::Step(entry) = entry else {
            return None;
        };
        let StepEntry {
            layer,
            diff_id,
            empty,
            index,
        } = *entry;
        locked(&self.given).insert(layer.digest.clone(), at.clone());
        locked(&self.indexes).insert(diff_id.clone(), (at.clone(), index));
        let layer = ImageLayer {
            descriptor: layer,
            diff_id,
            source: Some(at),
        };
        Some(Found { layer, empty })
    }

    /// Brings the indexes of layers into the store, as far as the cache has them.
    pub fn bring_indexes(&self, engine: &Engine, target: &str, layers: &[&ImageLayer]) {
        let wanted: Vec<&ImageLayer> = layers
            .iter()
            .filter(|l| !engine.store.has_index(&l.diff_id) && l.diff_id.algorithm() == "sha256")
            .copied()
            .collect();
        let next = std::sync::atomic::AtomicUsize::new(0);
        let bring = || {
            while let Some(layer) = wanted.get(next.fetch_add(1, Ordering::SeqCst)) {
                self.bring_index(engine, target, &layer.diff_id);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..wanted.len().min(CONNECTIONS) {
                scope.spawn(bring);
            }
            bring();
        });
    }

    fn bring_index(&self, engine: &Engine, target: &str, diff_id: &Digest) {
        let known = locked(&self.indexes).get(diff_id).cloned();
        let name = Name::Index(diff_id.clone());
        let found = known.or_else(|| match self.find(engine, target, &name)? {
            (at, Entry::Blob(blob)) => Some((at, blob)),
            _ => None,
        });
        let Some((at, blob)) = found else { return };
        let read = self
            .blob(engine, target, &at, &blob)
            .and_then(|()| {
                engine
                    .store
                    .with_blob(&blob.digest, |blob| index::unpack(blob))
            })
            .and_then(|index| engine.store.put_index(diff_id, &index));
        if let Err(error) = read {
            self.pass_by(engine, target, &at, &name, &format!("{error:#}"));
        }
    }

    fn blob(
        &self,
        engine: &Engine,
        target: &str,
        at: &Reference,
        blob: &Descriptor,
    ) -> anyhow::Result<()> {
        self.lookups
            .pull_blob(at, blob, &engine.store, &work(engine, target))?;
        Ok(())
    }

    /// The first place that has a fitting entry.
    fn find(&self, engine: &Engine, target: &str, name: &Name) -> Option<(Reference, Entry)> {
        self.settings.from.iter().find_map(|at| {
            let key = (at.clone(), name.tag());
            let known = locked(&self.answers).get(&key).cloned();
            let answer = match known {
                Some(answer) => answer,
                None => self.ask(engine, target, at, name)?,
            };
            match answer {
                Answer::Fit(entry) if !self.is_lost(&entry) => Some((at.clone(), entry)),
                _ => None,
            }
        })
    }

    /// One request; `None` where nobody can be asked.
    fn ask(&self, engine: &Engine, target: &str, at: &Reference, name: &Name) -> Option<Answer> {
        if self.is_given_up(at) || engine.cancel.is_cancelled() {
            return None;
        }
        let tag = name.tag();
        let answer = match self.lookups.manifest(&at.with_tag(&tag)) {
            Ok(fetched) => {
                let not_before = self
                    .settings
                    .ttl
                    .map_or(0, |ttl| self.now.saturating_sub(ttl.as_secs()));
                let said = &fetched.descriptor.media_type;
                match entry::read(&fetched.bytes, said, name, not_before) {
                    Ok(entry) => Answer::Fit(entry),
                    Err(Unfit::Expired) => Answer::Unfit,
                    Err(Unfit::Foreign(why)) => {
                        self.pass_by(engine, target, at, name, &why);
                        Answer::Unfit
                    }
                }
            }
            Err(error) if error.is_missing() => Answer::Missing,
            Err(error) if error.is_cancelled() => return None,
            Err(error) if error.failure() == Failure::Invalid => {
                self.pass_by(engine, target, at, name, &one_line(&error));
                Answer::Unfit
            }
            Err(error) => {
                self.give_up(engine, target, at, &one_line(&error));
                return None;
            }
        };
        locked(&self.answers).insert((at.clone(), tag), answer.clone());
        Some(answer)
    }

    fn is_lost(&self, entry: &Entry) -> bool {
        match entry {
            Entry::Step(step) => locked(&self.lost).contains(&step.layer.digest),
            Entry::Blob(_) => false,
        }
    }

    fn is_given_up(&self, at: &Reference) -> bool {
        self.places
            .get(at)
            .is_none_or(|place| place.given_up.load(Ordering::SeqCst))
    }

    /// Told once; the place is then left alone for the rest of the run.
    fn give_up(&self, engine: &Engine, target: &str, at: &Reference, why: &str) {
        let Some(place) = self.places.get(at) else {
            return;
        };
        if !place.given_up.swap(true, Ordering::SeqCst) {
            let at = at.familiar();
            warn(
                engine,
                target,
                format!("the build goes on without the cache `{at}`: {why}"),
            );
        }
    }

    /// Tells that an entry is not used, and does not look at it again.
    fn pass_by(&self, engine: &Engine, target: &str, at: &Reference, name: &Name, why: &str) {
        let entry = at.with_tag(&short(&name.tag())).familiar();
        warn(
            engine,
            target,
            format!("the cache entry `{entry}…` is not used: {why}"),
        );
        locked(&self.answers).insert((at.clone(), name.tag()), Answer::Unfit);
    }

    /// Which of these blobs the cache handed out and cannot give after all, now that pulling them failed. They
    /// are not handed out again; [`Cache::was_disappointed`] then says that the target should be built again.
    pub fn forget_unavailable(
        &self,
        engine: &Engine,
        target: &str,
        from: &Reference,
        blobs: &[Descriptor],
    ) -> bool {
        let ours: Vec<&Descriptor> = blobs
            .iter()
            .filter(|b| locked(&self.given).get(&b.digest) == Some(from))
            .filter(|b| !engine.store.holds(b))
            .collect();
        let mut found = false;
        for blob in ours {
            let pulled = self.blob(engine, target, from, blob);
            if let Err(error) = pulled.and_then(|()| engine.cancel.check().map_err(Into::into)) {
                self.lose(engine, target, &blob.digest, &format!("{error:#}"));
                found = true;
            }
        }
        found
    }

    fn lose(&self, engine: &Engine, target: &str, layer: &Digest, why: &str) {
        if engine.cancel.is_cancelled() {
            return;
        }
        let why = why.replace('\n', "; ");
        let layer_text = layer.short();
        let message = format!(
            "a layer of the cache, {layer_text}, cannot be had; its step is made again: {why}"
        );
        warn(engine, target, message);
        locked(&self.lost).insert(layer.clone());
        locked(&self.disappointed).insert(target.to_string());
    }

    /// Whether a layer of the target was lost since this was last asked.
    pub fn was_disappointed(&self, target: &str) -> bool {
        locked(&self.disappointed).remove(target)
    }

    /// Layers of a finished image that still lie in the cache are asked for by name: a later pull or a mount
    /// must not find out that they are gone or cut short.
    pub fn confirm(&self, engine: &Engine, target: &str, layers: &[ImageLayer]) {
        let given = locked(&self.given).clone();
        let remote: Vec<(&Descriptor, &Reference)> = layers
            .iter()
            .filter_map(|layer| {
                let from = given.get(&layer.descriptor.digest)?;
                let absent = !engine.store.holds(&layer.descriptor);
                absent.then_some((&layer.descriptor, from))
            })
            .collect();
        let next = std::sync::atomic::AtomicUsize::new(0);
        let check = || {
            while let Some((blob, from)) = remote.get(next.fetch_add(1, Ordering::SeqCst)) {
                let why = match self.lookups.blob_size(from, &blob.digest) {
                    Ok(Some(size)) if size == blob.size => continue,
                    Ok(Some(size)) => format!("it has {size} bytes, not {}", blob.size),
                    Ok(None) => "the registry does not have it any more".to_string(),
                    Err(error) => one_line(&error),
                };
                self.lose(engine, target, &blob.digest, &why);
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

fn warn(engine: &Engine, target: &str, message: String) {
    engine.events.send(Event::Warning {
        target: Some(target.to_string()),
        message,
    });
}

fn one_line(error: &RegistryError) -> String {
    error.to_string().replace('\n', "; ")
}

/// Enough of a tag to find it by.
fn short(tag: &str) -> String {
    tag.chars().take("index-".len() + 12).collect()
}
