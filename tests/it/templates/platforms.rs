//! How each platform reads its file: as much of its language as the templates use.
//! A key that is not known here fails, so a template cannot say more than is run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::container::{Container, Ran};
use super::site::{PASSWORD, Site, USER};
use crate::ground::images::path;
use crate::ground::{run, temporary, write};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Of the project's or the repository's secrets.
pub const STATE_KEY: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

pub fn yaml(text: &str) -> Value {
    serde_norway::from_str(text).unwrap()
}

/// Fails for a key that no rule below reads.
#[track_caller]
pub fn only(value: &Value, keys: &[&str]) {
    for key in value.as_object().unwrap().keys() {
        assert!(
            keys.contains(&key.as_str()),
            "`{key}` is not read here: {value}"
        );
    }
}

pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

pub fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

pub fn pairs(value: &Value) -> Vec<(String, String)> {
    let map = value.as_object().into_iter().flatten();
    map.map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

/// Runs one after the other; a failure is the last.
fn in_turn(containers: impl IntoIterator<Item = Container>, site: &Site) -> Vec<Ran> {
    let mut ran: Vec<Ran> = Vec::new();
    for container in containers {
        ran.push(container.run(site));
        if ran.last().is_some_and(|last| last.code != 0) {
            break;
        }
    }
    ran
}

/// A container of a pod, as Kubernetes and Argo write it.
pub fn container(value: &Value, volumes: &BTreeMap<String, PathBuf>) -> Container {
    let known = [
        "name",
        "image",
        "command",
        "args",
        "env",
        "workingDir",
        "volumeMounts",
        "securityContext",
    ];
    only(value, &known);
    let env = value["env"].as_array().into_iter().flatten();
    let mounts = value["volumeMounts"].as_array().into_iter().flatten();
    let mount = |mount: &Value| {
        let volume = &volumes[mount["name"].as_str().unwrap()];
        (text(&mount["mountPath"]), volume.clone())
    };
    Container {
        name: text(&value["name"]),
        image: text(&value["image"]),
        command: texts(&value["command"]),
        args: texts(&value["args"]),
        env: env
            .map(|one| (text(&one["name"]), text(&one["value"])))
            .collect(),
        directory: value["workingDir"].as_str().unwrap_or("/").to_string(),
        mounts: mounts.map(mount).collect(),
    }
}

/// Volumes of a pod: empty ones, and the secret with the docker config.
pub fn volumes(value: &Value, site: &Site) -> BTreeMap<String, PathBuf> {
    let volume = |volume: &Value| {
        let name = text(&volume["name"]);
        if volume.get("emptyDir").is_some() {
            return (name.clone(), site.volume(&name));
        }
        let item = &volume["secret"]["items"][0];
        assert_eq!(item["path"], "config.json", "{volume}");
        (name, site.docker_config())
    };
    value.as_array().into_iter().flatten().map(volume).collect()
}

pub fn kubernetes(file: &str, site: &Site) -> Vec<Ran> {
    let job = yaml(file);
    let pod = &job["spec"]["template"]["spec"];
    only(
        pod,
        &["restartPolicy", "initContainers", "containers", "volumes"],
    );
    let volumes = volumes(&pod["volumes"], site);
    let each = ["initContainers", "containers"];
    let all = each.iter().flat_map(|key| pod[key].as_array().unwrap());
    in_turn(all.map(|one| container(one, &volumes)), site)
}

pub fn argo(file: &str, site: &Site) -> Vec<Ran> {
    let workflow = yaml(file);
    let spec = &workflow["spec"];
    only(
        spec,
        &["entrypoint", "volumeClaimTemplates", "templates", "volumes"],
    );
    let mut volumes = volumes(&spec["volumes"], site);
    for claim in spec["volumeClaimTemplates"].as_array().unwrap() {
        let name = text(&claim["metadata"]["name"]);
        volumes.insert(name.clone(), site.volume(&name));
    }
    let templates = spec["templates"].as_array().unwrap();
    let template = |name: &Value| templates.iter().find(|one| one["name"] == *name).unwrap();
    let step = |step: &Value| {
        let mut body = template(&step["template"])["container"].to_string();
        for parameter in step["arguments"]["parameters"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let name = format!("{{{{inputs.parameters.{}}}}}", text(&parameter["name"]));
            body = body.replace(&name, &text(&parameter["value"]));
        }
        assert!(!body.contains("{{"), "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        Container {
            name: text(&step["name"]),
            ..container(&body, &volumes)
        }
        .run(site)
    };
    let mut ran: Vec<Ran> = Vec::new();
    for together in template(&spec["entrypoint"])["steps"].as_array().unwrap() {
        std::thread::scope(|scope| {
            let steps = together.as_array().unwrap().iter();
            let threads: Vec<_> = steps.map(|one| scope.spawn(|| step(one))).collect();
            ran.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
        });
        if ran.iter().any(|one| one.code != 0) {
            break;
        }
    }
    ran
}

pub fn tekton(file: &str, site: &Site) -> Vec<Ran> {
    let task = yaml(file);
    only(&task["spec"], &["params", "workspaces", "results", "steps"]);
    let targets = texts(&task["spec"]["params"][0]["default"]);
    let results = temporary();
    let digests = results.path().join("digests");
    let here = |text: &str| {
        text.replace("$(params.tag)", "1.0")
            .replace("$(workspaces.source.path)", "/workspace/source")
            .replace(
                "$(workspaces.docker-config.path)",
                "/workspace/docker-config",
            )
            .replace("$(results.digests.path)", path(&digests))
    };
    let source = site.checkout("source");
    let step = |step: &Value| {
        only(
            step,
            &["name", "image", "workingDir", "env", "args", "script"],
        );
        let script = here(step["script"].as_str().unwrap());
        assert!(script.starts_with("#!/bin/sh\n"), "{script}");
        let every = |word: String| match word.as_str() {
            "$(params.targets[*])" => targets.clone(),
            _ => vec![here(&word)],
        };
        let args = texts(&step["args"]).into_iter().flat_map(every);
        let start = ["-c".to_string(), script, "script".to_string()];
        let whole: Value = serde_json::from_str(&here(&step.to_string())).unwrap();
        let env = whole["env"].as_array().unwrap().iter();
        Container {
            name: text(&whole["name"]),
            image: text(&whole["image"]),
            command: vec!["/bin/sh".into()],
            args: start.into_iter().chain(args).collect(),
            env: env
                .map(|one| (text(&one["name"]), text(&one["value"])))
                .collect(),
            directory: text(&whole["workingDir"]),
            mounts: vec![
                ("/workspace/source".into(), source.clone()),
                ("/workspace/docker-config".into(), site.docker_config()),
            ],
        }
    };
    let ran = in_turn(
        task["spec"]["steps"].as_array().unwrap().iter().map(step),
        site,
    );
    assert_eq!(
        digests.exists(),
        ran.iter().all(|one| one.code == 0),
        "{ran:#?}"
    );
    ran
}

/// Jobs in the order of their stages, each in a clone of its own, with the cache
/// of the one before.
pub fn gitlab(file: &str, site: &Site) -> Vec<Ran> {
    let pipeline = yaml(file);
    only(
        &pipeline,
        &["stages", "default", "variables", "build", "release"],
    );
    let mut ran: Vec<Ran> = Vec::new();
    let mut cached: Option<PathBuf> = None;
    for stage in texts(&pipeline["stages"]) {
        let job = &pipeline[&stage];
        only(
            job,
            &["stage", "script", "before_script", "artifacts", "rules"],
        );
        // Every job has its clone in the same place.
        let clone = site.checkout("gitlab");
        let paths = texts(&pipeline["default"]["cache"]["paths"]);
        if let Some(from) = &cached {
            for cache in &paths {
                run(
                    "cp",
                    &["-r", path(&from.join(cache)), path(&clone.join(cache))],
                );
            }
        }
        let lines = [texts(&job["before_script"]), texts(&job["script"])].concat();
        let container = Container {
            name: stage.clone(),
            image: text(&pipeline["default"]["image"]["name"]),
            command: vec!["sh".into()],
            args: vec!["-euc".into(), lines.join("\n")],
            env: gitlab_variables(&pipeline["variables"], site),
            directory: "/builds/team/app".into(),
            mounts: vec![("/builds/team/app".into(), clone.clone())],
        };
        ran.push(container.run(site));
        if ran.last().is_some_and(|last| last.code != 0) {
            break;
        }
        for kept in texts(&job["artifacts"]["paths"]).iter().chain(&paths) {
            assert!(clone.join(kept).exists(), "{stage}: there is no {kept}");
        }
        let kept = clone.with_file_name(format!("kept-of-{stage}"));
        std::fs::rename(&clone, &kept).unwrap();
        cached = Some(kept);
    }
    ran
}

pub fn gitlab_variables(own: &Value, site: &Site) -> Vec<(String, String)> {
    let east = &site.east.host;
    let mut all: BTreeMap<String, String> = [
        ("CI_PROJECT_DIR", "/builds/team/app".to_string()),
        ("CI_COMMIT_SHORT_SHA", COMMIT[..8].to_string()),
        ("CI_REGISTRY", east.clone()),
        ("CI_REGISTRY_IMAGE", format!("{east}/team")),
        ("CI_REGISTRY_USER", USER.to_string()),
        ("CI_REGISTRY_PASSWORD", PASSWORD.to_string()),
        ("CI_COMMIT_REF_PROTECTED", "true".to_string()),
        ("IMGMAKE_STATE_KEY", STATE_KEY.to_string()),
    ]
    .map(|(name, value)| (name.to_string(), value))
    .into();
    for (name, value) in pairs(own) {
        let known = all.iter().rev();
        let value = known.fold(value, |value, (name, known)| {
            value.replace(&format!("${name}"), known)
        });
        assert!(!value.contains('$'), "{name}: {value}");
        all.insert(name, value);
    }
    all.into_iter().collect()
}

/// A docker client that hands out the program: all that the file wants of one.
pub const DOCKER: &str = r#"#!/bin/sh
case $1 in
create) case $2 in registry.example.com/imgmake/imgmake:*) echo container ;; *) exit 1 ;; esac ;;
cp) [ "$2" = container:/usr/local/bin/imgmake ] && cp -L "$PROGRAM" "$3" ;;
*) exit 1 ;;
esac
"#;

