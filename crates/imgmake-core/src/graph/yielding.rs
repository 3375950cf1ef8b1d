//! Edges that nobody wrote, where they would make a circle: as many give way as it takes, and no more.

use petgraph::algo::tarjan_scc;

use super::edge::{Link, Strength, TargetId, petgraph};
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

/// What became of the links.
#[derive(Default)]
pub(super) struct Resolved {
    /// Sorted as they were.
    pub kept: Vec<Link>,
    /// Each would have made a circle.
    pub given_way: Vec<Link>,
    /// Left out too, since nobody knows whether they would.
    pub given_up: Vec<Link>,
}

pub(super) fn without_circles(targets: usize, links: Vec<Link>, limits: &Limits) -> Resolved {
    let mut resolved = Resolved::default();
    if links.iter().all(|link| link.strength == Strength::Written) {
        resolved.kept = links;
        return resolved;
    }
    let components = Components::of(targets, &links);
    let may_yield =
        |link: &Link| link.strength != Strength::Written && components.is_within_one(link);
    let (mut candidates, kept): (Vec<Link>, Vec<Link>) = links.into_iter().partition(may_yield);
    resolved.kept = kept;
    if candidates.is_empty() {
        return resolved;
    }
    // Those that are most likely meant first, then in file order.
    candidates.sort_by_key(|link| (std::cmp::Reverse(link.strength), link.from, link.to));
    let mut growing = Growing::new(&components, &candidates, limits);
    // No circle leads out of a component.
    for link in resolved.kept.iter().filter(|l| components.is_within_one(l)) {
        growing.add(link);
    }
    for link in candidates {
        match growing.leads(link.to, link.from) {
            Some(true) => resolved.given_way.push(link),
            None => resolved.given_up.push(link),
            Some(false) => {
                growing.add(&link);
                resolved.kept.push(link);
            }
        }
    }
    resolved.kept.sort_by_key(|link| (link.from, link.to));
    resolved
}

/// Of each target: the circles that it is in, which are one number.
struct Components(Vec<usize>);

impl Components {
    fn of(targets: usize, links: &[Link]) -> Components {
        let mut component = vec![0; targets];
        for (at, members) in tarjan_scc(&petgraph(targets, links)).iter().enumerate() {
            for node in members {
                component[node.index()] = at;
            }
        }
        Components(component)
    }

    fn is_within_one(&self, link: &Link) -> bool {
        self.0[link.from.0] == self.0[link.to.0]
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
    fn new(components: &Components, candidates: &[Link], limits: &Limits) -> Growing {
        let mut matters = vec![false; components.0.len()];
        for link in candidates {
            matters[components.0[link.from.0]] = true;
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

    fn add(&mut self, link: &Link) {
        let (Some(from), Some(to)) = (self.places[link.from.0], self.places[link.to.0]) else {
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
    for link in resolved.given_way.iter().chain(&resolved.given_up) {
        let made = outputs(&manifest.targets[link.to.0].kind);
        left_out[link.from.0].extend(made.iter().map(|path| clean(&path.value)));
    }
    left_out
}

/// One for each target, with the first of those that it does not wait for; and one if the search
/// was given up.
pub(super) fn warnings(manifest: &Manifest, resolved: &Resolved) -> Vec<Diagnostic> {
    let name = |id: TargetId| manifest.targets[id.0].name.value.as_str();
    // What its Dockerfile does not read is missed by nobody.
    let mut told: Vec<&Link> = resolved.given_way.iter().collect();
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
    let given_up = given_up(manifest, &resolved.given_up);
    by_target.map(warning).chain(given_up).collect()
}

fn given_up(manifest: &Manifest, links: &[Link]) -> Option<Diagnostic> {
    let first = links.iter().min_by_key(|link| (link.from, link.to))?;
    let name = |id: TargetId| manifest.targets[id.0].name.value.as_str();
    let others = match links.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more like it"),
    };
    let message = format!(
        "too many targets may read what others make to look for circles among them: `{}` does not wait for `{}`{others}, and what that makes is left out of its files",
        name(first.from),
        name(first.to)
    );
    let warning = Diagnostic::at(first.span, message, "not looked at");
    Some(warning.with_help("write `needs`, or narrow what is read: `inputs`, contexts, COPY"))
}
