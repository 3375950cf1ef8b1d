//! What the cache key of a build covers.

use super::super::failure::failure;
use super::super::task::BuildTask;
use super::request::request;
use imgmake_build::{self as build, FileStat};
use imgmake_core::execute::{Failure, Upstream};
use imgmake_core::fingerprint::Inputs;
use imgmake_core::manifest::{LoadInto, TarFormat};
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
    inputs.list("setting", "tags", task.target.tags.iter().map(|t| &t.value));
    if let Some(tar) = &task.target.tar {
        inputs.list(
            "setting",
            "tar",
            [
                tar.path.value.as_str(),
                if tar.format == TarFormat::Oci {
                    "oci"
                } else {
                    "docker"
                },
            ],
        );
    }
    let daemons = task.target.load.iter().map(|node| match node.into {
        LoadInto::Docker => "docker",
        LoadInto::Podman => "podman",
    });
    if !task.target.load.is_empty() {
        inputs.list("setting", "load", daemons);
    }
    for (name, address) in &task.target.add_hosts {
        inputs.value("host", name, address.value.as_bytes());
    }
    if let Some(network) = &task.target.network {
        inputs.value("setting", "network", network.value.as_bytes());
    }
    if !task.target.allow.is_empty() {
        let allowed = task.target.allow.iter().map(|text| text.value.as_str());
        inputs.list("setting", "allow", allowed);
    }
    if let Some(layout) = &task.target.layout {
        inputs.value("setting", "layout", layout.value.as_bytes());
    }
    Ok(())
}
