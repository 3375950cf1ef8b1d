//! The copy engine: COPY and ADD as a plan (which entries, with which bytes), and the plan as a layer.
//!
//! `files::tree` (what can be read) → `planner` (what goes where) → `write` (one pass into the store). A plan is
//! metadata only, so that its key is known before a byte is copied. Knows layers and the store; no
//! Dockerfile, no registry, no sandbox.

pub mod archive;
pub mod contents;
pub mod entries;
pub mod owner;
pub mod planner;
pub mod read_ahead;
pub mod select;
pub mod write;

pub use entries::{Content, FreshFile, Plan, Planned, Rules};
pub use planner::Planner;
