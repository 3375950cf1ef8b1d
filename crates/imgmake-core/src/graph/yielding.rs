//! Edges that nobody wrote, where they would make a circle: as many give way as it takes, and no more.

use petgraph::algo::tarjan_scc;

use super::edge::{Edge, Strength, TargetId, petgraph};
use super::paths::outputs;
use super::reach::Reach;
use crate::manifest::glob::clean;
use crate::manifest::{Diagnostic, Manifest};

/// How far circles are looked for.
pub(super) struct Limits {
    /// Targets of which every way is known at once: two bits for each pair.
    pub known: usize,
    /// Steps of the search among more of them, in all.
    pub steps: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            known: 4096,
            steps: 20_000_000,
        }
    }
}

/// What became of the edges.
#[derive(Default)]
pub(super) struct Resolved {
    /// Sorted as they were.
    pub kept: Vec<Edge>,
    /// Each would have made a circle.
    pub given_way: Vec<Edge>,
    /// Left out too, since nobody knows whether they would.
    pub given_up: Vec<Edge>,
}

pub(super) fn without_circles(targets: usize, edges: Vec<Edge>, limits: &Limits) -> Resolved {
    let mut resolved = Resolved::default();
    if edges.iter().all(|edge| edge.strength == Strength::Written) {
        resolved.kept = edges;
        return resolved;
    }
    let components = Components::of(targets, &edges);
    let may_yield =
        |edge: &Edge| edge.strength != Strength::Written && components.is_within_one(edge);
    let (mut candidates, kept): (Vec<Edge>, Vec<Edge>) = edges.into_iter().partition(may_yield);
    resolved.kept = kept;
    if candidates.is_empty() {
        return resolved;
    }
    // Those that are most likely meant first, then in file order.
    candidates.sort_by_key(|edge| (std::cmp::Reverse(edge.strength), edge.from, edge.to));
    let mut growing = Growing::new(&components, &candidates, limits);
    // No circle leads out of a component.
    for edge in resolved.kept.iter().filter(|l| components.is_within_one(l)) {
        growing.add(edge);
    }
    for edge in candidates {
        match growing.leads(edge.to, edge.from) {
            Some(true) => resolved.given_way.push(edge),
            None => resolved.given_up.push(edge),
            Some(false) => {
                growing.add(&edge);
                resolved.kept.push(edge);
            }
        }
    }
    resolved.kept.sort_by_key(|edge| (edge.from, edge.to));
    resolved
}

/// Of each target: the circles that it is in, which are one number.
struct Components(Vec<usize>);

impl Components {
    fn of(targets: usize, edges: &[Edge]) -> Components {
        let mut component = vec![0; targets];
        for (at, members) in tarjan_scc(&petgraph(targets, edges)).iter().enumerate() {
            for node in members {
                component[node.index()] = at;
            }
        }
        Components(component)
    }

    fn is_within_one(&self, edge: &Edge) -> bool {
        self.0[edge.from.0] == self.0[edge.to.0]
    }
}

/// A graph without circles that grows: the components in which something may give way.
struct Growing {
    /// Of each target: its place among those that matter.
    places: Vec<Option<usize>>,
    ways: Ways,
}

enum Ways {
    Known(Reach),
    Searched(Search),
}

impl Growing {
    fn new(components: &Components, candidates: &[Edge], limits: &Limits) -> Growing {
        let mut matters = vec![false; components.0.len()];
        for edge in candidates {
            matters[components.0[edge.from.0]] = true;
        }
        let mut count = 0;
        let mut place = |component: &usize| {
            matters[*component].then(|| {
                count += 1;
                count - 1
            })
        };
        let places = components.0.iter().map(&mut place).collect();
        let ways = match count <= limits.known {
            true => Ways::Known(Reach::new(count)),
            false => Ways::Searched(Search::new(count, limits.steps)),
        };
        Growing { places, ways }
    }

    fn add(&mut self, edge: &Edge) {
        let (Some(from), Some(to)) = (self.places[edge.from.0], self.places[edge.to.0]) else {
            return;
        };
        match &mut self.ways {
            Ways::Known(reach) => reach.add(from, to),
            Ways::Searched(search) => search.edges[from].push(to),
        }
    }

