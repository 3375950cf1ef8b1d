//! What people come from: `PLUGIN_*` variables, kaniko's arguments, bake files; each becomes a manifest.

pub mod import;
pub mod plugin;
