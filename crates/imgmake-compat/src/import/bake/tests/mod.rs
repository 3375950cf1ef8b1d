mod compose;
mod expressions;
mod hostile;
mod several;

use std::collections::BTreeMap;

use super::*;
use imgmake_core::manifest::{
    BuildTarget, CacheAccess, ContextNode, ImageFormat, LoadInto, RecipeNode, SecretFrom, Spanned,
    TarFormat, TargetKind,
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
        files: &[File { name: file, text }],
        environment: &environment(pairs),
        wanted: &strings(wanted),
        overrides: &strings(set),
        now: "2026-01-02T03:04:05Z",
        unsayable: Unsayable::Refused,
        others: &NO_OTHERS,
        valueless: Valueless::Now,
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
    let RecipeNode::Dockerfile { path, stage, .. } = &app.recipe else {
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
    let tags: Vec<&str> = app.tags.iter().map(|tag| tag.value.as_str()).collect();
    assert_eq!(tags, ["reg.io/team/app:1.0", "reg.io/team/app:latest"]);
    // What is only written into an archive is not published; bake does neither.
    let published: Vec<&str> = imported
        .published
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(published, ["tool-one", "tool-two", "base"]);
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
    assert_eq!(app.tags[0].value, "other.io/x/app:2.0");
    assert_eq!(imported.published[0].1, ["one:1"]);
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
fn json_has_blocks_as_objects_or_lists_at_any_level_and_comments() {
    let text = r#"{
      "//": "one",
      "variable": [{ "A": [{ "default": "1", "//": "two" }] }],
      "B": "two-${A}",
      "group": { "default": { "targets": ["app"] } },
      "target": [{ "app": [{ "args": { "A": "${A}", "B": "${B}", "N": "${f(1.50)}", "//": "kept" } }, { "tags": ["x:${A}"] }] }],
      "target": { "app": { "context": "c" } },
      "function": { "f": { "params": ["n"], "result": "${n + 1}" } }
    }"#;
    let imported = attempt("b.json", text, &[], &[], &[]).unwrap_or_else(|m| panic!("{m}"));
    let app = build(&imported, "app");
    let expected = [("//", "kept"), ("A", "1"), ("B", "two-1"), ("N", "2.5")];
    assert_eq!(args(app), expected);
    assert_eq!(app.tags[0].value, "x:1");
    assert_eq!(app.context.as_ref().unwrap().value, "c");
    for (text, line) in [
        ("{\n\"target\": 1}", 2),
        ("{\"target\": {\"a\":\n1}}", 2),
        ("{\n\"targt\": {}}", 2),
        ("{\"target\": {\"a\":\n[[1]]}}", 2),
    ] {
        let mistake = attempt("b.json", text, &["a"], &[], &[]).unwrap_err();
        assert_eq!(mistake.line, Some(line), "{text}: {mistake}");
    }
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
            "target \"default\" {\n\n  no-cache-filter = [\"build\"]\n}",
            &["b.hcl:3", "no-cache-filter", "[\"build\"]"],
        ),
        (
            "target \"default\" { policy = [{ filename = \"a.rego\" }] }",
            &["b.hcl:1", "`policy`", "a.rego"],
        ),
        (
            "target \"default\" { call = \"check\" }",
            &["b.hcl:1", "call = \"check\"", "imgmake lint"],
        ),
        (
            "target \"default\" {\n  network = \"bridge\"\n}",
            &["b.hcl:2", "\"bridge\""],
        ),
        (
            "target \"default\" {\n  extra-hosts = { db = \"nowhere\" }\n}",
            &["b.hcl:2", "db = \"nowhere\""],
        ),
        (
            "target \"default\" {\n  contexts = { src = \"https://h/files\" }\n}",
            &["b.hcl:2", "`src`", "https://h/files"],
        ),
        (
            "target \"default\" {\n  cache-to = [\"type=registy,ref=a/b\"]\n}",
            &["b.hcl:2", "`cache-to`", "type="],
        ),
        (
            "target \"default\" {\n  secret = [\"id=a,sorce=b\"]\n}",
            &["b.hcl:2", "`sorce`", "`source`"],
        ),
        (
            "target \"default\" {\n  ssh = [\"default=a,b\"]\n}",
            &["b.hcl:2", "default=a,b"],
        ),
        (
            "target \"default\" {\n  annotations = [\"index-descriptor:a=b\"]\n}",
            &["b.hcl:2", "index-descriptor"],
        ),
        (
            "target \"default\" {\n  platforms = [\"local\", \"linux/arm64\"]\n}",
            &["b.hcl:2", "BAKE_LOCAL_PLATFORM"],
        ),
        (
            "target \"default\" {\n  output = [\"type=oci,dest=a.tar,compresion=zstd\"]\n}",
            &["b.hcl:2", "compresion=zstd", "`compression`"],
        ),
        (
            "target \"default\" {\n  output = [\"type=image,push-by-digest=true\"]\n}",
            &["b.hcl:2", "push-by-digest"],
        ),
        (
            "target \"default\" {\n  output = [\".\"]\n}",
            &["b.hcl:2", "\".\"", "contains the sources"],
        ),
        (
            "target \"default\" {\n  tags = target.other.tags\n}",
            &["b.hcl:2", "other"],
        ),
        (
            "variable \"A\" {\n  type = strng\n}\ntarget \"default\" {}",
            &["b.hcl:2", "a type is string"],
        ),
        (
            "target \"default\" { context = \"ftp://me:pass@h/a.tar\" }",
            &["ftp://…@h/a.tar", "earlier step"],
        ),
        (
            "target \"default\" { output = [\"type=local\"] }",
            &["type=local", "no `dest`"],
        ),
        (
            "target \"default\" { output = [\"type=tar\"] }",
            &["standard output", "type=tar,dest=FILE"],
        ),
        (
            "target \"default\" { output = [\"type=registry\"] }",
            &["no `tags`"],
        ),
        ("target \"default\" { tags = \"a\" }", &["`tags` is a list"]),
        (
            "variable \"A\" { default = B }\nvariable \"B\" { default = A }\ntarget \"default\" {}",
            &["circle"],
        ),
        (
            "function \"f\" { params = [] }\ntarget \"default\" {}",
            &["function `f`", "`result`"],
        ),
        (
            "function \"f\" {\n  params = [\"a b\"]\n  results = 1\n}\ntarget \"default\" {}",
            &["b.hcl:3", "`result`"],
        ),
        (
            "function \"f\" {\n  params = [n]\n  result = f(n)\n}\ntarget \"default\" { tags = [f(1)] }",
            &["b.hcl:5", "circle"],
        ),
        (
            "variable \"A\" {\n  default = \"x\"\n  validation {\n    condition = A == \"y\"\n    error_message = \"must be y\"\n  }\n}\ntarget \"default\" {}",
            &["must be y"],
        ),
        ("target \"default\" {", &["invalid HCL"]),
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
    let text = "target \"default\" {\n  cache-from = [\"type=gha\"]\n  attest = [\"type=sbom\"]\n  ulimits = [\"nofile=1\"]\n  shm-size = \"1g\"\n  entitlements = [\"network.host\"]\n  resources = { memory = \"1g\" }\n  pull = true\n  call = \"build\"\n}";
    let imported = attempt("b.hcl", text, &[], &[], &[]).unwrap();
    assert_eq!(imported.notes.len(), 6, "{:#?}", imported.notes);
    for key in [
        "cache-from",
        "attest",
        "ulimits",
        "shm-size",
        "entitlements",
        "resources",
    ] {
        let told = imported.notes.iter().any(|note| note.contains(key));
        assert!(told, "{key}: {:#?}", imported.notes);
    }
}

