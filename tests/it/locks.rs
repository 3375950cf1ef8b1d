//! Runs that have something in common work one after the other: what a killed one leaves is stopped before
//! the next one works, and nobody waits for himself, for what was left behind on purpose, or for runs of
//! other targets.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::ground::project::Project;

fn spawned(p: &Project, arguments: &[&str]) -> Child {
    let mut command = p.imgmake.command(p.path());
    command.args(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn wait_for(p: &Project, path: &str) {
    for _ in 0..1000 {
        if p.file(path).exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{path} did not come");
}

/// Some are in a session of their own, where no signal to a group reaches them.
const LATE: &str = r#"
run a {
    command "touch began; (sleep 0.3; echo old > made) & setsid sh -c 'sleep 0.3; echo old > made' & cat in > made; sleep 0.2; touch done"
    inputs "in"
    outputs "made"
}
group default a
"#;

#[test]
fn what_a_killed_run_left_writes_nothing_into_the_next_one() {
    let p = Project::new(LATE).with("in", "1");
    for round in 0..10 {
        p.write("in", &format!("{round}"));
        drop(std::fs::remove_file(p.file("began")));
        let mut child = spawned(&p, &[]);
        wait_for(&p, "began");
        child.kill().unwrap();
        child.wait().unwrap();
        p.write(
            "imgmake.kdl",
            "run a { command \"cat in > made; sleep 0.1\"; inputs \"in\"; outputs \"made\" }\ngroup default a\n",
        );
        p.build().succeeded();
        std::thread::sleep(Duration::from_millis(350));
        assert_eq!(p.read("made"), format!("{round}"));
        p.imgmake.ok(p.path(), &["check"]);
        p.write("imgmake.kdl", LATE);
    }
}

#[test]
fn imgmake_in_a_command_of_its_own_project_is_refused_at_once() {
    let own = env!("CARGO_BIN_EXE_imgmake");
    let p = Project::new(&format!(
        "run a {{ command \"{own} b\"; inputs \"in\" }}\nrun b {{ command \"true\" }}\nrun c {{ command \"{own} check a || test $? = 5\" }}\n"
    ))
    .with("in", "");
    let begun = Instant::now();
    let built = p.run(&["a"]);
    built.exited(1);
    let said = format!("{:?}", built.events);
    assert!(
        said.contains("a command of a run cannot start another run of the same project"),
        "{said}"
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
    p.run(&["c"]).succeeded();
}

#[test]
fn it_is_refused_where_its_own_run_has_no_number_too() {
    let own = env!("CARGO_BIN_EXE_imgmake");
    let p = Project::new(&format!(
        "run a {{ command \"unshare -pf --mount-proc {own} b\"; timeout \"20s\" }}\nrun b {{ command \"true\" }}\n"
    ));
    let built = p.run(&["a"]);
    built.exited(1);
    let said = format!("{:?}", built.events);
    assert!(
        said.contains("a command of a run cannot start another run of the same project"),
        "{said}"
    );
}

#[test]
fn a_daemon_that_a_command_leaves_behind_keeps_nobody_waiting() {
    let p = Project::new(
        r#"
        run leaves { command "setsid sleep 50 & echo said" }
        run slow timeout="1s" { command "setsid sleep 50 & sleep 50" }
        run talks { command "setsid sh -c 'for i in $(seq 3000); do sleep 0.01; echo on; done' & true" }
        "#
        .replace(" timeout=\"1s\" {", " { timeout \"1s\";")
        .as_str(),
    );
    let begun = Instant::now();
    let built = p.run(&["leaves"]);
    built.succeeded();
    assert!(format!("{:?}", built.events).contains("said"), "{built:?}");
    p.run(&["slow"]).exited(124);
    p.run(&["talks"]).succeeded();
    assert!(
        begun.elapsed() < Duration::from_secs(40),
        "{:?}",
        begun.elapsed()
    );
}

/// A shell that holds a lock of its own and has imgmake's pid written to `pid`.
fn shell(p: &Project, script: &str) -> Child {
    let command = p.imgmake.command(p.path());
    let mut outer = std::process::Command::new("sh");
    outer.args(["-c", script, env!("CARGO_BIN_EXE_imgmake")]);
    outer
        .current_dir(p.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer.spawn().unwrap()
}

#[test]
fn a_lock_of_the_shell_around_a_killed_run_is_not_the_projects() {
    let p =
        Project::new("run a { command \"touch began; sleep 30\"; inputs \"in\" }").with("in", "");
    let script = "exec 3> own; flock 3; \"$0\" run a & echo $! > pid.new; mv pid.new pid; wait; sleep 1; touch alive";
    let mut outer = shell(&p, script);
    wait_for(&p, "began");
    wait_for(&p, "pid");
    let pid: i32 = p.read("pid").trim().parse().unwrap();
    let pid = imgmake_guard::program::process_of(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    wait_for(&p, "alive");
    assert!(outer.wait().unwrap().success());
    // What it left is gone: the lock can be had.
    p.write("imgmake.kdl", "run a { command \"true\"; inputs \"in\" }");
    p.run(&["a"]).succeeded();
}

#[test]
fn a_killed_run_in_a_command_of_another_project_takes_nobody_along() {
    let own = env!("CARGO_BIN_EXE_imgmake");
    let p = Project::new(&format!(
        "run a {{ command \"{own} -C inner run b & echo $! > pid.new; mv pid.new pid; wait; touch alive\"; inputs \"in\" }}"
    ))
    .with("in", "")
    .with(
        "inner/imgmake.kdl",
        "run b { command \"touch began; sleep 30\" }",
    );
    let mut outer = spawned(&p, &["run", "a"]);
    wait_for(&p, "inner/began");
    wait_for(&p, "pid");
    let pid: i32 = p.read("pid").trim().parse().unwrap();
    let pid = imgmake_guard::program::process_of(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert!(outer.wait().unwrap().success());
    assert!(p.file("alive").exists());
}

/// `a` and `b` work until there is `go`.
const APART: &str = r#"
imgmake version=1 { pool few=1 }
var V "1"
run a { command "touch a.began; until test -e go; do sleep 0.01; done; cp in a.made"; inputs "in"; outputs "a.made" }
run b { command "touch b.began; cp in b.made"; inputs "in"; outputs "b.made" }
run c { command "cp a.made c.made"; inputs "a.made"; outputs "c.made" }
run p { command "touch p.began; until test -e go; do sleep 0.01; done"; pool few; inputs "in" }
run q { command "true"; pool few; inputs "in" }
run v { command "true"; inputs "in"; env V="${V}" }
"#;

#[test]
fn a_run_does_not_wait_for_one_of_other_targets() {
    let p = Project::new(APART).with("in", "1");
    let mut a = spawned(&p, &["a"]);
    wait_for(&p, "a.began");
    p.run(&["b"]).succeeded();
    assert_eq!(p.read("b.made"), "1");
    // Reading commands see both.
    p.imgmake.ok(p.path(), &["check", "b"]);
    p.write("go", "");
    assert!(a.wait().unwrap().success());
    p.imgmake.ok(p.path(), &["check", "a", "b"]);
    p.run(&["a", "b"]).ran([]).reused(["a", "b"]);
}

#[test]
fn a_run_that_has_something_in_common_says_what_and_waits() {
    let p = Project::new(APART).with("in", "1");
    let mut a = spawned(&p, &["a", "p"]);
    wait_for(&p, "a.began");
    wait_for(&p, "p.began");
    for (arguments, told) in [
        (
            &["c", "--no-wait"][..],
            "another run works on `a` (process ",
        ),
        (
            &["q", "--no-wait"],
            "another run works in the pool `few` (process ",
        ),
        (
            &["b", "--no-wait", "--var", "V=2"],
            "another run works in this project with another manifest or other values (process ",
        ),
        (
            &["*", "--no-wait"],
            "another run works in this project (process ",
        ),
    ] {
        let ran = p.imgmake.run(p.path(), arguments);
        assert_eq!(ran.code, 9, "{ran:?}");
        assert!(ran.stderr.contains(told), "{ran:?}");
    }
    p.imgmake.ok(p.path(), &["v", "--no-wait"]);
    let mut c = spawned(&p, &["c"]);
    std::thread::sleep(Duration::from_millis(200));
    assert!(c.try_wait().unwrap().is_none());
    p.write("go", "");
    assert!(a.wait().unwrap().success());
    assert!(c.wait().unwrap().success());
    assert_eq!(p.read("c.made"), "1");
}

#[test]
fn a_killed_run_takes_along_what_it_started_and_no_other_run() {
    let p = Project::new(
        r#"
run a { command "setsid sh -c 'sleep 0.5; echo old > a.made' & touch a.began; sleep 30"; inputs "in"; outputs "a.made" }
run b { command "touch b.began; until test -e go; do sleep 0.01; done; cp in b.made"; inputs "in"; outputs "b.made" }
run c { command "true" }
"#,
    )
    .with("in", "1");
    let (mut a, mut b) = (spawned(&p, &["a"]), spawned(&p, &["b"]));
    wait_for(&p, "a.began");
    wait_for(&p, "b.began");
    a.kill().unwrap();
    a.wait().unwrap();
    // Whoever works on the same waits until all of it is gone.
    std::fs::remove_file(p.file("a.began")).unwrap();
    let mut again = spawned(&p, &["a"]);
    wait_for(&p, "a.began");
    assert!(!p.file("a.made").exists());
    again.kill().unwrap();
    again.wait().unwrap();
    p.write("go", "");
    assert!(b.wait().unwrap().success());
    std::thread::sleep(Duration::from_millis(600));
    assert!(!p.file("a.made").exists());
    p.imgmake.ok(p.path(), &["check", "b"]);
}

#[test]
fn many_runs_at_once_leave_a_state_that_is_whole() {
    let one = |n: usize| {
        format!(
            "run t{n} {{ command \"cp in m{n}; sleep 0.0{n}\"; inputs \"in\"; outputs \"m{n}\" }}\n"
        )
    };
    let p = Project::new(&(0..8).map(one).collect::<String>()).with("in", "0");
    for round in 0..3 {
        p.write("in", &format!("{round}"));
        let names: Vec<String> = (0..8).map(|n| format!("t{n}")).collect();
        let runs: Vec<Child> = names.iter().map(|name| spawned(&p, &[name])).collect();
        for mut run in runs {
            assert!(run.wait().unwrap().success());
        }
        let checked = p.imgmake.ok(p.path(), &["check", "t*"]);
        assert!(!checked.stderr.contains("damaged"), "{checked:?}");
    }
}
