//! `graph`: how targets depend on each other, for drawing.

use std::collections::BTreeMap;

use super::args::{Global, GraphFormat, PlanArgs};
use super::environment::Environment;
use super::output::{print, print_json};
use super::{plan, project};
use crate::exit::Exit;
use crate::graph_drawing::{State, StateKind, dot, html, json, mermaid, svg};
use imgmake_core::execute::Decision;

pub fn graph(global: &Global, format: GraphFormat, environment: &Environment) -> Result<u8, Exit> {
    if format == GraphFormat::Html {
        return page_of(global, environment);
    }
    let project = project::load(global, environment)?.project;
    let text = match format {
        GraphFormat::Dot => dot(&project.graph),
        GraphFormat::Mermaid => mermaid(&project.graph),
        GraphFormat::Json => json(&project.graph),
        GraphFormat::Svg | GraphFormat::Html => svg(&project.graph, &BTreeMap::new()),
    };
    match format {
        GraphFormat::Json => print_json(&text)?,
        _ => print(&text)?,
    }
    Ok(0)
}

/// With what a run would do, as `plan` says it.
fn page_of(global: &Global, environment: &Environment) -> Result<u8, Exit> {
    let text = plan::decide_about(
        global,
        &PlanArgs::default(),
        environment,
        // Not by a pattern: `*` does not go into the names of includes.
        |project| Ok(imgmake_core::plan::all(&project.graph)),
        |project, _, actions, decisions| {
            let state = |decision: &Decision| {
                let state = State {
                    kind: match decision.reasons.is_empty() {
                        true => StateKind::UpToDate,
                        false if decision.is_stale() => StateKind::Stale,
                        false => StateKind::Always,
                    },
                    reasons: decision.reasons.iter().map(ToString::to_string).collect(),
                };
                (actions[decision.action].target.clone(), state)
            };
            html(&project.graph, &decisions.iter().map(state).collect())
        },
    )?;
    print(&text)?;
    Ok(0)
}
