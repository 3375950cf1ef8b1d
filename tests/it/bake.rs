//! A step whose `PLUGIN_BAKE_FILE` says what is built and pushed.

use crate::ground::docker::docker;
use crate::ground::images::bases;
use crate::ground::imgmake::Imgmake;
use crate::ground::registry::Registry;
use crate::ground::{temporary, write};

const BAKE: &str = r#"
variable "HOST" {}
variable "TAG" { default = "1" }
group "default" { targets = ["app"] }
target "base" { dockerfile = "base.Dockerfile" }
target "app" {
  contexts = { base = "target:base" }
  tags = ["${HOST}/team/app:${TAG}", "${HOST}/team/app:latest"]
}
target "other" {
  inherits = ["app"]
  args = { WORD = "other" }
  tags = ["${HOST}/team/other:${TAG}"]
}
"#;

fn workspace() -> tempfile::TempDir {
    let directory = temporary();
    write(directory.path(), "docker-bake.hcl", BAKE);
    write(
        directory.path(),
        "base.Dockerfile",
        "FROM scratch\nCOPY app.txt /\n",
    );
    write(
        directory.path(),
        "Dockerfile",
        "FROM base\nARG WORD=app\nLABEL word=$WORD\n",
    );
    write(directory.path(), "app.txt", "the application\n");
    directory
}

const PLUGIN: [&str; 3] = ["plugin", "--as", "drone-docker"];

#[test]
fn its_targets_are_built_and_pushed_under_their_tags() {
    let (workspace, registry) = (workspace(), Registry::start());
    let imgmake = || {
        Imgmake::new()
            .with("PLUGIN_BAKE_FILE", "docker-bake.hcl")
            .with("HOST", &registry.host)
            .with("TAG", "2")
    };
    imgmake()
        .with("PLUGIN_DRY_RUN", "true")
        .ok(workspace.path(), &PLUGIN);
    assert!(registry.tags().is_empty());
    imgmake().ok(workspace.path(), &PLUGIN);
    assert_eq!(registry.tags(), ["team/app:2", "team/app:latest"]);
    let both = imgmake().with(
        "PLUGIN_BAKE_OPTIONS",
        "app;other;--set *.tags=;--progress=plain",
    );
    both.refused(workspace.path(), &PLUGIN, 1, &["nothing would be pushed"]);
    let other = imgmake().with("PLUGIN_BAKE_OPTIONS", "other --set other.args.WORD=set");
    other.ok(workspace.path(), &PLUGIN);
    assert!(registry.digest("team/other", "2").is_some());
    assert_ne!(
        registry.digest("team/other", "2"),
        registry.digest("team/app", "2")
    );
}

#[test]
fn mistakes_in_it_or_in_its_options_stop_the_step_before_anything_happens() {
    let workspace = workspace();
    let imgmake = |file: &str| Imgmake::new().with("PLUGIN_BAKE_FILE", file);
    imgmake("gone.hcl").refused(
        workspace.path(),
        &PLUGIN,
        1,
        &["PLUGIN_BAKE_FILE", "gone.hcl"],
    );
    write(
        workspace.path(),
        "typo.hcl",
        BAKE.replace("inherits", "inherit"),
    );
    let says = ["typo.hcl:11", "`inherit`", "did you mean `inherits`?"];
    imgmake("typo.hcl").refused(workspace.path(), &PLUGIN, 1, &says);
    write(
        workspace.path(),
        "slash.hcl",
        "target \"default\" {\n  tags = [\"reg.io/app:feature/x\"]\n}\n",
    );
    let says = ["invalid tag `feature/x` (slash.hcl:2)"];
    imgmake("slash.hcl").refused(workspace.path(), &PLUGIN, 1, &says);
    for (options, says) in [
        ("--print", "`--print` is not supported"),
        ("-f other.hcl", "cannot read `other.hcl`"),
        ("--call=check", "imgmake lint"),
        ("--no-cash", "did you mean `--no-cache`?"),
        ("--var", "missing value of `--var`"),
        ("--var=TAG", "invalid `--var TAG`"),
        ("--no-cache=perhaps", "perhaps"),
        ("--set app.no-cache=perhaps", "neither true nor false"),
        ("gone", "target or group `gone` not found"),
    ] {
        let step = imgmake("docker-bake.hcl").with("PLUGIN_BAKE_OPTIONS", options);
        step.refused(workspace.path(), &PLUGIN, 1, &[says]);
    }
}