pub fn github(file: &str, site: &Site) -> Vec<Ran> {
    let workflow = yaml(file);
    only(&workflow, &["name", "on", "permissions", "jobs"]);
    let job = &workflow["jobs"]["image"];
    only(job, &["runs-on", "env", "steps"]);
    let runner = temporary();
    write(runner.path(), "bin/docker", DOCKER);
    run("chmod", &["755", path(&runner.path().join("bin/docker"))]);
    let (clone, paths) = (site.checkout("github"), runner.path().join("paths"));
    let mut ran: Vec<Ran> = Vec::new();
    for step in job["steps"].as_array().unwrap() {
        let Some(script) = step["run"].as_str() else {
            only(step, &["uses", "with"]);
            continue;
        };
        only(step, &["name", "run", "env", "if"]);
        let added = std::fs::read_to_string(&paths)
            .unwrap_or_default()
            .replace('\n', ":");
        let search = format!("{added}{}/bin:/usr/bin:/bin", runner.path().display());
        let env = [pairs(&job["env"]), pairs(&step["env"])].concat();
        let env = env
            .into_iter()
            .map(|(name, value)| (name, expressions(&value, site)));
        let output = std::process::Command::new("bash")
            .args(["-ec", &expressions(script, site)])
            .current_dir(&clone)
            .env_clear()
            .envs([
                ("PATH", search.as_str()),
                ("PROGRAM", env!("CARGO_BIN_EXE_imgmake")),
            ])
            .envs([
                ("RUNNER_TEMP", runner.path()),
                ("GITHUB_PATH", &paths),
                ("HOME", runner.path()),
            ])
            .envs([("GITHUB_ACTIONS", "true"), ("CI", "true")])
            .envs(env)
            .output()
            .unwrap();
        ran.push(Ran::of(text(&step["name"]), &output));
        if ran.last().is_some_and(|last| last.code != 0) {
            return ran;
        }
    }
    // What is cached between jobs is there to be cached.
    let cache = job["steps"][1]["with"]["path"].as_str().unwrap();
    for kept in cache.lines() {
        let kept = match kept.strip_prefix("~/") {
            Some(below_home) => runner.path().join(below_home),
            None => clone.join(kept),
        };
        assert!(kept.is_dir(), "there is no {}", kept.display());
    }
    ran
}

