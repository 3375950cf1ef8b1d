//! The templates are held against what their platforms publish, by judges that
//! others wrote. `tests/run` installs them beside the build, once.
//!
//! | template | judge |
//! |---|---|
//! | GitHub Actions and its actions, GitLab, Drone | their JSON schemas, as `check-jsonschema` carries them |
//! | Kubernetes | the schemas of `kubernetes-validate` |
//! | Argo | the models that Hera makes from Argo's OpenAPI |
//! | Jenkins | the pod in it, as Kubernetes |
//! | Tekton | its steps, which are containers of Kubernetes with a few keys more |
//!
//! Harness's schema, Tekton's own and one of declarative pipelines of Jenkins are in
//! no package. `platforms` refuses every key of theirs that it does not act on.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::platforms::yaml;
use super::template;
use crate::ground::temporary;

/// Gives a file to its judge: what to run.
#[derive(Clone, Copy)]
pub enum Judge {
    JsonSchema(&'static [&'static str]),
    Kubernetes,
    Argo,
}

/// The file, what is judged of it, who judges, and a mistake: what it replaces, what
/// it says, and what the judge answers.
struct Case {
    file: &'static str,
    part: fn(&str) -> String,
    judge: Judge,
    mistake: (&'static str, &'static str),
    says: &'static str,
}

pub const GITHUB: Judge = Judge::JsonSchema(&["vendor.github-workflows"]);
pub const GITLAB: Judge = Judge::JsonSchema(&["vendor.gitlab-ci", "--data-transform", "gitlab-ci"]);

pub const ACTION: Judge = Judge::JsonSchema(&["vendor.github-actions"]);

const CASES: [Case; 12] = [
    Case {
        file: "release.yml",
        part: whole,
        judge: GITHUB,
        mistake: ("needs: build", "need: build"),
        says: "need",
    },
    Case {
        file: "action/action.yml",
        part: whole,
        judge: ACTION,
        mistake: ("using: composite", "uses: composite"),
        says: "composite",
    },
    Case {
        file: COMPONENT,
        part: header_of_a_component,
        judge: GITLAB,
        mistake: ("spec:\n  inputs:", "spec:\n  input:"),
        says: "input",
    },
    Case {
        file: COMPONENT,
        part: jobs_of_a_component,
        judge: GITLAB,
        mistake: ("before_script:", "before_scripts:"),
        says: "before_scripts",
    },
    Case {
        file: "github-actions.yml",
        part: whole,
        judge: GITHUB,
        mistake: ("runs-on:", "run-on:"),
        says: "run-on",
    },
    Case {
        file: "gitlab-ci.yml",
        part: whole,
        judge: GITLAB,
        mistake: ("junit: out/scan.xml", "junitt: out/scan.xml"),
        says: "junitt",
    },
    Case {
        file: "drone.yml",
        part: whole,
        judge: Judge::JsonSchema(&["vendor.drone-ci"]),
        mistake: ("settings:", "setting:"),
        says: "setting",
    },
    Case {
        file: "kubernetes-job.yaml",
        part: whole,
        judge: Judge::Kubernetes,
        mistake: ("readOnlyRootFilesystem", "readOnlyRootFileSystem"),
        says: "readOnlyRootFileSystem",
    },
    Case {
        file: "argo.yaml",
        part: whole,
        judge: Judge::Argo,
        mistake: ("secretName:", "secretname:"),
        says: "secretname",
    },
    Case {
        file: "argo.yaml",
        part: whole,
        judge: Judge::Argo,
        mistake: ("entrypoint: main", "entrypoint: [main]"),
        says: "entrypoint",
    },
    Case {
        file: "Jenkinsfile",
        part: pod_of_jenkins,
        judge: Judge::Kubernetes,
        mistake: ("readOnly: true", "readonly: true"),
        says: "readonly",
    },
    Case {
        file: "tekton.yaml",
        part: steps_of_tekton,
        judge: Judge::Kubernetes,
        mistake: ("workingDir:", "workDir:"),
        says: "workDir",
    },
];

pub const COMPONENT: &str = "gitlab-component/templates/imgmake.yml";

fn header_of_a_component(text: &str) -> String {
    text.split("\n---\n").next().unwrap().to_string()
}

pub fn jobs_of_a_component(text: &str) -> String {
    text.split("\n---\n").nth(1).unwrap().to_string()
}

fn whole(text: &str) -> String {
    text.to_string()
}

