//! GitHub Actions: a workflow of jobs on GitHub's own runners.

use serde_json::{Map, Value, json};

use super::jobs::{Job, Pipeline};
use super::names;
use super::options::{CACHE, Options};
use super::shell::{self, Cache};

const IMAGE: &str = "registry.example.com/imgmake/imgmake:latest";
/// What a pull request leaves, no push takes.
const APART: &str = "-${{ github.event_name }}";
const OF_DEFAULT_BRANCH: &str =
    "github.ref == format('refs/heads/{0}', github.event.repository.default_branch)";

pub fn workflow(pipeline: &Pipeline, options: &Options) -> Value {
    let own = Own::new(pipeline, options);
    let jobs: Map<String, Value> = pipeline
        .jobs
        .iter()
        .map(|one| (names::github(&one.target), own.job(one)))
        .collect();
    let mut workflow = Map::new();
    workflow.insert("name".into(), json!("imgmake"));
    workflow.insert(
        "on".into(),
        json!(["push", "pull_request", "workflow_dispatch"]),
    );
    workflow.insert("permissions".into(), own.permissions());
    let variables = options.variables(APART);
    if !variables.is_empty() {
        workflow.insert("env".into(), Value::Object(variables));
    }
    workflow.insert("jobs".into(), Value::Object(jobs));
    Value::Object(workflow)
}

struct Own<'a> {
    pipeline: &'a Pipeline,
    options: &'a Options,
    cache: Cache,
    /// GitHub's registry is spoken to.
    uses_ghcr: bool,
}

impl<'a> Own<'a> {
    fn new(pipeline: &'a Pipeline, options: &'a Options) -> Own<'a> {
        let cache = Cache::of(pipeline, options.cache.as_ref());
        let own_cache = cache == Cache::OfJobs && options.cache.is_none();
        Own {
            pipeline,
            options,
            cache,
            uses_ghcr: own_cache
                || pipeline.docker_hosts.contains("ghcr.io")
                || options.mentions("ghcr.io"),
        }
    }

    fn permissions(&self) -> Value {
        let mut found = Map::from_iter([("contents".to_string(), json!("read"))]);
        if self.uses_ghcr {
            found.insert("packages".into(), json!("write"));
        }
        if self.pipeline.wants_identity {
            found.insert("id-token".into(), json!("write"));
        }
        Value::Object(found)
    }

    fn job(&self, job: &Job) -> Value {
        let mut found = Map::new();
        found.insert("name".into(), json!(literal(&job.target)));
        if !job.needs.is_empty() {
            let needs: Vec<String> = job.needs.iter().map(|need| names::github(need)).collect();
            found.insert("needs".into(), json!(needs));
        }
        if job.publishes {
            found.insert("if".into(), json!(OF_DEFAULT_BRANCH));
        }
        found.insert("runs-on".into(), json!("ubuntu-latest"));
        let environment = self.environment(job);
        if !environment.is_empty() {
            found.insert("env".into(), Value::Object(environment));
        }
        found.insert("steps".into(), Value::Array(self.steps(job)));
        Value::Object(found)
    }

    fn environment(&self, job: &Job) -> Map<String, Value> {
        let secrets = job.secrets.iter().map(|secret| secret.variable.as_str());
        let elsewhere = self
            .pipeline
            .docker_hosts
            .iter()
            .any(|host| host != "ghcr.io");
        let config = elsewhere.then_some("DOCKER_AUTH_CONFIG");
        secrets
            .chain(config)
            .map(|name| {
                (
                    name.to_string(),
                    json!(format!("${{{{ secrets.{name} }}}}")),
                )
            })
            .collect()
    }

    fn steps(&self, job: &Job) -> Vec<Value> {
        let mut steps = vec![
            json!({"uses": "actions/checkout@v4"}),
            json!({"name": "Install", "run": self.install()}),
        ];
        if self.uses_ghcr {
            steps.push(json!({
                "name": "Log in",
                "env": {"GITHUB_TOKEN": "${{ secrets.GITHUB_TOKEN }}"},
                "run": "printf %s \"$GITHUB_TOKEN\" | imgmake login --username \"$GITHUB_ACTOR\" ghcr.io",
            }));
        }
        steps.push(json!({"name": "Run", "run": self.script(job)}));
        if !job.files.is_empty() {
            let files: Vec<String> = job
                .files
                .iter()
                .map(|f| literal(&self.options.path(f)) + "\n")
                .collect();
            steps.push(json!({
                "uses": "actions/upload-artifact@v4",
                "if": "always()",
                "with": {
                    "name": names::github(&job.target),
                    "path": files.concat(),
                    "if-no-files-found": "ignore",
                },
            }));
        }
        steps
    }

    fn install(&self) -> String {
        let image = shell::word(self.options.image.as_deref().unwrap_or(IMAGE));
        format!(
            "image=$(docker create {image})\n\
             docker cp \"$image:/usr/local/bin/imgmake\" \"$RUNNER_TEMP/imgmake\"\n\
             echo \"$RUNNER_TEMP\" >> \"$GITHUB_PATH\"\n"
        )
    }

    fn script(&self, job: &Job) -> String {
        let mut lines = shell::secret_files(job, self.options);
        if self.cache == Cache::OfJobs && self.options.cache.is_none() {
            // Names of repositories are in lower case. As `APART`.
            lines.push(format!(
                "{CACHE}=ghcr.io/${{GITHUB_REPOSITORY,,}}/imgmake-cache-$GITHUB_EVENT_NAME"
            ));
        }
        lines.push(shell::run(job, &self.options.arguments, self.cache));
        match lines.as_slice() {
            [only] => literal(only),
            _ => literal(&lines.join("\n")) + "\n",
        }
    }
}

/// A text in which GitHub finds no expression.
fn literal(text: &str) -> String {
    text.replace("${{", "${{ '${{' }}")
}
