//! Files that become layers: where they come from, what goes where, and the layer itself.
pub mod context;
pub mod copy;
pub mod download;
pub mod git;
pub mod hash;
pub mod layer_plan;
pub mod patterns;
pub mod source;
pub mod tree;
