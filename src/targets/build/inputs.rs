//! What the cache key of a build covers.

use super::super::failure::failure;
use super::super::task::BuildTask;
use super::request::request;
use imgmake_build::{self as build, FileStat};
use imgmake_core::execute::{Failure, Upstream};
use imgmake_core::fingerprint::{self, Inputs};
use imgmake_core::state::Signature;

/// Everything that the image and what is made of it depend on.
pub(super) fn add(
    task: &BuildTask<'_>,
    upstream: &Upstream<'_>,
    inputs: &mut Inputs,
) -> Result<(), Failure> {
    let request = request(task, upstream)?;
    let engine = task.runner.tools.engine(&task.runner.state)?;
    let hash = |stat: &FileStat, open: &dyn Fn() -> std::io::Result<std::fs::File>| {
        let signature = Signature {
            device: stat.device,
            inode: stat.inode,
            size: stat.size,
            mtime: stat.mtime,
            ctime: stat.ctime,
        };
        let cancel = &task.runner.tools.cancel;
        task.runner
            .state
            .stats
            .hash_opened(&signature, open, cancel)
    };
    inputs.extend(build::inputs(&request, &engine, &hash).map_err(failure)?);
    fingerprint::build_settings(inputs, task.target);
    Ok(())
}
