//! imgmake: make for container images.
//!
//! What the program itself does: the command line, and what runs its targets, reports and watches.
//! The domain is in `crates/`; `main.rs` is a thin binary.

pub mod ci;
pub mod cli;
pub mod daemon;
pub mod exit;
pub mod file_notices;
pub mod graph_drawing;
pub mod no_links;
pub mod output_file;
pub mod page;
pub mod report;
pub mod run_logs;
pub mod share;
pub mod step;
pub mod targets;
pub mod wrapped;
