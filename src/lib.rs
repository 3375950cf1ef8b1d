//! imgmake: make for container images.
//!
//! One crate: the domain is this library, `main.rs` is a thin binary. Data moves
//! one way, from the manifest to the reports; `tests/it/tidy.rs` holds the table
//! of which room may know which.

pub mod cli;
pub mod daemon;
pub mod report;
pub mod watch;
