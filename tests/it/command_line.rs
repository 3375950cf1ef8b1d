//! What the command line says beyond the names of targets.

use crate::ground::project::Project;

#[test]
fn the_manifest_is_found_in_a_directory_above() {
    let p = Project::new(
        "run a { command \"pwd > where; cat in\"; inputs \"in\"; outputs \"where\" }\n",
    )
    .with("in", "1")
    .with("deep/er/f", "");
    let below = p.file("deep/er");
    let ran = p.imgmake.ok(&below, &["a"]);
    let found = p.file("imgmake.kdl").canonicalize().unwrap();
    let says = format!("note: the manifest is `{}`\n", found.display());
    assert_eq!(ran.stderr.matches(&says).count(), 1, "{}", ran.stderr);
    let here = p.imgmake.ok(p.path(), &["check", "a"]);
    assert!(!here.stderr.contains("the manifest is"), "{}", here.stderr);
    assert_eq!(
        p.read("where").trim(),
        p.path().canonicalize().unwrap().to_str().unwrap()
    );
    let said = p.imgmake.ok(&below, &["check", "a"]);
    assert_eq!(said.stdout, "");
    p.imgmake.ok(p.path(), &["-C", "deep/er", "check", "a"]);
    // One that is named is meant as it stands, and what strangers put above is not believed.
    p.imgmake.refused(
        &below,
        &["-f", "other.kdl"],
        2,
        &["cannot read the manifest"],
    );
    let manifest = p.file("imgmake.kdl");
    std::os::unix::fs::chown(&manifest, Some(12345), None).unwrap();
    p.imgmake
        .refused(&below, &["a"], 2, &["cannot read the manifest"]);
    p.imgmake.ok(p.path(), &["a"]);
}

#[test]
fn a_manifest_that_needs_the_one_which_includes_it_says_where_that_is() {
    let p = Project::new(
        "template service { labels { a \"1\" } }\ninclude \"services/*/imgmake.kdl\"\n",
    )
    .with(
        "services/web/imgmake.kdl",
        "build app { inherits service; from \"scratch\"; file \"/a\" \"x\" }\n",
    );
    let top = p.path().canonicalize().unwrap();
    let says = format!("`imgmake -C {}` runs their targets", top.display());
    let below = ["-C", "services/web", "app"];
    let said = ["template `service` not found", says.as_str()];
    p.imgmake.refused(p.path(), &below, 2, &said);
    p.imgmake.ok(p.path(), &["services/web:app"]);
    // Nothing above includes others.
    p.write("imgmake.kdl", "build a { from \"scratch\" }\n");
    let ran = p.imgmake.run(p.path(), &below);
    assert!(!ran.stderr.contains("runs their targets"), "{}", ran.stderr);
}

#[test]
fn what_follows_two_dashes_are_arguments_of_the_command() {
    let p = Project::new(
        "run shell { command \"echo got $# $@\"; inputs \"in\" }
         run argv { command \"echo\" \"got\"; inputs \"in\" }
         group both shell argv\n",
    )
    .with("in", "");
    for (target, got) in [
        ("shell", "got 2 --one two words"),
        ("argv", "got --one two words"),
    ] {
        let ran = p
            .imgmake
            .ok(p.path(), &[target, "--", "--one", "two words"]);
        assert!(ran.stderr.contains(got), "{ran:?}");
        p.run(&[target, "--", "--one", "two words"])
            .succeeded()
            .ran([]);
        p.run(&[target, "--", "--one"]).succeeded().ran([target]);
        p.run(&[target]).succeeded().ran([target]);
    }
    p.imgmake.refused(
        p.path(),
        &["both", "--", "x"],
        2,
        &["name one `run` target"],
    );
}

#[test]
fn a_list_is_added_to_from_outside() {
    let p = Project::new("run a { command \"true\"; inputs \"in\" }\n")
        .with("in", "1")
        .with("more/f", "1")
        .with("most", "1");
    let more = ["--set", "a.inputs+=more/**,most"];
    let run = |p: &Project| p.run(&["a", more[0], more[1]]);
    run(&p).succeeded().ran(["a"]);
    p.write("more/f", "2");
    run(&p).succeeded().ran(["a"]);
    p.write("in", "2");
    run(&p).succeeded().ran(["a"]);
    run(&p).succeeded().reused(["a"]);
}

#[test]
fn one_tag_of_two_builds_is_warned_of_where_both_are_done() {
    let p = Project::new(
        "build a { from scratch; workdir \"/a\"; tags \"x:1\" }
         build b { from scratch; workdir \"/b\"; tags \"docker.io/library/x:1\" \"y:1\" }\n",
    );
    p.build().succeeded().warned("is also a tag of `a`");
    let alone = p.run(&["b"]);
    alone.succeeded();
    assert!(
        !format!("{:?}", alone.events).contains("is also a tag of"),
        "{alone:?}"
    );
}

#[test]
fn every_stage_and_argument_of_a_dockerfile_that_targets_use_is_linted_and_told_of_once() {
    let p = Project::new(
        r#"
        build a { stage a }
        build b { stage b; args { BASE "x" } }
        build c { stage c; args { BASE "" } }
        group default a b c
        "#,
    )
    .with(
        "Dockerfile",
        "ARG BASE=y\nFROM scratch AS a\nCOPY f /\nFROM scratch AS b\nCOPY f /\nFROM scratch AS c\nCOPY f /\n",
    );
    let linted = |arguments: &[&str]| {
        let all = [&["lint", "--compat"], arguments].concat();
        p.imgmake.run(p.path(), &all).stdout
    };
    let count = |text: &str, line: usize| {
        let place = format!("Dockerfile:{line}: unneeded-stages:");
        text.matches(&place).count()
    };
    let of_c = linted(&["c"]);
    assert_eq!((count(&of_c, 2), count(&of_c, 4)), (1, 1), "{of_c}");
    let of_a = linted(&["a"]);
    assert_eq!((count(&of_a, 2), count(&of_a, 4)), (0, 0), "{of_a}");
    let of_all = linted(&[]);
    assert_eq!((count(&of_all, 2), count(&of_all, 4)), (1, 1), "{of_all}");
    assert!(
        linted(&["--format", "json"])
            .matches("unneeded-stages")
            .count()
            == 2
    );
    p.write(
        "Dockerfile",
        "FROM scratch AS a\nFROM scratch AS b\nFROM scratch AS c\n",
    );
    let plain = p.imgmake.run(p.path(), &["lint"]).stdout;
    assert_eq!(plain, "1 Dockerfile without a finding\n");
    // A mistake in a stage that no target needs has the members of every other finding.
    p.write(
        "Dockerfile",
        "FROM scratch AS a\nFROM scratch AS b\nFROM scratch AS c\nFROM scratch AS d\nSTOPSIGNAL SIGFOO\n",
    );
    let found = p
        .imgmake
        .run(p.path(), &["lint", "--format", "json"])
        .stdout;
    assert!(found.contains("mistake-in-unneeded-stage"), "{found}");
    assert!(!found.contains("column"), "{found}");
}
