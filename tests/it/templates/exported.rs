//! What `imgmake ci` writes of `examples/ci/project` is what its platforms read, and does what the
//! manifest says: each job in a container and a checkout of its own.
//!
//! Tekton's schema is in no package: its tasks are judged as Kubernetes' containers, and every key
//! that is not read here fails.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::container::{Container, Ran};
use super::platforms::{self, container, gitlab_variables, only, pairs, text, texts, yaml};
use super::schemas::{GITHUB, GITLAB, Judge, steps_of_tekton};
use super::site::{Findings, Site};
use crate::ground::imgmake::Imgmake;
use crate::ground::write;

const CACHE: &str = "--cache=registry.example.com/team/cache";

pub fn exported(site: &Site, system: &str, options: &[&str]) -> String {
    let project = site.checkout(&format!("exporter-for-{system}"));
    let words = [&["ci", "--to", system], options, &["release-east"]].concat();
    Imgmake::new().ok(&project, &words).stdout
}

#[test]
fn every_export_passes_its_platforms_schema() {
    let site = Site::new(Findings::None);
    let judged = |judge: Judge, text: &str| {
        let (passes, said) = judge.judges(text);
        assert!(passes, "{said}\n{text}");
    };
    let github = exported(&site, "github", &["--env", "TAG=${{ github.sha }}"]);
    let gitlab = exported(&site, "gitlab", &["--env", "TAG=$CI_COMMIT_SHORT_SHA"]);
    let argo = exported(&site, "argo", &[CACHE]);
    let tekton = yaml(&exported(&site, "tekton", &[CACHE]));
    only(&tekton, &["apiVersion", "kind", "metadata", "spec"]);
    only(&tekton["spec"], &["workspaces", "tasks"]);
    // Python starts slowly: all at once.
    std::thread::scope(|scope| {
        scope.spawn(|| judged(GITHUB, &github));
        scope.spawn(|| judged(GITLAB, &gitlab));
        scope.spawn(|| judged(Judge::Argo, &argo));
        scope.spawn(|| {
            for task in tekton["spec"]["tasks"].as_array().unwrap() {
                only(task, &["name", "runAfter", "workspaces", "taskSpec"]);
                only(&task["taskSpec"], &["workspaces", "steps"]);
                let task = json!({ "spec": task["taskSpec"] });
                judged(Judge::Kubernetes, &steps_of_tekton(&task.to_string()));
            }
        });
    });
}

/// The job that builds, then the one that scans, then the one that pushes.
#[track_caller]
fn built_once_and_published(ran: &[Ran], site: &Site, tag: &str) {
    for one in ran {
        assert_eq!(one.code, 0, "{} failed:\n{}", one.name, one.output);
    }
    let names: Vec<&str> = ran.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["app", "gate", "release-east"]);
    assert!(!ran[0].output.contains("(cached)"), "{}", ran[0].output);
    for later in &ran[1..] {
        // From the cache, or up to date where the state is shared, too.
        let again = later.output.replace("COPY src/ /srv/ (cached)", "");
        assert!(!again.contains("COPY src/"), "{}", later.output);
    }
    let name = format!("east/team/app:{tag}");
    assert!(
        site.published().contains_key(&name),
        "{:?}",
        site.published()
    );
}

#[test]
fn gitlab_runs_what_is_exported() {
    let site = Site::new(Findings::None);
    let variables = [
        "--env",
        "EAST=$CI_REGISTRY_IMAGE",
        "--env",
        "TAG=$CI_COMMIT_SHORT_SHA",
    ];
    let file = yaml(&exported(&site, "gitlab", &variables));
    let mut ran: Vec<Ran> = Vec::new();
    for (name, job) in file.as_object().unwrap() {
        if ["default", "variables"].contains(&name.as_str()) {
            continue;
        }
        only(job, &["needs", "rules", "script", "artifacts"]);
        for need in job["needs"].as_array().unwrap() {
            let done = ran.iter().any(|one| need["job"] == one.name.as_str());
            assert!(done, "{name} is before {need}");
        }
        let clone = site.checkout(&format!("gitlab-{name}"));
        let lines = [
            texts(&file["default"]["before_script"]),
            texts(&job["script"]),
        ]
        .concat();
        let container = Container {
            name: name.clone(),
            image: text(&file["default"]["image"]["name"]),
            command: vec!["sh".into()],
            args: vec!["-euc".into(), lines.join("\n")],
            env: gitlab_variables(&file["variables"], &site),
            directory: "/builds/team/app".into(),
            mounts: vec![("/builds/team/app".into(), clone.clone())],
        };
        ran.push(container.run(&site));
        for kept in texts(&job["artifacts"]["paths"]) {
            assert!(clone.join(&kept).exists(), "{name}: there is no {kept}");
        }
    }
    built_once_and_published(&ran, &site, "01234567");
}

