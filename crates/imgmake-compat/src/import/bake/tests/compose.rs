//! What a Compose file says of a build.

use super::*;

fn service(build: &str, pairs: &[(&str, &str)]) -> Result<Imported, Mistake> {
    let text = format!("services:\n  a:\n    build:\n{build}");
    attempt("compose.yaml", &text, &["a"], &[], pairs)
}

#[test]
fn only_a_true_privilege_is_an_entitlement() {
    let noted = |build: &str, pairs: &[(&str, &str)]| {
        let imported = service(build, pairs).unwrap_or_else(|mistake| panic!("{mistake}"));
        let mut notes = imported.notes.iter();
        notes.any(|note| note.contains("`entitlements` of `a` has no effect"))
    };
    for (build, given, is_noted) in [
        ("      privileged: true\n", "", true),
        ("      privileged: false\n", "", false),
        ("      privileged: ${P:-false}\n", "", false),
        ("      privileged: ${P:-false}\n", "true", true),
        (
            "      privileged: false\n      entitlements: [network.host]\n",
            "",
            true,
        ),
    ] {
        assert_eq!(noted(build, &[("P", given)]), is_noted, "{build}{given}");
    }
    let both = "      ulimits: {}\n      privileged: false\n";
    assert!(service(both, &[]).unwrap().notes.is_empty());
    let wrong = service("      privileged: [a]\n", &[]).unwrap_err();
    assert!(wrong.to_string().contains("compose.yaml:4: `privileged`"));
}

fn args_of(list: &str, pairs: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let imported = service(&format!("      args: {list}\n"), pairs);
    let imported = imported.map_err(|mistake| mistake.to_string())?;
    let args = build(&imported, "a").args.clone();
    Ok(args.into_values().map(|text| text.value).collect())
}

#[test]
fn a_variable_with_a_message_has_to_be_given() {
    let text = "services:\n  a:\n    build: {context: ., args: ['a=${A:?give A}', 'b=${B?}', 'c=${C}', 'd=${A:-x}']}\n";
    let files = [File {
        name: "compose.yaml",
        text,
    }];
    let given = BTreeMap::new();
    let request = Request {
        files: &files,
        environment: &given,
        wanted: &["a".to_string()],
        overrides: &[],
        now: "2026-01-01T00:00:00Z",
        unsayable: Unsayable::Refused,
        others: &NO_OTHERS,
        valueless: Valueless::Now,
    };
    let forms: Vec<(String, Form)> = variables(&request)
        .unwrap()
        .into_iter()
        .map(|variable| (variable.name, variable.form))
        .collect();
    let is = |name: &str, form: Form| forms.contains(&(name.to_string(), form));
    assert!(is("A", Form::NotEmpty) && is("B", Form::Given), "{forms:?}");
    assert!(is("C", Form::Default), "{forms:?}");
}

/// What Compose makes of them, by its specification.
#[test]
fn a_default_is_that_of_its_place() {
    let given = [("A", "1"), ("V", "1"), ("W", "x")];
    for (list, without, with) in [
        ("['a=${A}', 'b=${A:-x}']", ["", "x"], ["1", "1"]),
        ("['a=${A:-x}', 'b=$A']", ["x", ""], ["1", "1"]),
        ("['a=${V:-1}', 'b=${V:-2}']", ["1", "2"], ["1", "1"]),
        ("['a=${A:+y}', 'b=${A:-x}']", ["", "x"], ["y", "1"]),
        ("['a=${W:-x}', 'b=${W:-y}']", ["x", "y"], ["x", "x"]),
        (
            r"['a=${A:-it\s}', 'b=-${A:-}-']",
            [r"it\s", "--"],
            ["1", "-1-"],
        ),
        ("['a=${A:-${V:-2}}', 'b=${V:-3}']", ["2", "3"], ["1", "1"]),
        ("['a=${A-x}', 'b=${A:-x}']", ["x", "x"], ["1", "1"]),
        ("['a=$${A}', 'b=${A:-$$}']", ["${A}", "$"], ["${A}", "1"]),
    ] {
        assert_eq!(args_of(list, &[]).unwrap(), without, "{list}");
        assert_eq!(args_of(list, &given).unwrap(), with, "{list}");
    }
    let empty = [("A", "")];
    let list = "['a=${A:-x}', 'b=${A-x}']";
    assert_eq!(args_of(list, &empty).unwrap(), ["x", ""]);
    for list in [
        "['a=${A-x}', 'b=${A}']",
        "['a=${A}', 'b=${A-x}']",
        "['a=${A-x}', 'b=${A-y}']",
        "['a=${A-x}', 'b=${A:-y}']",
        "['a=${A-x}', 'b=${A:+y}']",
        "['a=${A-${B}}']",
        "['a=${A+y}']",
    ] {
        let why = args_of(list, &[]).unwrap_err();
        assert!(why.starts_with("compose.yaml:4: "), "{list}: {why}");
        assert!(why.contains("write `${A:"), "{list}: {why}");
    }
}

