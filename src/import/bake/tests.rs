use std::collections::BTreeMap;

use super::*;
use crate::manifest::{
    BuildTarget, ContextNode, ImageFormat, RecipeNode, SecretFrom, TarFormat, TargetKind,
};

const FILE: &str = r#"
variable "TAG" { default = "1.0" }
variable "REPO" { default = "reg.io/team" }
variable "NAME" { default = "${REPO}/app" } # uses another one
variable "FAST" { default = false }

group "default" { targets = ["app", "tools"] }

target "_common" {
  args = { GO = "1.25", MODE = FAST ? "fast" : "slow" }
  labels = { team = "one" }
  platforms = ["linux/amd64"]
}

target "base" { context = "base" }

target "app" {
  inherits   = ["_common"]
  context    = "services/app"
  dockerfile = "docker/Dockerfile"
  target     = "release"
  args       = { GO = "1.26", EXTRA = upper("x") }
  contexts   = { base = "target:base", alpine = "docker-image://alpine:3.22", proto = "../proto" }
  tags       = ["${NAME}:${TAG}", notequal("1.0", TAG) ? "" : "${NAME}:latest"]
  output     = ["type=oci,dest=out/app.tar"]
  secret     = ["id=npm,env=NPM_TOKEN"]
}

target "tools" {
  matrix = { item = [{ name = "one", flag = "1" }, { name = "two", flag = "2" }] }
  name   = "tool-${item.name}"
  args   = { FLAG = item.flag }
  tags   = ["${REPO}/tool-${item.name}"]
}
"#;

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(n, v)| (n.to_string(), v.to_string()))
        .collect()
}

fn attempt(
    file: &str,
    text: &str,
    wanted: &[&str],
    set: &[&str],
    pairs: &[(&str, &str)],
) -> Result<Imported, Mistake> {
    let strings = |list: &[&str]| list.iter().map(|s| s.to_string()).collect::<Vec<_>>();
    read(&Request {
        file,
        text,
        environment: &environment(pairs),
        wanted: &strings(wanted),
        overrides: &strings(set),
    })
}

fn imported(wanted: &[&str], set: &[&str], pairs: &[(&str, &str)]) -> Imported {
    attempt("b.hcl", FILE, wanted, set, pairs).unwrap_or_else(|mistake| panic!("{mistake}"))
}

fn names(imported: &Imported) -> Vec<&str> {
    imported
        .targets
        .iter()
        .map(|target| target.name.value.as_str())
        .collect()
}

fn build<'a>(imported: &'a Imported, name: &str) -> &'a BuildTarget {
    let target = imported
        .targets
        .iter()
        .find(|target| target.name.value == name);
    match &target.unwrap_or_else(|| panic!("no {name}")).kind {
        TargetKind::Build(build) => build,
        _ => panic!(),
    }
}

fn args(build: &BuildTarget) -> Vec<(&str, &str)> {
    build
        .args
        .iter()
        .map(|(n, v)| (n.as_str(), v.value.as_str()))
        .collect()
}

fn refused(text: &str) -> String {
    let mistake = attempt("b.hcl", text, &[], &[], &[]).expect_err(text);
    format!("{mistake} {}", mistake.help.clone().unwrap_or_default())
}

#[test]
fn a_group_brings_its_targets_and_what_their_contexts_need() {
    let imported = imported(&[], &[], &[]);
    assert_eq!(names(&imported), ["app", "tool-one", "tool-two", "base"]);
    let app = build(&imported, "app");
    assert_eq!(
        args(app),
        [("EXTRA", "X"), ("GO", "1.26"), ("MODE", "slow")]
    );
    assert_eq!(app.labels["team"].value, "one");
    assert_eq!(app.context.as_ref().unwrap().value, "services/app");
    let RecipeNode::Dockerfile { path, stage } = &app.recipe else {
        panic!()
    };
    assert_eq!(path.value, "services/app/docker/Dockerfile");
    assert_eq!(stage.as_ref().unwrap().value, "release");
    let contexts: Vec<&ContextNode> = app.contexts.iter().map(|(_, node)| node).collect();
    assert!(matches!(contexts[0], ContextNode::Image(image) if image.value == "alpine:3.22"));
    assert!(matches!(contexts[1], ContextNode::Target(name) if name.value == "base"));
    assert!(matches!(contexts[2], ContextNode::Path(path) if path.value == "../proto"));
    let tar = app.tar.as_ref().unwrap();
    assert_eq!(
        (tar.path.value.as_str(), tar.format),
        ("out/app.tar", TarFormat::Oci)
    );
    assert_eq!(app.format, ImageFormat::Oci);
    assert_eq!(
        imported.secrets[0].source,
        SecretFrom::Env("NPM_TOKEN".into())
    );
    let (_, tags) = &imported.published[0];
    assert_eq!(tags, &["reg.io/team/app:1.0", "reg.io/team/app:latest"]);
    assert_eq!(args(build(&imported, "tool-two")), [("FLAG", "2")]);
}

