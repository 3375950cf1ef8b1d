//! How commands end, and what is left of those that were killed: nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use imgmake_build::worker::{RunMount, RunRequest, Sharing};
use imgmake_event::Cancel;

use super::Ground;

#[test]
fn what_a_command_leaves_running_is_killed_and_does_not_hold_the_step() {
    let ground = Ground::new();
    let ran = ground.sh("sleep 1000 & echo started");
    assert_eq!((ran.exit, ran.out.as_str()), (0, "started\n"));
}

#[test]
fn cancelling_kills_the_step() {
    let ground = Arc::new(Ground::new());
    let cancel = Cancel::default();
    let (started, seen) = std::sync::mpsc::channel();
    let thread = {
        let (ground, cancel) = (ground.clone(), cancel.clone());
        std::thread::spawn(move || {
            let request = ground.request("echo up; sleep 1000");
            ground.worker.run(&request, &cancel, &mut |_, line| {
                if line == b"up" {
                    started.send(()).unwrap();
                }
            })
        })
    };
    seen.recv().unwrap();
    cancel.cancel();
    let error = thread.join().unwrap().unwrap_err();
    assert!(error.is_cancelled(), "{error:#}");
    // The helper goes on with other work.
    assert_eq!(ground.sh("echo still").out, "still\n");
}

#[test]
fn nothing_is_left_in_the_store_but_what_is_finished() {
    let ground = Ground::new();
    ground.sh("touch /x");
    ground.sh("exit 1");
    let tmp = ground.store.root().join("tmp");
    let mut left = Vec::new();
    for process in fs::read_dir(tmp).unwrap() {
        let process = process.unwrap().path();
        for entry in fs::read_dir(&process).into_iter().flatten() {
            left.push(entry.unwrap().path());
        }
    }
    left.retain(|p| p.file_name().unwrap() != "lock");
    assert_eq!(left, Vec::<PathBuf>::new());
}

#[test]
fn a_killed_helper_takes_everything_with_it_and_is_replaced() {
    let ground = Arc::new(Ground::new());
    let (started, seen) = std::sync::mpsc::channel();
    let marker = format!("{}", 5_000_000 + std::process::id());
    let thread = {
        let (ground, marker) = (ground.clone(), marker.clone());
        std::thread::spawn(move || {
            let request = ground.request(&format!("echo up; sleep {marker}"));
            let cancel = Cancel::default();
            ground.worker.run(&request, &cancel, &mut |_, line| {
                // A warning of imgmake's own may come first.
                if line == b"up" {
                    let _ = started.send(());
                }
            })
        })
    };
    seen.recv().unwrap();
    let helper = helper_of_this_test(ground.store.root());
    Command::new("kill").args(["-9", &helper]).status().unwrap();
    assert!(thread.join().unwrap().is_err());
    while anyone_runs(&marker) {
        std::thread::yield_now();
    }
    assert_eq!(ground.sh("echo again").out, "again\n");
    assert_eq!(mounts_below(ground.store.root()), 0);
}

