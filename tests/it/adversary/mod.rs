//! Who may write what, and what happens when they lie: stores, neighbors, data of strangers,
//! and commands that mean harm.
//!
//! `probe.rs` is no module of these tests: it is the program that such a command is.

pub mod command;
mod neighbors;
mod planted;
mod store;
