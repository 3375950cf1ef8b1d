//! Processors are shared with GNU make: makes among the commands of a run take tokens from imgmake, and
//! imgmake takes them from the make that started it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::ground::images::bases;
use crate::ground::project::Project;

/// Says how many work at once, itself among them.
const WORK: &str =
    "mkdir -p running; touch running/$1; ls running | wc -l >> seen; sleep 0.3; rm running/$1\n";
const MAKEFILE: &str = "all: a b c d\na b c d:\n\t@sh ./work $(P)-$@\n";
const TARGETS: &str = r#"
run one { command "make -s P=one" }
run two { command "make -s P=two" }
run w0 { command "sh ./work w0" }
run w1 { command "sh ./work w1" }
run w2 { command "sh ./work w2" }
run w3 { command "sh ./work w3" }
"#;

fn project(makefile: &str) -> Project {
    Project::new(TARGETS)
        .with("work", WORK)
        .with("Makefile", makefile)
}

fn most_at_once(p: &Project) -> usize {
    let seen = p.read("seen");
    seen.lines()
        .map(|n| n.trim().parse().unwrap())
        .max()
        .unwrap()
}

/// make, started in the project, with imgmake as `$(IMGMAKE)`.
fn make(p: &Project, arguments: &[&str]) -> Output {
    let imgmake = p.imgmake.command(p.path());
    let mut make = Command::new("make");
    make.args(arguments)
        .current_dir(p.path())
        .env_remove("MAKEFLAGS");
    make.env("IMGMAKE", imgmake.get_program());
    for (name, value) in imgmake.get_envs() {
        match value {
            Some(value) => make.env(name, value),
            None => make.env_remove(name),
        };
    }
    make.output().unwrap()
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

#[test]
fn makes_of_several_targets_share_the_jobs_of_the_run() {
    let p = project(MAKEFILE);
    let ran = p.imgmake.ok(p.path(), &["one", "two", "-j3"]);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(!said.contains("jobserver"), "{said}");
    assert_eq!(p.read("seen").lines().count(), 8);
    assert!((2..=3).contains(&most_at_once(&p)), "{}", p.read("seen"));
}

#[test]
fn a_make_alone_uses_what_the_run_does_not() {
    let p = project(MAKEFILE);
    p.imgmake.ok(p.path(), &["one", "-j4"]);
    assert!((2..=4).contains(&most_at_once(&p)), "{}", p.read("seen"));
    std::fs::remove_file(p.file("seen")).unwrap();
    // One at a time is one at a time.
    p.imgmake.ok(p.path(), &["one", "-j1"]);
    assert_eq!(most_at_once(&p), 1);
}

#[test]
fn imgmake_in_a_recipe_of_make_takes_tokens_from_it() {
    let p = project("all: mine x y z\nmine:\n\t+$(IMGMAKE) 'w*'\nx y z:\n\t@sh ./work $@\n");
    let made = make(&p, &["-j3"]);
    assert!(made.status.success(), "{made:?}");
    // make says at its end when tokens are missing, or too many.
    assert!(!text(&made).contains("jobserver"), "{made:?}");
    assert_eq!(p.read("seen").lines().count(), 7);
    assert!((2..=3).contains(&most_at_once(&p)), "{}", p.read("seen"));
}

#[test]
fn a_make_below_imgmake_below_make_takes_tokens_of_the_first() {
    let p = project(
        "all: mine x y z\nmine:\n\t+$(IMGMAKE) one two\nx y z:\n\t@sh ./work $@\na b c d:\n\t@sh ./work $(P)-$@\n",
    );
    p.write(
        "imgmake.kdl",
        "run one { command \"make -s P=one a b c d\" }\nrun two { command \"make -s P=two a b c d\" }\n",
    );
    let made = make(&p, &["-j3"]);
    assert!(made.status.success(), "{made:?}");
    assert!(!text(&made).contains("jobserver"), "{made:?}");
    assert_eq!(p.read("seen").lines().count(), 11);
    assert!((2..=3).contains(&most_at_once(&p)), "{}", p.read("seen"));
}

#[test]
fn a_recipe_without_its_sign_is_told_what_to_write() {
    let p = project(MAKEFILE);
    let mut command = p.imgmake.command(p.path());
    command.env("MAKEFLAGS", " -j3 --jobserver-auth=-2,-2");
    let ran = command.args(["w0", "w1"]).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    assert!(
        text(&ran).contains("begin the line of the recipe with `+`"),
        "{ran:?}"
    );
}

/// A jobserver as make 4.4 has it, with so many tokens.
struct Fifo {
    file: File,
    flags: String,
}

impl Fifo {
    fn new(directory: &Path, tokens: &[u8]) -> Fifo {
        let path = directory.join("fifo");
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut file = File::options()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(&path)
            .unwrap();
        file.write_all(tokens).unwrap();
        let flags = format!(" -j3 --jobserver-auth=fifo:{}", path.display());
        Fifo { file, flags }
    }

    /// Waits until as many are there, and takes them.
    fn take(&mut self, count: usize) -> Vec<u8> {
        let (begun, mut found) = (Instant::now(), Vec::new());
        while found.len() < count && begun.elapsed() < Duration::from_secs(20) {
            let mut byte = [0];
            match self.file.read(&mut byte) {
                Ok(1) => found.push(byte[0]),
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        found.sort_unstable();
        found
    }
}

fn spawned(p: &Project, flags: &str, arguments: &[&str]) -> Child {
    let mut command = p.imgmake.command(p.path());
    command.args(arguments).env("MAKEFLAGS", flags);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn tokens_of_a_run_that_ends_anyhow_come_back() {
    let target = |n: usize| format!("run t{n} {{ command \"touch began-{n}; sleep 60\" }}\n");
    let p = Project::new(&(0..4).map(target).collect::<String>());
    let mut fifo = Fifo::new(p.path(), b"xy");
    let began = || {
        (0..4)
            .filter(|n| p.file(&format!("began-{n}")).exists())
            .count()
    };
    for signal in [
        rustix::process::Signal::KILL,
        rustix::process::Signal::TERM,
        rustix::process::Signal::INT,
    ] {
        let mut run = spawned(&p, &fifo.flags, &["t*"]);
        let begun = Instant::now();
        while began() < 3 && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(200));
        // Its own one, and two of make's.
        assert_eq!(began(), 3);
        let pid = rustix::process::Pid::from_child(&run);
        rustix::process::kill_process(pid, signal).unwrap();
        run.wait().unwrap();
        assert_eq!(fifo.take(2), b"xy", "{signal:?}");
        for n in 0..4 {
            drop(std::fs::remove_file(p.file(&format!("began-{n}"))));
        }
        fifo.file.write_all(b"xy").unwrap();
    }
}

#[test]
fn tokens_that_a_killed_command_held_do_not_get_lost() {
    let p = project("all: a b c\na b c:\n\t@sleep 60\n");
    p.write(
        "imgmake.kdl",
        "run slow { command \"make -s & sleep 0.7; kill -KILL $!; exit 1\" }\nrun one { command \"make -s -f two P=one\"; needs first }\nrun first { command \"sleep 2\" }\n",
    );
    p.write("two", MAKEFILE);
    p.run(&["slow", "one", "-k", "-j3"]).exited(1);
    assert_eq!(most_at_once(&p), 3, "{}", p.read("seen"));
}

#[test]
fn a_run_of_a_dockerfile_sees_no_jobserver() {
    let p =
        Project::new("build app { context \".\"; no-cache #true }\nrun w0 { command \"true\" }\n");
    let dockerfile = format!(
        "FROM {}/library/busybox\nRUN echo \"flags=[$MAKEFLAGS]\" && ls -l /proc/self/fd && ! ls -l /proc/self/fd | grep pipe: | grep -v ' [012] -> '\n",
        bases().host
    );
    p.write("Dockerfile", &dockerfile);
    let ran = p
        .imgmake
        .ok(p.path(), &["--progress=plain", "app", "w0", "-j3"]);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains("flags=[]"), "{said}");
}