/// The helper holds a lock file in its own directory of the store.
pub(super) fn helper_of_this_test(store: &Path) -> String {
    let own = std::process::id().to_string();
    for _ in 0..200 {
        for process in fs::read_dir(store.join("tmp")).unwrap() {
            let name = process.unwrap().file_name().into_string().unwrap();
            let pid = name.split('-').next().unwrap().to_string();
            // One that begins with a dot is being made.
            if pid != own && !name.starts_with('.') {
                return pid;
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("no helper is at work");
}

pub(super) fn anyone_runs(argument: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|e| {
        let command = fs::read(e.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&command).into_owned())
    });
    processes
        .into_iter()
        .any(|c| c.starts_with("sleep\0") && c.contains(argument))
}

fn mounts_below(path: &Path) -> usize {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts
        .lines()
        .filter(|l| l.contains(path.to_str().unwrap()))
        .count()
}

/// A step that leaves a process of a session of its own behind, deaf to polite
/// signals, with a secret and a cache in use; and the marker that tells it apart.
fn stubborn_step(ground: &Ground, number: u32) -> (RunRequest, String) {
    let marker = format!(
        "{}",
        6_000_000 + number * 100_000 + std::process::id() % 100_000
    );
    let mut request = ground.request(&format!(
        "echo kept > /cache/x; (trap '' TERM HUP; setsid sleep {marker}) & \
         sleep 0.2; echo up; exec sleep {marker}"
    ));
    request.mounts = vec![
        RunMount::Secret {
            target: "/secret".to_string(),
            bytes: format!("hush-{marker}").into_bytes(),
            mode: 0o400,
            uid: 0,
            gid: 0,
        },
        RunMount::Cache {
            id: "kept".to_string(),
            target: "/cache".to_string(),
            sharing: Sharing::Shared,
            readonly: false,
            mode: 0o755,
            uid: 0,
            gid: 0,
            seed: None,
        },
    ];
    (request, marker)
}

/// Starts the step in a thread, waits until it is up, lets `harm` happen to it, and
/// expects the step to fail.
pub(super) fn while_it_runs(ground: &Arc<Ground>, request: RunRequest, harm: impl FnOnce()) {
    let (started, seen) = std::sync::mpsc::channel();
    let thread = {
        let ground = ground.clone();
        std::thread::spawn(move || {
            let cancel = Cancel::default();
            ground.worker.run(&request, &cancel, &mut |_, line| {
                // A warning of imgmake's own may come first.
                if line == b"up" {
                    let _ = started.send(());
                }
            })
        })
    };
    seen.recv().unwrap();
    harm();
    assert!(thread.join().unwrap().is_err());
}

#[track_caller]
pub(super) fn soon(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Files of the store that hold the text.
pub(super) fn files_with(directory: &Path, text: &str) -> String {
    let found = Command::new("grep")
        .args(["-rl", text])
        .arg(directory)
        .output()
        .unwrap();
    String::from_utf8(found.stdout).unwrap()
}

pub(super) fn kill(how: &str, processes: &[String]) {
    Command::new("kill")
        .arg(how)
        .args(processes)
        .status()
        .unwrap();
}

/// The processes that look after commands of this helper.
pub(super) fn keepers_of(helper: &str) -> Vec<String> {
    let children = Command::new("pgrep").args(["-P", helper]).output().unwrap();
    let text = String::from_utf8(children.stdout).unwrap();
    text.lines().map(str::to_string).collect()
}

#[track_caller]
fn nothing_is_left(ground: &Ground, marker: &str) {
    soon("processes are left", || !anyone_runs(marker));
    let secret = format!("hush-{marker}");
    soon("the secret is on the disk", || {
        files_with(ground.store.root(), &secret).is_empty()
    });
    assert_eq!(mounts_below(ground.store.root()), 0);
}

#[track_caller]
fn the_cache_is_whole(ground: &Ground) {
    let (mut request, _) = stubborn_step(ground, 9);
    request.argv[2] = "cat /cache/x".to_string();
    let ran = ground.run(&request);
    assert_eq!(ran.out, "kept\n", "{ran:?}");
}

#[test]
fn a_killed_helper_leaves_neither_processes_nor_secrets_and_no_cache_is_lost() {
    let ground = Arc::new(Ground::new());
    let (request, marker) = stubborn_step(&ground, 1);
    while_it_runs(&ground, request, || {
        kill("-9", &[helper_of_this_test(ground.store.root())]);
    });
    nothing_is_left(&ground, &marker);
    the_cache_is_whole(&ground);
}

#[test]
fn so_it_is_when_the_process_that_looks_after_the_command_is_killed() {
    let ground = Arc::new(Ground::new());
    let (request, marker) = stubborn_step(&ground, 2);
    while_it_runs(&ground, request, || {
        kill("-9", &keepers_of(&helper_of_this_test(ground.store.root())));
    });
    nothing_is_left(&ground, &marker);
}

#[test]
fn when_both_are_killed_at_once_the_next_run_cleans_up() {
    let ground = Arc::new(Ground::new());
    let (request, marker) = stubborn_step(&ground, 3);
    while_it_runs(&ground, request, || {
        let helper = helper_of_this_test(ground.store.root());
        let all = [keepers_of(&helper), vec![helper]].concat();
        kill("-STOP", &all);
        kill("-9", &all);
    });
    assert_eq!(ground.sh("echo again").out, "again\n");
    nothing_is_left(&ground, &marker);
}

#[test]
fn orphans_are_reaped_while_the_command_runs() {
    let ground = Arc::new(Ground::new());
    let marker = format!("{}", 7_000_000 + std::process::id() % 100_000);
    let script =
        format!("for i in $(seq 30); do (true &); done; sleep 1; echo up; exec sleep {marker}");
    let request = ground.request(&script);
    while_it_runs(&ground, request, || {
        let helper = helper_of_this_test(ground.store.root());
        let listed = Command::new("ps")
            .args(["-eo", "stat=,sid=,comm="])
            .output()
            .unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let zombies = listed
            .lines()
            .filter(|l| l.starts_with('Z') && l.contains("true"));
        assert_eq!(zombies.count(), 0, "{listed}");
        kill("-9", &[helper]);
    });
    soon("processes are left", || !anyone_runs(&marker));
}
