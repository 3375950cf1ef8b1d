//! A manifest that is made of a bake file makes the same images, and goes on from there.

use crate::ground::imgmake::Imgmake;
use crate::ground::registry::Registry;
use crate::ground::{temporary, write};

const BAKE: &str = r#"
variable "HOST" { default = "registry.example.com" }
variable "TAG" {
  default = "1.0"
  description = "what is published"
}
variable "FAST" { default = false }
group "default" { targets = ["app", "tools"] }
target "_common" { labels = { team = "one", "quoted name" = "a\"b$${c}" } }
target "base" { dockerfile = "base.Dockerfile" }
target "app" {
  inherits = ["_common"]
  description = "the application"
  contexts = { base = "target:base" }
  args = { WORD = upper(TAG), MODE = FAST ? "fast" : "slow", VERSION = "v${TAG}" }
  tags = ["${HOST}/team/app:${TAG}", notequal("1.0", TAG) ? "" : "${HOST}/team/app:latest"]
}
target "tools" {
  matrix = { kind = ["one", "two"] }
  name = "tool-${kind}"
  dockerfile-inline = "FROM scratch\nCOPY app.txt /${kind}\n"
  tags = ["${HOST}/team/tool-${kind}:${TAG}"]
  output = ["type=registry", "type=oci,dest=out/${kind}.tar"]
}
"#;

fn project() -> tempfile::TempDir {
    let directory = temporary();
    for (path, content) in [
        ("docker-bake.hcl", BAKE),
        ("base.Dockerfile", "FROM scratch\nCOPY app.txt /\n"),
        (
            "Dockerfile",
            "FROM base\nARG WORD\nARG MODE\nARG VERSION\nLABEL word=$WORD mode=$MODE version=$VERSION\n",
        ),
        ("app.txt", "the application\n"),
    ] {
        write(directory.path(), path, content);
    }
    directory
}

#[test]
fn the_manifest_makes_and_publishes_what_the_bake_file_does() {
    let project = project();
    let digests = |registry: &Registry| {
        let tags = registry.tags();
        let digest = |name: &String| {
            let (repository, tag) = name.split_once(':').unwrap();
            (name.clone(), registry.digest(repository, tag))
        };
        tags.iter().map(digest).collect::<Vec<_>>()
    };
    let baked = Registry::start();
    Imgmake::new()
        .with("PLUGIN_BAKE_FILE", "docker-bake.hcl")
        .with("HOST", &baked.host)
        .ok(project.path(), &["plugin", "--as", "drone-docker"]);
    let ran = Imgmake::new().ok(project.path(), &["import"]);
    assert!(
        ran.stdout
            .contains("wrote ./imgmake.kdl from docker-bake.hcl"),
        "{ran:?}"
    );
    // What an expression made of a variable is said, and what decides something.
    assert!(ran.stderr.contains("`args.WORD` of `app`"), "{ran:?}");
    assert!(
        ran.stderr.contains("written as they are now: FAST"),
        "{ran:?}"
    );
    let imported = Registry::start();
    let imgmake = || Imgmake::new().with("HOST", &imported.host);
    imgmake().ok(project.path(), &["release"]);
    assert_eq!(digests(&imported), digests(&baked));
    assert_eq!(imported.tags().len(), 4);
    assert!(project.path().join("out/one.tar").exists());
    // Variables are variables.
    imgmake()
        .with("TAG", "2.0")
        .ok(project.path(), &["push-tool-one"]);
    assert!(imported.digest("team/tool-one", "2.0").is_some());
    // The group has its targets.
    imgmake().ok(project.path(), &["plan", "default"]);
}

#[test]
fn nothing_is_written_over_and_nothing_half() {
    let project = project();
    Imgmake::new().ok(project.path(), &["import", "docker-bake.hcl", "app"]);
    let text = std::fs::read_to_string(project.path().join("imgmake.kdl")).unwrap();
    assert!(
        text.contains("build base") && !text.contains("tool-one"),
        "{text}"
    );
    let says = ["imgmake.kdl", "exists already"];
    Imgmake::new().refused(project.path(), &["import"], 2, &says);
    let other = ["import", "-f", "other.kdl"];
    write(project.path(), "tool-one.Dockerfile", "FROM scratch\n");
    Imgmake::new().refused(
        project.path(),
        &other,
        2,
        &["tool-one.Dockerfile", "exists already"],
    );
    assert!(!project.path().join("other.kdl").exists());
    assert!(!project.path().join("tool-two.Dockerfile").exists());

    write(
        project.path(),
        "wrong.hcl",
        "target \"a\" {\n  dockerfil = \"x\"\n}\n",
    );
    let wrong = ["import", "-f", "new.kdl", "wrong.hcl"];
    Imgmake::new().refused(project.path(), &wrong, 2, &["wrong.hcl:2", "`dockerfile`"]);
    let empty = temporary();
    Imgmake::new().refused(empty.path(), &["import"], 2, &["docker-bake.hcl"]);
    write(empty.path(), "compose.yaml", "services: {}\n");
    let compose = ["import", "compose.yaml"];
    Imgmake::new().refused(
        empty.path(),
        &compose,
        2,
        &["compose.yaml:1", "no service has a `build`"],
    );
}

