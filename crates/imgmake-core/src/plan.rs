//! Requested targets → actions in dependency order. Knows the graph; decides what, and the order
//! of the list, never whether something is stale. Which ready action starts first: `execute::queue`.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use petgraph::graph::NodeIndex;
use petgraph::visit::Dfs;

use crate::error::{CoreError, Result};
use crate::graph::{Graph, TargetId};
use crate::manifest::glob::{deeper, is_pattern};
use crate::manifest::{Glob, TargetKind, suggest};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Dependencies first; ties in file order.
    pub order: Vec<TargetId>,
    /// What was asked for, without what it needs, in file order.
    pub requested: Vec<TargetId>,
}

/// Names, group names or globs; none = group `default`, else every build target. Unknown names: error with suggestions.
pub fn select(graph: &Graph, requested: &[String]) -> Result<Plan> {
    let nothing_named = requested.is_empty() && graph.group("default").is_none();
    let requested: BTreeSet<TargetId> = match requested {
        [] => by_default(graph),
        names => {
            let mut found = BTreeSet::new();
            for name in names {
                found.extend(named(graph, name)?);
            }
            found
        }
    };
    // A group of switched-off targets is no mistake: there is nothing to do.
    if requested.is_empty() && nothing_named {
        return Err(CoreError::NothingToBuild);
    }
    Ok(Plan {
        order: ordered(graph, &closure(graph, &requested)),
        requested: requested.into_iter().collect(),
    })
}

/// All targets.
pub fn all(graph: &Graph) -> Plan {
    let all: BTreeSet<TargetId> = graph.ids().collect();
    Plan {
        order: ordered(graph, &all),
        requested: all.into_iter().collect(),
    }
}

fn by_default(graph: &Graph) -> BTreeSet<TargetId> {
    match graph.group("default") {
        Some(_) => expanded(graph, "default"),
        // A target of that name is what its author means by it.
        None => match graph.find("default") {
            Some(id) => BTreeSet::from([id]),
            None => graph
                .ids()
                .filter(|id| matches!(graph.target(*id).kind, TargetKind::Build(_)))
                .collect(),
        },
    }
}

fn named(graph: &Graph, name: &str) -> Result<BTreeSet<TargetId>> {
    if is_pattern(name)
        && let Err(problem) = Glob::new(name)
    {
        let pattern = name.to_string();
        return Err(CoreError::Pattern { pattern, problem });
    }
    let found = expanded(graph, name);
    if !found.is_empty() || graph.group(name).is_some() {
        return Ok(found);
    }
    let mut disabled = graph.manifest().disabled.iter();
    if disabled.any(|off| off.value == name) {
        let name = name.to_string();
        return Err(CoreError::Disabled { name });
    }
    Err(match is_pattern(name) {
        true => CoreError::NoMatch {
            pattern: name.to_string(),
            help: deeper(name, graph.ids().map(|id| graph.name(id))),
        },
        false => unknown(graph, name),
    })
}

fn unknown(graph: &Graph, name: &str) -> CoreError {
    let manifest = graph.manifest();
    let targets = manifest
        .targets
        .iter()
        .map(|target| target.name.value.as_str());
    let groups = manifest
        .groups
        .iter()
        .map(|group| group.name.value.as_str());
    CoreError::NotFound {
        name: name.to_string(),
        help: suggest::help(name, targets.chain(groups)),
    }
}

/// A target, a group at any depth, or all targets and groups that a glob matches.
fn expanded(graph: &Graph, name: &str) -> BTreeSet<TargetId> {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut todo = vec![name];
    while let Some(name) = todo.pop() {
        if !seen.insert(name) {
            continue;
        }
        if let Some(id) = graph.find(name) {
            found.insert(id);
        } else if let Some(group) = graph.group(name) {
            todo.extend(group.members.iter().map(|member| member.value.as_str()));
        } else if let Some(glob) = Glob::new(name).ok().filter(|_| is_pattern(name)) {
            found.extend(graph.ids().filter(|id| glob.matches(graph.name(*id))));
            let groups = graph.manifest().groups.iter();
            let names = groups.map(|group| group.name.value.as_str());
            todo.extend(names.filter(|name| glob.matches(name)));
        }
    }
    found
}

fn closure(graph: &Graph, requested: &BTreeSet<TargetId>) -> BTreeSet<TargetId> {
    let edges = graph.petgraph();
    let mut search = Dfs::empty(edges);
    search.stack = requested.iter().map(|id| NodeIndex::new(id.0)).collect();
    let mut all = BTreeSet::new();
    while let Some(node) = search.next(edges) {
        all.insert(edges[node]);
    }
    all
}

/// Kahn's algorithm with the first of the file in front, so that a plan reads like its manifest;
/// petgraph's `toposort` knows no such order.
fn ordered(graph: &Graph, wanted: &BTreeSet<TargetId>) -> Vec<TargetId> {
    let targets = graph.manifest().targets.len();
    let mut waiting_for = vec![0usize; targets];
    for id in wanted {
        waiting_for[id.0] = graph.dependencies(*id).len();
    }
    let mut ready: BinaryHeap<Reverse<TargetId>> = wanted
        .iter()
        .filter(|id| waiting_for[id.0] == 0)
        .map(|id| Reverse(*id))
        .collect();
    let mut order = Vec::with_capacity(wanted.len());
    while let Some(Reverse(id)) = ready.pop() {
        order.push(id);
        for dependent in graph.dependents(id).iter().filter(|id| wanted.contains(id)) {
            waiting_for[dependent.0] -= 1;
            if waiting_for[dependent.0] == 0 {
                ready.push(Reverse(*dependent));
            }
        }
    }
    debug_assert_eq!(order.len(), wanted.len(), "the graph has no cycle");
    order
}
