//! `list`: the targets, for people and for programs.

use serde_json::{Value, json};

use super::args::{Global, ListFormat};
use super::environment::Environment;
use super::output::{print, print_json};
use super::plan_json;
use super::project;
use crate::exit::Exit;
use crate::targets::{Project, kind_name};
use imgmake_core::graph::TargetId;
use imgmake_core::manifest::Group;

pub fn list(global: &Global, format: ListFormat, environment: &Environment) -> Result<u8, Exit> {
    let project = project::load(global, environment)?.project;
    let graph = &project.graph;
    if format == ListFormat::Json {
        print_json(&for_programs(&project))?;
        return Ok(0);
    }
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
    let widths = rows.iter().map(|(name, ..)| name.chars().count());
    let width = widths.max().unwrap_or(0);
    let text: String = rows
        .iter()
        .map(|(name, kind, text)| {
            format!("{name:width$}  {kind:5}  {text}")
                .trim_end()
                .to_string()
                + "\n"
        })
        .collect();
    print(&text)?;
    Ok(0)
}

fn for_programs(project: &Project) -> String {
    let graph = &project.graph;
    let target = |id: TargetId| {
        let needs = graph.dependencies(id).iter();
        let mut needs: Vec<&str> = needs.map(|(need, _)| graph.name(*need)).collect();
        needs.sort_unstable();
        needs.dedup();
        let mut value =
            json!({"name": graph.name(id), "kind": kind_name(graph, id), "needs": needs});
        plan_json::add_resolved(project, id, &mut value);
        value
    };
    let group = |group: &Group| {
        let members: Vec<&str> = group
            .members
            .iter()
            .map(|member| member.value.as_str())
            .collect();
        json!({
            "name": group.name.value,
            "kind": "group",
            "place": project.place(group.name.span.start),
            "description": group.description,
            "members": members,
        })
    };
    let targets = graph.ids().map(target);
    let all: Vec<Value> = targets
        .chain(graph.manifest().groups.iter().map(group))
        .collect();
    serde_json::to_string_pretty(&all).expect("strings are JSON") + "\n"
}
