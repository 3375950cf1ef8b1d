//! Layers record one fixed time (0) for files of a context. In a tree they carry the
//! moment it was made: cargo, make and Python compare times, and with everything at
//! 0 a cache mount would keep stale results. A mark in the nanoseconds tells such
//! times from real ones, so that what is recorded again is the fixed time again.

use std::time::SystemTime;

use crate::layer::Timestamp;

/// One real time in a billion has these nanoseconds.
const MARK: u32 = 734_519_027;

/// What a tree made now shows for the fixed time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(i64);

impl Moment {
    pub(super) fn now() -> Moment {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Moment(i64::try_from(since.as_secs()).unwrap_or(0))
    }

    pub(super) fn shown(self, recorded: Timestamp) -> Timestamp {
        if recorded == Timestamp::default() {
            Timestamp {
                seconds: self.0,
                nanos: MARK,
            }
        } else {
            recorded
        }
    }
}

/// The time that a layer records for something read from a tree.
pub fn recorded_time(shown: Timestamp) -> Timestamp {
    if shown.nanos == MARK {
        Timestamp::default()
    } else {
        shown
    }
}
