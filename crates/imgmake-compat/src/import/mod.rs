//! Other tools' files as targets of a manifest.
//!
//! Knows the manifest's types. Knows no disk, no environment and no plugin: texts
//! and variables come in as values.

pub mod bake;
pub mod docker;
pub mod kdl;
