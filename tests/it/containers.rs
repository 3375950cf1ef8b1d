//! imgmake inside of containers, as CI runs it: real ones, made by Docker's daemon
//! with its usual seccomp profile and capabilities.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::ground::docker::docker;
use crate::ground::images::bases;
use crate::ground::imgmake::Imgmake;
use crate::ground::{temporary, write};

/// Owners, links, removed and remade directories, mounts: what isolation is about.
fn project(directory: &Path) {
    let host = &bases().host;
    for i in 0..50 {
        write(directory, &format!("src/d{}/f{i}", i % 5), format!("{i}\n"));
    }
    write(
        directory,
        "Dockerfile",
        format!(
            "FROM {host}/library/busybox:latest AS made\nCOPY src /src\n\
             RUN ls -lR /src > /listing && rm -r /src/d1 && mkdir /src/d1 && touch /src/d1/new /src/d1/f1\n\
             RUN cp /bin/busybox /bin/special && chown user:staff /bin/special && chmod 6755 /bin/special && ln /bin/special /opt/again\n\
             RUN : >> /etc/group; chmod 644 /etc/passwd; mkdir -m 1777 /sticky; mkfifo /opt/fifo\n\
             USER user\nRUN --mount=type=cache,target=/cache,uid=1000 id > /home/user/mine 2>/dev/null || id > /tmp/mine; touch /cache/x\n\
             FROM {host}/library/busybox:latest\nCOPY --from=made /tmp /made\n\
             RUN --mount=type=bind,from=made,target=/from test -u /from/bin/special && cp -a /from/src /src\n\
             RUN --mount=type=secret,id=token --mount=type=tmpfs,target=/scratch cat /run/secrets/token > /scratch/x && wc -c < /scratch/x > /length\n"
        ),
    );
    write(directory, ".dockerignore", "*\n!src\n");
    write(
        directory,
        "imgmake.kdl",
        format!(
            "imgmake version=1 {{ epoch 1700000000 }}\nregistry base \"{host}\" {{ insecure #true }}\n\
             secret token env=TOKEN\n\
             build made {{ context \".\"; stage made; tar \"made.tar\" format=oci }}\n\
             build app {{ context \".\"; secrets token; tar \"out.tar\" format=oci }}\n\
             group default made app\n"
        ),
    );
}

/// A small one, whose step says that it started and then takes its time.
fn slow_project(directory: &Path) {
    let host = &bases().host;
    write(
        directory,
        "Dockerfile",
        format!(
            "FROM {host}/library/busybox:latest\n\
             RUN --mount=type=secret,id=token (trap '' TERM; sleep 900) & cat /run/secrets/token > /tmp/seen; \
             echo the step started; sleep 900\n"
        ),
    );
    write(
        directory,
        "imgmake.kdl",
        format!(
            "registry base \"{host}\" {{ insecure #true }}\nsecret token env=TOKEN\n\
             build app {{ context \".\"; secrets token; tar \"out.tar\" }}\n"
        ),
    );
}

fn digests(directory: &Path) -> [String; 2] {
    ["made.tar", "out.tar"].map(|name| {
        let bytes = std::fs::read(directory.join(name)).unwrap();
        blake3::hash(&bytes).to_hex().to_string()
    })
}

/// What root outside of any container makes of the project.
fn outside() -> &'static [String; 2] {
    static OUTSIDE: std::sync::OnceLock<[String; 2]> = std::sync::OnceLock::new();
    OUTSIDE.get_or_init(|| {
        let directory = temporary();
        project(directory.path());
        Imgmake::new()
            .with("TOKEN", "hush")
            .ok(directory.path(), &[]);
        digests(directory.path())
    })
}

#[track_caller]
fn builds_as_outside(options: &[&str], isolation_mode: &str) {
    let directory = temporary();
    project(directory.path());
    let doctor = docker().run(directory.path(), options, &["imgmake", "doctor"]);
    assert!(
        doctor
            .stdout
            .contains(&format!("RUN will use: {isolation_mode}")),
        "{}{}",
        doctor.stdout,
        doctor.stderr
    );
    let options = [&["--env", "TOKEN=hush"], options].concat();
    let ran = docker().run(directory.path(), &options, &["imgmake"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(&digests(directory.path()), outside());
}

#[test]
fn root_in_a_usual_container_builds_what_root_outside_builds() {
    builds_as_outside(&[], "chroot");
}

#[test]
fn a_read_only_container_with_one_volume_is_enough() {
    builds_as_outside(&["--read-only"], "chroot");
}

#[test]
fn where_the_profile_allows_user_namespaces_they_are_used() {
    builds_as_outside(&["--security-opt", "seccomp=unconfined"], "rootless");
}

#[test]
fn a_container_that_may_mount_is_as_good_as_none() {
    builds_as_outside(&["--cap-add", "SYS_ADMIN"], "root");
}

#[test]
fn an_ordinary_user_of_a_usual_container_learns_what_is_missing() {
    let directory = temporary();
    slow_project(directory.path());
    crate::ground::run(
        "chmod",
        &["-R", "a+rwX", directory.path().to_str().unwrap()],
    );
    let ran = docker().run(
        directory.path(),
        &["--user", "1234:1234", "--env", "TOKEN=x"],
        &["imgmake"],
    );
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    for piece in [
        "no way to isolate RUN works here",
        "rootless: ",
        "seccomp",
        "imgmake doctor",
    ] {
        assert!(ran.stderr.contains(piece), "`{piece}`:\n{}", ran.stderr);
    }
}

#[test]
fn as_process_1_a_signal_stops_everything_and_nothing_is_left() {
    let directory = temporary();
    slow_project(directory.path());
    let options = ["--env", "TOKEN=hush-hush"];
    let id = docker().start_container(directory.path(), &options, &["imgmake"]);
    let begun = Instant::now();
    while !docker_logs(&id).contains("the step started") {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{}",
            docker_logs(&id)
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    docker().ok(&["stop", "--time", "20", &id]);
    let code = docker().ok(&["inspect", "--format", "{{.State.ExitCode}}", &id]);
    assert_eq!(code.trim(), "143", "{}", docker_logs(&id));
    docker().ok(&["rm", &id]);
    assert!(!directory.path().join("out.tar").exists());
    assert_eq!(
        files_with(directory.path(), "hush-hush"),
        Vec::<String>::new()
    );
    let left = std::fs::read_dir(directory.path().join("store/tmp")).unwrap();
    assert_eq!(left.count(), 0);
}

fn docker_logs(id: &str) -> String {
    let output = docker().command(&["logs", id]).output().unwrap();
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Files below `directory` that hold the text.
fn files_with(directory: &Path, text: &str) -> Vec<String> {
    let output = std::process::Command::new("grep")
        .args(["-rl", text])
        .arg(directory)
        .output()
        .unwrap();
    let found = String::from_utf8(output.stdout).unwrap();
    found.lines().map(str::to_string).collect()
}
