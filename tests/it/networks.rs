//! `network` of a build target and `--network`, from the command line to what a RUN reaches.

use std::sync::atomic::Ordering;

use crate::ground::addresses::{Addresses, Held, serve};
use crate::ground::project::Project;

/// A target with these nodes, whose Dockerfile runs one command.
fn project(nodes: &str, run: &str) -> Project {
    let manifest = format!("build app {{\n    context \".\"\n    tags \"app:1\"\n{nodes}}}\n");
    let dockerfile = format!("FROM scratch\nCOPY busybox /bin/\nRUN {run}\n");
    let project = Project::new(&manifest).with("Dockerfile", &dockerfile);
    std::fs::copy("/usr/bin/busybox", project.file("busybox")).unwrap();
    project
}

const TRUE: &str = r#"["/bin/busybox", "true"]"#;
const ISOLATED: &str = "    network isolated\n";

#[test]
fn a_target_reaches_what_its_network_has_and_the_command_line_decides_over_it() {
    let addresses = Held(Addresses::of(252).added());
    let servers = [
        addresses.0.elsewhere.as_str(),
        addresses.0.metadata.as_str(),
        "127.0.0.1",
    ]
    .map(|address| (address, serve(address)));
    let ask = servers
        .iter()
        .map(|(address, (port, _))| format!("echo x | $b timeout 5 $b nc {address} {port}; "));
    let script = format!("b=/bin/busybox; {}true", ask.collect::<String>());
    let run = format!("[\"/bin/busybox\", \"sh\", \"-c\", {script:?}]");
    let isolated = project(ISOLATED, &run);
    let plain = project("", &run);
    let mut before = [0; 3];
    // Elsewhere, link-local, loopback.
    for (project, option, reached) in [
        (&isolated, None, [1, 0, 0]),
        (&plain, None, [1, 1, 1]),
        (&plain, Some("--network=isolated"), [1, 0, 0]),
        (&isolated, Some("--network=host"), [1, 1, 1]),
        (&isolated, Some("--network=default"), [1, 1, 1]),
        (&isolated, Some("--network=none"), [0, 0, 0]),
    ] {
        let arguments: Vec<&str> = ["--force"].into_iter().chain(option).collect();
        project.run(&arguments).succeeded();
        let now = [0, 1, 2].map(|at| servers[at].1.1.load(Ordering::SeqCst));
        let counted = [0, 1, 2].map(|at| now[at] - before[at]);
        assert_eq!(counted, reached, "{option:?}");
        before = now;
    }
}

#[test]
fn a_dockerfile_has_no_word_for_it_and_cannot_leave_it() {
    let allowed = "    network isolated\n    allow \"security.insecure\"\n";
    for (nodes, option, flag, told) in [
        (
            "",
            "--network=none",
            "network=isolated",
            "`--network` cannot be `isolated` (it can be default, none, host)",
        ),
        (
            ISOLATED,
            "--network=isolated",
            "network=isolated",
            "`--network` cannot be `isolated`",
        ),
        (
            ISOLATED,
            "--pull",
            "network=host",
            "`RUN --network=host` is refused",
        ),
        (
            "",
            "--network=isolated",
            "network=host",
            "`RUN --network=host` is refused",
        ),
        (
            allowed,
            "--pull",
            "security=insecure",
            "`RUN --security=insecure` is refused",
        ),
        (
            "    allow \"security.insecure\"\n",
            "--network=isolated",
            "network=none --security=insecure",
            "`RUN --security=insecure` is refused",
        ),
    ] {
        let project = project(nodes, &format!("--{flag} {TRUE}"));
        let arguments = ["--progress=plain", option];
        project
            .imgmake
            .refused(project.path(), &arguments, 1, &[told]);
    }
    // With the machine's network both flags are taken: it was the network that refused them.
    for (nodes, flag) in [
        (ISOLATED, "network=host"),
        (allowed, "security=insecure"),
        (ISOLATED, "network=none"),
    ] {
        let project = project(nodes, &format!("--{flag} {TRUE}"));
        project.run(&["--network=host"]).succeeded();
    }
    // Less than the target has may be asked for.
    project(ISOLATED, &format!("--network=none {TRUE}")).built();
}

#[test]
fn the_option_counts_as_if_the_manifest_said_it() {
    let project = project("", TRUE).built();
    let stale = |option: &str| {
        let check = project.imgmake.run(project.path(), &["check", option]);
        let plan = project.imgmake.ok(project.path(), &["plan", option]);
        let dry = project.imgmake.ok(project.path(), &["-n", option]);
        let why = project.imgmake.ok(project.path(), &["why", "app", option]);
        assert_eq!(plan.stdout, dry.stdout);
        let stale = check.code == 5;
        assert!(stale || check.code == 0, "{check:?}");
        assert_eq!(plan.stdout.contains("nothing to do"), !stale, "{plan:?}");
        assert_eq!(why.stdout.contains("is up to date"), !stale, "{why:?}");
        stale
    };
    assert!(!stale("-q"));
    assert!(stale("--network=none"));
    project.run(&["--network=none"]).ran(["app"]);
    assert!(!stale("--network=none"));
    assert!(stale("-q") && stale("--network=host"));
    project.run(&["--network=none"]).reused(["app"]);
    let manifest = project.read("imgmake.kdl");
    project.write(
        "imgmake.kdl",
        &manifest.replace("tags", "network none; tags"),
    );
    assert!(!stale("-q"));
    project.run(&["--network=none"]).reused(["app"]);
    project.build().reused(["app"]);
}

#[test]
fn targets_without_a_network_are_left_as_they_are() {
    let project = Project::new(
        "registry nowhere \"127.0.0.1:1/app\" { insecure #true }\nbuild app { from scratch; tags \"app:1\" }\nrun tests { command \"true\"; inputs \"imgmake.kdl\" }\n\
         scan gate { images app }\npush release { images app; to \"nowhere\" { tags \"1\" } }\n",
    );
    project
        .run(&["--network=isolated", "app", "tests"])
        .succeeded();
    let names = ["app", "tests", "gate", "release"];
    let plan = |option: &str| {
        let arguments: Vec<&str> = ["plan", option].into_iter().chain(names).collect();
        project.imgmake.ok(project.path(), &arguments).stdout
    };
    let with = plan("--network=isolated");
    assert!(with.contains("gate") && with.contains("release"), "{with}");
    assert!(!with.contains("app ") && !with.contains("tests"), "{with}");
    assert!(!plan("-q").contains("tests"));
}

#[test]
fn an_unknown_mode_is_a_mistake_of_the_command_line_that_names_the_known() {
    let project = project("", TRUE);
    for command in [
        &[][..],
        &["run"],
        &["watch"],
        &["plan"],
        &["check"],
        &["why", "app"],
    ] {
        for (mode, told) in [
            (
                "--network=lan",
                "invalid value 'lan' for '--network <MODE>'",
            ),
            ("--network=", "a value is required for '--network <MODE>'"),
            ("--network", "a value is required for '--network <MODE>'"),
        ] {
            let arguments: Vec<&str> = command.iter().copied().chain([mode]).collect();
            let known = "[possible values: default, none, host, isolated]";
            project
                .imgmake
                .refused(project.path(), &arguments, 2, &[told, known]);
        }
    }
    // What runs no RUN does not take it for nothing.
    project.imgmake.refused(
        project.path(),
        &["list", "--network=none"],
        2,
        &["--network"],
    );
}
