//! A mode as an instruction or a step has it.

use imgmake_oci::layer::Chmod;

use crate::error::{BuildError, Result};

/// # Errors
/// The mode, and what one looks like.
pub(super) fn parse(text: &str) -> Result<Chmod> {
    Chmod::parse(text).map_err(|why| BuildError::invalid(format!("mode `{text}`"), why))
}
