//! `limits` of a manifest, from the file to the exit code.

use crate::ground::docker::docker;
use crate::ground::project::Project;
use crate::ground::{temporary, write};

/// A target that runs one command on a base of its own.
fn project(limits: &str, command: &str) -> Project {
    let project = Project::new(&format!(
        "build app {{\n    from scratch\n    copy \"busybox\" to=\"/bin/\"\n    run \"/bin/busybox\" \"sh\" \"-c\" {command:?}\n{limits}}}\n"
    ));
    std::fs::copy("/usr/bin/busybox", project.file("busybox")).unwrap();
    project
}

const HOG: &str = "/bin/busybox dd if=/dev/zero of=/dev/null bs=96M count=500";

#[test]
fn what_is_killed_says_which_limit_where_it_stands_and_ends_with_its_code() {
    for (limits, command, code, told, place) in [
        (
            "    limits { memory \"48Mi\" }\n",
            HOG,
            1,
            "RUN used more than the 48Mi of memory that `limits` allows",
            "imgmake.kdl:5:21",
        ),
        (
            "    limits {\n        time \"300ms\"\n        disk \"1Gi\"\n    }\n",
            "/bin/busybox sleep 1000",
            124,
            "RUN took longer than the 300ms that `limits` allows",
            "imgmake.kdl:6:14",
        ),
        (
            "    limits disk=\"5M\"\n",
            "/bin/busybox dd if=/dev/zero of=/f bs=1M count=6",
            1,
            "RUN wrote more than the 5M of disk that `limits` allows",
            "imgmake.kdl:5:17",
        ),
    ] {
        let ran = project(limits, command).build().ran;
        assert_eq!(ran.code, code, "{}", ran.stderr);
        let project = project(limits, command);
        let ran = project.imgmake.run(project.path(), &["--progress=plain"]);
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
        assert!(ran.stderr.contains(place), "{}", ran.stderr);
    }
}

#[test]
fn a_limit_can_be_set_from_outside_and_changes_no_key() {
    let p = project("    limits { time \"1h\" }\n", "/bin/busybox true").built();
    p.run(&["--set", "app.limits.memory=64Mi"]).reused(["app"]);
    p.run(&["--set", "app.limits.time=1ms", "--force"]);
    let ran = p.run(&["--set", "app.limits.time=1ms", "--force"]).ran;
    assert_eq!(ran.code, 124, "{}", ran.stderr);
}

#[test]
fn a_container_of_dockers_default_profile_enforces_every_limit_by_watching() {
    let directory = temporary();
    let busybox = "/usr/bin/busybox";
    std::fs::copy(busybox, directory.path().join("busybox")).unwrap();
    let step = |name: &str, limit: &str, command: &str| {
        format!(
            "build {name} {{\n    from scratch\n    copy \"busybox\" to=\"/bin/\"\n    run \"/bin/busybox\" \"sh\" \"-c\" {command:?}\n    limits {{ {limit} }}\n}}\n"
        )
    };
    let bomb = "alias=/bin/busybox; b() { if [ $1 -gt 0 ]; then b $(($1 - 1)) & b $(($1 - 1)) & fi; $alias sleep 1000; }; b 9";
    let manifest = [
        step("memory", "memory \"48Mi\"", HOG),
        step("processes", "processes 50", bomb),
        step(
            "disk",
            "disk \"20Mi\"",
            "/bin/busybox dd if=/dev/zero of=/f bs=1M count=200; /bin/busybox sleep 1000",
        ),
        step("time", "time \"1s\"", "/bin/busybox sleep 1000"),
    ];
    write(directory.path(), "imgmake.kdl", manifest.concat());
    for (target, told) in [
        ("memory", "RUN used more than the 48Mi of memory"),
        ("processes", "RUN had more than the 50 processes"),
        ("disk", "RUN wrote more than the 20Mi of disk"),
        ("time", "RUN took longer than the 1s"),
    ] {
        let command = ["imgmake", "--store", "/store", "--progress=plain", target];
        let ran = docker().run(directory.path(), &[], &command);
        assert!(ran.stderr.contains(told), "{target}: {}", ran.stderr);
        assert_eq!(ran.code, if target == "time" { 124 } else { 1 });
    }
}
