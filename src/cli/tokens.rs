//! Which jobserver a run has: that of the make that started it, or one for the makes that it starts.

use std::sync::Arc;

use super::args::RunArgs;
use super::environment::{Environment, Make};
use super::jobs::jobs;
use super::output::tell;
use crate::exit::{self, Exit};
use crate::targets::Project;
use crate::targets::jobserver::Jobserver;
use imgmake_core::graph::TargetId;
use imgmake_core::manifest::TargetKind;
use imgmake_core::plan::Plan;

/// `None` where nothing would take a token: no command is run, or only one target at a time.
///
/// # Errors
/// No pipe can be made.
pub fn of(
    project: &Project,
    plan: &Plan,
    args: &RunArgs,
    environment: &Environment,
) -> Result<Option<Arc<Jobserver>>, Exit> {
    let served = |error: std::io::Error| {
        Exit::error(
            exit::FAILED,
            format!("cannot serve tokens to commands: {error}"),
        )
    };
    match (environment.make(), args.jobs) {
        // Whoever says how many at once is not asked to share, as in make.
        (Make::Jobserver(parent), None) => {
            let client = Jobserver::client(Arc::clone(parent)).map_err(served)?;
            return Ok(Some(Arc::new(client)));
        }
        (Make::Unavailable, None) => tell(
            "note: the jobserver of make cannot be reached; begin the line of the recipe with `+`, and imgmake shares the processors with make",
        ),
        (Make::Jobserver(_) | Make::Unavailable, Some(_)) | (Make::Not, _) => {}
    }
    let is_run = |id: &TargetId| matches!(project.graph.target(*id).kind, TargetKind::Run(_));
    let jobs = jobs(args, project);
    if jobs == 1 || !plan.order.iter().any(is_run) {
        return Ok(None);
    }
    let makeflags = environment.get("MAKEFLAGS").unwrap_or_default();
    let server = Jobserver::serve(jobs, makeflags).map_err(served)?;
    Ok(Some(Arc::new(server)))
}