    /// Whether one target depends on another one, directly or not; `None` where that takes too long.
    fn leads(&mut self, from: TargetId, to: TargetId) -> Option<bool> {
        let (Some(from), Some(to)) = (self.places[from.0], self.places[to.0]) else {
            return Some(false);
        };
        match &mut self.ways {
            _ if from == to => Some(true),
            Ways::Known(reach) => Some(reach.leads(from, to)),
            Ways::Searched(search) => search.leads(from, to),
        }
    }
}

/// Thousands of targets that may read each other.
struct Search {
    edges: Vec<Vec<usize>>,
    seen: Vec<usize>,
    number: usize,
    steps_left: usize,
}

impl Search {
    fn new(nodes: usize, steps: usize) -> Search {
        Search {
            edges: vec![Vec::new(); nodes],
            seen: vec![0; nodes],
            number: 0,
            steps_left: steps,
        }
    }

    fn leads(&mut self, from: usize, to: usize) -> Option<bool> {
        self.number += 1;
        let mut todo = vec![from];
        while let Some(at) = todo.pop() {
            for next in &self.edges[at] {
                self.steps_left = self.steps_left.checked_sub(1)?;
                if *next == to {
                    return Some(true);
                }
                if self.seen[*next] != self.number {
                    self.seen[*next] = self.number;
                    todo.push(*next);
                }
            }
        }
        Some(false)
    }
}

/// What is made after a target is not among its files, whatever pattern or directory reaches it.
pub(super) fn left_out(manifest: &Manifest, resolved: &Resolved) -> Vec<Vec<String>> {
    let mut left_out = vec![Vec::new(); manifest.targets.len()];
    for edge in resolved.given_way.iter().chain(&resolved.given_up) {
        let made = outputs(&manifest.targets[edge.to.0].kind);
        left_out[edge.from.0].extend(made.iter().map(|path| clean(&path.value)));
    }
    left_out
}

/// One for each target, with the first of those that it does not wait for; and one if the search
/// was given up.
pub(super) fn warnings(manifest: &Manifest, resolved: &Resolved) -> Vec<Diagnostic> {
    let name = |id: TargetId| manifest.targets[id.0].name.value.as_str();
    // What its Dockerfile does not read is missed by nobody.
    let mut told: Vec<&Edge> = resolved.given_way.iter().collect();
    told.retain(|edge| edge.strength == Strength::Guessed);
    told.sort_by_key(|edge| (edge.from, edge.to));
    let by_target = told.chunk_by(|one, other| one.from == other.from);
    let warning = |edges: &[&Edge]| {
        let (from, to) = (name(edges[0].from), name(edges[0].to));
        let others = match edges.len() - 1 {
            0 => String::new(),
            1 => " and 1 more".to_string(),
            more => format!(" and {more} more"),
        };
        let output = outputs(&manifest.targets[edges[0].to.0].kind);
        let output = output.first().map_or("", |path| path.value.as_str());
        let message = format!(
            "target `{from}` does not wait for `{to}`{others}, which waits for it: files of `{to}` are not inputs of `{from}`"
        );
        Diagnostic::at(edges[0].span, message, format!("may read `{output}`"))
            .with_help("write `needs`, or exclude the output from the files that the target reads")
    };
    let given_up = given_up(manifest, &resolved.given_up);
    by_target.map(warning).chain(given_up).collect()
}

fn given_up(manifest: &Manifest, edges: &[Edge]) -> Option<Diagnostic> {
    let first = edges.iter().min_by_key(|edge| (edge.from, edge.to))?;
    let name = |id: TargetId| manifest.targets[id.0].name.value.as_str();
    let others = match edges.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more like it"),
    };
    let message = format!(
        "too many targets may read files of other targets, so dependency cycles are not searched: `{}` does not wait for `{}`{others}, whose files are not its inputs",
        name(first.from),
        name(first.to)
    );
    let warning = Diagnostic::at(first.span, message, "not checked");
    Some(warning.with_help("write `needs`, or read fewer files: `inputs`, contexts, COPY"))
}
