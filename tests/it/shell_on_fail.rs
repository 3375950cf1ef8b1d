//! `--shell-on-fail`: a person at a terminal looks into the step that failed.

use crate::ground::images::{bases, path};
use crate::ground::imgmake::{Imgmake, User};
use crate::ground::temporary;
use crate::ground::terminal::at_a_terminal;

const DOCKERFILE: &str = r#"FROM BASE/library/busybox:latest
ENV OF_THE_STEP=env
WORKDIR /work
RUN echo below > below
USER user
RUN --mount=type=secret,id=s,uid=1000 --mount=type=cache,target=/c,uid=1000 echo left > /tmp/left; echo cached > /c/f; exit 7
"#;

fn project(host: &str) -> tempfile::TempDir {
    let directory = temporary();
    let manifest = format!(
        "registry base \"{host}\" {{ insecure #true }}\nsecret s env=\"S\"\nbuild app {{ context \".\"; secrets s }}\n"
    );
    std::fs::write(directory.path().join("imgmake.kdl"), manifest).unwrap();
    std::fs::write(
        directory.path().join("Dockerfile"),
        DOCKERFILE.replace("BASE", host),
    )
    .unwrap();
    directory
}

fn looks_into_the_failed_step(user: User) {
    let directory = project(&bases().host);
    let imgmake = Imgmake::run_by(user)
        .with("S", "hush")
        .with("TERM", "xterm");
    imgmake.give(directory.path());
    let command = imgmake.command(directory.path());
    let typed = r"stty -echo\necho =$(cat /tmp/left)=$(pwd)=$(id -un)=$OF_THE_STEP=$(wc -c < /run/secrets/s)=$(cat /c/f)=$(cat below)=$TERM=\n[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo =term$((40+2))=\necho more > /tmp/more\nexit 3\n";
    let output = at_a_terminal(
        &command,
        &["--shell-on-fail", "app"],
        typed,
        "this is a shell",
    );
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("failed with exit code 7"), "{shown}");
    assert!(
        shown.contains("=left=/work=user=env=4=cached=below=xterm="),
        "{shown}"
    );
    assert!(shown.contains("=term42="), "{shown}");
    assert!(shown.contains("Dockerfile:6"), "{shown}");
    // The shell has changed nothing: the step fails again.
    let again = imgmake.refused(
        directory.path(),
        &["app"],
        1,
        &["exit code 7", "Dockerfile:6"],
    );
    assert!(!again.stderr.contains("this is a shell"));
}

#[test]
fn a_shell_opens_in_the_root_of_the_failed_step_with_all_that_the_step_had() {
    looks_into_the_failed_step(User::Own);
}

#[test]
fn an_ordinary_user_gets_the_same_shell() {
    looks_into_the_failed_step(User::WithSubordinateIds);
}

#[test]
fn without_a_terminal_a_shell_is_refused_before_anything_runs() {
    let directory = project(&bases().host);
    let says = ["--shell-on-fail", "needs a terminal"];
    let imgmake = Imgmake::new();
    imgmake.refused(directory.path(), &["--shell-on-fail", "app"], 2, &says);
    assert!(!imgmake.store().exists(), "{}", path(&imgmake.store()));
}