#[test]
fn caches_daemons_hosts_and_layouts_have_their_effect() {
    let text = r#"
target "default" {
  cache-from  = ["reg.io/team/cache", { type = "registry", ref = "reg.io/other/cache" }]
  cache-to    = ["type=registry,ref=reg.io/team/cache,mode=max"]
  extra-hosts = { "db.internal" = "10.0.0.5", up = "host-gateway" }
  output      = ["type=docker", { type = "oci", dest = "out/layout", tar = false },
                 "type=image,\"name=reg.io/a:1,reg.io/a:2\",compression=zstd,compression-level=3,annotation.a=b"]
  annotations = ["index,manifest:org.example.one=1"]
  platforms   = ["linux/amd64,linux/arm64"]
  ssh         = [{ id = "key", paths = ["/run/agent"] }]
  secret      = [{ type = "file", id = "aws", src = "credentials" }]
  dockerfile-inline = "FROM scratch\nLABEL a=b\n"
}
"#;
    let imported = attempt("b.hcl", text, &[], &[], &[]).unwrap_or_else(|m| panic!("{m}"));
    let caches: Vec<(&str, CacheAccess)> = imported
        .caches
        .iter()
        .map(|cache| (cache.reference.value.as_str(), cache.access))
        .collect();
    let (team, other) = ("reg.io/team/cache", "reg.io/other/cache");
    assert_eq!(
        caches,
        [
            (team, CacheAccess::Read),
            (other, CacheAccess::Read),
            (team, CacheAccess::Write)
        ]
    );
    let build = build(&imported, "default");
    let texts = |map: &BTreeMap<String, Spanned<String>>| -> Vec<(String, String)> {
        map.iter()
            .map(|(k, v)| (k.clone(), v.value.clone()))
            .collect()
    };
    let pair = |key: &str, value: &str| (key.to_string(), value.to_string());
    assert_eq!(
        texts(&build.add_hosts),
        [pair("db.internal", "10.0.0.5"), pair("up", "127.0.0.1")]
    );
    assert_eq!(
        texts(&build.annotations),
        [
            pair("a", "b"),
            pair("index:org.example.one", "1"),
            pair("org.example.one", "1")
        ]
    );
    assert_eq!(build.load[0].into, LoadInto::Docker);
    assert_eq!(build.layout.as_ref().unwrap().value, "out/layout");
    let compression = build.compression.as_ref().map(|name| name.value.as_str());
    assert_eq!(
        (compression, build.compression_level),
        (Some("zstd"), Some(3))
    );
    let platforms: Vec<&str> = build.platforms.iter().map(|p| p.value.as_str()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    assert_eq!(build.ssh[0].1.as_deref(), Some("/run/agent"));
    assert_eq!(
        imported.secrets[0].source,
        SecretFrom::File("credentials".into())
    );
    assert_eq!(
        imported.published,
        [(
            "default".to_string(),
            vec!["reg.io/a:1".into(), "reg.io/a:2".into()]
        )]
    );
    let RecipeNode::Dockerfile { path, .. } = &build.recipe else {
        panic!()
    };
    assert_eq!(path.value, imported.inline[0].path);
    assert_eq!(imported.inline[0].text, "FROM scratch\nLABEL a=b\n");
    assert!(imported.notes.is_empty(), "{:?}", imported.notes);
}

#[test]
fn lists_that_grow_are_added_to_and_others_replaced() {
    let text = r#"
target "base" {
  args = { A = "1", B = "2" }
  tags = ["base"]
  platforms = ["linux/amd64"]
  secret = ["id=one,env=ONE", "id=two,env=TWO"]
  annotations = ["a=1"]
  cache-from = ["reg.io/one"]
}
target "default" {
  inherits = ["base"]
  args = { A = null, C = target.base.args.B }
  tags = concat(target.base.tags, ["own"])
  secret = ["id=two,env=OTHER"]
  annotations = ["b=2"]
  cache-from = ["reg.io/two"]
}
"#;
    let read = |set: &[&str], pairs: &[(&str, &str)]| {
        attempt("b.hcl", text, &[], set, pairs).unwrap_or_else(|m| panic!("{m}"))
    };
    let plain = read(&[], &[]);
    let one = build(&plain, "default");
    assert_eq!(args(one), [("A", "1"), ("B", "2"), ("C", "2")]);
    let names = |build: &BuildTarget| -> Vec<String> {
        build.tags.iter().map(|tag| tag.value.clone()).collect()
    };
    assert_eq!(names(one), ["base", "own"]);
    assert_eq!(one.annotations.len(), 2);
    assert_eq!(plain.caches.len(), 2);
    let sources: Vec<&SecretFrom> = plain.secrets.iter().map(|secret| &secret.source).collect();
    assert_eq!(
        sources,
        [
            &SecretFrom::Env("ONE".into()),
            &SecretFrom::Env("OTHER".into())
        ]
    );

    let set = read(
        &[
            "*.tags=x",
            "*.tags=y",
            "default.annotations=c=3",
            "default.secret.one=src=file",
            "default.cache-from+=reg.io/three",
            "default.args.D",
            "default.args.E",
            "default.extra-hosts.db=10.0.0.1",
            "*.push=false",
        ],
        &[("D", "from the environment")],
    );
    let one = build(&set, "default");
    assert_eq!(names(one), ["x", "y"]);
    assert_eq!(one.annotations.len(), 3);
    assert_eq!(set.caches.len(), 3);
    assert_eq!(set.secrets[0].source, SecretFrom::File("file".into()));
    assert_eq!(one.args["D"].value, "from the environment");
    assert!(!one.args.contains_key("E"));
    assert_eq!(one.add_hosts["db"].value, "10.0.0.1");
    assert!(set.published.is_empty());
    let wrong = attempt("b.hcl", text, &[], &["default.secret.gone=env=A"], &[]).unwrap_err();
    assert!(wrong.message.contains("no secret `gone`"), "{wrong}");
    // A target that is there and not built is no mistake.
    let only = attempt("b.hcl", text, &["base"], &["default.args.A=1"], &[]);
    assert!(only.is_ok(), "{only:?}");
}

#[test]
fn variables_have_types_and_the_environment_keeps_to_them() {
    let text = r#"
variable "LIST" {
  type = list(number)
  default = [1]
}
variable "MAP" {
  type = map(string)
  default = { a = "1" }
}
variable "OBJECT" {
  type = object({ name = string, count = number })
  default = { name = "n", count = "2" }
}
variable "SET" { type = set(string) }
variable "UNSET" {}
target "default" {
  args = {
    LIST = join(" ", LIST)
    MAP = MAP.a
    OBJECT = "${OBJECT.name}${add(OBJECT.count, 1)}"
    SET = SET == null ? "none" : join(" ", SET)
    UNSET = "[${UNSET}]"
  }
}
"#;
    let read = |pairs: &[(&str, &str)]| attempt("b.hcl", text, &[], &[], pairs);
    let plain = read(&[]).unwrap_or_else(|m| panic!("{m}"));
    let expected = [
        ("LIST", "1"),
        ("MAP", "1"),
        ("OBJECT", "n3"),
        ("SET", "none"),
        ("UNSET", "[]"),
    ];
    assert_eq!(args(build(&plain, "default")), expected);
    let given = read(&[
        ("LIST", "3,4"),
        ("MAP", "a=x,b=y"),
        ("OBJECT_JSON", r#"{"name":"m","count":5}"#),
        ("SET", "b,a,b"),
        ("UNSET", "set"),
    ]);
    let given = given.unwrap_or_else(|m| panic!("{m}"));
    let expected = [
        ("LIST", "3 4"),
        ("MAP", "x"),
        ("OBJECT", "m6"),
        ("SET", "a b"),
        ("UNSET", "[set]"),
    ];
    assert_eq!(args(build(&given, "default")), expected);
    for (name, value, says) in [
        ("LIST", "3,x", "invalid number \"x\""),
        ("OBJECT", "m", "written as JSON"),
        ("OBJECT_JSON", "{", "invalid JSON"),
        ("MAP", "a", "invalid map(text) \"a\""),
    ] {
        let mistake = read(&[(name, value)]).unwrap_err();
        assert!(mistake.message.contains(says), "{mistake}");
        assert!(mistake.line.is_some(), "{mistake}");
    }
    let off = read(&[("LIST", "x"), ("BUILDX_BAKE_DISABLE_VARS_ENV_LOOKUP", "1")]);
    assert!(off.is_ok(), "{off:?}");
}

#[test]
fn a_file_defines_functions_of_its_own() {
    let text = r#"
variable "REPO" { default = "reg.io/team" }
function "tag" {
  params = [name]
  variadic_params = versions
  result = [for version in versions : image(name, version)]
}
function "image" {
  params = [name, version]
  result = "${REPO}/${lower(name)}:${version}"
}
target "default" {
  matrix = { REPO = ["shadows"] }
  name = "one-${REPO}"
  tags = tag("App", "1", "latest")
}
"#;
    let imported = attempt("b.hcl", text, &[], &[], &[]).unwrap_or_else(|m| panic!("{m}"));
    let (_, tags) = &imported.published[0];
    assert_eq!(tags, &["reg.io/team/app:1", "reg.io/team/app:latest"]);
    let json = r#"{
      "function": { "increment": { "params": ["n"], "result": "${n + 1}" } },
      "variable": [{ "V": { "default": 1, "validation": [{ "condition": "${V == 1}", "error_message": "not 1" }] } }],
      "target": { "default": { "args": { "N": "${increment(V)}" } } }
    }"#;
    let imported = attempt("b.json", json, &[], &[], &[]).unwrap_or_else(|m| panic!("{m}"));
    assert_eq!(args(build(&imported, "default")), [("N", "2")]);
    let refused = attempt("b.json", json, &[], &[], &[("V", "2")]).unwrap_err();
    assert!(refused.message.contains("not 1"), "{refused}");
}

proptest::proptest! {
    #[test]
    fn no_text_causes_a_panic(text in "(target|variable|group)? ?\"?[a-z]{0,3}\"? ?[{}=\\[\\]\"$(),.a-z0-9\n ]{0,60}") {
        drop(attempt("b.hcl", &text, &[], &["*.args.A=1"], &[]));
        drop(attempt("b.json", &text, &[], &[], &[]));
    }
}
