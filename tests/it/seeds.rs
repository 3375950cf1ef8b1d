//! Pipelines of CI platforms work when only the plugin's image is exchanged. The
//! files in `tests/data/pipelines` have the steps that the platforms' documents
//! show; they are run against registries that ask for credentials.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::ground::expected::assert_part;
use crate::ground::pipeline::{PASSWORD, Platform, Ran, SEQUENCE};
use crate::ground::{run, write};

/// The tags in an archive, as docker's format lists them.
fn archive_tags(tar: &Path) -> Vec<String> {
    let text = run("tar", &["-xOf", tar.to_str().unwrap(), "manifest.json"]);
    let manifest: Value = serde_json::from_str(&text).unwrap();
    let tags = manifest[0]["RepoTags"].as_array().unwrap().iter();
    tags.map(|tag| tag.as_str().unwrap().to_string()).collect()
}

/// The files that an archive's only layer holds.
fn files_in(image: &str) -> BTreeSet<String> {
    let tree = crate::ground::tree::unpack(image).tree;
    tree.into_keys().collect()
}

fn archive_files(tar: &Path) -> BTreeSet<String> {
    files_in(&format!("docker-archive:{}", tar.display()))
}

/// The digest that a push of the archive gives.
fn archive_digest(tar: &Path) -> Option<String> {
    let arguments = ["inspect", "--format", "json", tar.to_str().unwrap()];
    let text = run(env!("CARGO_BIN_EXE_imgmake"), &arguments);
    let image: Value = serde_json::from_str(&text).unwrap();
    Some(image["digest"].as_str().unwrap().to_string())
}

#[track_caller]
fn failed(ran: &[Ran], step: &str, says: &[&str]) {
    let one = ran.iter().find(|one| one.step == step);
    let one = one.unwrap_or_else(|| panic!("{step} did not run: {ran:#?}"));
    assert_eq!(one.code, 1, "{one:?}");
    for piece in says {
        assert!(one.output.contains(piece), "`{piece}` is not in {one:#?}");
    }
}

#[test]
fn an_image_is_pushed_and_left_as_an_archive_for_the_next_step() {
    let platform = Platform::with_registries(&["docker"])
        .with("DRONE_OUTPUT", "output.env")
        .with("PLUGIN_ARTIFACT_FILE", "artifact.json")
        .with("PLUGIN_IMAGE_NAME_WITH_DIGEST_FILE", "name@digest")
        .with("PLUGIN_IMAGE_NAME_TAG_WITH_DIGEST_FILE", "name:tag@digest");
    let ran = platform.ok("tar-and-push");
    let registry = platform.registry("docker");
    let repository = format!("{}/dockerhub/image_name", registry.host);
    let digest = registry
        .digest("dockerhub/image_name", "linux-amd64")
        .unwrap();
    assert!(ran[1].output.contains("image_name.tar"), "{ran:?}");
    let tar = platform.file("image_name.tar");
    assert_eq!(archive_tags(&tar), [format!("{repository}:linux-amd64")]);
    let read = |path: &str| std::fs::read_to_string(platform.file(path)).unwrap();
    assert_eq!(
        read("output.env"),
        format!(
            "IMAGE_TAR_PATH=\"{}\"\ndigest=\"{digest}\"\n",
            tar.display()
        )
    );
    assert_eq!(read("name@digest"), format!("{repository}@{digest}\n"));
    assert_eq!(
        read("name:tag@digest"),
        format!("{repository}:linux-amd64@{digest}\n")
    );
    let artifact: Value = serde_json::from_str(&read("artifact.json")).unwrap();
    let image = serde_json::json!({"image": format!("{repository}:linux-amd64"), "digest": digest});
    assert_eq!(artifact["kind"], "docker/v1");
    assert_eq!(artifact["data"]["registryType"], "Docker");
    assert_eq!(artifact["data"]["images"], serde_json::json!([image]));
}

#[test]
fn a_build_without_a_push_leaves_the_archive_and_nothing_in_the_registry() {
    let platform = Platform::with_registries(&["docker", "ecr"]);
    for (pipeline, tar) in [
        ("tar-without-push", "image_name.tar"),
        ("build-only-buildx-tar", "folder/image.tar"),
        ("ecr-build-only", "image.tar"),
    ] {
        platform.ok(pipeline);
        let files = archive_files(&platform.file(tar));
        assert!(files.contains("app/app.txt"), "{pipeline}: {files:?}");
    }
    for name in ["docker", "ecr"] {
        assert!(platform.registry(name).tags().is_empty());
    }
}

