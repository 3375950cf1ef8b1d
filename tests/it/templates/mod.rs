//! The templates of `examples/ci` are run, step by step, as their platforms would:
//! each in its containers, with its environment, its volumes and its secrets,
//! against registries on loopback that want a login.
//!
//! | module | what is in it |
//! |---|---|
//! | `act` | workflows of GitHub, the template and what is exported, run by `act` |
//! | `site` | repository, registries, volumes, secrets |
//! | `container` | one container: image, command, environment, mounts |
//! | `platforms` | how each platform reads its file |
//! | `released` | the release of imgmake itself, and the action and the component that install one |
//! | `exported` | what `imgmake ci` writes of the same project, run the same way |
//! | `schemas` | what the platforms' published schemas say of it |

mod act;
mod container;
mod exported;
mod platforms;
mod released;
mod schemas;
mod site;

use serde_json::Value;

use crate::ground::pipeline::Platform;
use crate::ground::{run, write};
use container::Ran;
use platforms::COMMIT;
use site::{Findings, Site};

fn template(name: &str) -> String {
    let path = format!("{}/examples/ci/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// Those that read a manifest: file, how it is run, and the tag that it publishes.
type Run = fn(&str, &Site) -> Vec<Ran>;
const WITH_A_MANIFEST: [(&str, Run, &str); 5] = [
    ("gitlab-ci.yml", platforms::gitlab, "01234567"),
    ("github-actions.yml", platforms::github, COMMIT),
    ("tekton.yaml", platforms::tekton, "1.0"),
    ("argo.yaml", platforms::argo, "dev"),
    ("Jenkinsfile", platforms::jenkins, "0123456789ab"),
];

#[track_caller]
fn succeeded(ran: &[Ran]) {
    assert!(!ran.is_empty());
    for one in ran {
        assert_eq!(one.code, 0, "{} failed:\n{}", one.name, one.output);
    }
}

#[test]
fn each_template_builds_scans_and_publishes() {
    for (file, run, tag) in WITH_A_MANIFEST {
        let site = Site::new(Findings::None);
        let ran = run(&template(file), &site);
        succeeded(&ran);
        let published = site.published();
        let east = published.iter().find(|(name, _)| name.starts_with("east/"));
        let (name, digest) = east.unwrap_or_else(|| panic!("{file}: {ran:#?}"));
        assert!(name.ends_with(&format!("app:{tag}")), "{file}: {name}");
        // Where there are two registries, both have the same.
        assert!(
            published.values().all(|other| other == digest),
            "{file}: {published:?}"
        );
        let both = ["tekton.yaml", "argo.yaml", "Jenkinsfile"].contains(&file);
        assert_eq!(
            published.len(),
            1 + usize::from(both),
            "{file}: {published:?}"
        );
    }
}

#[test]
fn a_finding_ends_each_template_before_anything_is_published() {
    for (file, run, _) in WITH_A_MANIFEST {
        let site = Site::new(Findings::One);
        let ran = run(&template(file), &site);
        let last = ran.last().unwrap();
        assert_eq!(last.code, 3, "{file}: {last:#?}");
        assert!(
            last.output.contains("EXAMPLE-2026-0001"),
            "{file}: {last:#?}"
        );
        assert!(
            site.published().is_empty(),
            "{file}: {:?}",
            site.published()
        );
    }
}

#[test]
fn what_a_job_built_the_next_job_takes_from_the_cache() {
    let site = Site::new(Findings::None);
    let ran = platforms::gitlab(&template("gitlab-ci.yml"), &site);
    succeeded(&ran);
    assert!(ran[0].output.contains("COPY src/"), "{ran:#?}");
    assert!(!ran[1].output.contains("COPY src/"), "{ran:#?}");
}

#[test]
fn a_job_of_kubernetes_runs_kanikos_executor() {
    let site = Site::new(Findings::None);
    succeeded(&platforms::kubernetes(
        &template("kubernetes-job.yaml"),
        &site,
    ));
    let published = site.published();
    let digest = std::fs::read_to_string(site.volume("work").join("digest")).unwrap();
    assert_eq!(
        published.get("east/team/app:1.0"),
        Some(&digest),
        "{published:?}"
    );
}

#[test]
fn a_pipeline_of_drone_builds_in_one_step_and_pushes_in_the_next() {
    let site = Site::new(Findings::None);
    succeeded(&platforms::drone(&template("drone.yml"), &site));
    let published = site.published();
    let tags: Vec<&String> = published.keys().collect();
    assert_eq!(tags, ["east/team/app:7", "east/team/app:latest"]);
}

#[test]
fn every_template_is_well_formed_and_sets_only_what_is_read() {
    use imgmake_compat::plugin::variables::VARIABLES;
    use serde::Deserialize;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/ci");
    let mut checked = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        if path.extension().is_some_and(|e| e == "yml" || e == "yaml") {
            for document in serde_norway::Deserializer::from_str(&text) {
                let value = Value::deserialize(document);
                let value = value.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                assert!(value.is_object(), "{}", path.display());
            }
            checked += 1;
        }
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in words.filter(|word| word.starts_with("PLUGIN_") && word.len() > 7) {
            let known = VARIABLES.iter().any(|row| row.names.contains(&name));
            assert!(known, "{}: {name}", path.display());
        }
    }
    assert_eq!(checked, 8);
}

#[test]
fn the_native_steps_of_harness_run_with_another_image() {
    let platform = Platform::with_registries(&["docker_hub", "ecr"]);
    let gate = "scan gate {\n    from tar=\"image.tar\"\n    advisories \"advisories\"\n}\n";
    write(platform.workspace.path(), "imgmake.kdl", gate);
    let advisories = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/hello/advisories");
    run(
        "cp",
        &["-r", advisories, platform.file("").to_str().unwrap()],
    );
    let text = template("harness.yaml").replace(
        "registry.example.com/example",
        "<+pipeline.variables.docker_hub>/example",
    );
    let ran = platform.run_text(&text);
    assert!(ran.iter().all(|one| one.code == 0), "{ran:#?}");
    let docker = platform.registry("docker_hub").digest("example/app", "v.7");
    assert!(docker.is_some(), "{ran:#?}");
    assert_eq!(docker, platform.registry("ecr").digest("app", "v.7"));
}
