//! Tests of the client as a whole; those of one file stand at its end.
//!
//! ```text
//! both         what holds with every registry: `tests/real/` asks a `docker-registry` process the same
//! faults       what networks and registries do wrong, one file per direction
//! hostile      registries, mirrors and token servers that want what is not theirs
//! conformance  the distribution specification's cases, asked of the client
//! ```

mod both;
mod conformance;
mod faults;
mod hostile;
