//! What a RUN may use: whoever goes beyond a limit is killed whole, and says which.
//! All numbers are small, so that a machine on which a limit does not hold survives.

use std::path::PathBuf;
use std::time::Duration;

use imgmake_build::BuildError;
use imgmake_build::worker::{RunMount, RunRequest, Sharing};
use imgmake_sandbox::{Exceeded, IsolationMode, Limit, Limits};

use super::ending::{anyone_runs, helper_of_this_test};
use super::{Ground, isolation_mode};

const MEMORY: u64 = 48 << 20;
const DISK: u64 = 20 << 20;
const PROCESSES: u64 = 50;

fn memory() -> Limits {
    Limits {
        memory: Some(MEMORY),
        ..Limits::default()
    }
}

fn processes() -> Limits {
    Limits {
        processes: Some(PROCESSES),
        ..Limits::default()
    }
}

fn disk() -> Limits {
    Limits {
        disk: Some(DISK),
        ..Limits::default()
    }
}

/// A command that would sleep long under a number of its own.
struct Sleeper(String);

impl Sleeper {
    fn new() -> Sleeper {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        Sleeper(format!("{}", 6_000_000 + std::process::id() * 100 + next))
    }
}

fn limited(ground: &Ground, limits: Limits, script: &str) -> RunRequest {
    RunRequest {
        limits,
        ..ground.request(script)
    }
}

/// The limit that killed it; nothing of it is left.
fn killed_by(ground: &Ground, request: &RunRequest, sleeper: &Sleeper) -> Limit {
    let error = match ground.try_run(request) {
        Ok(ran) => panic!("it was let go on: {ran:?}"),
        Err(error) => error,
    };
    let exceeded = error
        .downcast_ref::<BuildError>()
        .and_then(BuildError::find);
    let Some(Exceeded(limit)) = exceeded else {
        panic!("{error:#}");
    };
    assert!(!anyone_runs(&sleeper.0), "a process is left");
    nothing_is_left(ground);
    *limit
}

/// No control group, nothing in the store; and the helper goes on with other work.
fn nothing_is_left(ground: &Ground) {
    let helper = helper_of_this_test(ground.store.root());
    assert_eq!(groups_of(&helper), Vec::<PathBuf>::new());
    assert_eq!(ground.sh("echo still").out, "still\n");
}

fn groups_of(helper: &str) -> Vec<PathBuf> {
    let name = format!("imgmake-run-{helper}-");
    let mut found = Vec::new();
    let mut directories = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.file_name().to_string_lossy().starts_with(&name) {
                found.push(entry.path());
            }
            directories.push(entry.path());
        }
    }
    found
}

#[test]
fn a_command_within_its_limits_is_left_alone() {
    let ground = Ground::new();
    let limits = Limits {
        memory: Some(64 << 20),
        processes: Some(PROCESSES),
        disk: Some(DISK),
        time: Some(Duration::from_secs(600)),
    };
    // A hole is no disk, and what a process shares with its children counts once.
    let script = "dd if=/dev/zero of=/file bs=1M count=5 2>/dev/null
        dd if=/dev/zero of=/hole bs=1M seek=100 count=0 2>/dev/null
        for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait; echo done";
    let ran = ground.run(&limited(&ground, limits, script));
    assert_eq!((ran.exit, ran.out.as_str()), (0, "done\n"), "{}", ran.err);
    assert!(ran.entries.contains_key("file") && ran.entries.contains_key("hole"));
    // Its own failure stays its own.
    assert_eq!(ground.run(&limited(&ground, limits, "exit 3")).exit, 3);
    nothing_is_left(&ground);
}

#[test]
fn a_fork_bomb_is_killed_by_the_limit_of_processes() {
    let ground = Ground::new();
    // Doubles eleven times: where no limit holds, it ends with two thousand.
    let sleeper = Sleeper::new();
    let script = format!(
        "b() {{ if [ $1 -gt 0 ]; then b $(($1 - 1)) & b $(($1 - 1)) & fi; sleep {}; }}; b 11",
        sleeper.0
    );
    let request = limited(&ground, processes(), &script);
    let limit = killed_by(&ground, &request, &sleeper);
    assert_eq!(limit, Limit::Processes(PROCESSES));
    // Sessions of their own and ignored signals are no way out.
    let sleeper = Sleeper::new();
    let script = format!(
        "trap '' TERM HUP INT; i=0; while [ $i -lt 500 ]; do setsid sleep {} & i=$((i + 1)); done; wait",
        sleeper.0
    );
    let request = limited(&ground, processes(), &script);
    let limit = killed_by(&ground, &request, &sleeper);
    assert_eq!(limit, Limit::Processes(PROCESSES));
}

#[test]
fn a_memory_hog_is_killed_by_the_limit_of_memory() {
    let ground = Ground::new();
    let sleeper = Sleeper::new();
    let script = format!(
        "dd if=/dev/zero of=/dev/null bs=96M count=500; sleep {}",
        sleeper.0
    );
    let request = limited(&ground, memory(), &script);
    assert_eq!(
        killed_by(&ground, &request, &sleeper),
        Limit::Memory(MEMORY)
    );
    // Many that are small; and one of another user.
    let sleeper = Sleeper::new();
    let script = format!(
        "for i in 1 2 3 4 5 6; do dd if=/dev/zero of=/dev/null bs=16M count=5000 & done; wait; sleep {}",
        sleeper.0
    );
    let mut request = limited(&ground, memory(), &script);
    request.user = "app".to_string();
    assert_eq!(
        killed_by(&ground, &request, &sleeper),
        Limit::Memory(MEMORY)
    );
}