#[test]
fn builds_without_an_archive_are_kept_in_the_workspace() {
    for pipeline in [
        "build-only-buildx",
        "build-only-kaniko",
        "build-only-daemon-off",
        "dry-run-buildx",
    ] {
        let platform = Platform::with_registries(&["docker"]);
        platform.ok(pipeline);
        assert!(platform.registry("docker").tags().is_empty(), "{pipeline}");
        assert!(platform.file(".imgmake/store").is_dir(), "{pipeline}");
    }
}

#[test]
fn a_later_stage_pushes_what_an_earlier_one_built() {
    for pipeline in ["push-only-buildx", "push-only-daemon-off"] {
        let platform = Platform::with_registries(&["docker"]);
        failed(
            &platform.run(pipeline),
            "push",
            &["no image", "PLUGIN_NO_PUSH"],
        );
        platform.ok("build-only-daemon-off");
        platform.ok(pipeline);
        let tags = platform.registry("docker").tags();
        assert_eq!(tags, [format!("team/app:v.{SEQUENCE}")], "{pipeline}");
    }
}

#[test]
fn push_only_for_a_dry_run_is_refused_with_the_variable_that_was_meant() {
    let platform = Platform::with_registries(&["docker"]);
    let ran = platform.run("push-only-as-dry-run");
    failed(
        &ran,
        "build",
        &["it contains no image", "PLUGIN_NO_PUSH=true"],
    );
    assert!(platform.registry("docker").tags().is_empty());
}

#[test]
fn two_pushes_beside_each_other_find_what_the_stage_built() {
    for pipeline in [
        "build-then-push-parallel-buildx",
        "build-then-push-parallel-kaniko",
        "build-then-push-parallel-mixed",
    ] {
        let platform = Platform::with_registries(&["docker", "ecr"]);
        platform.ok(pipeline);
        let tag = format!("new-nopush-{SEQUENCE}-build-x");
        let digest = platform.registry("docker").digest("team/app", &tag);
        assert!(digest.is_some(), "{pipeline}");
        assert_eq!(digest, platform.registry("ecr").digest("app", &tag));
    }
}

#[test]
fn one_build_is_pushed_to_many_registries_under_one_digest() {
    for (pipeline, tag) in [
        ("build-once-push-many", format!("v.{SEQUENCE}")),
        ("build-once-push-many-daemon-off", format!("v.{SEQUENCE}")),
        ("build-once-corrected", format!("new-no-push-{SEQUENCE}")),
        (
            "build-once-corrected-kubernetes",
            format!("new-no-push-{SEQUENCE}"),
        ),
    ] {
        let platform = Platform::with_registries(&["docker", "ecr"]);
        platform.ok(pipeline);
        let digest = platform.registry("docker").digest("myorg/myapp", &tag);
        assert!(digest.is_some(), "{pipeline}");
        assert_eq!(digest, platform.registry("ecr").digest("myapp", &tag));
    }
}

#[test]
fn a_source_image_that_no_step_built_is_refused_with_what_there_is() {
    for pipeline in [
        "build-once-contradiction",
        "build-once-contradiction-kubernetes",
    ] {
        let platform = Platform::with_registries(&["docker", "ecr"]);
        let ran = platform.run(pipeline);
        let built = format!("myorg/myapp:new-no-push-{SEQUENCE}");
        let missing = format!("{built}-buildx`");
        for step in ["push_docker", "push_ecr"] {
            failed(&ran, step, &[&missing, &built, "PLUGIN_SOURCE_IMAGE"]);
        }
        assert!(platform.registry("docker").tags().is_empty());
        assert!(platform.registry("ecr").tags().is_empty());
    }
}

#[test]
fn four_builds_and_four_pushes_share_a_workspace_at_the_same_time() {
    for pipeline in ["tar-per-registry", "tar-per-registry-kubernetes"] {
        let platform = Platform::with_registries(&["gar", "ecr", "docker", "acr"]);
        platform.ok(pipeline);
        for name in ["gar", "ecr", "docker", "acr"] {
            let repository = if name == "ecr" { "app" } else { "team/app" };
            let tags = platform.registry(name).tags();
            assert_eq!(tags, [format!("{repository}:{SEQUENCE}-buildx")], "{name}");
            let tar = platform.file(&format!("{name}image.tar"));
            let pushed = platform
                .registry(name)
                .digest(repository, &format!("{SEQUENCE}-buildx"));
            assert_eq!(pushed, archive_digest(&tar), "{pipeline} {name}");
            let files = archive_files(&tar);
            let own = files.iter().find(|file| file.contains(".imgmake"));
            assert_eq!(own, None, "{pipeline} {name}");
        }
    }
}