fn expressions(text: &str, site: &Site) -> String {
    let text = text
        .replace("${{ github.sha }}", COMMIT)
        .replace("${{ github.repository }}", "team/app")
        .replace("${{ github.actor }}", USER)
        .replace("${{ secrets.GITHUB_TOKEN }}", PASSWORD)
        .replace("${{ secrets.IMGMAKE_STATE_KEY }}", STATE_KEY);
    assert!(!text.contains("${{"), "{text}");
    with_hosts(&text, site)
}

/// The name of our own image is the docker client's business.
pub fn with_hosts(text: &str, site: &Site) -> String {
    let (ours, elsewhere) = ("registry.example.com/imgmake", "imgmake-of-the-site");
    site.hosts(&text.replace(ours, elsewhere))
        .replace(elsewhere, ours)
}

/// Groovy is not parsed: the pod, the variables and the commands are found by their form.
pub fn jenkins(file: &str, site: &Site) -> Vec<Ran> {
    let pod = yaml(file.split("'''").nth(1).unwrap());
    let volumes = volumes(&pod["spec"]["volumes"], site);
    let one = container(&pod["spec"]["containers"][0], &volumes);
    assert!(
        one.image.contains("debug"),
        "the agent starts shells in {}",
        one.image
    );
    let (_, after) = file.split_once("environment {").unwrap();
    let (environment, stages) = after.split_once("stages {").unwrap();
    let variable = |line: &str| {
        let (name, value) = line.trim().split_once(" = ")?;
        let value = value.split('"').nth(1)?;
        let value = value
            .replace("${WORKSPACE}", "/home/jenkins/agent/workspace")
            .replace("${GIT_COMMIT.take(12)}", &COMMIT[..12]);
        assert!(!value.contains("${"), "{value}");
        Some((name.to_string(), value))
    };
    let env: Vec<(String, String)> = environment.lines().filter_map(variable).collect();
    let clone = site.checkout("jenkins");
    let shell = |line: &str| {
        let command = line.split("sh '").nth(1)?.split('\'').next()?;
        let mut mounts = one.mounts.clone();
        mounts.push(("/home/jenkins/agent/workspace".into(), clone.clone()));
        Some(Container {
            name: command.to_string(),
            image: one.image.clone(),
            command: vec!["sh".into()],
            args: vec!["-ec".into(), command.to_string()],
            env: env.clone(),
            directory: "/home/jenkins/agent/workspace".into(),
            mounts,
        })
    };
    in_turn(stages.lines().filter_map(shell), site)
}

