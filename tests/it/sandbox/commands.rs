//! What a command sees, and what is heard of it.

use imgmake_build::worker::{Network, RunMount, Sharing};
use imgmake_sandbox::IsolationMode;

use super::{Ground, isolation_mode};

#[test]
fn a_command_runs_and_its_lines_arrive() {
    let ground = Ground::new();
    let ran = ground.sh("echo one; echo two; echo three >&2; printf four");
    assert_eq!(ran.exit, 0);
    assert_eq!(ran.out, "one\ntwo\nfour\n");
    // In chroot isolation the first command of a build is told when nothing filters calls.
    let warning = "imgmake: warning: no system call filter";
    let lines = ran.err.lines().filter(|line| !line.starts_with(warning));
    assert_eq!(lines.collect::<Vec<_>>(), ["three"]);
}

#[test]
fn a_failing_command_is_an_exit_code_and_no_layer() {
    let ground = Ground::new();
    let ran = ground.sh("touch /x; exit 7");
    assert_eq!((ran.exit, ran.layer), (7, None));
    let mut request = ground.request("");
    request.argv = vec!["no-such-program".to_string()];
    let ran = ground.run(&request);
    assert_eq!(ran.exit, 127);
    assert!(ran.err.contains("no-such-program"), "{}", ran.err);
}

#[test]
fn users_groups_and_home_come_from_the_image() {
    let ground = Ground::new();
    let mut request = ground.request("id -u; id -g; id -G; echo $HOME");
    request.user = "app".to_string();
    let groups = if isolation_mode() == IsolationMode::SingleId {
        "1000"
    } else {
        "1000 44"
    };
    let out = ground.run(&request).out;
    assert_eq!(
        out.replace("1000 65534", "1000"),
        format!("1000\n1000\n{groups}\n/home/app\n")
    );
    request.user = "app:video".to_string();
    assert!(ground.run(&request).out.starts_with("1000\n44\n44"));
    request.user = "nobody-here".to_string();
    let error = ground.try_run(&request).unwrap_err();
    assert!(format!("{error:#}").contains("nobody-here"));
}

#[test]
fn the_environment_is_exactly_what_was_asked_for() {
    let ground = Ground::new();
    let mut request = ground.request("env | sort; umask; hostname");
    request.env = vec![("A".to_string(), "1 2".to_string())];
    request.hostname = "box".to_string();
    let out = ground.run(&request).out;
    for line in ["A=1 2", "HOME=/root", "PATH=/usr/local/sbin:", "0022"] {
        assert!(out.contains(line), "{line}: {out}");
    }
    assert!(!out.contains("CARGO"), "{out}");
    if isolation_mode() != IsolationMode::Chroot {
        assert!(out.ends_with("box\n"), "{out}");
    }
}

#[test]
fn input_and_scripts_are_for_one_step_alone() {
    let ground = Ground::new();
    let mut request = ground.request("cat; /run/script");
    request.stdin = Some(b"from stdin\n".to_vec());
    let script = b"#!/bin/sh\necho from script\n".to_vec();
    request.files = vec![("/run/script".to_string(), script, 0o755)];
    let ran = ground.run(&request);
    assert_eq!(ran.out, "from stdin\nfrom script\n", "{}", ran.err);
    assert_eq!(ran.paths(), Vec::<&str>::new());
}

#[test]
fn the_working_directory_is_made_and_recorded() {
    let ground = Ground::new();
    let mut request = ground.request("pwd");
    request.workdir = "/work/deep".to_string();
    let ran = ground.run(&request);
    assert_eq!(ran.out, "/work/deep\n");
    assert_eq!(ran.paths(), ["work", "work/deep"]);
}

#[test]
fn without_network_there_is_loopback_alone() {
    let ground = Ground::new();
    let mut request = ground.request("cat /proc/net/dev | wc -l");
    request.network = Network::None;
    if isolation_mode() == IsolationMode::Chroot {
        assert!(ground.try_run(&request).is_err());
        return;
    }
    assert_eq!(ground.run(&request).out, "3\n");
}

#[test]
fn several_steps_run_at_the_same_time() {
    let ground = Ground::new();
    // Each waits for the other through a shared cache.
    let step = |own: &str, other: &str| {
        let mut request = ground.request(&format!(
            "touch /c/{own}; until test -e /c/{other}; do sleep 0.01; done; echo met"
        ));
        request.mounts = vec![RunMount::Cache {
            id: "meet".to_string(),
            target: "/c".to_string(),
            sharing: Sharing::Shared,
            readonly: false,
            mode: 0o755,
            uid: 0,
            gid: 0,
            seed: None,
        }];
        request
    };
    if isolation_mode() == IsolationMode::Chroot {
        return;
    }
    let (a, b) = (step("a", "b"), step("b", "a"));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| ground.run(&a).out);
        assert_eq!(ground.run(&b).out, "met\n");
        assert_eq!(first.join().unwrap(), "met\n");
    });
}