#[test]
fn what_was_scanned_is_what_is_pushed() {
    for (pipeline, tag) in [
        ("ecr-build-scan-push", format!("new-{SEQUENCE}")),
        ("ecr-build-scan-push-relative", format!("v.{SEQUENCE}")),
    ] {
        let platform = Platform::with_registries(&["ecr"]);
        platform.ok(pipeline);
        let tags = platform.registry("ecr").tags();
        assert_eq!(tags, [format!("test-image:{tag}")]);
        let pushed = platform.registry("ecr").digest("test-image", &tag);
        assert_eq!(pushed, archive_digest(&platform.file("image.tar")));
    }
}

#[test]
fn a_finding_ends_the_pipeline_before_the_push() {
    let mut platform = Platform::with_registries(&["ecr"]);
    platform.left_pad_is_fixed_in = "9.0.0".into();
    let ran = platform.run("ecr-build-scan-push");
    let steps: Vec<(&str, i32)> = ran.iter().map(|r| (r.step.as_str(), r.code)).collect();
    assert_eq!(steps, [("build_only", 0), ("scan", 3)], "{ran:#?}");
    assert!(ran[1].output.contains("EXAMPLE-1"), "{ran:#?}");
    assert!(platform.registry("ecr").tags().is_empty());
}

#[test]
fn an_archive_is_pushed_to_ecr_with_a_token_that_aws_hands_out() {
    let platform = Platform::with_registries(&["ecr"])
        .with("DRONE_OUTPUT", "output.env")
        .with("PLUGIN_ARTIFACT_FILE", "artifact.json");
    platform.ok("ecr-build-then-push-tar");
    let registry = platform.registry("ecr");
    let tag = format!("v.{SEQUENCE}");
    assert_eq!(registry.tags(), [format!("test-image:{tag}")]);
    let digest = registry.digest("test-image", &tag).unwrap();
    assert_eq!(
        archive_digest(&platform.file("image.tar")).as_ref(),
        Some(&digest)
    );
    // The push-only step is the last that writes them.
    let read = |path: &str| std::fs::read_to_string(platform.file(path)).unwrap();
    let output = read("output.env");
    assert!(output.contains(&format!("digest=\"{digest}\"")), "{output}");
    let artifact: Value = serde_json::from_str(&read("artifact.json")).unwrap();
    assert_eq!(artifact["data"]["registryType"], "ECR");
    let name = format!("{}/test-image:{tag}", registry.host);
    let image = serde_json::json!({"image": name, "digest": digest});
    assert_eq!(artifact["data"]["images"], serde_json::json!([image]));
}

#[test]
fn a_registry_that_is_not_named_is_the_one_that_the_keys_belong_to() {
    for builder in ["KubernetesDirect", "Docker"] {
        let platform = Platform::with_registries(&["ecr"])
            .with("PLUGIN_REGISTRY", "")
            .with("PLUGIN_ARTIFACT_FILE", "artifact.json");
        let text = ECR_STEP.replace("PLATFORM", builder);
        let ran = platform.run_text(&text);
        assert_eq!(ran[0].code, 0, "{ran:#?}");
        let registry = platform.registry("ecr");
        assert_eq!(registry.tags(), ["team/app:1"]);
        let artifact = std::fs::read_to_string(platform.file("artifact.json")).unwrap();
        assert!(
            artifact.contains(&format!("{}/team/app:1", registry.host)),
            "{artifact}"
        );
    }
    // A region that is not said is us-east-1.
    let platform = Platform::with_registries(&["ecr"])
        .with("PLUGIN_REGISTRY", "")
        .with("PLUGIN_REGION", "");
    let ran = platform.run_text(&ECR_STEP.replace("PLATFORM", "Docker"));
    assert_eq!(ran[0].code, 0, "{ran:#?}");
    // Other keys: AWS says so, and the step what to do.
    let platform = Platform::with_registries(&["ecr"])
        .with("PLUGIN_REGISTRY", "")
        .with("PLUGIN_ACCESS_KEY", "AKIDSOMEBODY");
    let ran = platform.run_text(&ECR_STEP.replace("PLATFORM", "Docker"));
    failed(
        &ran,
        "build",
        &["PLUGIN_REGISTRY is not set", "the keys are not known"],
    );
    // Without a push nobody is asked.
    let platform = platform
        .with("PLUGIN_NO_PUSH", "true")
        .with("PLUGIN_DRY_RUN", "true");
    let ran = platform.run_text(&ECR_STEP.replace("PLATFORM", "Docker"));
    assert_eq!(ran[0].code, 0, "{ran:#?}");
}

