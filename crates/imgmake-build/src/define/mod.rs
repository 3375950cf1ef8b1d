//! What a build is made of, before anything runs: the parsed definition, its stages, and what each step means.
pub mod arguments;
pub mod base;
mod chmod;
pub mod compile;
pub mod config;
pub mod definition;
pub mod epoch;
pub mod evaluate;
pub mod graph;
pub mod state;
pub mod steps;
