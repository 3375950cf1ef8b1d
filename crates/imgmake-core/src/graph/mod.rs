//! Names resolved: a DAG of targets with the reason of each edge, frozen afterwards.
//! Knows the manifest. Knows no files: what an ignore file leaves out, it cannot know.

mod cycle;
mod edge;
mod links;
mod paths;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::manifest::{Diagnostic, Group, Manifest, Target};
pub use edge::{EdgeKind, TargetId};

use edge::{Link, Strength};
use paths::Producers;

#[derive(Debug)]
pub struct Graph {
    manifest: Manifest,
    by_name: HashMap<String, TargetId>,
    /// An edge points from a target to what it depends on.
    edges: DiGraph<TargetId, EdgeKind>,
    dependencies: Vec<Vec<(TargetId, EdgeKind)>>,
    dependents: Vec<Vec<TargetId>>,
    images: Vec<Vec<TargetId>>,
    producers: Producers,
}

impl Graph {
    /// Edges from references (images, contexts, `run` outputs that a copy, context or input uses) and from `needs`.
    /// Errors: unknown names (did you mean), cycles with the whole path, a push of images no gate it needs covers when it needs a gate.
    pub fn new(manifest: Manifest) -> Result<Graph, Vec<Diagnostic>> {
        let mut diagnostics = Vec::new();
        let by_name: HashMap<String, TargetId> = manifest
            .targets
            .iter()
            .enumerate()
            .map(|(at, target)| (target.name.value.clone(), TargetId(at)))
            .collect();
        let producers = Producers::new(&manifest, &mut diagnostics);
        let found = links::find(&manifest, &by_name, &producers, &mut diagnostics);
        let disabled = manifest.disabled.iter().map(|name| name.value.as_str());
        let disabled = disabled.collect();
        cycle::check_groups(&manifest.groups, &disabled, &by_name, &mut diagnostics);
        let links = without_duplicates(found.links);
        let links = without_guessed_circles(manifest.targets.len(), links);
        let edges = petgraph(manifest.targets.len(), &links);
        cycle::check(&edges, &links, &manifest, &mut diagnostics);
        if !diagnostics.is_empty() {
            diagnostics.sort_by_key(|one| one.span.start);
            return Err(diagnostics);
        }
        let (dependencies, dependents) = adjacency(manifest.targets.len(), &links);
        Ok(Graph {
            manifest,
            by_name,
            edges,
            dependencies,
            dependents,
            images: found.images,
            producers,
        })
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// All targets, in file order.
    pub fn ids(&self) -> impl Iterator<Item = TargetId> + use<> {
        (0..self.manifest.targets.len()).map(TargetId)
    }

    pub fn target(&self, id: TargetId) -> &Target {
        &self.manifest.targets[id.0]
    }

    pub fn name(&self, id: TargetId) -> &str {
        &self.target(id).name.value
    }

    pub fn find(&self, name: &str) -> Option<TargetId> {
        self.by_name.get(name).copied()
    }

    pub fn group(&self, name: &str) -> Option<&Group> {
        let mut groups = self.manifest.groups.iter();
        groups.find(|group| group.name.value == name)
    }

    /// Direct dependencies in file order.
    pub fn dependencies(&self, id: TargetId) -> &[(TargetId, EdgeKind)] {
        &self.dependencies[id.0]
    }

    /// Targets that depend on this one directly, in file order.
    pub fn dependents(&self, id: TargetId) -> &[TargetId] {
        &self.dependents[id.0]
    }

    /// The build targets that a scan or push names, globs expanded, in file order.
    pub fn images(&self, id: TargetId) -> Vec<TargetId> {
        self.images[id.0].clone()
    }

    /// `run` targets whose declared outputs a path (relative to the manifest's directory) is in.
    pub fn producers(&self, path: &str) -> Vec<TargetId> {
        self.producers.of_path(path)
    }

    /// For drawing and for algorithms: the weight of a node is its target.
    pub fn petgraph(&self) -> &DiGraph<TargetId, EdgeKind> {
        &self.edges
    }
}

/// One edge per pair of targets: the most telling kind, at its first place.
fn without_duplicates(links: Vec<Link>) -> Vec<Link> {
    let mut best: BTreeMap<(TargetId, TargetId), Link> = BTreeMap::new();
    for link in links {
        best.entry((link.from, link.to))
            .and_modify(|known| {
                let strength = link.strength.max(known.strength);
                if link.kind > known.kind {
                    *known = link;
                }
                known.strength = strength;
            })
            .or_insert(link);
    }
    best.into_values().collect()
}

/// Leaves out the guessed edges that lie on a circle.
fn without_guessed_circles(targets: usize, mut links: Vec<Link>) -> Vec<Link> {
    if links.iter().all(|link| link.strength == Strength::Written) {
        return links;
    }
    let mut component = vec![0; targets];
    for (at, members) in tarjan_scc(&petgraph(targets, &links)).iter().enumerate() {
        for node in members {
            component[node.index()] = at;
        }
    }
    links.retain(|link| {
        link.strength == Strength::Written || component[link.from.0] != component[link.to.0]
    });
    links
}

fn petgraph(targets: usize, links: &[Link]) -> DiGraph<TargetId, EdgeKind> {
    let mut graph = DiGraph::with_capacity(targets, links.len());
    let nodes: Vec<NodeIndex> = (0..targets)
        .map(|at| graph.add_node(TargetId(at)))
        .collect();
    for link in links {
        graph.add_edge(nodes[link.from.0], nodes[link.to.0], link.kind);
    }
    graph
}

type Adjacency = (Vec<Vec<(TargetId, EdgeKind)>>, Vec<Vec<TargetId>>);

fn adjacency(targets: usize, links: &[Link]) -> Adjacency {
    let mut dependencies = vec![Vec::new(); targets];
    let mut dependents = vec![Vec::new(); targets];
    // Links come sorted by both ends, so every list is in file order.
    for link in links {
        dependencies[link.from.0].push((link.to, link.kind));
        dependents[link.to.0].push(link.from);
    }
    (dependencies, dependents)
}
