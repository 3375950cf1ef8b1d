//! What of a project a run works at: runs that have nothing in common need not wait for each other.

use std::collections::BTreeSet;
use std::path::Path;

use super::output::tell;
use super::signals::Stopped;
use crate::exit::{self, Exit};
use crate::targets::Project;
use imgmake_core::error::{CoreError, Overlap};
use imgmake_core::graph::{Graph, TargetId};
use imgmake_core::manifest::{PushFrom, PushTarget, TargetKind};
use imgmake_core::plan::Plan;
use imgmake_core::state::{Claim, Lock, Wait};
use imgmake_event::Cancel;
use imgmake_oci::image::Reference;

/// The lock for what a plan works at, which is its targets and all that they need.
pub fn take(
    project: &Project,
    plan: &Plan,
    memory: &Path,
    no_wait: bool,
    cancel: &Cancel,
    stopped: &Stopped,
) -> Result<Lock, Exit> {
    let graph = &project.graph;
    let claim = match plan.order.len() == graph.manifest().targets.len() {
        true => Claim::Project,
        false => Claim::Targets {
            graph: graph.identity(),
            names: plan
                .order
                .iter()
                .map(|id| graph.name(*id).to_string())
                .collect(),
        },
    };
    let compare = |theirs: &[&str]| overlap(graph, &plan.order, theirs);
    with_wait(no_wait, cancel, stopped, &|wait| {
        Lock::claim(memory, &claim, &compare, wait)
    })
}

/// The lock for all of a project.
pub fn take_all(memory: &Path, cancel: &Cancel, stopped: &Stopped) -> Result<Lock, Exit> {
    with_wait(false, cancel, stopped, &|wait| Lock::take(memory, wait))
}

type Take<'a> = dyn Fn(&Wait<'_>) -> Result<Lock, CoreError> + 'a;

fn with_wait(
    no_wait: bool,
    cancel: &Cancel,
    stopped: &Stopped,
    take: &Take<'_>,
) -> Result<Lock, Exit> {
    let on_wait = |overlap: &Overlap, holder: &str| {
        tell(format!("waiting: another run works {overlap} ({holder})"));
    };
    let give_up = || cancel.is_cancelled();
    let wait = match no_wait {
        true => Wait::No,
        false => Wait::Yes {
            on_wait: &on_wait,
            give_up: &give_up,
        },
    };
    take(&wait).map_err(|error| match error {
        CoreError::Locked { .. } => {
            Exit::error(exit::LOCKED, error).with_help("without `--no-wait` imgmake waits for it")
        }
        CoreError::LockedByOurs { .. } => Exit::error(exit::LOCKED, error).with_help(
            "it would wait for itself: name the dependencies of the command with `needs`; `plan`, `why`, `check` and `list` work everywhere",
        ),
        CoreError::Cancelled => Exit::silent(stopped.exit_code().unwrap_or(exit::FAILED)),
        error => error.into(),
    })
}

/// What two runs of one graph have in common. Outputs are none: no two targets may make one file.
fn overlap(graph: &Graph, mine: &[TargetId], theirs: &[&str]) -> Option<Overlap> {
    let own: BTreeSet<&str> = mine.iter().map(|id| graph.name(*id)).collect();
    if let Some(common) = theirs.iter().find(|name| own.contains(*name)) {
        return Some(Overlap::Target(common.to_string()));
    }
    let theirs: Option<Vec<TargetId>> = theirs.iter().map(|name| graph.find(name)).collect();
    let Some(theirs) = theirs else {
        return Some(Overlap::Manifest);
    };
    let unordered = |id: &&TargetId| !graph.left_out(**id).is_empty();
    if let Some(id) = mine.iter().chain(&theirs).find(unordered) {
        return Some(Overlap::Unordered(graph.name(*id).to_string()));
    }
    common(graph, mine, &theirs, pools)
        .map(Overlap::Pool)
        .or_else(|| common(graph, mine, &theirs, tags).map(Overlap::Tag))
        .or_else(|| pushes(graph, mine, &theirs).map(Overlap::Registry))
}

