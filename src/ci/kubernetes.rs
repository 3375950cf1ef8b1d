//! What Tekton and Argo have in common: containers with secrets of Kubernetes.

use serde_json::{Value, json};

use super::jobs::{Job, Pipeline};
use super::options::{CACHE, Options};
use super::shell::{self, Cache};

/// The secret of Kubernetes that holds those of the manifest, each under its variable.
pub const SECRET: &str = "imgmake";

pub fn environment(job: &Job, options: &Options, own: &[(&str, &str)]) -> Vec<Value> {
    let own = own
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}));
    let cache = options
        .cache
        .iter()
        .map(|cache| json!({"name": CACHE, "value": cache}));
    let given = options.variables.iter();
    let given = given.map(|(name, value)| json!({"name": name, "value": value}));
    let secrets = job.secrets.iter().map(|secret| {
        let mut key = json!({"name": SECRET, "key": secret.variable});
        if secret.optional {
            key["optional"] = json!(true);
        }
        json!({"name": secret.variable, "valueFrom": {"secretKeyRef": key}})
    });
    own.chain(cache).chain(given).chain(secrets).collect()
}

pub fn script(pipeline: &Pipeline, job: &Job, options: &Options) -> String {
    let mut lines = vec!["set -eu".to_string()];
    lines.extend(shell::secret_files(job, options));
    let cache = Cache::of(pipeline, options.cache.as_ref());
    lines.push(shell::run(job, &options.arguments, cache));
    lines.join("\n") + "\n"
}
