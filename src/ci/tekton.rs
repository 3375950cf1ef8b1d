//! Tekton: a pipeline whose tasks share a workspace with the checkout.

use serde_json::{Map, Value, json};

use super::jobs::{Job, Pipeline};
use super::kubernetes::{environment, script};
use super::names;
use super::options::Options;

pub fn pipeline(pipeline: &Pipeline, options: &Options) -> Value {
    let tasks: Vec<Value> = pipeline
        .jobs
        .iter()
        .map(|one| task(pipeline, one, options))
        .collect();
    json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "Pipeline",
        "metadata": {"name": "imgmake"},
        "spec": {
            "workspaces": [
                {"name": "source", "description": "a checkout of the repository"},
                {"name": "docker-config", "description": "a secret with config.json"},
            ],
            "tasks": tasks,
        },
    })
}

fn task(pipeline: &Pipeline, job: &Job, options: &Options) -> Value {
    let mut found = Map::new();
    found.insert("name".into(), json!(names::kubernetes(&job.target)));
    if !job.needs.is_empty() {
        let needs: Vec<String> = job
            .needs
            .iter()
            .map(|need| names::kubernetes(need))
            .collect();
        found.insert("runAfter".into(), json!(needs));
    }
    let bound = ["source", "docker-config"].map(|name| json!({"name": name, "workspace": name}));
    found.insert("workspaces".into(), json!(bound));
    let own = [
        ("DOCKER_CONFIG", "$(workspaces.docker-config.path)"),
        ("IMGMAKE_STORE", "$(workspaces.source.path)/.imgmake/store"),
    ];
    let step = json!({
        "name": "imgmake",
        "image": options.image(),
        "workingDir": "$(workspaces.source.path)",
        "env": environment(job, options, &own),
        "script": format!("#!/bin/sh\n{}", script(pipeline, job, options)),
    });
    let spec = json!({
        "workspaces": [{"name": "source"}, {"name": "docker-config"}],
        "steps": [step],
    });
    found.insert("taskSpec".into(), spec);
    Value::Object(found)
}
