//! Edges that nobody wrote, where they would make a circle: as many give way as it takes, and no more.

use std::collections::HashSet;

use petgraph::algo::tarjan_scc;

use super::edge::{Link, Strength, TargetId, petgraph};
use super::paths::outputs;
use crate::manifest::glob::clean;
use crate::manifest::{Diagnostic, Manifest};

/// Steps of the search for circles, in all: a manifest that takes more has thousands of targets
/// that may read each other, and there edges give way without a look.
const MOST_STEPS: usize = 20_000_000;

/// What is left, sorted as it was, and what gave way.
pub(super) fn without_circles(targets: usize, links: Vec<Link>) -> (Vec<Link>, Vec<Link>) {
    if links.iter().all(|link| link.strength == Strength::Written) {
        return (links, Vec::new());
    }
    let mut component = vec![0; targets];
    for (at, members) in tarjan_scc(&petgraph(targets, &links)).iter().enumerate() {
        for node in members {
            component[node.index()] = at;
        }
    }
    let may_yield = |link: &Link| {
        link.strength != Strength::Written && component[link.from.0] == component[link.to.0]
    };
    let (mut candidates, mut kept): (Vec<Link>, Vec<Link>) = links.into_iter().partition(may_yield);
    if candidates.is_empty() {
        return (kept, Vec::new());
    }
    // Those that are most likely meant first, then in file order.
    candidates.sort_by_key(|link| (std::cmp::Reverse(link.strength), link.from, link.to));
    let mut growing = Growing::new(targets, &kept);
    let mut given_way = Vec::new();
    for link in candidates {
        match growing.leads(link.to.0, link.from.0) {
            true => given_way.push(link),
            false => {
                growing.add(&link);
                kept.push(link);
            }
        }
    }
    kept.sort_by_key(|link| (link.from, link.to));
    (kept, given_way)
}

/// A graph without circles that grows.
struct Growing {
    edges: Vec<Vec<usize>>,
    pairs: HashSet<(usize, usize)>,
    seen: Vec<usize>,
    search: usize,
    steps: usize,
}

impl Growing {
    fn new(targets: usize, links: &[Link]) -> Growing {
        let mut growing = Growing {
            edges: vec![Vec::new(); targets],
            pairs: HashSet::new(),
            seen: vec![0; targets],
            search: 0,
            steps: 0,
        };
        links.iter().for_each(|link| growing.add(link));
        growing
    }

    fn add(&mut self, link: &Link) {
        self.edges[link.from.0].push(link.to.0);
        self.pairs.insert((link.from.0, link.to.0));
    }

    /// Whether one target depends on another one, directly or not.
    fn leads(&mut self, from: usize, to: usize) -> bool {
        if from == to || self.pairs.contains(&(from, to)) {
            return true;
        }
        self.search += 1;
        let mut todo = vec![from];
        while let Some(at) = todo.pop() {
            for next in &self.edges[at] {
                self.steps += 1;
                if *next == to || self.steps > MOST_STEPS {
                    return true;
                }
                if self.seen[*next] != self.search {
                    self.seen[*next] = self.search;
                    todo.push(*next);
                }
            }
        }
        false
    }
}

/// What is made after a target is not among its files, whatever pattern or directory reaches it.
pub(super) fn left_out(manifest: &Manifest, given_way: &[Link]) -> Vec<Vec<String>> {
    let mut left_out = vec![Vec::new(); manifest.targets.len()];
    for link in given_way {
        let made = outputs(&manifest.targets[link.to.0].kind);
        left_out[link.from.0].extend(made.iter().map(|path| clean(&path.value)));
    }
    left_out
}

/// One for each target, with the first of those that it does not wait for.
pub(super) fn warnings(manifest: &Manifest, given_way: &[Link]) -> Vec<Diagnostic> {
    let name = |id: TargetId| manifest.targets[id.0].name.value.as_str();
    // What its Dockerfile does not read is missed by nobody.
    let mut told: Vec<&Link> = given_way.iter().collect();
    told.retain(|link| link.strength == Strength::Guessed);
    told.sort_by_key(|link| (link.from, link.to));
    let by_target = told.chunk_by(|one, other| one.from == other.from);
    let warning = |links: &[&Link]| {
        let (from, to) = (name(links[0].from), name(links[0].to));
        let others = match links.len() - 1 {
            0 => String::new(),
            1 => " and 1 more".to_string(),
            more => format!(" and {more} more"),
        };
        let output = outputs(&manifest.targets[links[0].to.0].kind);
        let output = output.first().map_or("", |path| path.value.as_str());
        let message = format!(
            "target `{from}` does not wait for `{to}`{others}, which waits for it: what `{to}` makes is left out of its files"
        );
        Diagnostic::at(links[0].span, message, format!("may read `{output}`"))
            .with_help("write `needs`, or leave the output out of what is read")
    };
    by_target.map(warning).collect()
}
