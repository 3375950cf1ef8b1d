//! How targets depend on each other, for drawing: Graphviz, Mermaid, JSON, SVG, a page.

mod edge;
mod html;
mod state;
mod svg;

use serde_json::json;

use crate::targets::kind_name;
use edge::{edges, why};
use imgmake_core::graph::Graph;

pub use html::html;
pub use state::{State, StateKind};
pub use svg::svg;

pub fn dot(graph: &Graph) -> String {
    let mut text = String::from("digraph imgmake {\n  rankdir=LR;\n  node [shape=box];\n");
    for id in graph.ids() {
        text.push_str(&format!(
            "  \"{}\" [label=\"{}\\n{}\"];\n",
            graph.name(id),
            graph.name(id),
            kind_name(graph, id)
        ));
    }
    for (from, to, why) in edges(graph) {
        text.push_str(&format!("  \"{to}\" -> \"{from}\" [label=\"{why}\"];\n"));
    }
    text.push_str("}\n");
    text
}

pub fn mermaid(graph: &Graph) -> String {
    let mut text = String::from("graph LR\n");
    // Names may hold what Mermaid reads as syntax; places in the file do not.
    for id in graph.ids() {
        text.push_str(&format!(
            "  t{}[\"{} ({})\"]\n",
            id.0,
            graph.name(id),
            kind_name(graph, id)
        ));
    }
    for id in graph.ids() {
        for (need, kind) in graph.dependencies(id) {
            text.push_str(&format!("  t{} -->|{}| t{}\n", need.0, why(*kind), id.0));
        }
    }
    text
}

pub fn json(graph: &Graph) -> String {
    let nodes: Vec<_> = graph
        .ids()
        .map(|id| json!({"name": graph.name(id), "kind": kind_name(graph, id)}))
        .collect();
    let edges: Vec<_> = edges(graph)
        .map(|(from, to, why)| json!({"target": from, "needs": to, "why": why}))
        .collect();
    let value = json!({"targets": nodes, "edges": edges});
    format!(
        "{}\n",
        serde_json::to_string_pretty(&value).expect("strings are JSON")
    )
}
