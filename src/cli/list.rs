//! `list`: the targets, for people and for programs.

use serde_json::json;

use super::args::{Global, ListFormat};
use super::environment::Environment;
use super::output::{print, print_json};
use super::project;
use crate::exit::Exit;
use crate::targets::kind_name;

pub fn list(global: &Global, format: ListFormat, environment: &Environment) -> Result<u8, Exit> {
    let project = project::load(global, environment)?.project;
    let graph = &project.graph;
    let mut rows: Vec<(String, &str, String)> = graph
        .ids()
        .map(|id| {
            (
                graph.name(id).to_string(),
                kind_name(graph, id),
                graph.target(id).description.clone().unwrap_or_default(),
            )
        })
        .collect();
    for group in &graph.manifest().groups {
        let members: Vec<&str> = group
            .members
            .iter()
            .map(|member| member.value.as_str())
            .collect();
        let description = group
            .description
            .clone()
            .unwrap_or_else(|| members.join(" "));
        rows.push((group.name.value.clone(), "group", description));
    }
    let text = match format {
        ListFormat::Json => {
            let targets: Vec<_> = rows
                .iter()
                .map(|(name, kind, text)| json!({"name": name, "kind": kind, "description": text}))
                .collect();
            format!(
                "{}\n",
                serde_json::to_string_pretty(&targets).expect("strings are JSON")
            )
        }
        ListFormat::Text => {
            let width = rows
                .iter()
                .map(|(name, ..)| name.chars().count())
                .max()
                .unwrap_or(0);
            rows.iter()
                .map(|(name, kind, text)| {
                    format!("{name:width$}  {kind:5}  {text}")
                        .trim_end()
                        .to_string()
                        + "\n"
                })
                .collect()
        }
    };
    match format {
        ListFormat::Json => print_json(&text)?,
        ListFormat::Text => print(&text)?,
    }
    Ok(0)
}
