//! Cycles among targets and among groups, each told once, with its shortest path.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;

use super::edge::{Edge, EdgeKind, TargetId};
use crate::manifest::glob::{deeper, is_pattern};
use crate::manifest::{Diagnostic, Group, Manifest, Span, suggest};
use imgmake_guard::printable;

pub(super) fn check(
    graph: &DiGraph<TargetId, EdgeKind>,
    edges: &[Edge],
    manifest: &Manifest,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let spans: HashMap<(usize, usize), Span> = edges
        .iter()
        .map(|edge| ((edge.from.0, edge.to.0), edge.span))
        .collect();
    let mut targets: Vec<Vec<usize>> = vec![Vec::new(); manifest.targets.len()];
    for edge in edges {
        targets[edge.from.0].push(edge.to.0);
    }
    let name = |at: usize| manifest.targets[at].name.value.as_str();
    for component in tarjan_scc(graph) {
        let mut members: Vec<usize> = component.iter().map(|node| node.index()).collect();
        members.sort_unstable();
        if let Some(path) = shortest_cycle(&targets, &members) {
            let names: Vec<&str> = path.iter().map(|at| name(*at)).collect();
            let places = path.windows(2).map(|pair| spans[&(pair[0], pair[1])]);
            diagnostics.push(cycle_diagnostic(
                "targets",
                &names,
                &places.collect::<Vec<Span>>(),
            ));
        }
    }
}

/// From the first member of a strongly connected component back to itself: breadth first.
/// `None` when it is one target without an edge to itself.
fn shortest_cycle(edges: &[Vec<usize>], members: &[usize]) -> Option<Vec<usize>> {
    let start = *members.first()?;
    let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for next in &edges[at] {
            if *next == start {
                let mut path = vec![start, at];
                let mut back = at;
                while back != start {
                    back = came_from[&back];
                    path.push(back);
                }
                if at == start {
                    path.truncate(2);
                }
                path.reverse();
                return Some(path);
            }
            if members.binary_search(next).is_ok() && !came_from.contains_key(next) {
                came_from.insert(*next, at);
                queue.push_back(*next);
            }
        }
    }
    None
}

fn cycle_diagnostic(what: &str, names: &[&str], places: &[Span]) -> Diagnostic {
    let label = |pair: &[&str]| format!("`{}` uses `{}`", pair[0], pair[1]);
    let mut labels = names.windows(2).map(label).zip(places);
    let (first, span) = labels.next().expect("a cycle has an edge");
    let message = match names {
        [only, _] => format!("target `{only}` depends on itself: {only} -> {only}"),
        _ => format!(
            "the {what} depend on each other: {}",
            printable::listed(names, " -> ")
        ),
    };
    let diagnostic = Diagnostic::at(*span, message, first);
    // A cycle may hold every target that there is.
    const MOST_LABELS: usize = 20;
    labels
        .take(MOST_LABELS)
        .fold(diagnostic, |diagnostic, (label, span)| {
            diagnostic.with_related(*span, label)
        })
}

/// Members that do not exist, and groups that contain themselves.
pub(super) fn check_groups(
    groups: &[Group],
    disabled: &HashSet<&str>,
    targets: &HashMap<String, TargetId>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let ids: HashMap<&str, usize> = groups
        .iter()
        .enumerate()
        .map(|(at, group)| (group.name.value.as_str(), at))
        .collect();
    let mut graph: DiGraph<(), ()> = DiGraph::new();
    let nodes: Vec<_> = groups.iter().map(|_| graph.add_node(())).collect();
    let mut edges: Vec<Vec<usize>> = vec![Vec::new(); groups.len()];
    for (at, group) in groups.iter().enumerate() {
        for member in &group.members {
            if let Some(other) = ids.get(member.value.as_str()) {
                graph.add_edge(nodes[at], nodes[*other], ());
                edges[at].push(*other);
            } else if !targets.contains_key(&member.value)
                && !disabled.contains(member.value.as_str())
            {
                unknown_member(group, member, targets, &ids, diagnostics);
            }
        }
    }
    for component in tarjan_scc(&graph) {
        let mut members: Vec<usize> = component.iter().map(|node| node.index()).collect();
        members.sort_unstable();
        if let Some(path) = shortest_cycle(&edges, &members) {
            let names: Vec<&str> = path
                .iter()
                .map(|at| groups[*at].name.value.as_str())
                .collect();
            let places = names.windows(2).zip(&path).map(|(pair, at)| {
                let mut members = groups[*at].members.iter();
                let member = members.find(|member| member.value == pair[1]);
                member.map(|member| member.span).unwrap_or_default()
            });
            let mut diagnostic = cycle_diagnostic("groups", &names, &places.collect::<Vec<Span>>());
            if let [only, _] = names.as_slice() {
                diagnostic.message = format!("group `{only}` contains itself");
            }
            diagnostics.push(diagnostic);
        }
    }
}

fn unknown_member(
    group: &Group,
    member: &crate::manifest::Spanned<String>,
    targets: &HashMap<String, TargetId>,
    groups: &HashMap<&str, usize>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let about = format!("group `{}`: ", group.name.value);
    if is_pattern(&member.value) {
        let glob = crate::manifest::Glob::new(&member.value);
        if !glob.is_ok_and(|glob| targets.keys().any(|name| glob.matches(name))) {
            let message = format!("{about}no target matches `{}`", member.value);
            let mut diagnostic = Diagnostic::at(member.span, message, "matches nothing");
            diagnostic.help = deeper(&member.value, targets.keys().map(String::as_str));
            diagnostics.push(diagnostic);
        }
        return;
    }
    let message = format!("{about}target or group `{}` not found", member.value);
    let mut diagnostic = Diagnostic::at(member.span, message, "not declared");
    let mut known: Vec<&str> = targets
        .keys()
        .map(String::as_str)
        .chain(groups.keys().copied())
        .collect();
    known.sort_unstable();
    known.retain(|name| *name != group.name.value);
    diagnostic.help = suggest::help(&member.value, known);
    diagnostics.push(diagnostic);
}