#[test]
fn the_environment_and_set_override() {
    let pairs = [("TAG", "2.0"), ("FAST", "1"), ("REPO", "other.io/x")];
    let set = [
        "*.args.GO=1.27",
        "app.platform=linux/arm64",
        "tool-*.tags=one:1",
    ];
    let imported = imported(&["app", "tools"], &set, &pairs);
    let app = build(&imported, "app");
    assert_eq!(
        args(app),
        [("EXTRA", "X"), ("GO", "1.27"), ("MODE", "fast")]
    );
    assert_eq!(app.platforms[0].value, "linux/arm64");
    assert_eq!(imported.published[0].1, ["other.io/x/app:2.0"]);
    assert_eq!(imported.published[1].1, ["one:1"]);
    let nothing = attempt("b.hcl", FILE, &[], &["gone.args.A=1"], &[]).unwrap_err();
    assert!(
        nothing.to_string().contains("no target matches"),
        "{nothing}"
    );
}

#[test]
fn json_says_the_same() {
    let text = r#"{
      "variable": { "TAG": { "default": "1" } },
      "group": { "default": { "targets": ["app"] } },
      "target": {
        "common": { "args": { "A": "1" } },
        "app": { "inherits": ["common"], "args": { "B": "${TAG}" }, "tags": ["app:${TAG}"], "output": ["type=registry"] }
      }
    }"#;
    let imported = attempt("docker-bake.json", text, &[], &[], &[("TAG", "7")]).unwrap();
    assert_eq!(args(build(&imported, "app")), [("A", "1"), ("B", "7")]);
    assert_eq!(
        imported.published,
        [("app".to_string(), vec!["app:7".to_string()])]
    );
    let wrong = text.replace("inherits", "inherit");
    let mistake = attempt("docker-bake.json", &wrong, &[], &[], &[]).unwrap_err();
    assert_eq!(mistake.line, Some(6), "{mistake}");
}

#[test]
fn what_bake_overlooks_is_a_mistake_with_its_line_and_the_nearest_name() {
    for (text, says) in [
        (
            "target \"default\" {\n  dockerfil = \"x\"\n}",
            &["b.hcl:2", "dockerfil", "`dockerfile`"][..],
        ),
        ("targt \"default\" {}", &["b.hcl:1", "`target`"]),
        (
            "variable \"A\" { defalt = 1 }\ntarget \"default\" {}",
            &["b.hcl:1", "`default`"],
        ),
        (
            "target \"default\" { tags = [\"a:${TAGG}\"] }",
            &["TAGG", "declare it"],
        ),
        (
            "target \"default\" { tags = [uper(\"a\")] }",
            &["uper", "`upper`"],
        ),
        (
            "target \"default\" { inherits = [\"commn\"] }\ntarget \"common\" {}",
            &["commn", "`common`"],
        ),
        (
            "target \"default\" { inherits = [\"default\"] }",
            &["default → default"],
        ),
        (
            "group \"default\" { targets = [\"default\"] }",
            &["default → default"],
        ),
        ("target \"app\" {}", &["`default`", "app"]),
        (
            "target \"default\" {\n\n  ulimits = [\"nofile=1\"]\n}",
            &["b.hcl:3", "ulimits"],
        ),
        (
            "target \"default\" { context = \"https://h/a.git\" }",
            &["https://h/a.git", "earlier step"],
        ),
        (
            "target \"default\" { output = [\"type=local,dest=x\"] }",
            &["`local`", "type=oci"],
        ),
        (
            "target \"default\" { output = [\"type=registry\"] }",
            &["no `tags`"],
        ),
        ("target \"default\" { tags = \"a\" }", &["`tags` is a list"]),
        (
            "target \"default\" { matrix = { a = [\"x\"] } }",
            &["no `name`"],
        ),
        (
            "variable \"A\" { default = B }\nvariable \"B\" { default = A }\ntarget \"default\" {}",
            &["undefined variable"],
        ),
        (
            "function \"f\" { params = [] }\ntarget \"default\" {}",
            &["function `f`"],
        ),
        (
            "variable \"A\" {\n  default = \"x\"\n  validation {\n    condition = A == \"y\"\n    error_message = \"must be y\"\n  }\n}\ntarget \"default\" {}",
            &["must be y"],
        ),
        ("target \"default\" {", &["this is no HCL"]),
    ] {
        let said = refused(text);
        assert!(
            says.iter().all(|piece| said.contains(piece)),
            "{text}: {said}"
        );
    }
}

#[test]
fn what_has_no_meaning_here_is_said() {
    let text = "target \"default\" {\n  cache-from = [\"type=gha\"]\n  attest = [\"type=sbom\"]\n}";
    let imported = attempt("b.hcl", text, &[], &[], &[]).unwrap();
    assert_eq!(imported.notes.len(), 2, "{:?}", imported.notes);
}

proptest::proptest! {
    #[test]
    fn no_text_causes_a_panic(text in "(target|variable|group)? ?\"?[a-z]{0,3}\"? ?[{}=\\[\\]\"$(),.a-z0-9\n ]{0,60}") {
        drop(attempt("b.hcl", &text, &[], &["*.args.A=1"], &[]));
        drop(attempt("b.json", &text, &[], &[], &[]));
    }
}
