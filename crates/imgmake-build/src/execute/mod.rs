//! Stages run step by step, each from the step cache when its key is known; then the image is put together.
pub mod assemble;
pub mod cache;
pub mod executor;
pub mod rewrite;
pub mod schedule;
pub mod squash;
pub mod warnings;
