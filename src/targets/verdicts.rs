//! What the gates of this run let pass.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use imgmake_core::graph::TargetId;
use imgmake_scan::Passed;

/// By scan target; nothing for those that were up to date.
#[derive(Clone, Default)]
pub struct Verdicts(Arc<Mutex<BTreeMap<TargetId, Vec<Passed>>>>);

impl Verdicts {
    pub(super) fn record(&self, gate: TargetId, passed: Vec<Passed>) {
        let mut verdicts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.insert(gate, passed);
    }

    pub(super) fn of(&self, gate: TargetId) -> Option<Vec<Passed>> {
        let verdicts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.get(&gate).cloned()
    }
}
