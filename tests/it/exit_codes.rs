//! The table of exit codes in the book, row by row.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use crate::ground::images::bases;
use crate::ground::imgmake::Imgmake;
use crate::ground::{run, temporary, write};

/// What a run of this manifest ends with.
#[track_caller]
fn ends(manifest: &str, arguments: &[&str], code: i32) {
    let directory = temporary();
    write(directory.path(), "imgmake.kdl", manifest);
    ends_in(&Imgmake::new(), directory.path(), arguments, code);
}

#[track_caller]
fn ends_in(imgmake: &Imgmake, directory: &Path, arguments: &[&str], code: i32) {
    let ran = imgmake.run(directory, arguments);
    assert_eq!(ran.code, code, "{}{}", ran.stdout, ran.stderr);
}

const IMAGE: &str = "build app { from \"scratch\"; file \"/a\" \"a\" }\n";

#[test]
fn zero_is_success_and_one_a_target_that_failed() {
    ends(IMAGE, &[], 0);
    ends(IMAGE, &["plan"], 0);
    ends("run t { command \"exit 3\" }", &["t"], 1);
    // With `-k` the first in the order of the plan decides.
    let both = "run a { command \"exit 3\" }\nrun b { command \"sleep 9\"; timeout \"1s\" }\n";
    ends(both, &["-k", "a", "b"], 1);
}

/// A disk of this many kilobytes for as long as the value lives. Needs root.
struct Disk<'a>(&'a Path);

impl Disk<'_> {
    fn of(path: &Path, kilobytes: u32) -> Disk<'_> {
        std::fs::create_dir_all(path).unwrap();
        let size = format!("size={kilobytes}k");
        let path_text = path.to_str().unwrap();
        run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", path_text]);
        Disk(path)
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

/// A registry that answered has done its part.
#[test]
fn one_is_a_full_disk_in_a_pull_too_and_the_next_run_succeeds() {
    let directory = temporary();
    let path = directory.path();
    let host = &bases().host;
    let manifest =
        format!("registry base \"{host}\" {{ insecure #true }}\nbuild app {{ context \".\" }}\n");
    write(path, "imgmake.kdl", manifest);
    let text = format!("FROM {host}/library/busybox:latest\nCOPY Dockerfile /x\nRUN cat /x\n");
    write(path, "Dockerfile", text);
    let store = path.join("disk");
    let words = ["--store", "disk/store", "app"];
    let imgmake = Imgmake::new();
    let disk = Disk::of(&store, 300);
    let says = ["No space left on device", "imgmake gc"];
    imgmake.refused(path, &words, 1, &says);
    drop(disk);
    let _disk = Disk::of(&store, 100_000);
    imgmake.ok(path, &words);
}

#[test]
fn two_is_the_command_line_the_manifest_and_a_scanner_that_is_not_installed() {
    ends(IMAGE, &["--no-such-option"], 2);
    ends(IMAGE, &["other"], 2);
    ends(
        IMAGE,
        &["--var", "NOT=declared", "--set", "nothing.tags=x"],
        2,
    );
    ends("build app { contxt \".\" }", &[], 2);
    ends(
        "var A\nbuild app { from \"scratch\"; tags \"a:${A}\" }",
        &[],
        2,
    );
    let scan = format!("{IMAGE}scan gate {{ images app; scanner trivy }}");
    ends(&scan, &["gate"], 2);
}

#[test]
fn three_is_a_gate_that_refuses_or_a_scanner_that_fails() {
    let scan =
        |command: &str| format!("{IMAGE}scan gate {{ images app; scanner command \"{command}\" }}");
    ends(&scan("exit 7"), &["gate"], 3);
    let slow =
        format!("{IMAGE}scan gate {{ images app; scanner command \"sleep 9\"; timeout \"1s\" }}");
    ends(&slow, &["gate"], 3);
    let policy = "imgmake version=1 { bases { allow \"registry.example.com/*\" } }\n\
        build app { from \"localhost:1/base\"; file \"/a\" \"a\" }\n";
    ends(policy, &[], 3);
}

#[test]
fn four_is_a_registry() {
    let push = "imgmake version=1 { retry attempts=1 }\nregistry hub \"localhost:1\"\n";
    let push = format!("{push}{IMAGE}push p {{ images app; to hub {{ tags \"1\" }} }}");
    ends(&push, &["p"], 4);
}

#[test]
fn five_is_stale() {
    let directory = temporary();
    write(directory.path(), "imgmake.kdl", IMAGE);
    let imgmake = Imgmake::new();
    ends_in(&imgmake, directory.path(), &["check"], 5);
    ends_in(&imgmake, directory.path(), &[], 0);
    ends_in(&imgmake, directory.path(), &["check"], 0);
}

#[test]
fn six_is_a_target_whose_builds_differ() {
    let stamped = "run now { command \"date +%s%N >now\"; outputs \"now\" }\n\
                   build app { from \"scratch\"; copy \"now\" to=\"/now\" }\n\
                   run bad { command \"exit 3\"; outputs \"bad\" }\n\
                   build never { from \"scratch\"; copy \"bad\" to=\"/bad\" }\n";
    ends(stamped, &["reproduce", "app"], 6);
    ends(stamped, &["reproduce", "never"], 1);
    ends(IMAGE, &["reproduce", "app"], 0);
}

#[test]
fn nine_is_another_run_and_124_a_time_limit() {
    ends("run t { command \"sleep 9\"; timeout \"1s\" }", &["t"], 124);
    let directory = temporary();
    let path = directory.path();
    write(
        path,
        "imgmake.kdl",
        "run t { command \"echo on >&2; cat gate\" }\n",
    );
    run("mkfifo", &[path.join("gate").to_str().unwrap()]);
    let imgmake = Imgmake::new();
    let mut command = imgmake.command(path);
    command
        .arg("t")
        .stderr(Stdio::piped())
        .stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut said = String::new();
    let mut stderr = child.stderr.take().unwrap();
    while !said.contains("on\n") {
        let mut byte = [0];
        stderr.read_exact(&mut byte).unwrap();
        said.push(byte[0] as char);
    }
    ends_in(&imgmake, path, &["--no-wait", "t"], 9);
    // And the run that is stopped ends with its signal's number.
    run("kill", &["-INT", &child.id().to_string()]);
    drop(stderr);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn the_book_has_exactly_these() {
    let page = include_str!("../../book/src/commands.md");
    let table = page.split("## Exit codes").nth(1).unwrap();
    let rows = table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.contains("code"));
    let codes: Vec<&str> = rows
        .map(|row| row.split('|').nth(1).unwrap().trim())
        .collect();
    assert_eq!(
        codes,
        ["0", "1", "2", "3", "4", "5", "6", "9", "124", "130, 143"]
    );
}