/// What Drone's documentation lists of the environment of a step: names of its own, and values as a push has them.
fn of_drone() -> impl Iterator<Item = (String, String)> {
    let recorded = include_str!("../../data/environments/drone.env").lines();
    recorded.map(|line| {
        let (name, value) = line.split_once('=').unwrap();
        (name.to_string(), value.to_string())
    })
}

pub fn drone(file: &str, site: &Site) -> Vec<Ran> {
    let pipeline = yaml(&file.replace("${DRONE_BUILD_NUMBER}", "7"));
    only(&pipeline, &["kind", "type", "name", "steps"]);
    let clone = site.checkout("drone");
    let step = |step: &Value| {
        only(step, &["name", "image", "settings", "when"]);
        let setting = |(name, value): (&String, &Value)| {
            let value = match value {
                Value::Array(list) => list.iter().map(text).collect::<Vec<_>>().join(","),
                Value::Object(_) => {
                    assert_eq!(value["from_secret"], "docker_password");
                    PASSWORD.to_string()
                }
                other => text(other),
            };
            (format!("PLUGIN_{}", name.to_uppercase()), value)
        };
        Container {
            name: text(&step["name"]),
            image: text(&step["image"]),
            env: of_drone()
                .chain(step["settings"].as_object().unwrap().iter().map(setting))
                .collect(),
            directory: "/drone/src".into(),
            mounts: vec![("/drone/src".into(), clone.clone())],
            ..Container::default()
        }
    };
    in_turn(pipeline["steps"].as_array().unwrap().iter().map(step), site)
}
