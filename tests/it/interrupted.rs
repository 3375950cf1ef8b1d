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
        let child = imgmake
            .command(directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for_sleep(&child);
        crate::ground::run("kill", &[&format!("-{signal}"), &child.id().to_string()]);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let said = String::from_utf8_lossy(&output.stderr);
        let stopped = "app │ stopped: RUN echo started; sleep 987";
        assert_eq!(said.matches(stopped).count(), 1, "{said}");
        assert!(!said.contains("failed"), "{said}");
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

/// A server that takes connections and never says a word.
fn silent() -> std::net::TcpListener {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Waits for something as long as the run goes on.
fn awaited<T>(child: &mut std::process::Child, mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs in a process group of its own, which gets the signal as a terminal or a batch
/// system sends it: to every process at once.
fn stopped_as_a_group(
    imgmake: &Imgmake,
    directory: &Path,
    arguments: &[&str],
    mut reached: impl FnMut(&mut std::process::Child),
) {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut child =
            std::os::unix::process::CommandExt::process_group(&mut imgmake.command(directory), 0)
                .args(arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
        reached(&mut child);
        let group = format!("-{}", child.id());
        crate::ground::run("kill", &[&format!("-{signal}"), "--", &group]);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        for wrong in ["helper process", "was killed", "out of memory", "error:"] {
            assert!(!said.contains(wrong), "{arguments:?} {signal}: {said}");
        }
        let left = processes_of(imgmake.home().parent().unwrap());
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_signal_for_the_whole_group_during_a_run_is_a_signal() {
    let host = &bases().host;
    let directory = temporary();
    let at = directory.path();
    write(
        at,
        "Dockerfile",
        format!("FROM {host}/library/busybox:latest\nRUN sleep 987\n"),
    );
    write(
        at,
        "imgmake.kdl",
        format!(
            "registry base \"{host}\" {{ insecure #true }}\nbuild app {{ context \".\"; tar \"out.tar\" }}\n"
        ),
    );
    for isolation in ["root", "chroot"] {
        let imgmake = Imgmake::new().with("IMGMAKE_ISOLATION", isolation);
        stopped_as_a_group(&imgmake, at, &["app"], |child| wait_for_sleep(child));
    }
    let kaniko = [
        "kaniko",
        "--context=.",
        "--no-push",
        "--insecure-pull",
        "--insecure",
    ];
    stopped_as_a_group(&Imgmake::new(), at, &kaniko, |child| wait_for_sleep(child));
    let plugin = Imgmake::new()
        .with("PLUGIN_REPO", "example.com/app")
        .with("PLUGIN_INSECURE", "true")
        .with("PLUGIN_DRY_RUN", "true");
    stopped_as_a_group(&plugin, at, &["plugin", "--as", "drone-docker"], |child| {
        wait_for_sleep(child)
    });
}

#[test]
fn a_signal_for_the_whole_group_during_a_transfer_is_a_signal() {
    let server = silent();
    let host = server.local_addr().unwrap();
    server.set_nonblocking(true).unwrap();
    // What an earlier run had asked for is still in the queue.
    let mut held = Vec::new();
    let mut asked = |child: &mut std::process::Child| {
        let of_earlier: Vec<_> = std::iter::from_fn(|| server.accept().ok()).collect();
        drop(of_earlier);
        held.push(awaited(child, || server.accept().ok()));
    };
    let directory = temporary();
    let at = directory.path();
    write(at, "Dockerfile", format!("FROM {host}/base:1\n"));
    write(at, "Other", "FROM scratch\nCOPY Other /\n");
    write(
        at,
        "imgmake.kdl",
        format!(
            "registry far \"{host}\" {{ insecure #true }}\nbuild pulled {{ context \".\"; tar \"out.tar\" }}\n\
             build sent {{ context \".\"; dockerfile \"Other\" }}\npush out {{ images sent; to far {{ tags \"1\" }} }}\n"
        ),
    );
    for target in ["pulled", "out"] {
        stopped_as_a_group(&Imgmake::new(), at, &[target], &mut asked);
    }
}

#[test]
fn a_signal_for_the_whole_group_during_a_program_is_a_signal() {
    let directory = temporary();
    let at = directory.path();
    write(at, "Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    write(
        at,
        "imgmake.kdl",
        "build app { context \".\" }\nscan judge { images app; scanner command \"touch {project}/there; sleep 985 # {archive}\" }\n\
         run say { command \"touch there; sleep 985\" }\n\
         run gone { command \"touch there; sleep 1; kill -TERM $$\" }\n",
    );
    let there = |child: &mut std::process::Child| {
        awaited(child, || std::fs::remove_file(at.join("there")).ok());
    };
    for target in ["judge", "say"] {
        stopped_as_a_group(&Imgmake::new(), at, &[target], there);
    }
    // A program that was ended by somebody else's signal has failed.
    let ran = Imgmake::new().refused(at, &["gone"], 1, &["signal 15"]);
    assert!(ran.stderr.contains("gone"), "{}", ran.stderr);
}
