//! Who uses whom, and why.

use petgraph::graph::{DiGraph, NodeIndex};

use crate::manifest::Span;

/// Dense id of a target: its place in `Manifest::targets`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct TargetId(pub usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EdgeKind {
    Needs,
    Image,
    Context,
    Output,
    /// A push's `needs` of a scan that covers an image of it.
    Gate,
}

/// A reference as written: who uses whom, why, and where that stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub from: TargetId,
    pub to: TargetId,
    pub kind: EdgeKind,
    pub span: Span,
    pub strength: Strength,
}

/// Whether somebody wrote it. What nobody wrote gives way where it would make a circle: a `run`
/// that needs a build may well write its report into that build's context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    /// A context holds an output that its Dockerfile does not read.
    Held,
    /// A wildcard reaches it, or a directory that it lies in is read.
    Guessed,
    Written,
}

/// The edges as a graph whose nodes stand in file order.
pub(super) fn petgraph(targets: usize, edges: &[Edge]) -> DiGraph<TargetId, EdgeKind> {
    let mut graph = DiGraph::with_capacity(targets, edges.len());
    let nodes: Vec<NodeIndex> = (0..targets)
        .map(|at| graph.add_node(TargetId(at)))
        .collect();
    for edge in edges {
        graph.add_edge(nodes[edge.from.0], nodes[edge.to.0], edge.kind);
    }
    graph
}