#[test]
fn files_in_memory_are_memory() {
    let ground = Ground::new();
    if isolation_mode() == IsolationMode::Chroot {
        // There they are files on disk.
        return;
    }
    for target in ["/dev/shm", "/t"] {
        let sleeper = Sleeper::new();
        let script = format!(
            "dd if=/dev/zero of={target}/x bs=1M count=60; sleep {}",
            sleeper.0
        );
        let mut request = limited(&ground, memory(), &script);
        request.mounts.push(RunMount::Tmpfs {
            target: "/t".to_string(),
            size: None,
        });
        let limit = killed_by(&ground, &request, &sleeper);
        assert_eq!(limit, Limit::Memory(MEMORY), "{target}");
        // On disk or not, they are more than before.
        request.limits = disk();
        let limit = killed_by(&ground, &request, &sleeper);
        assert_eq!(limit, Limit::Disk(DISK), "{target}");
    }
}

#[test]
fn a_disk_filler_is_killed_by_the_limit_of_disk() {
    let ground = Ground::new();
    let sleeper = Sleeper::new();
    for script in [
        "dd if=/dev/zero of=/file bs=1M count=200",
        // In many files, in places that are no layer's, and in a file that has no name any more.
        "for i in $(seq 200); do dd if=/dev/zero of=/file$i bs=1M count=1; done",
        "dd if=/dev/zero of=/cache/file bs=1M count=200",
        "exec 3>/file; rm /file; dd if=/dev/zero bs=1M count=200 >&3",
    ] {
        let script = format!("{script}; sleep {}", sleeper.0);
        let mut request = limited(&ground, disk(), &script);
        request.mounts.push(RunMount::Cache {
            id: "c".to_string(),
            target: "/cache".to_string(),
            sharing: Sharing::Shared,
            readonly: false,
            mode: 0o755,
            uid: 0,
            gid: 0,
            seed: None,
        });
        let limit = killed_by(&ground, &request, &sleeper);
        assert_eq!(limit, Limit::Disk(DISK), "{script}");
    }
    // One that is done before anybody looked.
    let request = limited(&ground, disk(), "dd if=/dev/zero of=/file bs=1M count=21");
    assert_eq!(killed_by(&ground, &request, &sleeper), Limit::Disk(DISK));
}

#[test]
fn what_a_base_and_a_cache_hold_already_is_nobodys_growth() {
    let ground = Ground::new();
    let big = vec![7; 30 << 20];
    let entry = imgmake_oci::layer::Entry::file("big", 0o644, big.len() as u64);
    let layer = ground.layer(&[(entry, &big)]);
    let mut request = limited(&ground, disk(), "wc -c </big; rm /big; echo x >/new");
    request.layers.push(layer);
    let ran = ground.run(&request);
    assert_eq!(
        (ran.exit, ran.out.as_str()),
        (0, "31457280\n"),
        "{}",
        ran.err
    );
}

#[test]
fn a_sleeper_is_killed_by_the_limit_of_time() {
    let ground = Ground::new();
    let sleeper = Sleeper::new();
    let time = Duration::from_millis(300);
    let limits = Limits {
        time: Some(time),
        ..Limits::default()
    };
    let script = format!("trap '' TERM; setsid sleep {0} & sleep {0}", sleeper.0);
    let request = limited(&ground, limits, &script);
    assert_eq!(killed_by(&ground, &request, &sleeper), Limit::Time(time));
}

#[test]
fn a_killed_helper_leaves_a_group_that_the_next_one_removes() {
    let ground = std::sync::Arc::new(Ground::new());
    let (started, seen) = std::sync::mpsc::channel();
    let sleeper = Sleeper::new();
    let script = format!("echo up; sleep {}", sleeper.0);
    let thread = {
        let ground = ground.clone();
        std::thread::spawn(move || {
            let limits = Limits {
                processes: Some(PROCESSES),
                ..memory()
            };
            let request = limited(&ground, limits, &script);
            let cancel = imgmake_event::Cancel::default();
            ground.worker.run(&request, &cancel, &mut |_, line| {
                // A warning of imgmake's own may come first, before there is a group.
                if line == b"up" {
                    let _ = started.send(());
                }
            })
        })
    };
    seen.recv().unwrap();
    let helper = helper_of_this_test(ground.store.root());
    // Where the system lets nobody make one, there is none to remove.
    let controllers = [
        imgmake_sandbox::Controller::Memory,
        imgmake_sandbox::Controller::Processes,
    ];
    let expected = controllers
        .iter()
        .filter(|c| imgmake_sandbox::has_controller(**c).is_ok());
    // One more holds its devices.
    let devices = imgmake_sandbox::device_controller(crate::sandbox::isolation_mode());
    let version_2 = std::path::Path::new("/sys/fs/cgroup/cgroup.procs").exists();
    let expected = match version_2 {
        true => usize::from(expected.count() > 0 || devices.is_ok()),
        false => expected.count() + usize::from(devices.is_ok()),
    };
    assert_eq!(groups_of(&helper).len(), expected);
    std::process::Command::new("kill")
        .args(["-9", &helper])
        .status()
        .unwrap();
    assert!(thread.join().unwrap().is_err());
    while anyone_runs(&sleeper.0) {
        std::thread::yield_now();
    }
    // The next helper sweeps in the background.
    while !groups_of(&helper).is_empty() {
        ground.sh("true");
        let other = Ground::new();
        other.sh("true");
    }
}
