//! What the gates of this run let pass, and what they say of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use imgmake_core::graph::TargetId;
use imgmake_oci::image::Digest;
use imgmake_scan::Passed;
use serde_json::Value;

/// By scan target; nothing for those that were up to date.
#[derive(Clone, Default)]
pub struct Verdicts(Arc<Mutex<BTreeMap<TargetId, Given>>>);

#[derive(Clone)]
struct Given {
    passed: Vec<Passed>,
    /// By manifest.
    statements: BTreeMap<Digest, Value>,
}

impl Verdicts {
    pub(super) fn record(
        &self,
        gate: TargetId,
        passed: Vec<Passed>,
        statements: BTreeMap<Digest, Value>,
    ) {
        let mut verdicts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.insert(gate, Given { passed, statements });
    }

    pub(super) fn of(&self, gate: TargetId) -> Option<Vec<Passed>> {
        let verdicts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.get(&gate).map(|given| given.passed.clone())
    }

    pub(super) fn statements(&self, gate: TargetId) -> Option<BTreeMap<Digest, Value>> {
        let verdicts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.get(&gate).map(|given| given.statements.clone())
    }
}