/// The services of a file, with others beside it; no text is a file that does not exist.
fn composed(
    text: &str,
    others: &[(&str, Option<&str>)],
    given: &[(&str, &str)],
    valueless: Valueless,
) -> Result<Imported, Mistake> {
    let others: Others = others
        .iter()
        .map(|(path, text)| (path.to_string(), text.map(String::from)))
        .collect();
    let request = Request {
        files: &[File {
            name: "compose.yaml",
            text,
        }],
        environment: &environment(given),
        wanted: &[],
        overrides: &[],
        now: "2026-01-01T00:00:00Z",
        unsayable: Unsayable::Refused,
        others: &others,
        valueless,
    };
    assert_eq!(missing(&request).unwrap_or_default(), [""; 0], "{text}");
    read(&request)
}

fn services(text: &str, others: &[(&str, Option<&str>)]) -> Imported {
    let read = composed(text, others, &[], Valueless::Now);
    read.unwrap_or_else(|mistake| panic!("{mistake}\n{text}"))
}

fn context(imported: &Imported, name: &str) -> String {
    let context = build(imported, name).context.as_ref();
    context.map_or(String::new(), |context| context.value.clone())
}

/// What compose-go makes of them (`loader/extends_test.go`, `override/merge.go`).
#[test]
fn a_service_says_its_own_over_what_it_extends() {
    let text = r#"
services:
  base:
    image: team/base:1
    build:
      context: base
      args: { A: "1", B: "2" }
      tags: [x:1]
      labels: [l=1]
      platforms: [linux/amd64]
  middle: { extends: base, build: { args: [B=3, C=4], labels: { l: "2" } } }
  top:
    extends: { service: middle }
    image: team/top:1
    build: { context: top, tags: ["x:1", "y:1"], platforms: [linux/arm64], target: last }
  short: { extends: base, build: other }
"#;
    let read = services(text, &[]);
    let top = build(&read, "top");
    assert_eq!(args(top), [("A", "1"), ("B", "3"), ("C", "4")]);
    assert_eq!(top.labels["l"].value, "2");
    assert_eq!(context(&read, "top"), "top");
    assert_eq!(context(&read, "short"), "other");
    let platforms: Vec<&str> = top.platforms.iter().map(|one| one.value.as_str()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    let published = |name: &str| {
        let found = read.published.iter().find(|(target, _)| target == name);
        found.map(|(_, names)| names.clone()).unwrap_or_default()
    };
    assert_eq!(published("top"), ["x:1", "y:1"]);
    assert_eq!(published("base"), ["x:1"]);
}

#[test]
fn a_service_of_another_file_has_paths_of_its_own_directory() {
    let text = r#"
services:
  web: { extends: { file: ../common/base.yaml, service: web }, build: { args: { A: "2" } } }
  image: { extends: { file: sub/only.yaml, service: image }, build: . }
"#;
    let base = r#"
services:
  web:
    extends: { file: deeper/low.yaml, service: low }
    build: { context: ./web, additional_contexts: { more: ../more, other: "docker-image://a" } }
  unused: { build: nowhere }
"#;
    let low = "services: { low: { build: { context: low, args: [A=1, B=1] } } }";
    let others = [
        ("../common/base.yaml", Some(base)),
        ("../common/deeper/low.yaml", Some(low)),
        ("sub/only.yaml", Some("services: { image: { image: a:1 } }")),
    ];
    let read = services(text, &others);
    assert_eq!(names(&read), ["web", "image"]);
    assert_eq!(context(&read, "web"), "../common/web");
    assert_eq!(context(&read, "image"), ".");
    let web = build(&read, "web");
    assert_eq!(args(web), [("A", "2"), ("B", "1")]);
    let more = format!("{:?}", web.contexts);
    assert!(
        more.contains("../more") && !more.contains("common/../"),
        "{more}"
    );
}

#[test]
fn included_files_add_services_below_those_of_the_file() {
    let text = r#"
include:
  - api/compose.yaml
  - path: [tools/a.yaml, tools/b.yaml]
    project_directory: work
    env_file: [tools/one.env, tools/two.env]
services:
  api: { build: { args: { MODE: own } } }
  after: { extends: api, image: "after:1" }
"#;
    let api = r#"
services:
  api: { image: "api:${TAG}", build: { context: ., args: { MODE: included, TAG: "${TAG:-none}", "${TAG:+SET}": "x" }, secrets: [s] } }
secrets: { s: { file: ./secret.txt } }
"#;
    let others = [
        ("api/compose.yaml", Some(api)),
        ("api/.env", Some("TAG=from-api\n")),
        (
            "tools/a.yaml",
            Some("services: { tool: { build: { args: [V=$V, \"W=${W:-w}\"] } } }"),
        ),
        (
            "tools/b.yaml",
            Some("services: { tool: { build: { target: last } } }"),
        ),
        ("tools/one.env", Some("V=1\n")),
        ("tools/two.env", Some("V=2\n")),
    ];
    let read = services(text, &others);
    assert_eq!(names(&read), ["api", "after", "tool"]);
    let of = |name: &str| args(build(&read, name));
    let api = [("MODE", "own"), ("SET", "x"), ("TAG", "from-api")];
    assert_eq!(of("api"), api);
    assert_eq!(of("after"), api);
    assert_eq!(context(&read, "after"), "api");
    // Without a context it is that of the included project.
    assert_eq!(context(&read, "tool"), "work");
    assert_eq!(of("tool"), [("V", "2"), ("W", "w")]);
    let stage = format!("{:?}", build(&read, "tool").recipe);
    assert!(stage.contains("last"), "{stage}");
    assert!(format!("{:?}", read.secrets).contains("api/secret.txt"));
    // The environment goes before env-files.
    let given = composed(
        text,
        &others,
        &[("TAG", "given"), ("V", "3")],
        Valueless::Now,
    )
    .unwrap();
    assert_eq!(args(build(&given, "tool"))[0], ("V", "3"));
    assert_eq!(args(build(&given, "api"))[2], ("TAG", "given"));
}

/// buildx, `TestComposeNullArgs` and `TestBuildArgEnvCompose`.
#[test]
fn an_argument_without_a_value_has_the_one_of_the_environment() {
    let text = r#"
services:
  a: { build: { args: { A: null, B:, C: "1" } }, environment: { B: own } }
  b: { build: { args: [A, B, C=1] }, environment: [B=own, A] }
"#;
    let given = [("A", "given"), ("B", "given")];
    for name in ["a", "b"] {
        let none = composed(text, &[], &[], Valueless::Now).unwrap();
        assert_eq!(args(build(&none, name)), [("B", "own"), ("C", "1")]);
        let some = composed(text, &[], &given, Valueless::Now).unwrap();
        let all = [("A", "given"), ("B", "own"), ("C", "1")];
        assert_eq!(args(build(&some, name)), all);
        let later = composed(text, &[], &[], Valueless::Later).unwrap();
        assert_eq!(args(build(&later, name))[0], ("A", FROM_ENVIRONMENT));
    }
    let file = "services:\n  a:\n    env_file: [x]\n    build: { args: [A] }\n";
    let why = composed(file, &[], &[], Valueless::Now).unwrap_err();
    assert!(
        why.to_string()
            .contains("compose.yaml:4: `args`: `A` has no value"),
        "{why}"
    );
}

#[test]
fn what_is_not_known_yet_is_named_and_circles_and_lost_files_are_refused() {
    let text = "include: [b/c.yaml]\nservices: { a: { extends: { file: x.yaml, service: y } } }";
    let asked = |others: &Others| {
        missing(&Request {
            files: &[File {
                name: "compose.yaml",
                text,
            }],
            environment: &BTreeMap::new(),
            wanted: &[],
            overrides: &[],
            now: "",
            unsayable: Unsayable::LeftOut,
            others,
            valueless: Valueless::Later,
        })
        .unwrap()
    };
    let mut others = Others::new();
    assert_eq!(asked(&others), ["b/.env", "b/c.yaml", "x.yaml"]);
    others.insert("b/.env".into(), None);
    others.insert("b/c.yaml".into(), Some("include: [../d.yaml]\n".into()));
    others.insert(
        "x.yaml".into(),
        Some("services: { y: { build: . } }".into()),
    );
    assert_eq!(asked(&others), ["d.yaml"]);
    let own = "services: { a: { extends: b }, b: { extends: { service: c } }, c: { extends: a } }";
    let long: String = (0..40)
        .map(|at| format!("  s{at}: {{ extends: s{} }}\n", at + 1))
        .collect();
    let long = format!("services:\n{long}  s40: {{ build: . }}\n");
    for (text, others, says) in [
        (
            own,
            &[][..],
            "compose.yaml:1: `extends` in a circle: a → b → c → a",
        ),
        ("services: { a: { extends: a } }", &[], "in a circle: a → a"),
        (&long, &[], "more than 32 services extend each other"),
        (
            "services: { web: { extends: wbe }, b: { build: . } }",
            &[],
            "compose.yaml:1: `extends`: service `wbe` not found in `compose.yaml`",
        ),
        (
            "services: { a: { extends: { file: x.yaml, service: y } } }",
            &[("x.yaml", None)],
            "compose.yaml:1: file `x.yaml` not found",
        ),
        (
            "services: { a: { extends: { file: x.yaml, service: y } } }",
            &[(
                "x.yaml",
                Some("services:\n  y: { extends: { file: x.yaml, service: y } }"),
            )],
            "x.yaml:2: `extends` in a circle",
        ),
        (
            "\ninclude: [b.yaml]",
            &[("b.yaml", Some("\n\ninclude: [compose.yaml]"))],
            "b.yaml:3: `include` in a circle: compose.yaml → b.yaml → compose.yaml",
        ),
        (
            "include: [b.yaml]",
            &[("b.yaml", None)],
            "compose.yaml:1: file `b.yaml` not found",
        ),
        (
            "include: [b/b.yaml]",
            &[
                ("b/b.yaml", Some("services:\n  a: { build: $DIR }")),
                ("b/.env", None),
            ],
            "b/b.yaml:2: the path `$DIR` begins with a variable",
        ),
        (
            "include: [../secret]",
            &[("../secret", Some("\nhunter2: x\n")), ("../.env", None)],
            "../secret:2: this is not understood",
        ),
        ("include: [{ path: [] }]", &[], "an `include` has a `path`"),
        ("include: [{ pth: a }]", &[], "unknown key `pth`"),
        (
            "include: [\"${X}.yaml\"]",
            &[],
            "a variable cannot name a file",
        ),
        (
            "include: [\"https://a.example/c.git\"]",
            &[],
            "only files are read",
        ),
        (
            "services: { a: { extends: { file: x } } }",
            &[],
            "an `extends` has a `service`",
        ),
        (
            "services: { a: { extends: b, build: { tags: x } }, b: { build: { tags: [y] } } }",
            &[],
            "`tags` cannot be merged",
        ),
        (
            "include: [{ path: b.yaml, env_file: e }]",
            &[("b.yaml", Some("")), ("e", Some("A=1\nhunter2\n"))],
            "e:2: env_file `e`: `=` expected",
        ),
        (
            "include: [b.yaml]",
            &[("b.yaml", Some("services: {}"))],
            "no service has a `build`",
        ),
    ] {
        let why = composed(text, others, &[], Valueless::Now);
        let why = why.map(|_| ()).unwrap_err().to_string();
        assert!(why.contains(says), "{text}: {why}");
        assert!(!why.contains("hunter2"), "{why}");
    }
}

#[test]
fn a_small_file_does_not_become_a_large_one() {
    let many: String = (0..20_000)
        .map(|at| format!("        K{at}: v\n"))
        .collect();
    let users: String = (0..200)
        .map(|at| format!("  u{at}: {{ extends: base }}\n"))
        .collect();
    let text = format!("services:\n  base:\n    build:\n      args:\n{many}{users}");
    let why = composed(&text, &[], &[], Valueless::Now)
        .map(|_| ())
        .unwrap_err();
    assert!(why.to_string().contains("grow too large"), "{why}");
    let many: String = (0..600).map(|at| format!("  - f{at}/c.yaml\n")).collect();
    let text = format!("include:\n{many}");
    let request = Request {
        files: &[File {
            name: "compose.yaml",
            text: &text,
        }],
        environment: &BTreeMap::new(),
        wanted: &[],
        overrides: &[],
        now: "",
        unsayable: Unsayable::LeftOut,
        others: &NO_OTHERS,
        valueless: Valueless::Later,
    };
    assert_eq!(missing(&request).unwrap().len(), 512);
}

/// As `buildx bake --print` has them.
#[test]
fn a_secret_has_the_id_of_its_source_and_x_bake_has_no_arguments() {
    let text = r#"
services:
  a: { build: { context: ., secrets: [{ source: one, target: two }] } }
secrets: { one: { file: ./f.txt } }
"#;
    let read = services(text, &[]);
    let ids: Vec<&str> = build(&read, "a")
        .secrets
        .iter()
        .map(|id| id.value.as_str())
        .collect();
    assert_eq!(ids, ["one"]);
    let text = "services:\n  a:\n    build: { context: ., x-bake: { args: { A: \"1\" } } }\n";
    let why = composed(text, &[], &[], Valueless::Now).unwrap_err();
    assert!(why.to_string().contains("unknown key `args`"), "{why}");
}
