//! A run that a signal ends leaves nothing behind.

use std::process::Stdio;
use std::time::Duration;

use crate::ground::images::bases;
use crate::ground::imgmake::Imgmake;
use crate::ground::{run, temporary, write};

#[test]
fn waiting_for_standard_input_ends_with_a_signal() {
    let directory = temporary();
    let imgmake = Imgmake::new();
    let mut child = imgmake
        .command(directory.path())
        .args(["kaniko", "--context=tar://stdin", "--no-push"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Once its temporary directory is there, it reads.
    // Waiting for the child would close its input, and an empty context is another end.
    let _input = child.stdin.take();
    let temporary = imgmake.store().join("tmp");
    for _ in 0..400 {
        let entries = std::fs::read_dir(&temporary).map(Iterator::count);
        if entries.is_ok_and(|count| count > 0) {
            break;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    run("kill", &["-TERM", &child.id().to_string()]);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let left: Vec<_> = std::fs::read_dir(temporary).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn waiting_for_a_pipe_that_nobody_writes_to_ends_with_a_signal() {
    let directory = temporary();
    write(directory.path(), "context/f", "x");
    let pipe = directory.path().join("pipe");
    run("mkfifo", &[pipe.to_str().unwrap()]);
    let context = format!("--context={}", directory.path().join("context").display());
    for arguments in [
        vec![format!("--context=tar://{}", pipe.display())],
        vec![context, format!("--dockerfile={}", pipe.display())],
    ] {
        let imgmake = Imgmake::new();
        let elsewhere = temporary();
        let mut child = imgmake
            .command(elsewhere.path())
            .args(["kaniko", "--no-push"])
            .args(&arguments)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let opened = || {
            let open = std::fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
            let mut targets = open.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
            targets.any(|target| target == pipe)
        };
        for _ in 0..400 {
            if opened() {
                break;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        assert!(opened(), "{arguments:?}");
        run("kill", &["-TERM", &child.id().to_string()]);
        assert_eq!(child.wait().unwrap().code(), Some(143), "{arguments:?}");
    }
}

#[test]
fn waiting_for_a_repository_ends_with_a_signal() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let directory = temporary();
    let imgmake = Imgmake::new().with("GIT_PULL_METHOD", "http");
    let mut child = imgmake
        .command(directory.path())
        .args(["kaniko", &format!("--context=git://{address}/app.git")])
        .args(["--no-push"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _asked = silent.accept().unwrap();
    run("kill", &["-TERM", &child.id().to_string()]);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let left: Vec<_> = std::fs::read_dir(imgmake.store().join("tmp"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_stopped_run_leaves_nothing_behind() {
    let directory = temporary();
    let host = &bases().host;
    write(
        directory.path(),
        "Dockerfile",
        format!("FROM {host}/library/busybox:latest\nRUN sleep 986\n"),
    );
    run(
        "tar",
        &[
            "-C",
            directory.path().to_str().unwrap(),
            "-czf",
            &directory.path().join("c.tgz").display().to_string(),
            "Dockerfile",
        ],
    );
    let imgmake = Imgmake::new();
    let mut child = imgmake
        .command(directory.path())
        .args([
            "kaniko",
            "--context=tar://c.tgz",
            "--no-push",
            "--tar-path=a.tar",
            "--digest-file=digest",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let sleeps = || {
        let found = std::process::Command::new("pgrep")
            .args(["-f", "^sleep 986"])
            .output()
            .unwrap();
        found.status.success()
    };
    for _ in 0..400 {
        if sleeps() {
            break;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    assert!(sleeps(), "the step did not start");
    run("kill", &["-TERM", &child.id().to_string()]);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(!sleeps());
    for file in ["a.tar", "digest"] {
        assert!(!directory.path().join(file).exists(), "{file}");
    }
    let left: Vec<_> = std::fs::read_dir(imgmake.store().join("tmp"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
