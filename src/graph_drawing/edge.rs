//! Edges in words.

use imgmake_core::graph::{EdgeKind, Graph};

/// Every edge: who, needs whom, why.
pub(super) fn edges(graph: &Graph) -> impl Iterator<Item = (&str, &str, &'static str)> {
    graph.ids().flat_map(move |id| {
        graph
            .dependencies(id)
            .iter()
            .map(move |(need, kind)| (graph.name(id), graph.name(*need), why(*kind)))
    })
}

pub(super) fn why(kind: EdgeKind) -> &'static str {
    match kind {
        EdgeKind::Needs => "needs",
        EdgeKind::Image => "image",
        EdgeKind::Context => "context",
        EdgeKind::Output => "output",
        EdgeKind::Gate => "gate",
    }
}
