//! imgmake: make for container images.
//!
//! One crate: the domain is this library, `main.rs` is a thin binary. Data moves
//! one way, from the manifest to the reports; `tests/it/tidy.rs` holds the table
//! of which room may know which.

pub mod archive;
pub mod bounded;
pub mod build;
pub mod checkout;
pub mod cli;
pub mod confined;
pub mod connection;
pub mod daemon;
pub mod dockerfile;
pub mod event;
pub mod excerpt;
pub mod execute;
pub mod git;
pub mod graph;
pub mod image;
pub mod import;
pub mod key;
pub mod layer;
pub mod mac;
pub mod manifest;
pub mod modes;
pub mod plan;
pub mod plugin;
pub mod printable;
pub mod program;
pub mod registry;
pub mod report;
pub mod rootfs;
pub mod sandbox;
pub mod scan;
pub mod signature;
pub mod state;
pub mod store;
pub mod watch;