#[test]
fn tekton_runs_what_is_exported() {
    let site = Site::new(Findings::None);
    let file = yaml(&exported(&site, "tekton", &[CACHE, "--env", "TAG=1.0"]));
    let mut ran: Vec<Ran> = Vec::new();
    for task in file["spec"]["tasks"].as_array().unwrap() {
        for need in texts(&task["runAfter"]) {
            assert!(ran.iter().any(|one| one.name == need), "{task}");
        }
        let here = task["taskSpec"]["steps"][0]
            .to_string()
            .replace("$(workspaces.source.path)", "/workspace/source")
            .replace(
                "$(workspaces.docker-config.path)",
                "/workspace/docker-config",
            );
        assert!(!here.contains("$("), "{here}");
        let step: Value = serde_json::from_str(&here).unwrap();
        // A checkout each: what a task has of the others is in the registry.
        let source = site.checkout(&format!("tekton-{}", text(&task["name"])));
        let env = step["env"].as_array().unwrap().iter();
        let container = Container {
            name: text(&task["name"]),
            image: text(&step["image"]),
            command: vec!["/bin/sh".into()],
            args: vec!["-c".into(), text(&step["script"])],
            env: env
                .map(|one| (text(&one["name"]), text(&one["value"])))
                .collect(),
            directory: text(&step["workingDir"]),
            mounts: vec![
                ("/workspace/source".into(), source),
                ("/workspace/docker-config".into(), site.docker_config()),
            ],
        };
        ran.push(container.run(&site));
    }
    built_once_and_published(&ran, &site, "1.0");
}

#[test]
fn argo_runs_what_is_exported() {
    let site = Site::new(Findings::None);
    let file = exported(&site, "argo", &[CACHE, "--env", "TAG=1.0"])
        .replace(
            "{{workflow.parameters.repository}}",
            "https://git.example.com/team/app.git",
        )
        .replace("{{workflow.parameters.revision}}", "main");
    let spec = &yaml(&file)["spec"];
    let mut volumes = platforms::volumes(&spec["volumes"], &site);
    volumes.insert("work".into(), site.volume("work"));
    let templates = spec["templates"].as_array().unwrap();
    let template = |name: &Value| templates.iter().find(|one| one["name"] == *name).unwrap();
    let mut ran: BTreeMap<String, Ran> = BTreeMap::new();
    let mut order = Vec::new();
    for task in template(&spec["entrypoint"])["dag"]["tasks"]
        .as_array()
        .unwrap()
    {
        only(task, &["name", "template", "dependencies"]);
        let done = |need: &String| ran.contains_key(need);
        assert!(texts(&task["dependencies"]).iter().all(done), "{task}");
        let name = text(&task["name"]);
        let one = Container {
            name: name.clone(),
            ..container(&template(&task["template"])["container"], &volumes)
        };
        ran.insert(name.clone(), one.run(&site));
        order.push(name);
    }
    let checkout = ran.remove(&order.remove(0)).unwrap();
    assert_eq!(checkout.code, 0, "{checkout:?}");
    let ran: Vec<Ran> = order.iter().map(|name| ran.remove(name).unwrap()).collect();
    built_once_and_published(&ran, &site, "1.0");
}

/// In a directory of a repository, under another name, with settings.
#[test]
fn jobs_find_the_manifest_where_it_is() {
    let directory = crate::ground::temporary();
    let path = directory.path();
    std::fs::create_dir(path.join(".git")).unwrap();
    write(
        path,
        "shop/build.kdl",
        "var TAG\nbuild app { from \"scratch\"; copy \"a\" to=\"/\"; tar \"out/${TAG}.tar\" }\n",
    );
    let imgmake = Imgmake::new();
    let words = [
        "ci",
        "--to",
        "github",
        "-C",
        "shop",
        "-f",
        "build.kdl",
        "--var",
        "TAG=1 a",
        "-o",
        "../ci.yml",
    ];
    assert_eq!(imgmake.ok(path, &words).stdout, "");
    let file = yaml(&std::fs::read_to_string(path.join("ci.yml")).unwrap());
    let steps = file["jobs"]["app"]["steps"].as_array().unwrap();
    let script = text(&steps[3]["run"]);
    assert!(
        script.contains("imgmake run -C shop -f build.kdl --var 'TAG=1 a' --cache-from"),
        "{script}"
    );
    assert_eq!(pairs(&steps[4]["with"])[1].1, "shop/out/1 a.tar\n");

    for (words, says) in [
        (
            &["ci", "--to", "argo", "-f", "shop/build.kdl", "--var=TAG=1"][..],
            &["--cache HOST/REPOSITORY"][..],
        ),
        (
            &[
                "ci",
                "--to",
                "github",
                "-f",
                "shop/build.kdl",
                "--var=TAG=1",
                "--env",
                "1=2",
            ],
            &["invalid variable `1=2`"],
        ),
        (&["ci", "--to", "jenkins"], &["jenkins", "github"]),
        (&["ci"], &["--to"]),
    ] {
        imgmake.refused(path, words, 2, says);
    }
}

/// It is said where people see it, and not in the file.
#[test]
fn a_cache_of_the_manifest_is_noted_where_pull_requests_write_it() {
    let directory = crate::ground::temporary();
    let path = directory.path();
    let manifest = r#"imgmake version=1 { cache { registry ref="registry.example.com/c" access="${CACHE}" } }
var CACHE "read-write"
build app { from "scratch"; copy "a" to="/" }
"#;
    write(path, "imgmake.kdl", manifest);
    let imgmake = Imgmake::new();
    for (words, is_noted) in [
        (&["ci", "--to", "github"][..], true),
        (&["ci", "--to", "gitlab"], true),
        (&["ci", "--to", "argo"], false),
    ] {
        let ran = imgmake.ok(path, words);
        let noted = ran.stderr.contains("note: the jobs of pull requests");
        assert_eq!(noted, is_noted, "{}", ran.stderr);
        assert!(!ran.stdout.contains("note:"), "{}", ran.stdout);
    }
    write(
        path,
        "imgmake.kdl",
        manifest.replace("\"read-write\"", "\"read\""),
    );
    assert_eq!(imgmake.ok(path, &["ci", "--to", "github"]).stderr, "");
}
