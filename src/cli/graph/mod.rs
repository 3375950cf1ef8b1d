//! `graph`: how targets depend on each other, for drawing.

mod edge;
mod svg;

use serde_json::json;

use edge::{edges, why};

use super::args::{Global, GraphFormat};
use super::environment::Environment;
use super::exit::Exit;
use super::output::{print, print_json};
use super::project;
use crate::targets::kind_name;
use imgmake_core::graph::Graph;

pub fn graph(global: &Global, format: GraphFormat, environment: &Environment) -> Result<u8, Exit> {
    let project = project::load(global, environment)?.project;
    let text = match format {
        GraphFormat::Dot => dot(&project.graph),
        GraphFormat::Mermaid => mermaid(&project.graph),
        GraphFormat::Json => json_text(&project.graph),
        GraphFormat::Svg => svg::svg(&project.graph),
    };
    match format {
        GraphFormat::Json => print_json(&text)?,
        _ => print(&text)?,
    }
    Ok(0)
}

fn dot(graph: &Graph) -> String {
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

fn mermaid(graph: &Graph) -> String {
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

fn json_text(graph: &Graph) -> String {
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
