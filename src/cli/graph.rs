//! `graph`: how targets depend on each other, for drawing.

use super::args::{Global, GraphFormat};
use super::environment::Environment;
use super::output::{print, print_json};
use super::project;
use crate::exit::Exit;
use crate::graph_drawing::{dot, json, mermaid, svg};

pub fn graph(global: &Global, format: GraphFormat, environment: &Environment) -> Result<u8, Exit> {
    let project = project::load(global, environment)?.project;
    let text = match format {
        GraphFormat::Dot => dot(&project.graph),
        GraphFormat::Mermaid => mermaid(&project.graph),
        GraphFormat::Json => json(&project.graph),
        GraphFormat::Svg => svg(&project.graph),
    };
    match format {
        GraphFormat::Json => print_json(&text)?,
        _ => print(&text)?,
    }
    Ok(0)
}
