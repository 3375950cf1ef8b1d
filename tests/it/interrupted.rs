//! Killed at any moment, the next run succeeds, gives the digests of an
//! undisturbed run, and finds no mount and no process of the dead one.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::ground::images::bases;
use crate::ground::imgmake::Imgmake;
use crate::ground::registry::Registry;
use crate::ground::{temporary, write};

/// Builds, runs and pushes; small enough to be killed many times.
fn project(directory: &Path, target: &Registry) {
    let host = &bases().host;
    for i in 0..300 {
        write(
            directory,
            &format!("src/f{i}"),
            format!("{i}\n").repeat(400),
        );
    }
    write(
        directory,
        "Dockerfile",
        format!(
            "FROM {host}/library/busybox:latest AS a\nRUN echo a > /a; sleep 0.1\n\
             FROM {host}/library/busybox:latest\nCOPY src /src\nCOPY --from=a /a /a\nRUN cat /src/* > /all; sleep 0.1\n"
        ),
    );
    write(directory, ".dockerignore", "*\n!src\n");
    write(
        directory,
        "imgmake.kdl",
        format!(
            "imgmake version=1 {{ epoch 1700000000 }}\nregistry base \"{host}\" {{ insecure #true }}\nregistry to \"{}\" {{ insecure #true }}\n\
             build app {{ context \".\"; tar \"out.tar\" format=oci }}\n\
             push release {{ images app; to to {{ tags \"1\" }} }}\ngroup default app release\n",
            target.host
        ),
    );
}

/// Processes that have `path` in their command line or work below it.
fn processes_of(path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let root = entry.path();
        let Ok(command) = std::fs::read(root.join("cmdline")) else {
            continue;
        };
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let program = std::fs::read_link(root.join("exe")).unwrap_or_default();
        if program.starts_with(path) || command.contains(&*path.to_string_lossy()) {
            found.push(format!("{} {command}", entry.file_name().display()));
        }
    }
    found
}

#[test]
fn fifty_kills_at_any_moment_lose_nothing() {
    let reference = {
        let (directory, target) = (temporary(), Registry::start());
        project(directory.path(), &target);
        Imgmake::new().ok(directory.path(), &[]);
        target.digest("app", "1").unwrap()
    };
    let (directory, target) = (temporary(), Registry::start());
    project(directory.path(), &target);
    let imgmake = Imgmake::new();
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    for round in 0..50 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let mut child = imgmake
            .command(directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis((random >> 33) % 700));
        child.kill().unwrap();
        child.wait().unwrap();
        if round % 5 == 4 {
            // From nothing again, so that every phase gets its kills.
            drop(std::fs::remove_dir_all(directory.path().join(".imgmake")));
            drop(std::fs::remove_dir_all(imgmake.store()));
            drop(std::fs::remove_file(directory.path().join("out.tar")));
        }
    }
    imgmake.ok(directory.path(), &[]);
    assert_eq!(target.digest("app", "1").unwrap(), reference);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        !mounts.contains(&*imgmake.store().to_string_lossy()),
        "{mounts}"
    );
    std::thread::sleep(Duration::from_millis(200));
    let left = processes_of(imgmake.home().parent().unwrap());
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_stopped_build_stops_its_commands_and_leaves_no_half_file() {
    let host = &bases().host;
    let directory = temporary();
    write(
        directory.path(),
        "Dockerfile",
        format!("FROM {host}/library/busybox:latest\nRUN echo started; sleep 987\n"),
    );
    write(
        directory.path(),
        "imgmake.kdl",
        format!(
            "registry base \"{host}\" {{ insecure #true }}\nbuild app {{ context \".\"; tar \"out.tar\" }}\n"
        ),
    );
    let imgmake = Imgmake::new();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut child = imgmake
            .command(directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for_sleep(&child);
        crate::ground::run("kill", &[&format!("-{signal}"), &child.id().to_string()]);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(!directory.path().join("out.tar").exists());
        std::thread::sleep(Duration::from_millis(100));
        let left = processes_of(imgmake.home().parent().unwrap());
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Waits until the RUN step's `sleep 987` is there, below this child.
fn wait_for_sleep(child: &std::process::Child) {
    for _ in 0..400 {
        let running = std::process::Command::new("pgrep")
            .args(["-f", "^sleep 987"])
            .output()
            .unwrap();
        if running.status.success() {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("the step of process {} did not start", child.id());
}
