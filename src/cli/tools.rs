//! The tools of a run, as arguments, environment and manifest want them.

use std::path::PathBuf;

use super::environment::Environment;
use super::{base_policy, shared_cache};
use crate::targets::{Project, ToolOptions, Tools};
use imgmake_event::{Cancel, Events};
use imgmake_oci::store::Trust;
use imgmake_sandbox::IsolationMode;

/// # Errors
/// A secret, a key or a cache that the manifest names cannot be had.
pub fn tools(
    project: &Project,
    store_trust: Trust,
    environment: &Environment,
    store_path: PathBuf,
    events: Events,
    cancel: Cancel,
) -> anyhow::Result<Tools> {
    let options = ToolOptions {
        store_path,
        store_trust,
        isolation: isolation(environment)?,
        bases: base_policy::read(project)?,
        caches: shared_cache::settings(&project.graph.manifest().settings.cache)?,
        variables: environment.variables.clone(),
        logs: environment.kept_logs(),
        events,
        cancel,
    };
    Tools::new(project, options)
}

/// `IMGMAKE_ISOLATION` chooses a mode instead of probing.
///
/// # Errors
/// It names none.
pub fn isolation(environment: &Environment) -> anyhow::Result<Option<IsolationMode>> {
    Ok(match environment.get("IMGMAKE_ISOLATION") {
        None | Some("auto") => None,
        Some("root") => Some(IsolationMode::Root),
        Some("rootless") => Some(IsolationMode::Rootless),
        Some("single-id") => Some(IsolationMode::SingleId),
        Some("chroot") => Some(IsolationMode::Chroot),
        Some(other) => anyhow::bail!(
            "IMGMAKE_ISOLATION={other} is not an isolation mode: expected root, rootless, single-id, chroot or auto"
        ),
    })
}