#[test]
fn override_files_count_and_what_no_manifest_can_say_is_left_out() {
    let project = project();
    let path = project.path();
    write(
        path,
        "docker-bake.override.hcl",
        "target \"app\" { args = { EXTRA = \"override\" } }\ntarget \"fetched\" { context = \"ftp://h.example.com/a.tgz\" }\n",
    );
    write(
        path,
        "more.json",
        r#"{"target": {"app": {"args": {"MORE": "merged"}}}}"#,
    );
    let ran = Imgmake::new().ok(path, &["import", "--merge", "more.json"]);
    let says = "target `fetched` is left out: docker-bake.override.hcl:2: the context";
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
    let manifest = std::fs::read_to_string(path.join("imgmake.kdl")).unwrap();
    for line in ["EXTRA override", "MORE merged"] {
        let (name, value) = line.split_once(' ').unwrap();
        assert!(
            manifest.contains(&format!("{name} \"{value}\"")),
            "{manifest}"
        );
    }
    assert!(!manifest.contains("fetched"), "{manifest}");
    std::fs::remove_file(path.join("imgmake.kdl")).unwrap();
    Imgmake::new().refused(
        path,
        &["import", "docker-bake.override.hcl", "fetched"],
        2,
        &["docker-bake.override.hcl:2", "neither a directory nor"],
    );
}

