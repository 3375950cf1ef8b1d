//! What people type first: help, kinds of targets, docker's flags.

use std::path::Path;

use crate::ground::imgmake::Imgmake;
use crate::ground::registry::Registry;
use crate::ground::{temporary, write};

/// A build, one that goes into a daemon, a scan and a push; nothing of them needs a network to be planned.
fn project(directory: &Path) {
    write(
        directory,
        "imgmake.kdl",
        r#"
registry hub "localhost:1/x" { insecure #true }
build app { from "scratch"; file "/a" "a" }
build tool { from "scratch"; file "/b" "b"; tags "tool:1"; load docker }
scan gate { images app; advisories "advisories" }
push release { images app; needs gate; to hub { tags "1" } }
group default app
"#,
    );
    write(
        directory,
        "advisories/a.json",
        r#"{ "id": "EXAMPLE-1", "modified": "2026-01-01T00:00:00Z", "affected": [] }"#,
    );
}

/// The targets of a plan, in its order.
fn planned(imgmake: &Imgmake, directory: &Path, arguments: &[&str]) -> Vec<String> {
    let arguments = [&["plan"], arguments].concat();
    let plan = imgmake.ok(directory, &arguments).stdout;
    let second = |line: &str| line.split_whitespace().nth(1).map(String::from);
    plan.lines().filter_map(second).collect()
}

#[test]
fn the_word_of_a_kind_is_its_targets() {
    let directory = temporary();
    project(directory.path());
    let imgmake = Imgmake::new();
    let plan = |arguments: &[&str]| planned(&imgmake, directory.path(), arguments);
    assert_eq!(plan(&["build"]), ["app", "tool"]);
    assert_eq!(plan(&["load"]), ["tool"]);
    assert_eq!(plan(&["scan"]), ["app", "gate"]);
    assert_eq!(plan(&["push"]), ["app", "gate", "release"]);
    assert_eq!(plan(&["build", "tool"]), ["tool"]);
    let other = imgmake.run(directory.path(), &["build", "release"]);
    assert_eq!(other.code, 2);
    let says = "target `release` is not a `build` target";
    assert!(other.stderr.contains(says), "{}", other.stderr);
    let built = imgmake.ok(directory.path(), &["build", "app"]);
    assert!(built.stdout.starts_with("app  image"), "{}", built.stdout);
}

#[test]
fn a_target_of_the_name_goes_before_the_kind_and_a_kind_without_targets_is_an_error() {
    let directory = temporary();
    write(
        directory.path(),
        "imgmake.kdl",
        "build build { from \"scratch\"; file \"/a\" \"a\" }\nbuild app { from \"scratch\"; file \"/a\" \"a\" }\n",
    );
    let imgmake = Imgmake::new();
    assert_eq!(planned(&imgmake, directory.path(), &["build"]), ["build"]);
    for (kind, says) in [
        ("push", "the manifest has no `push` target"),
        ("load", "the manifest has no `build` target with `load`"),
    ] {
        let ran = imgmake.run(directory.path(), &[kind]);
        assert_eq!(ran.code, 2);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
}

#[test]
fn help_explains_commands_and_short_help_fits_a_screen() {
    let directory = temporary();
    let imgmake = Imgmake::new();
    let help = |arguments: &[&str]| imgmake.ok(directory.path(), arguments).stdout;
    assert_eq!(help(&["help"]), help(&["--help"]));
    assert_eq!(help(&["help", "gc"]), help(&["gc", "--help"]));
    assert_eq!(
        help(&["help", "db", "update"]),
        help(&["db", "update", "--help"])
    );
    assert!(help(&["help", "kaniko"]).contains("--destination"));
    for command in ["run", "plan", "gc", "inspect", "login"] {
        let short = help(&[command, "-h"]);
        assert!(short.lines().count() <= 40, "{command}: {short}");
    }
    let long = help(&["run", "--help"]);
    for heading in ["\nRegistry cache:", "\nRUN:", "\nOptions of every command:"] {
        assert!(long.contains(heading), "{heading}: {long}");
    }
    let unknown = imgmake.run(directory.path(), &["help", "inspct"]);
    assert_eq!(unknown.code, 2);
    assert!(
        unknown.stderr.contains("did you mean `inspect`?"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn manual_pages_are_written_for_every_command() {
    let directory = temporary();
    let imgmake = Imgmake::new();
    imgmake.ok(directory.path(), &["man", "pages"]);
    for page in ["imgmake", "imgmake-run", "imgmake-db-update"] {
        let path = directory.path().join(format!("pages/{page}.1"));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(".SH"), "{page}: {text}");
    }
    let run = std::fs::read_to_string(directory.path().join("pages/imgmake-run.1")).unwrap();
    let rehash = run.split("rehash\\fR\n").nth(1).unwrap_or_default();
    assert!(!rehash.starts_with(".TP") && !rehash.is_empty(), "{run}");
}

#[test]
fn flags_of_docker_and_of_other_commands_are_explained() {
    let directory = temporary();
    project(directory.path());
    let imgmake = Imgmake::new();
    for (arguments, says) in [
        (&["-t", "shop", "."][..], "docker's `-t` is `tags \"NAME\"`"),
        (
            &["build", "--build-arg", "A=1"],
            "--set 'TARGET.args.NAME=VALUE'",
        ),
        (&["build", "-t", "a"], "`-t` needs the directory to build"),
        (
            &["build", "-t", "a", ".", "b"],
            "only one directory can be built",
        ),
        (&["--push"], "`imgmake push` runs it"),
        (
            &["verify", "--key", "k", "-t", "spdy", "localhost:1/a"],
            "did you mean `spdx`?; any other type is a URI",
        ),
        (
            &["build", "-f", "docker/Dockerfile"],
            "`-f` needs the directory to build",
        ),
        (&["inspct"], "did you mean the command `inspect`?"),
        (&["images"], "`imgmake cache` lists the images"),
        (&["system", "prune"], "`imgmake gc` frees disk space"),
        (&["push", "localhost:5000/a:1"], "pushed by a `push` target"),
        (&["scan", "alpine:3"], "scanned by a `scan` target"),
        (&["--laod"], "docker's `--load` is `load docker`"),
        (&["--laod"], "\nUsage: imgmake [OPTIONS] [TARGET]"),
        (
            &["build", "--load1"],
            "\nUsage: imgmake build [OPTIONS] [TARGET]",
        ),
        (&["plan", "-j", "4"], "`imgmake run` has `-j`"),
        (
            &["-t", "shop/app", "."],
            "`imgmake build -t NAME DIR` needs no manifest",
        ),
        (&["gc", "-n"], "`imgmake cache` shows what is in the store"),
        (&["list", "--dry-run"], "`imgmake list` changes nothing"),
        (&["-it"], "starts no containers"),
        (&["run", "--rm"], "starts no containers"),
        (
            &["run", "."],
            "a directory is the `context` of a `build` target",
        ),
        (
            &["-f", "docker/Dockerfile"],
            "write `dockerfile \"docker/Dockerfile\"`",
        ),
    ] {
        let ran = imgmake.run(directory.path(), arguments);
        assert_eq!(ran.code, 2, "{arguments:?}");
        assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("as a value"), "{}", ran.stderr);
    }
}

#[test]
fn names_that_are_not_there_say_what_to_write() {
    let directory = temporary();
    let imgmake = Imgmake::new();
    let path = directory.path();
    write(path, "docker/Dockerfile", "FROM scratch\nRUN true\n");
    write(path, "dockerfile.md", "# Dockerfiles");
    let none = imgmake.run(path, &[]).stderr;
    assert!(
        none.contains("writes one for `docker/Dockerfile`;"),
        "{none}"
    );
    write(
        path,
        "services/web/imgmake.kdl",
        "build app { from \"scratch\" }\n",
    );
    let include = "include \"services/*/imgmake.kdl\"\n";
    let build = |inside: &str| format!("build app {{ {inside} }}\n");
    for (manifest, arguments, says) in [
        (
            build("context \"dokcer\""),
            &[][..],
            "help: did you mean `docker`?",
        ),
        (
            build("context \"elsewhere\""),
            &[],
            "help: a context is relative to the manifest's directory",
        ),
        (
            build("context \".\""),
            &[],
            "write `dockerfile \"docker/Dockerfile\"`",
        ),
        (
            build("context \"docker\"; dockerfile \"docker/Dockerfile\""),
            &[],
            "the image has no shell",
        ),
        (
            build("context \".\" tags \"a\""),
            &[],
            "write `;` or a new line before it",
        ),
        (
            build("context \".\"; tags \"localhost:5000:1\""),
            &[],
            "after a port, a name is needed: `localhost:5000/NAME:1`",
        ),
        (
            build("context \".\"; tags \"https://localhost:5000/Shop:1\""),
            &[],
            "write `localhost:5000/shop:1`",
        ),
        (
            include.to_string(),
            &["*:app"],
            "`*` does not match `/`: write `**/*:app`",
        ),
        (
            format!("{include}scan gate {{ images \"*:app\" }}\n"),
            &[],
            "`*` does not match `/`: write `**/*:app`",
        ),
        (
            format!("{include}group all \"*:app\"\n"),
            &[],
            "`*` does not match `/`: write `**/*:app`",
        ),
    ] {
        write(path, "imgmake.kdl", &manifest);
        let ran = imgmake.run(path, arguments);
        assert_ne!(ran.code, 0, "{manifest}");
        assert!(ran.stderr.contains(says), "{manifest}: {}", ran.stderr);
        assert!(
            !ran.stderr.contains("target `app`: target"),
            "{}",
            ran.stderr
        );
    }
    write(path, "store", "a file");
    let ran = imgmake.run(path, &["--store", "store", "cache"]);
    assert_eq!(ran.code, 2);
    let says = "the store `store` is not a directory";
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
}

#[test]
fn a_cache_is_named_as_the_help_writes_it_and_never_a_host_alone() {
    let directory = temporary();
    project(directory.path());
    let imgmake = Imgmake::new();
    // Nothing listens at port 1: the cache costs a line, and the build goes on.
    imgmake.ok(
        directory.path(),
        &["--cache-to", "localhost:1/cache,mode=min", "app"],
    );
    let alone = imgmake.run(directory.path(), &["--cache-from", "localhost:1", "app"]);
    assert_eq!(alone.code, 2);
    assert!(alone.stderr.contains("host/repository"), "{}", alone.stderr);
}

#[test]
fn a_dry_run_with_force_names_everything_that_force_does_again() {
    let directory = temporary();
    project(directory.path());
    let imgmake = Imgmake::new();
    imgmake.ok(directory.path(), &["app"]);
    let plan = imgmake.ok(directory.path(), &["-n", "app"]).stdout;
    assert!(plan.contains("nothing to do"), "{plan}");
    for arguments in [&["-n", "--force", "app"][..], &["plan", "--force", "app"]] {
        let plan = imgmake.ok(directory.path(), arguments).stdout;
        assert_eq!(plan, "build  app  up to date, but `--force` is given\n");
    }
    let forced = imgmake.ok(directory.path(), &["--force", "app"]);
    assert!(forced.stderr.contains("1 done"), "{}", forced.stderr);
}

#[test]
fn a_misspelt_stage_is_named_where_it_is_taken_for_an_image() {
    let directory = temporary();
    let path = directory.path();
    // Nothing listens at port 1, and nothing else is asked.
    let manifest = "imgmake version=1 { retry attempts=1 }\n\
        registry hub \"docker.io\" { mirrors \"127.0.0.1:1\"; mirrors-only #true }\n\
        build app { context \".\" }\n";
    write(path, "imgmake.kdl", manifest);
    write(path, "x", "x");
    let says = [
        "Dockerfile:",
        "MisspelledStage: stage `bulider` not found",
        "did you mean `builder`?",
    ];
    for dockerfile in [
        "FROM scratch AS builder\nCOPY x /x\nFROM scratch\nCOPY --from=bulider /x /y\n",
        "FROM scratch AS builder\nCOPY x /x\nFROM bulider\nCOPY x /y\n",
    ] {
        write(path, "Dockerfile", dockerfile);
        Imgmake::new().refused(path, &[], 4, &says);
        let linted = Imgmake::new().run(path, &["lint"]).stdout;
        assert!(linted.contains("MisspelledStage"), "{linted}");
    }
}

#[test]
fn a_push_to_another_tag_is_not_the_same_as_before() {
    let directory = temporary();
    let path = directory.path();
    let registry = Registry::start();
    let manifest = format!(
        "var TAG \"1\"\nregistry own \"{}\"\nbuild app {{ from \"scratch\"; file \"/a\" \"a\" }}\n\
         push release {{ images app; to own {{ tags \"${{TAG}}\" }} }}\n",
        registry.host
    );
    write(path, "imgmake.kdl", manifest);
    let imgmake = Imgmake::new();
    let says = |arguments: &[&str]| {
        let ran = imgmake.ok(path, &[&["release"], arguments].concat());
        ran.stderr.contains("the same as before")
    };
    assert!(!says(&[]));
    assert!(says(&["--force"]));
    assert!(!says(&["--var", "TAG=2"]));
}