fn pod_of_jenkins(text: &str) -> String {
    let pod = text.split("'''").nth(1).unwrap();
    let mut pod = yaml(pod);
    // The plugin names it, and puts the agent's container beside.
    pod["metadata"] = json!({ "name": "agent" });
    pod.to_string()
}

/// A pod whose containers are the steps.
pub fn steps_of_tekton(text: &str) -> String {
    let mut task = yaml(text);
    let Value::Array(steps) = task["spec"]["steps"].take() else {
        panic!("this task has no steps: {text}")
    };
    let containers = steps.into_iter().map(|mut step| {
        let own = step.as_object_mut().unwrap().remove("script");
        assert!(own.is_none_or(|script| script.is_string()));
        step
    });
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "task" },
        "spec": { "containers": containers.collect::<Vec<Value>>() },
    })
    .to_string()
}

/// A program of others, which `tests/run` installs beside the build.
pub fn tool(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let tool = target.join("tools/schemas/bin").join(name);
    assert!(
        tool.exists(),
        "{} is missing: run tests/run --install-only",
        tool.display()
    );
    tool
}

impl Judge {
    /// Whether the text passes, and what the judge says of it.
    pub fn judges(self, text: &str) -> (bool, String) {
        let folder = temporary();
        let file = folder.path().join("judged.yaml");
        std::fs::write(&file, text).unwrap();
        let mut command = match self {
            Judge::JsonSchema(schema) => {
                let mut command = Command::new(tool("check-jsonschema"));
                command.arg("--builtin-schema").args(schema);
                command
            }
            Judge::Kubernetes => {
                let mut command = Command::new(tool("kubernetes-validate"));
                command.arg("--strict");
                command
            }
            Judge::Argo => {
                let mut command = Command::new(tool("python"));
                command.arg(concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/tests/schemas/argo.py"
                ));
                command
            }
        };
        let output = command.arg(&file).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let failed = said.contains("Traceback");
        assert!(!failed, "the judge itself failed: {said}");
        (output.status.success(), said)
    }
}

#[test]
fn every_template_passes_its_platforms_schema_and_a_mistake_in_it_does_not() {
    // Python starts slowly: all at once.
    std::thread::scope(|scope| {
        for case in &CASES {
            scope.spawn(|| passes_and_bites(case));
        }
    });
}

fn passes_and_bites(case: &Case) {
    let text = template(case.file);
    let (passes, said) = case.judge.judges(&(case.part)(&text));
    assert!(passes, "{}: {said}", case.file);
    let (right, wrong) = case.mistake;
    assert!(text.contains(right), "{}: no {right}", case.file);
    let broken = text.replacen(right, wrong, 1);
    let (passes, said) = case.judge.judges(&(case.part)(&broken));
    assert!(!passes, "{}: {wrong} passes", case.file);
    assert!(said.contains(case.says), "{}: {said}", case.file);
}

/// What the book shows as a whole file of a platform.
#[test]
fn every_pipeline_of_the_book_passes_its_platforms_schema() {
    let mut judged = Vec::new();
    std::thread::scope(|scope| {
        for page in crate::book::pages() {
            let text = std::fs::read_to_string(&page).unwrap();
            for block in crate::book::blocks(&text) {
                let Some(platform) = block.option("platform").map(String::from) else {
                    continue;
                };
                judged.push(platform.clone());
                let page = page.clone();
                scope.spawn(move || {
                    let (judge, part): (Judge, fn(&str) -> String) = match platform.as_str() {
                        "github" => (GITHUB, whole),
                        "gitlab" => (GITLAB, whole),
                        "kubernetes" => (Judge::Kubernetes, whole),
                        "argo" => (Judge::Argo, whole),
                        "tekton" => (Judge::Kubernetes, steps_of_tekton),
                        other => panic!("{}: no judge for {other}", page.display()),
                    };
                    let (passes, said) = judge.judges(&part(&block.text));
                    assert!(passes, "{}: {platform}: {said}", page.display());
                });
            }
        }
    });
    for platform in ["github", "gitlab", "argo", "tekton"] {
        assert!(judged.iter().any(|one| one == platform), "{judged:?}");
    }
}

#[test]
fn every_template_is_judged_or_in_no_package() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/ci");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // Not a template: the files that a site adds to run them.
        if ["Dockerfile", "project"].contains(&name.as_str()) {
            continue;
        }
        let judged = CASES
            .iter()
            .any(|case| case.file.split('/').next() == Some(name.as_str()));
        assert!(judged || name == "harness.yaml", "{name} is not judged");
    }
}
