//! Layers record one fixed time (0) for files of a context. In a tree they carry the
//! moment it was made: cargo, make and Python compare times, and with everything at
//! 0 a cache mount would keep stale results. A mark in the nanoseconds tells such
//! times from real ones, so that what is recorded again is the fixed time again.

use std::time::{Duration, SystemTime};

use imgmake_oci::layer::Timestamp;

/// One real time in ten million looks so.
const MARK: u32 = 4_519_027;
/// The marked moment lies at most this far (10 ms) before the real one.
const GRAIN: u32 = 10_000_000;

/// What a tree made now shows for the fixed time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(Timestamp);

impl Moment {
    pub(super) fn now() -> Moment {
        let back = Duration::from_nanos(GRAIN.into());
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .saturating_sub(back);
        // The next mark after `back` before now: never in the future, which `make` warns of.
        let grains = (since.subsec_nanos() + GRAIN - MARK) / GRAIN;
        let nanos = grains * GRAIN + MARK;
        let seconds = i64::try_from(since.as_secs()).unwrap_or(0);
        Moment(Timestamp {
            seconds: seconds + i64::from(nanos / 1_000_000_000),
            nanos: nanos % 1_000_000_000,
        })
    }

    pub(super) fn in_tree(self, recorded: Timestamp) -> Timestamp {
        if recorded == Timestamp::default() {
            self.0
        } else {
            recorded
        }
    }
}

/// The time that a layer records for something read from a tree.
pub(super) fn recorded_time(in_tree: Timestamp) -> Timestamp {
    if in_tree.nanos % GRAIN == MARK {
        Timestamp::default()
    } else {
        in_tree
    }
}