#[test]
fn a_default_that_makes_no_name_is_demanded_and_what_is_left_out_is_said() {
    let directory = temporary();
    let path = directory.path();
    write(path, "Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let bake = r#"
variable "PREFIX" { default = "Prefix of each image" }
variable "SHA" { default = "commit of the sources" }
variable "TAG" { default = "1" }
target "a" { tags = ["${PREFIX}a:${TAG}", "${PREFIX}a:${SHA}"] }
target "base" {
  tags = ["base:1"]
  labels = { at = timestamp() }
}
target "b" {
  inherits = ["base"]
  tags = ["b:1"]
}
target "c" {
  inherits = ["base"]
  tags = ["c:1"]
}
"#;
    write(path, "docker-bake.hcl", bake);
    let ran = Imgmake::new().ok(path, &["import"]);
    for says in [
        "`PREFIX`: its default makes no valid name",
        "`SHA`: its default",
        "no `push` is written for `a`: `PREFIX` decides",
        "left out, because other targets inherit from them and no group has them: base;",
        "`labels.at` of `b`, `labels.at` of `c`: depend on the time",
    ] {
        assert_eq!(
            ran.stderr.matches(says).count(),
            1,
            "{says}: {}",
            ran.stderr
        );
    }
    let manifest = std::fs::read_to_string(path.join("imgmake.kdl")).unwrap();
    assert!(manifest.contains("var PREFIX env=\"PREFIX\""), "{manifest}");
    assert!(manifest.contains("var TAG \"1\""), "{manifest}");
    let imgmake = Imgmake::new().with("PREFIX", "team/").with("SHA", "abc");
    imgmake.ok(path, &["a"]);
    imgmake.ok(path, &["inspect", "team/a:abc"]);
    Imgmake::new().refused(path, &["a"], 2, &["`PREFIX`"]);
}

const COMPOSE: &str = r#"
name: shop
x-build: &build
  args:
    VERSION: ${VERSION:-1.0}
  labels: [team=one]
services:
  web.front:
    image: ${HOST:-registry.example.com}/team/web:${TAG:-dev}
    ports: ["80:8080"]
    build:
      <<: *build
      context: .
      dockerfile: web.Dockerfile
      target: release
      platforms: [linux/amd64, linux/arm64]
      additional_contexts:
        base: service:base
      secrets: [npm]
      x-bake:
        tags: ["${HOST:-registry.example.com}/team/web:${TAG:-dev}", "web:latest"]
  base:
    build: .
  db:
    image: postgres:18
secrets:
  npm:
    environment: NPM_TOKEN
"#;

fn compose() -> tempfile::TempDir {
    let directory = temporary();
    for (path, content) in [
        ("compose.yaml", COMPOSE),
        ("Dockerfile", "FROM scratch\nCOPY app.txt /\n"),
        (
            "web.Dockerfile",
            "FROM base AS release\nARG VERSION\nLABEL version=$VERSION\nFROM scratch\n",
        ),
        ("app.txt", "the application\n"),
        (".env", "TAG=from-env\n"),
    ] {
        write(directory.path(), path, content);
    }
    directory
}

#[test]
fn services_of_a_compose_file_are_targets() {
    let project = compose();
    let path = project.path();
    let imgmake = Imgmake::new();
    // Without a manifest of its own.
    let listed = imgmake.ok(path, &["-f", "compose.yaml", "list"]).stdout;
    assert!(
        listed.contains("web_front") && listed.contains("base"),
        "{listed}"
    );
    assert!(!listed.contains("db"), "{listed}");
    imgmake.ok(path, &["-f", "compose.yaml"]);
    let seen = |name: &str| imgmake.run(path, &["inspect", name]);
    let web = seen("registry.example.com/team/web:from-env");
    assert!(web.stdout.contains("label     version=1.0"), "{web:?}");
    assert!(web.stdout.contains("label     team=one"), "{web:?}");
    assert!(web.stdout.contains("platform  linux/arm64"), "{web:?}");
    assert!(!path.join("imgmake.kdl").exists());
    imgmake.ok(path, &["import"]);
    let text = std::fs::read_to_string(path.join("imgmake.kdl")).unwrap();
    for line in [
        "env-file \".env\"",
        "var TAG \"\"",
        "secret npm env=\"NPM_TOKEN\"",
        "base (target)base",
        "registry registry \"${default(HOST, 'registry.example.com')}\"",
        "VERSION \"${default(VERSION, '1.0')}\"",
        "tags \"${default(HOST, 'registry.example.com')}/team/web:${default(TAG, 'dev')}\" \"web:latest\"",
        "stage \"release\"",
        "group default web_front base",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let other = Imgmake::new()
        .with("TAG", "2.0")
        .with("HOST", "other.example.com");
    other.ok(path, &["build"]);
    other.ok(path, &["inspect", "other.example.com/team/web:2.0"]);
    // As Compose has it, what is empty takes the default.
    let empty = Imgmake::new().with("TAG", "");
    empty.ok(path, &["build"]);
    empty.ok(path, &["inspect", "registry.example.com/team/web:dev"]);
}

/// As Compose refuses `${TAG:?…}` where it is missing or empty.
#[test]
fn a_variable_that_a_compose_file_demands_is_demanded() {
    let directory = temporary();
    let path = directory.path();
    let text = "services:\n  a:\n    image: 'team/a:${TAG:?give TAG}'\n    build: {context: ., args: ['N=${N?}']}\n";
    write(path, "compose.yaml", text);
    write(path, "Dockerfile", "FROM scratch\nCOPY compose.yaml /\n");
    let words = ["-f", "compose.yaml"];
    for (tag, n) in [(None, Some("")), (Some(""), Some("")), (Some("1"), None)] {
        let mut imgmake = Imgmake::new();
        for (name, value) in [("TAG", tag), ("N", n)] {
            if let Some(value) = value {
                imgmake = imgmake.with(name, value);
            }
        }
        let name = if n.is_none() { "`N`" } else { "`TAG`" };
        imgmake.refused(path, &words, 2, &[name]);
    }
    let imgmake = Imgmake::new().with("TAG", "1").with("N", "");
    imgmake.ok(path, &words);
    imgmake.ok(path, &["inspect", "team/a:1"]);
    // The file beside it counts, as in Compose.
    write(path, ".env", "TAG=2\nN=\n");
    imgmake.ok(path, &["import"]);
    let manifest = std::fs::read_to_string(path.join("imgmake.kdl")).unwrap();
    assert!(
        manifest.contains("var TAG env=\"TAG\" { matches \".\" }"),
        "{manifest}"
    );
    let from_the_file = Imgmake::new();
    from_the_file.ok(path, &["build"]);
    from_the_file.ok(path, &["inspect", "team/a:2"]);
}

/// Compose reads it over the file; bake, and so imgmake, does not.
#[test]
fn an_override_of_a_compose_file_is_named_where_it_is_not_read() {
    let directory = temporary();
    let path = directory.path();
    write(path, "compose.yaml", "services: {a: {build: .}}\n");
    write(
        path,
        "compose.override.yaml",
        "services: {a: {build: {args: {A: x}}}}\n",
    );
    write(
        path,
        "Dockerfile",
        "FROM scratch\nARG A\nLABEL a=$A\nCOPY Dockerfile /\n",
    );
    let says = "note: `compose.override.yaml` is not read";
    let imgmake = Imgmake::new();
    let ran = imgmake.ok(path, &["-f", "compose.yaml"]);
    assert!(ran.stderr.contains(says), "{ran:?}");
    let ran = imgmake.ok(path, &["import"]);
    assert!(ran.stderr.contains(says), "{ran:?}");
    let merged = [
        "import",
        "-f",
        "merged.kdl",
        "compose.yaml",
        "--merge",
        "compose.override.yaml",
    ];
    let ran = imgmake.ok(path, &merged);
    assert!(!ran.stderr.contains("is not read"), "{ran:?}");
    let text = std::fs::read_to_string(path.join("merged.kdl")).unwrap();
    assert!(text.contains("A \"x\""), "{text}");
}

/// A project whose services are in three files, one of them beside the project.
#[test]
fn included_and_extended_files_belong_to_the_project() {
    let directory = temporary();
    let root = directory.path();
    let path = root.join("shop");
    for (name, content) in [
        (
            "shop/compose.yaml",
            "include: [api/compose.yaml]\nservices:\n  web:\n    extends: { file: ../common.yaml, service: base }\n    image: web:1\n    build: { context: ., args: [LEVEL, NAME] }\n",
        ),
        (
            "shop/api/compose.yaml",
            "services: { api: { image: \"api:${TAG:-none}\", build: . } }\n",
        ),
        ("shop/api/.env", "TAG=own\n"),
        (
            "common.yaml",
            "services: { base: { build: { args: { MODE: fast } } } }\n",
        ),
        (
            "shop/Dockerfile",
            "FROM scratch\nARG MODE\nARG LEVEL=low\nARG NAME\nLABEL said=$MODE-$LEVEL-$NAME\nCOPY Dockerfile /\n",
        ),
        (
            "shop/api/Dockerfile",
            "FROM scratch\nCOPY Dockerfile /api\n",
        ),
    ] {
        write(root, name, content);
    }
    let imgmake = Imgmake::new();
    let said = |imgmake: &Imgmake, words: &[&str]| {
        imgmake.ok(&path, words);
        imgmake.ok(&path, &["inspect", "web:1"]).stdout
    };
    let file = ["-f", "compose.yaml"];
    let first = said(&imgmake, &file);
    assert!(first.contains("said=fast-low-"), "{first}");
    imgmake.ok(&path, &["inspect", "api:own"]);
    let given = Imgmake::new().with("LEVEL", "high").with("NAME", "n");
    let other = said(&given, &file);
    assert!(other.contains("said=fast-high-n"), "{other}");
    // What a file says that is not beside it counts.
    write(
        root,
        "common.yaml",
        "services: { base: { build: { args: { MODE: slow } } } }\n",
    );
    let changed = said(&imgmake, &file);
    assert!(changed.contains("said=slow-low-"), "{changed}");
    let ran = imgmake.ok(&path, &["import"]);
    assert!(
        ran.stdout.contains(
            "wrote ./imgmake.kdl from compose.yaml, ../common.yaml, api/.env, api/compose.yaml"
        ),
        "{ran:?}"
    );
    let text = std::fs::read_to_string(path.join("imgmake.kdl")).unwrap();
    for line in [
        "\n        LEVEL\n",
        "context \"api\"",
        "tags \"api:${default(TAG, 'own')}\"",
        "MODE \"slow\"",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let imported = said(&Imgmake::new().with("LEVEL", "high"), &[]);
    assert!(imported.contains("said=slow-high-"), "{imported}");
}

#[test]
fn what_a_compose_file_says_and_no_target_can_is_refused_with_its_line() {
    let directory = temporary();
    for (text, says) in [
        (
            "services:\n  a:\n    build: {contex: .}\n",
            "compose.yaml:3: unknown key `contex`",
        ),
        (
            "services:\n  a:\n    extends: b\n    build: .\n",
            "compose.yaml:3: `extends`: service `b` not found in `compose.yaml`",
        ),
        (
            "include: [other.yaml]\nservices: {}\n",
            "compose.yaml:1: file `other.yaml` not found",
        ),
        (
            "services:\n  a:\n    build:\n      labels: [A]\n",
            "`A` has no value",
        ),
        (
            "services:\n  a:\n    build:\n      secrets: [s]\n",
            "the secret `s` is not declared",
        ),
        (
            "services:\n  a:\n    build:\n      tags: ['a:${A-1}', 'b:${A:-2}']\n",
            "compose.yaml:4: the variable `A` has a default if it is not set",
        ),
        ("services: [", "invalid YAML"),
        (
            "services: a: b\n",
            "compose.yaml:1: invalid YAML: a key is in this text",
        ),
        ("servces: {}\n", "unknown key `servces`"),
    ] {
        write(directory.path(), "compose.yaml", text);
        Imgmake::new().refused(directory.path(), &["import"], 2, &[says]);
        Imgmake::new().refused(directory.path(), &["-f", "compose.yaml"], 2, &[says]);
    }
}