#[test]
fn every_option_has_its_effect() {
    let (workspace, registry) = (workspace(), Registry::start());
    let options = "app;--var TAG=9;--metadata-file=out/metadata.json;--progress plain;--allow=network.host;\
        --builder any;--provenance=false;--call=build;--no-cache";
    let ran = Imgmake::new()
        .with("PLUGIN_BAKE_FILE", "docker-bake.hcl")
        .with("HOST", &registry.host)
        .with("TAG", "2")
        .with("PLUGIN_BAKE_OPTIONS", options)
        .ok(workspace.path(), &PLUGIN);
    assert_eq!(registry.tags(), ["team/app:9", "team/app:latest"]);
    assert!(!ran.stderr.contains("no effect"), "{}", ran.stderr);
    // `base` is built too: files about one image are not written, and that is said.
    assert!(ran.stderr.contains("2 targets"), "{}", ran.stderr);
    assert!(!workspace.path().join("out/metadata.json").exists());
}

/// A RUN whose bytes differ each time it really runs.
const CACHED: &str = r#"
variable "HOST" {}
variable "BASE" {}
function "image" {
  params = [name]
  result = "${HOST}/team/${name}:1"
}
target "default" {
  dockerfile-inline = <<EOT
FROM ${BASE}
RUN head -c 1000 /dev/urandom > /random && grep db.internal /etc/hosts > /hosts
EOT
  extra-hosts = { "db.internal" = "10.0.0.5" }
  tags = [image("app")]
  cache-from = ["type=registry,ref=${HOST}/team/cache"]
  cache-to = [{ type = "registry", ref = "${HOST}/team/cache", mode = "max" }]
}
"#;

#[test]
fn a_clean_machine_takes_steps_from_the_registry_cache_of_the_bake_file() {
    let registry = Registry::start();
    let base = format!("{}/library/busybox", bases().host);
    let machine = || {
        let workspace = temporary();
        write(workspace.path(), "docker-bake.hcl", CACHED);
        let ran = Imgmake::new()
            .with("PLUGIN_BAKE_FILE", "docker-bake.hcl")
            .with("HOST", &registry.host)
            .with("BASE", &base)
            .ok(workspace.path(), &PLUGIN);
        let dockerfile = workspace.path().join(".imgmake/bake/default.Dockerfile");
        assert!(dockerfile.exists(), "{}", ran.stderr);
        registry.digest("team/app", "1").unwrap()
    };
    let first = machine();
    assert_eq!(machine(), first, "the RUN was run again");
    assert!(
        registry
            .tags()
            .iter()
            .any(|tag| tag.starts_with("team/cache:"))
    );
}

#[test]
fn the_image_goes_into_dockers_own_store() {
    let workspace = workspace();
    let loading = "target \"loaded\" {\n  inherits = [\"app\"]\n  tags = [\"shop/baked:1\"]\n  output = [\"type=docker\"]\n}\n";
    write(
        workspace.path(),
        "docker-bake.hcl",
        format!("{BAKE}{loading}"),
    );
    let socket = format!("unix://{}", docker().socket().display());
    Imgmake::new()
        .with("PLUGIN_BAKE_FILE", "docker-bake.hcl")
        .with("PLUGIN_BAKE_OPTIONS", "loaded")
        .with("HOST", "localhost:5000")
        .with("PLUGIN_DRY_RUN", "true")
        .with("DOCKER_HOST", &socket)
        .ok(workspace.path(), &PLUGIN);
    let word = docker().ok(&[
        "image",
        "inspect",
        "--format",
        "{{.Config.Labels.word}}",
        "shop/baked:1",
    ]);
    assert_eq!(word.trim(), "app");
}
