//! A step whose `PLUGIN_BAKE_FILE` says what is built and pushed.

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
    let print = imgmake("docker-bake.hcl").with("PLUGIN_BAKE_OPTIONS", "--print");
    print.refused(
        workspace.path(),
        &PLUGIN,
        1,
        &["PLUGIN_BAKE_OPTIONS", "`--print`"],
    );
}
