//! Argo Workflows: a DAG of containers that share a volume with the checkout.

use serde_json::{Map, Value, json};

use super::jobs::{Job, Pipeline};
use super::kubernetes::{environment, script};
use super::names;
use super::options::Options;

/// Not names that targets get.
const DAG: &str = "imgmake-dag";
const CHECKOUT: &str = "imgmake-checkout";

pub fn workflow(pipeline: &Pipeline, options: &Options) -> Value {
    let mut tasks = vec![json!({"name": CHECKOUT, "template": CHECKOUT})];
    tasks.extend(pipeline.jobs.iter().map(task));
    let mut templates = vec![json!({"name": DAG, "dag": {"tasks": tasks}}), checkout()];
    let each = pipeline.jobs.iter();
    templates.extend(each.map(|one| template(pipeline, one, options)));
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"generateName": "imgmake-"},
        "spec": {
            "entrypoint": DAG,
            "arguments": {"parameters": [
                {"name": "repository"},
                {"name": "revision", "value": "main"},
            ]},
            "volumeClaimTemplates": [{
                "metadata": {"name": "work"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "5Gi"}},
                },
            }],
            "volumes": [{
                "name": "docker",
                "secret": {
                    "secretName": "docker-config",
                    "items": [{"key": ".dockerconfigjson", "path": "config.json"}],
                },
            }],
            "templates": templates,
        },
    })
}

fn task(job: &Job) -> Value {
    let mut after: Vec<String> = job
        .needs
        .iter()
        .map(|need| names::kubernetes(need))
        .collect();
    if after.is_empty() {
        after.push(CHECKOUT.to_string());
    }
    let name = names::kubernetes(&job.target);
    json!({"name": name, "template": name, "dependencies": after})
}

fn checkout() -> Value {
    json!({
        "name": CHECKOUT,
        "container": {
            "image": "docker.io/alpine/git:latest",
            "args": [
                "clone",
                "--depth=1",
                "--branch={{workflow.parameters.revision}}",
                "{{workflow.parameters.repository}}",
                "/workspace/source",
            ],
            "volumeMounts": [{"name": "work", "mountPath": "/workspace"}],
        },
    })
}

fn template(pipeline: &Pipeline, job: &Job, options: &Options) -> Value {
    let own = [
        ("DOCKER_CONFIG", "/docker"),
        ("IMGMAKE_STORE", "/workspace/store"),
    ];
    let container = json!({
        "image": options.image(),
        "command": ["/bin/sh", "-c"],
        "args": [script(pipeline, job, options)],
        "workingDir": "/workspace/source",
        "env": environment(job, options, &own),
        "volumeMounts": [
            {"name": "work", "mountPath": "/workspace"},
            {"name": "docker", "mountPath": "/docker", "readOnly": true},
        ],
    });
    let mut found = Map::new();
    found.insert("name".into(), json!(names::kubernetes(&job.target)));
    found.insert("container".into(), container);
    Value::Object(found)
}