const ECR_STEP: &str = "infrastructure:\n  type: PLATFORM\nexecution:\n  steps:\n    - step:\n        \
    type: BuildAndPushECR\n        identifier: build\n        spec:\n          connectorRef: ecr\n          \
    region: eu-west-1\n          imageName: team/app\n          tags:\n            - \"1\"\n";

#[test]
fn buildahs_settings_build_an_archive_and_push_it() {
    let platform = Platform::with_registries(&["docker"]);
    platform.ok("buildah-build-only");
    let registry = platform.registry("docker");
    assert!(registry.tags().is_empty());
    let tar = platform.file("image.tar");
    assert_eq!(
        archive_tags(&tar),
        [format!("{}/team/app:7", registry.host)]
    );
    assert!(archive_files(&tar).contains("app/app.txt"));
    // Only the archive goes from the one to the other.
    std::fs::remove_dir_all(platform.file(".imgmake")).unwrap();
    std::fs::remove_file(platform.file("Dockerfile")).unwrap();
    platform.ok("buildah-push-only");
    assert_eq!(registry.tags(), ["team/app:7"]);
    assert_eq!(registry.digest("team/app", "7"), archive_digest(&tar));
}

#[test]
fn a_push_that_would_be_refused_is_found_before_the_build() {
    let platform =
        Platform::with_registries(&["docker"]).with("PLUGIN_PASSWORD", "of-somebody-else");
    // It would fail, were it tried.
    write(
        platform.workspace.path(),
        "docker/Dockerfile",
        "FROM scratch\nCOPY nothing /\n",
    );
    let ran = platform.run("tar-and-push");
    failed(
        &ran,
        "build",
        &[
            "nothing is built",
            "dockerhub/image_name",
            "the step's variables",
        ],
    );
    assert!(!ran[0].output.contains("of-somebody-else"), "{ran:?}");
    assert!(!platform.file("image_name.tar").exists());
    let platform = platform
        .with("PLUGIN_PASSWORD", PASSWORD)
        .with("PLUGIN_SKIP_PUSH_PERMISSION_CHECK", "true");
    failed(
        &platform.run("tar-and-push"),
        "build",
        &["`nothing` not found"],
    );
}

#[test]
fn a_name_that_no_registry_would_take_is_refused_even_without_a_push() {
    let platform = Platform::with_registries(&["docker"]).with("PLUGIN_TAGS", "not a tag");
    failed(&platform.run("build-only-kaniko"), "build", &["not a tag"]);
}

#[test]
fn what_changes_nothing_is_said_in_one_line_each() {
    let platform = Platform::with_registries(&["docker"]);
    let ran = platform.ok("build-only-daemon-off");
    for name in ["PLUGIN_DAEMON_OFF", "there is no docker daemon"] {
        let lines = ran[0].output.lines().filter(|line| line.contains(name));
        assert_eq!(lines.count(), 1, "{ran:#?}");
    }
}

/// The rows of the book's table: what the program itself reads by.
fn variables_table() -> String {
    use imgmake_compat::plugin::variables::{Effect, Kind, VARIABLES};
    let mut table =
        String::from("| variable | type | default | family | here |\n|---|---|---|---|---|\n");
    for row in VARIABLES {
        let names: Vec<String> = row.names.iter().map(|name| format!("`{name}`")).collect();
        let kind = match row.kind {
            Kind::Text => "text".to_string(),
            Kind::Bool => "boolean".to_string(),
            Kind::Int => "number".to_string(),
            Kind::List(separator) => format!("list `{separator}`"),
        };
        let default = match row.default {
            "" => String::new(),
            some => format!("`{some}`"),
        };
        let readers = row.readers.iter().map(|(family, clouds)| {
            let clouds: Vec<String> = clouds
                .iter()
                .map(|c| format!("{c:?}").to_lowercase())
                .collect();
            let family = format!("{family:?}").to_lowercase();
            match clouds.is_empty() {
                true => family,
                false => format!("{family} ({})", clouds.join(", ")),
            }
        });
        let readers: Vec<String> = readers.collect();
        let here = match row.effect {
            Effect::Used => String::new(),
            Effect::Inherent(why) => format!("*no effect:* {why}"),
            Effect::NotYet => "*refused:* not supported yet".to_string(),
            Effect::Daemon => {
                "*no effect:* it configures a daemon, and imgmake uses none".to_string()
            }
        };
        table.push_str(&format!(
            "| {} | {kind} | {default} | {} | {here} |\n",
            names.join(", "),
            readers.join(", ")
        ));
    }
    table
}

#[test]
fn the_book_says_what_becomes_of_every_variable() {
    let (start, end) = ("<!-- variables -->\n", "<!-- end of variables -->");
    assert_part("book/src/ci.md", start, end, &variables_table());
}
