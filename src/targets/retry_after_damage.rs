//! Damaged files of the store are removed when they are read. What failed for one is tried again:
//! what it held is then pulled or made anew.

use super::runner::TargetRunner;
use imgmake_core::execute::{Failure, FailureKind};
use imgmake_core::graph::TargetId;
use imgmake_oci::store::Store;

/// Files of the store that are found damaged in one target: more of them are a broken disk.
const MOST_DAMAGED: usize = 50;

/// Does something again that failed when a damaged file of the store was removed meanwhile.
/// Each file is named in a warning.
pub fn retry<T>(
    runner: &TargetRunner<'_>,
    id: TargetId,
    act: impl Fn() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let removed = || runner.tools.opened_store().map_or(0, Store::removed_damage);
    for _ in 0..MOST_DAMAGED {
        let before = removed();
        let result = act();
        warn(runner, id);
        match result {
            // Damage was removed: what is missing now is made again.
            Err(failure) if removed() > before && failure.kind != FailureKind::Cancelled => {}
            result => return result,
        }
    }
    act()
}

fn warn(runner: &TargetRunner<'_>, id: TargetId) {
    let damaged = runner.tools.opened_store().map(Store::take_damage);
    for damaged in damaged.unwrap_or_default() {
        runner.warn(runner.name(id), damaged.to_string());
    }
}
