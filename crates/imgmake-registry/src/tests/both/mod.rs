//! Tests with the testkit's registry here and a `docker-registry` process in `tests/real/`, which has
//! these files by their path: what they use stands in both beside them.

use crate::*;

mod faults;
mod quirks;
mod sharing;
mod transfers;
