//! The build checks of the Dockerfile reference: warnings that know their line.

mod options;
pub use options::CheckOptions;
