//! GitLab CI: jobs in containers, in the order of their needs.

use serde_json::{Map, Value, json};

use super::jobs::{Job, Pipeline};
use super::names;
use super::options::{CACHE, Options};
use super::shell::{self, Cache};

/// Protected branches and those of anybody share nothing.
const APART: &str = "-$CI_COMMIT_REF_PROTECTED";
const OWN_CACHE: &str = "$CI_REGISTRY_IMAGE/imgmake-cache";
const LOGIN: &str = "printf %s \"$CI_REGISTRY_PASSWORD\" | imgmake login --username \"$CI_REGISTRY_USER\" \"$CI_REGISTRY\"";

pub fn pipeline(pipeline: &Pipeline, options: &Options) -> Value {
    let cache = Cache::of(pipeline, options.cache.as_ref());
    let is_own = cache == Cache::OfJobs && options.cache.is_none();
    let mut default = Map::new();
    // The lines of a job want a shell.
    default.insert(
        "image".into(),
        json!({"name": options.image(), "entrypoint": [""]}),
    );
    if is_own || options.mentions("CI_REGISTRY") {
        default.insert("before_script".into(), json!([LOGIN]));
    }
    let mut variables = options.variables(APART);
    if is_own {
        variables.insert(CACHE.into(), json!(format!("{OWN_CACHE}{APART}")));
    }
    let mut file = Map::new();
    file.insert("default".into(), Value::Object(default));
    if !variables.is_empty() {
        file.insert("variables".into(), Value::Object(variables));
    }
    for one in &pipeline.jobs {
        file.insert(names::gitlab(&one.target), job(one, options, cache));
    }
    Value::Object(file)
}

fn job(job: &Job, options: &Options, cache: Cache) -> Value {
    let mut found = Map::new();
    // Files of other jobs would be part of a build's context.
    let needs: Vec<Value> = job
        .needs
        .iter()
        .map(|need| json!({"job": names::gitlab(need), "artifacts": false}))
        .collect();
    found.insert("needs".into(), json!(needs));
    if job.publishes {
        let rules = json!([{"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"}]);
        found.insert("rules".into(), rules);
    }
    let mut lines = shell::secret_files(job, options);
    lines.push(shell::run(job, &options.arguments, cache));
    found.insert("script".into(), json!(lines));
    if !job.files.is_empty() {
        let paths: Vec<String> = job.files.iter().map(|file| options.path(file)).collect();
        let mut artifacts = Map::new();
        artifacts.insert("when".into(), json!("always"));
        artifacts.insert("paths".into(), json!(paths));
        let mut reports = Map::new();
        for (kind, report) in [
            ("junit", job.junit.first()),
            ("codequality", job.code_quality.as_ref()),
        ] {
            reports.extend(report.map(|file| (kind.to_string(), json!(options.path(file)))));
        }
        if !reports.is_empty() {
            artifacts.insert("reports".into(), Value::Object(reports));
        }
        found.insert("artifacts".into(), Value::Object(artifacts));
    }
    Value::Object(found)
}
