//! Names resolved: a DAG of targets with the reason of each edge, frozen afterwards.
//! Knows the manifest. Knows no files: what an ignore file leaves out, it cannot know.

mod cycle;
mod edge;
mod gates;
mod inference;
mod paths;
mod reach;
mod reading;
#[cfg(test)]
mod tests;
mod yielding;

use std::collections::{BTreeMap, HashMap};

use petgraph::graph::DiGraph;

use crate::manifest::{Diagnostic, Group, Manifest, Target};
pub use edge::{EdgeKind, TargetId};
pub use reading::{Judge, Reading, Reads};

use edge::Edge;
use paths::Producers;
use reading::NoDockerfiles;

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
    /// Per target: outputs of those that would have been its dependencies but for a circle.
    left_out: Vec<Vec<String>>,
    warnings: Vec<Diagnostic>,
}

impl Graph {
    /// Edges from references (images, contexts, files that one target makes and another one reads) and from `needs`.
    /// Errors: unknown names (did you mean), cycles with the whole path, a push that needs a gate, with an image that none of its gates scans.
    pub fn new(manifest: Manifest) -> Result<Graph, Vec<Diagnostic>> {
        Graph::with_dockerfiles(manifest, &NoDockerfiles)
    }

    /// The same with what Dockerfiles say of the files that targets make.
    ///
    /// # Errors
    /// As for [`Graph::new`].
    pub fn with_dockerfiles(
        manifest: Manifest,
        reads: &dyn Reads,
    ) -> Result<Graph, Vec<Diagnostic>> {
        let mut diagnostics = Vec::new();
        let by_name: HashMap<String, TargetId> = manifest
            .targets
            .iter()
            .enumerate()
            .map(|(at, target)| (target.name.value.clone(), TargetId(at)))
            .collect();
        let producers = Producers::new(&manifest, &mut diagnostics);
        let found = inference::find(&manifest, &by_name, &producers, reads, &mut diagnostics);
        let disabled = manifest.disabled.iter().map(|name| name.value.as_str());
        let disabled = disabled.collect();
        cycle::check_groups(&manifest.groups, &disabled, &by_name, &mut diagnostics);
        let edges = without_duplicates(found.edges);
        let limits = yielding::Limits::default();
        let resolved = yielding::without_circles(manifest.targets.len(), edges, &limits);
        let edges = &resolved.kept;
        let graph = edge::petgraph(manifest.targets.len(), edges);
        cycle::check(&graph, edges, &manifest, &mut diagnostics);
        if !diagnostics.is_empty() {
            diagnostics.sort_by_key(|one| one.span.start);
            return Err(diagnostics);
        }
        let (dependencies, dependents) = adjacency(manifest.targets.len(), edges);
        let left_out = yielding::left_out(&manifest, &resolved);
        let warnings = yielding::warnings(&manifest, &resolved);
        Ok(Graph {
            manifest,
            by_name,
            edges: graph,
            dependencies,
            dependents,
            images: found.images,
            producers,
            left_out,
            warnings,
        })
    }

    /// Dependencies that gave way to others, where nobody wrote them.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// The files that a target makes, as the manifest has them.
    pub fn outputs(&self, id: TargetId) -> Vec<&str> {
        let outputs = paths::outputs(&self.target(id).kind).into_iter();
        outputs.map(|path| path.value.as_str()).collect()
    }

    /// Outputs of other targets that are not among the files of this one, since they are made after it.
    pub fn left_out(&self, id: TargetId) -> &[String] {
        &self.left_out[id.0]
    }

    /// The same for what is the same in every value and every edge, whoever read it.
    pub fn identity(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        // Manifests hold strings, numbers, lists and sorted maps.
        let hashed = postcard::to_io(&self.manifest, &mut hasher);
        hashed.expect("a manifest can be encoded, and a hash takes every byte");
        for (from, edges) in self.dependencies.iter().enumerate() {
            for (to, _) in edges {
                hasher.update(&(from as u64).to_le_bytes());
                hasher.update(&(to.0 as u64).to_le_bytes());
            }
        }
        *hasher.finalize().as_bytes()
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

    /// Targets whose declared outputs a path (relative to the manifest's directory) is in.
    pub fn producers(&self, path: &str) -> Vec<TargetId> {
        self.producers.of_path(path)
    }

    /// For drawing and for algorithms: the weight of a node is its target.
    pub fn petgraph(&self) -> &DiGraph<TargetId, EdgeKind> {
        &self.edges
    }
}

/// One edge per pair of targets: the most telling kind, at its first place.
fn without_duplicates(edges: Vec<Edge>) -> Vec<Edge> {
    let mut best: BTreeMap<(TargetId, TargetId), Edge> = BTreeMap::new();
    for edge in edges {
        best.entry((edge.from, edge.to))
            .and_modify(|known| {
                let strength = edge.strength.max(known.strength);
                if edge.kind > known.kind {
                    *known = edge;
                }
                known.strength = strength;
            })
            .or_insert(edge);
    }
    best.into_values().collect()
}

type Adjacency = (Vec<Vec<(TargetId, EdgeKind)>>, Vec<Vec<TargetId>>);

fn adjacency(targets: usize, edges: &[Edge]) -> Adjacency {
    let mut dependencies = vec![Vec::new(); targets];
    let mut dependents = vec![Vec::new(); targets];
    // Edges come sorted by both ends, so every list is in file order.
    for edge in edges {
        dependencies[edge.from.0].push((edge.to, edge.kind));
        dependents[edge.to.0].push(edge.from);
    }
    (dependencies, dependents)
}
