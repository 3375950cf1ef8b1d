//! Clocks of two machines.

use jiff::SignedDuration;

/// By which they may differ: what is later than now and this is in the future.
pub const SKEW: SignedDuration = SignedDuration::from_hours(1);
