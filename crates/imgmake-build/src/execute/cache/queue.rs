//! Uploads into the caches: those that wait, and how far each has come.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex};

use super::entry::{Name, StepEntry};
use crate::define::state::StageRole;
use crate::target::TargetContext;
use imgmake_oci::layer::Layer;

/// Something that other machines could use.
#[derive(Clone)]
pub struct CacheExport {
    pub(super) name: Name,
    pub(super) content: Content,
    pub(super) role: StageRole,
    /// An entry that is there already is replaced.
    pub(super) replace: bool,
}

#[derive(Clone)]
pub enum Content {
    Layer {
        layer: Layer,
        empty: bool,
    },
    /// Found in one cache, wanted in another.
    Found(Box<StepEntry>),
    Index(Layer),
    File(Vec<u8>),
}

impl CacheExport {
    /// A layer that was made here, whether now or before.
    pub fn step(
        key: &str,
        layer: &Layer,
        empty: bool,
        role: StageRole,
        replace: bool,
    ) -> CacheExport {
        CacheExport {
            name: Name::Step(key.to_string()),
            content: Content::Layer {
                layer: layer.clone(),
                empty,
            },
            role,
            replace,
        }
    }

    pub fn index(layer: &Layer) -> CacheExport {
        CacheExport {
            name: Name::Index(layer.diff_id.clone()),
            content: Content::Index(layer.clone()),
            role: StageRole::Final,
            replace: false,
        }
    }

    pub fn file(hash: [u8; 32], bytes: Vec<u8>) -> CacheExport {
        CacheExport {
            name: Name::File(hash),
            content: Content::File(bytes),
            role: StageRole::Final,
            replace: false,
        }
    }
}

#[derive(Default)]
pub struct ExportQueue {
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
}

#[derive(Default)]
pub struct State {
    pub(super) waiting: VecDeque<Queued>,
    pub(super) senders: usize,
    /// Offered and not yet dealt with, by target.
    pub(super) pending: BTreeMap<String, usize>,
    pub(super) written: BTreeMap<String, usize>,
    /// Asked for already in this run, so not sent twice.
    pub(super) offered: BTreeSet<Name>,
}

pub struct Queued {
    pub(super) cx: TargetContext,
    pub(super) export: CacheExport,
}