/// The first of what targets of both have.
fn common(
    graph: &Graph,
    mine: &[TargetId],
    theirs: &[TargetId],
    of: fn(&Graph, TargetId) -> Vec<String>,
) -> Option<String> {
    let all = |ids: &[TargetId]| -> BTreeSet<String> {
        ids.iter().flat_map(|id| of(graph, *id)).collect()
    };
    let others = all(theirs);
    all(mine).into_iter().find(|one| others.contains(one))
}

/// Only so many targets of a pool work at once, whoever runs them.
fn pools(graph: &Graph, id: TargetId) -> Vec<String> {
    let pool = graph.target(id).pool.as_ref();
    pool.map(|pool| pool.value.clone()).into_iter().collect()
}

/// In the store, and in a daemon.
fn tags(graph: &Graph, id: TargetId) -> Vec<String> {
    let TargetKind::Build(build) = &graph.target(id).kind else {
        return Vec::new();
    };
    let full = |tag: &str| match tag.parse::<Reference>() {
        Ok(reference) => reference.to_string(),
        Err(_) => tag.to_string(),
    };
    build.tags.iter().map(|tag| full(&tag.value)).collect()
}

/// A place that both push to. Where a repository follows from what is pushed, the whole registry is one.
fn pushes(graph: &Graph, mine: &[TargetId], theirs: &[TargetId]) -> Option<String> {
    let of = |ids: &[TargetId]| -> Vec<String> {
        let kinds = ids.iter().map(|id| (*id, &graph.target(*id).kind));
        kinds
            .filter_map(|(id, kind)| match kind {
                TargetKind::Push(push) => Some(places(graph, id, push)),
                TargetKind::Build(_) | TargetKind::Run(_) | TargetKind::Scan(_) => None,
            })
            .flatten()
            .collect()
    };
    first_common_place(of(mine), of(theirs))
}

/// One that ends with a slash is all that begins so.
fn first_common_place(mine: Vec<String>, theirs: Vec<String>) -> Option<String> {
    let theirs: BTreeSet<String> = theirs.into_iter().collect();
    let is_common = |one: &String| {
        let below = || theirs.range(one.clone()..).next();
        let mut above = one.match_indices('/').map(|(at, _)| &one[..=at]);
        let is_named = match one.ends_with('/') {
            true => below().is_some_and(|other| other.starts_with(one.as_str())),
            false => theirs.contains(one),
        };
        is_named || above.any(|above| theirs.contains(above))
    };
    mine.into_iter().find(is_common)
}

/// Repositories, and with a slash at the end whole registries.
fn places(graph: &Graph, id: TargetId, push: &PushTarget) -> Vec<String> {
    let address = |name: &str| {
        let mut known = graph.manifest().registries.iter();
        let known = known.find(|registry| registry.name.value == name);
        known
            .map_or(name, |registry| registry.prefix.value.as_str())
            .to_string()
    };
    let mut places = Vec::new();
    for to in &push.to {
        let repositories: Vec<String> = match (&to.repository, &push.from) {
            (Some(repository), _) => vec![repository.value.clone()],
            (None, PushFrom::Images(_)) => {
                let images = graph.images(id).into_iter();
                images.map(|image| graph.name(image).to_string()).collect()
            }
            (None, _) => vec![String::new()],
        };
        for registry in &to.registries {
            let registry = address(&registry.value);
            places.extend(repositories.iter().map(|name| format!("{registry}/{name}")));
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_meet_in_a_repository_and_in_a_whole_registry() {
        for (mine, theirs, expected) in [
            ("r/app", "r/app", true),
            ("r/app", "r/app-2", false),
            ("r/app", "r/app/sub", false),
            ("r/app", "r/", true),
            ("r/app", "r2/", false),
            ("r/org/app", "r/org/", true),
            ("r/org/", "r/", true),
            ("r/org/", "r/organization/app", false),
        ] {
            for (mine, theirs) in [(mine, theirs), (theirs, mine)] {
                let others = ["a/other", theirs, "z/other"].map(str::to_string);
                let found = first_common_place(vec![mine.to_string()], others.to_vec());
                assert_eq!(found.is_some(), expected, "{mine} {theirs}");
            }
        }
    }
}
