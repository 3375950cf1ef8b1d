//! `watch` runs again for what a target reads, and for nothing else.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::ground::project::Project;
use crate::ground::terminal::at_a_terminal;

pub struct Watching {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

/// Long after what would have come had come.
const QUIET: Duration = Duration::from_millis(1500);

impl Watching {
    pub fn of(p: &Project, arguments: &[&str]) -> Watching {
        Watching::by(p.imgmake.command(p.path()), arguments)
    }

    /// As one who may not read what its mode forbids, root or not.
    fn without_override(p: &Project, arguments: &[&str]) -> Watching {
        let program = p.imgmake.command(p.path());
        let mut command = std::process::Command::new("setpriv");
        if rustix::process::geteuid().is_root() {
            command.arg("--bounding-set=-dac_override,-dac_read_search");
        }
        command.arg(program.get_program()).current_dir(p.path());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Watching::by(command, arguments)
    }

    fn by(mut command: std::process::Command, arguments: &[&str]) -> Watching {
        command.arg("watch").args(arguments).arg("--progress=json");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let into = Arc::clone(&said);
        std::thread::spawn(move || gather(stdout, &into));
        let into = Arc::clone(&said);
        std::thread::spawn(move || gather(stderr, &into));
        Watching { child, said }
    }

    fn count(&self, what: &str) -> usize {
        let said = self.said.lock().unwrap();
        said.iter().filter(|line| line.contains(what)).count()
    }

