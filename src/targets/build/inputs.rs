//! What the cache key of a build covers.

use super::super::runner::Recording;
use super::super::task::BuildTask;
use super::request::request;
use super::stage;
use imgmake_build::Recorded;
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
    let found = match &task.runner.recording {
        None => imgmake_build::inputs(&request, &engine),
        Some(Recording { files, unbuilt }) => {
            let unbuilt = unbuilt.as_deref();
            imgmake_build::inputs_and_files(&request, &engine, Recorded { files, unbuilt })
        }
    };
    inputs.extend(found.map_err(|error| stage::failed(task, error))?);
    fingerprint::build_settings(inputs, task.target);
    Ok(())
}
