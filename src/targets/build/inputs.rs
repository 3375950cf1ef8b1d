//! What the cache key of a build covers.

use super::super::task::BuildTask;
use super::failed;
use super::request::request;
use imgmake_core::execute::{Failure, Upstream};
use imgmake_core::fingerprint::{self, Inputs};

/// Everything that the image and what is made of it depend on.
pub(super) fn add(
    task: &BuildTask<'_>,
    upstream: &Upstream<'_>,
    inputs: &mut Inputs,
) -> Result<(), Failure> {
    let request = request(task, upstream)?;
    let engine = task.runner.engine()?;
    let read = imgmake_build::inputs(&request, &engine);
    inputs.extend(read.map_err(|error| failed(task, error))?);
    fingerprint::build_settings(inputs, task.target);
    Ok(())
}
