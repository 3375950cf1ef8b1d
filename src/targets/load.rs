//! `load docker`, `load podman`: the image goes into a daemon's own store, and is
//! there again as long as the daemon says so.

use anyhow::{Context, Result};

use super::images;
use super::runner::TargetRunner;
use super::task::BuildTask;
use crate::daemon::{Daemon, Kind};
use imgmake_core::manifest::{BuildTarget, LoadInto, LoadNode, WithoutDaemon};
use imgmake_core::state::Output;
use imgmake_oci::archive;
use imgmake_oci::image::Descriptor;

fn kind(into: LoadInto) -> Kind {
    match into {
        LoadInto::Docker => Kind::Docker,
        LoadInto::Podman => Kind::Podman,
    }
}

/// Its tags, else its own name: an image without one could only be found by its id.
fn names(name: &str, target: &BuildTarget) -> Vec<String> {
    match target.tags.is_empty() {
        false => target.tags.iter().map(|tag| tag.value.clone()).collect(),
        true => vec![format!("{}:latest", name.replace(':', "/").to_lowercase())],
    }
}

/// Streams the image into the daemon.
///
/// # Errors
/// There is no daemon where there must be one, or it does not take the image.
pub(super) fn load(
    task: &BuildTask<'_>,
    node: &LoadNode,
    root: &Descriptor,
) -> Result<Option<Output>> {
    let (runner, target) = (task.runner, task.name);
    let (variables, cancel) = (runner.variables, &runner.tools.cancel);
    let kind = kind(node.into);
    let daemon = match node.without {
        WithoutDaemon::Fail => Daemon::get(kind, variables, cancel)?,
        WithoutDaemon::Note => match Daemon::find(kind, variables, cancel)? {
            Some(daemon) => daemon,
            None => {
                runner.note(
                    target,
                    format!("there is no {} daemon to load the image into", kind.name()),
                );
                return Ok(None);
            }
        },
    };
    let names = names(target, task.target);
    let store = runner.store()?;
    images::fetch_missing(runner, target, root)?;
    let image = [(root.clone(), names.clone())];
    let loaded = daemon.load(|out| Ok(archive::send_docker(store, &image, out)?));
    runner.tools.cancel.check()?;
    loaded?;
    let mut ids = Vec::new();
    for name in names {
        let id = daemon.id(&name)?;
        let id =
            id.with_context(|| format!("the daemon took the image, but does not know `{name}`"))?;
        runner.note(target, format!("loaded into {}: {name}", kind.name()));
        ids.push((name, id));
    }
    Ok(Some(Output::Loaded {
        daemon: node.into,
        ids,
    }))
}

/// Whether the daemon still has what was loaded.
pub(super) fn verify(
    runner: &TargetRunner<'_>,
    daemon: LoadInto,
    ids: &[(String, String)],
) -> Option<String> {
    let kind = kind(daemon);
    let name_of_daemon = kind.name();
    let found = Daemon::find(kind, runner.variables, &runner.tools.cancel);
    let Ok(Some(daemon)) = found else {
        return Some(format!("the {name_of_daemon} daemon no longer runs"));
    };
    let lost = ids
        .iter()
        .find(|(name, id)| daemon.id(name).ok().flatten().as_ref() != Some(id));
    lost.map(|(name, _)| format!("{name_of_daemon} no longer has {name}"))
}