    #[track_caller]
    fn wait_for(&self, what: &str, times: usize) {
        let begun = Instant::now();
        while self.count(what) < times {
            let said = || self.said.lock().unwrap().join("\n");
            assert!(
                begun.elapsed() < Duration::from_secs(40),
                "{what}:\n{}",
                said()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// So many runs have ended, and no other has begun.
    #[track_caller]
    pub fn settles(&self, runs: usize) {
        self.wait_for("for changes; Ctrl-C ends it", runs);
        std::thread::sleep(QUIET);
        let said = self.said.lock().unwrap().join("\n");
        assert_eq!(self.count("\"planned\""), runs, "{said}");
    }

    pub fn ends(mut self) {
        crate::ground::run("kill", &["-INT", &self.child.id().to_string()]);
        assert_eq!(self.child.wait().unwrap().code(), Some(130));
    }
}

fn gather(pipe: impl std::io::Read, into: &Mutex<Vec<String>>) {
    for line in BufReader::new(pipe).lines().map_while(Result::ok) {
        into.lock().unwrap().push(line);
    }
}

#[test]
fn what_a_command_writes_beside_its_outputs_starts_nothing() {
    let p = Project::new(
        r#"
        imgmake version=1 { watch { debounce "50ms" } }
        run a { command "echo x >> log; mkdir -p cache/deep tmp; echo x > cache/deep/x; rm -r tmp; cat src/in > made/out"; inputs "src/**"; outputs "made/out" }
        run now { command "echo y >> log" }
        run wrong { command "echo z >> log; exit 1"; inputs "src/**" }
        group default a now
        group all a now wrong
        "#,
    )
    .with("src/in", "1");
    let watching = Watching::of(&p, &[]);
    watching.settles(1);
    p.write("README", "other");
    p.write("src/in", "2");
    watching.settles(2);
    assert_eq!(p.read("made/out"), "2");
    watching.ends();
    let watching = Watching::of(&p, &["-k", "all"]);
    watching.settles(1);
    p.write("src/deep/new", "2");
    watching.settles(2);
    watching.ends();
}

#[test]
fn inputs_outside_of_the_project_count_and_links_lead_to_what_counts() {
    let outside = crate::ground::temporary();
    let shown = outside.path().display().to_string();
    crate::ground::write(outside.path(), "shared/f", "1");
    crate::ground::write(outside.path(), "linked", "1");
    crate::ground::write(outside.path(), "tree/f", "1");
    crate::ground::write(
        outside.path(),
        "Dockerfile",
        "FROM scratch\nCOPY in/there /f\n",
    );
    let p = Project::new(&format!(
        r#"
        imgmake version=1 {{ watch {{ debounce "50ms" }}; env-file "more/.env" }}
        var V "1"
        include "sub/imgmake.kdl"
        run a {{ command "echo ${{V}} > out"; inputs "{shown}/shared/**" "in/**"; outputs "out" }}
        build b {{ context "."; dockerfile "{shown}/Dockerfile" }}
        group default a b sub:c
        "#
    ))
    .with("in/there", "1")
    .with("more/.env", "V=1\n")
    .with("sub/f", "1")
    .with(
        "sub/imgmake.kdl",
        "run c { command \"true\"; inputs \"f\" }\n",
    );
    std::os::unix::fs::symlink(outside.path().join("linked"), p.file("in/link")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("tree"), p.file("in/tree")).unwrap();
    let watching = Watching::of(&p, &[]);
    watching.settles(1);
    for (round, path) in [
        "shared/f",
        "linked",
        "tree/f",
        "shared/new/deep",
        "Dockerfile",
    ]
    .into_iter()
    .enumerate()
    {
        let text = "FROM scratch\nCOPY in/there /g\n";
        crate::ground::write(outside.path(), path, text);
        watching.settles(round + 2);
        assert_eq!(watching.count("nothing to do"), 0, "{path}");
    }
    p.write("more/.env", "V=2\n");
    watching.settles(7);
    assert_eq!(p.read("out"), "2\n");
    p.write("sub/f", "2");
    watching.settles(8);
    p.write(
        "sub/imgmake.kdl",
        "run c { command \"echo sub\"; inputs \"f\" }\n",
    );
    watching.settles(9);
    watching.ends();
}

#[test]
fn what_a_link_to_a_directory_leads_to_is_seen_under_its_real_name() {
    let p = Project::new(
        r#"
        imgmake version=1 { watch { debounce "50ms" } }
        run a { command "true"; inputs "web/**/*.ts" "!web/**/*.tmp.ts" }
        run b { command "true"; inputs "all/**"; outputs "lib/out" }
        group default a b
        "#,
    )
    .with("web/there.ts", "1")
    .with("all/there", "1")
    .with("lib/x.ts", "1")
    .with("other/in/x.ts", "1");
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, p.file(at)).unwrap();
    link("../lib", "web/shared");
    link("../lib", "all/lib");
    link("../other", "lib/other");
    std::fs::create_dir(p.file("lib/out")).unwrap();
    let watching = Watching::of(&p, &[]);
    watching.settles(1);
    let mut runs = 1;
    let mut seen = |is_seen: bool| {
        runs += usize::from(is_seen);
        watching.settles(runs);
    };
    p.write("lib/x.ts", "2");
    seen(true);
    p.write("lib/new/x.ts", "2");
    seen(true);
    p.write("other/in/x.ts", "2");
    seen(true);
    p.write("lib/out/x", "2");
    p.write("unread/x.ts", "2");
    seen(false);
    std::fs::remove_file(p.file("all/lib")).unwrap();
    seen(true);
    p.write("lib/x.css", "2");
    p.write("lib/x.tmp.ts", "2");
    seen(false);
    // A link on the way of a pattern that it does not match.
    p.write("third/x.ts", "2");
    link("../third", "web/third");
    seen(true);
    p.write("third/x.ts", "3");
    seen(true);
    std::fs::remove_file(p.file("web/third")).unwrap();
    seen(true);
    p.write("third/x.ts", "4");
    seen(false);
    watching.ends();
}

#[test]
fn a_change_stops_those_who_read_it_and_nobody_else() {
    for (on_busy, stops, runs) in [("restart", 1, 2), ("queue", 0, 2), ("ignore", 0, 1)] {
        let p = Project::new(&format!(
            r#"
            imgmake version=1 {{ watch {{ debounce "50ms"; on-busy {on_busy} }} }}
            run slow {{ command "echo at work; sleep 3; cat a > out"; inputs "a"; outputs "out" }}
            run other {{ command "true"; inputs "b" }}
            group default slow other
            "#
        ))
        .with("a", "1")
        .with("b", "1");
        let watching = Watching::of(&p, &["-j2"]);
        watching.wait_for("at work", 1);
        watching.wait_for("\"target-finished\",\"target\":\"other\"", 1);
        p.write("README", "1");
        p.write("b", "2");
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(watching.count("\"outcome\":\"cancelled\""), 0, "{on_busy}");
        p.write("a", "2");
        watching.wait_for("for changes; Ctrl-C ends it", 1);
        std::thread::sleep(QUIET);
        assert_eq!(watching.count("\"planned\""), runs, "{on_busy}");
        assert_eq!(
            watching.count("\"outcome\":\"cancelled\"").min(1),
            stops,
            "{on_busy}"
        );
        if on_busy != "ignore" {
            assert_eq!(p.read("out"), "2");
        }
        watching.ends();
    }
}

#[test]
fn a_manifest_that_is_wrong_for_a_while_ends_nothing() {
    let p = Project::new("run a { command \"true\"; inputs \"in\" }\n").with("in", "1");
    let watching = Watching::of(&p, &["a"]);
    watching.settles(1);
    p.write("imgmake.kdl", "run b { command \"true\" }\n");
    watching.wait_for("target or group `a` not found", 1);
    p.write("imgmake.kdl", "run a {\n");
    watching.wait_for("this `{` has no `}`", 1);
    p.write(
        "imgmake.kdl",
        "run a { command \"echo again\"; inputs \"in\" }\n",
    );
    watching.wait_for("again", 1);
    watching.ends();
}

#[test]
fn q_ends_it() {
    let p = Project::new("run a { command \"true\" }\n");
    let command = p.imgmake.command(p.path());
    let shown = at_a_terminal(&command, &["watch", "a"], "q\\n", "Ctrl-C ends it");
    let text = String::from_utf8_lossy(&shown.stdout);
    assert_eq!(shown.status.code(), Some(0), "{text}");
}

#[test]
fn what_git_ignores_starts_nothing_where_a_target_leaves_it_out() {
    let p = Project::new(
        "imgmake version=1 { watch { debounce \"50ms\" } }\nrun a { command \"echo noise > noise.log; cat in\"; inputs \"**\"; gitignore #true }\n",
    )
    .with("in", "1")
    .with(".gitignore", "*.log\n");
    let watching = Watching::of(&p, &["a"]);
    watching.settles(1);
    p.write("other.log", "1");
    std::thread::sleep(QUIET);
    watching.settles(1);
    p.write(".gitignore", "noise.log\n");
    watching.settles(2);
    watching.ends();
}

#[test]
fn what_git_tracks_from_now_on_counts_and_a_mere_status_does_not() {
    let p = Project::new(
        "imgmake version=1 { watch { debounce \"50ms\" } }\nrun a { command \"cat in\"; inputs \"**\"; gitignore #true }\n",
    )
    .with("in", "1")
    .with("b.log", "1")
    .with(".gitignore", "*.log\n");
    let git = |arguments: &[&str]| {
        let mut git = std::process::Command::new("git");
        let ran = git.current_dir(p.path()).args(arguments).output().unwrap();
        assert!(ran.status.success(), "{arguments:?}: {ran:?}");
    };
    git(&["init", "--quiet"]);
    git(&["add", "in", ".gitignore"]);
    let watching = Watching::of(&p, &["a"]);
    watching.settles(1);
    git(&["add", "--force", "b.log"]);
    watching.settles(2);
    // The index is written again with other times, and names the same.
    git(&["update-index", "--force-write-index"]);
    std::thread::sleep(QUIET);
    watching.settles(2);
    p.write("b.log", "2");
    watching.settles(3);
    git(&["rm", "--quiet", "--cached", "--force", "b.log"]);
    watching.settles(4);
    p.write("b.log", "3");
    std::thread::sleep(QUIET);
    watching.settles(4);
    watching.ends();
}

#[test]
fn a_directory_that_watch_ignores_costs_no_watch() {
    let mut p = Project::new(
        "imgmake version=1 { watch { debounce \"50ms\"; ignore \"many/**\" } }\nrun a { command \"cat in\"; inputs \"in\" \"many/d*/f\" }\n",
    )
    .with("in", "1");
    for at in 0..30 {
        p = p.with(&format!("many/d{at}/f"), "1");
    }
    let mut limited = std::process::Command::new("unshare");
    let script = "echo 20 > /proc/sys/user/max_inotify_watches && exec \"$0\" \"$@\"";
    limited.args(["--user", "--map-root-user", "sh", "-c", script]);
    let program = p.imgmake.command(p.path());
    limited.arg(program.get_program()).current_dir(p.path());
    limited.envs(
        program
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let watching = Watching::by(limited, &["a"]);
    watching.settles(1);
    p.write("many/d7/f", "2");
    std::thread::sleep(QUIET);
    watching.settles(1);
    p.write("in", "2");
    watching.settles(2);
    watching.ends();
}

#[test]
fn thousands_of_files_are_read_and_one_of_them_is_noticed() {
    let mut p = Project::new(
        "imgmake version=1 { watch { debounce \"20ms\" } }\nrun a { command \"cat in/d7/f77 > seen\"; inputs \"in/**\" }\n",
    );
    for at in 0..5000 {
        p = p.with(&format!("in/d{}/f{at}", at % 50), "1");
    }
    p.write("in/d7/f77", "first");
    let watching = Watching::of(&p, &["a"]);
    watching.settles(1);
    for (runs, text) in [(2, "second"), (3, "third")] {
        p.write("in/d7/new", text);
        std::fs::rename(p.path().join("in/d7/new"), p.path().join("in/d7/f77")).unwrap();
        watching.settles(runs);
        assert_eq!(p.read("seen"), text);
    }
    // Another directory in its place, as a checkout leaves it.
    std::fs::rename(p.path().join("in"), p.path().join("was")).unwrap();
    p.write("in/d7/f77", "fourth");
    watching.settles(4);
    p.write("in/d7/f77", "fifth");
    watching.settles(5);
    assert_eq!(p.read("seen"), "fifth");
    watching.ends();
}

#[test]
fn directories_that_come_late_go_or_are_exchanged_are_seen() {
    let p = Project::new(
        r#"
        imgmake version=1 { watch { debounce "50ms" } }
        include "parts/sub/imgmake.kdl"
        run a { command "true"; inputs "src/**" "late/**" "gen/deep/config.json" "named" "x/y/z/*.c" }
        run b { command "true"; inputs "web/**/*.ts" }
        group default a b
        "#,
    )
    .with("src/f", "1")
    .with("x/y/z/m.c", "1")
    .with("x.new/y/z/m.c", "2")
    .with("lib/x.ts", "1")
    .with("web/there.ts", "1")
    .with("parts/sub/imgmake.kdl", "run c { command \"true\" }\n");
    let path = |name: &str| p.path().join(name);
    let make = |name: &str| std::fs::create_dir_all(path(name)).unwrap();
    let remove = |name: &str| std::fs::remove_dir_all(path(name)).unwrap();
    let rename = |from: &str, to: &str| std::fs::rename(path(from), path(to)).unwrap();
    std::os::unix::fs::symlink("../lib", path("web/shared")).unwrap();
    let watching = Watching::of(&p, &[]);
    watching.settles(1);
    let mut runs = 1;
    let mut seen = |what: &str| {
        runs += 1;
        eprintln!("{what}");
        watching.settles(runs);
    };
    remove("src");
    seen("an input is removed");
    make("src");
    std::thread::sleep(QUIET);
    p.write("src/g", "1");
    seen("and comes again");
    make("late");
    std::thread::sleep(QUIET);
    p.write("late/f", "1");
    seen("an input that was not there");
    make("gen");
    std::thread::sleep(QUIET);
    p.write("gen/deep/config.json", "1");
    seen("a file below what was not there");
    p.write("named/f", "1");
    seen("a directory that was not there, by its name");
    rename("x", "x.old");
    seen("a directory above an input goes");
    rename("x.new", "x");
    seen("another comes");
    p.write("x/y/z/m.c", "3");
    seen("and is watched");
    remove("lib");
    seen("what a link leads to is removed");
    make("lib");
    std::thread::sleep(QUIET);
    p.write("lib/x.ts", "2");
    seen("and comes again");
    rename("parts", "parts.old");
    watching.wait_for("parts/sub/imgmake.kdl", 1);
    rename("parts.old", "parts");
    seen("a part of the manifest is back");
    watching.ends();
}

#[test]
fn a_directory_that_may_not_be_read_ends_nothing() {
    let p = Project::new(
        "imgmake version=1 { watch { debounce \"50ms\" } }\nrun a { command \"true\"; inputs \"in/*.c\" }\n",
    )
    .with("in/x.c", "1")
    .with("in/private/f", "1");
    let private = p.path().join("in/private");
    let allow = |mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&private, mode).unwrap();
    };
    allow(0o000);
    let watching = Watching::without_override(&p, &["a"]);
    watching.settles(1);
    p.write("in/x.c", "2");
    watching.settles(2);
    allow(0o755);
    watching.ends();
}

/// Stopped for what it lost, it would begin again for ever. The command stops imgmake while it makes more noise than the kernel keeps for it.
#[test]
fn a_run_that_makes_the_kernel_lose_count_comes_to_its_end() {
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let noise = format!(
        "echo ran >> ran; kill -STOP $PPID; i=0; while [ $i -lt {} ]; do : > in/a.log; : > in/b.log; i=$((i+1)); done; kill -CONT $PPID; sleep 1; cat in/x.c > out",
        limit.trim().parse::<u32>().unwrap() / 2 + 100
    );
    let p = Project::new(&format!(
        "imgmake version=1 {{ watch {{ debounce \"20ms\" }} }}\nrun a {{ command \"{noise}\"; inputs \"in/*.c\"; outputs \"out\" }}\n",
    ))
    .with("in/x.c", "1");
    let watching = Watching::of(&p, &["a"]);
    watching.wait_for("something changed", 1);
    watching.wait_for("for changes; Ctrl-C ends it", 1);
    std::thread::sleep(QUIET);
    assert_eq!(
        (p.read("ran"), p.read("out")),
        ("ran\n".to_string(), "1".to_string())
    );
    p.write("in/x.c", "2");
    watching.wait_for("for changes; Ctrl-C ends it", 2);
    assert_eq!(p.read("out"), "2");
    watching.ends();
}

/// In a user namespace of its own, where the limit is another one.
#[test]
fn the_limits_of_inotify_are_explained() {
    let mut p = Project::new("run a { command \"true\"; inputs \"in/**\" }\ngroup default a");
    for at in 0..30 {
        p = p.with(&format!("in/d{at}/f"), "1");
    }
    let program = p.imgmake.command(p.path());
    for (file, value, says) in [
        (
            "max_inotify_watches",
            "10",
            [
                "limit of inotify watches (10) is reached at",
                "fs.inotify.max_user_watches",
            ],
        ),
        (
            "max_inotify_instances",
            "0",
            [
                "limit of inotify instances (0) is reached",
                "fs.inotify.max_user_instances",
            ],
        ),
    ] {
        let script = format!("echo {value} > /proc/sys/user/{file} && exec \"$0\" watch");
        let mut limited = std::process::Command::new("unshare");
        limited.args(["--user", "--map-root-user", "sh", "-c", &script]);
        limited.arg(program.get_program()).current_dir(p.path());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => limited.env(name, value),
                None => limited.env_remove(name),
            };
        }
        let output = limited.stdin(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        for text in says {
            assert!(stderr.contains(text), "{text}: {stderr}");
        }
    }
}
