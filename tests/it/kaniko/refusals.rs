//! What is wrong is told in the words of its flag, before anything happens.

use super::{kaniko, project, refused};
use crate::ground::imgmake::Imgmake;

#[test]
fn refusals_name_the_flag_and_what_would_be_right() {
    let project = project();
    for (arguments, says) in [
        (
            &["--destinaton=a/b"][..],
            &["`--destinaton`", "`--destination`"][..],
        ),
        (&["-c", "context"], &["--destination", "--no-push"]),
        (&["--no-push", "-c", "gone"], &["--context=gone"]),
        (
            &["--no-push", "-c", "context/Dockerfile"],
            &["--context=context/Dockerfile", "not a directory"],
        ),
        (
            &["--no-push", "-c", "context", "-f", "Gone"],
            &["--dockerfile=Gone"],
        ),
        (
            &["--no-push", "-c", "tar://context/Dockerfile"],
            &["--context=context/Dockerfile"],
        ),
        (
            &["--no-push", "-c", "tar://gone.tgz"],
            &["--context=gone.tgz"],
        ),
        (&["--no-push", "-c", "tar://stdin"], &["standard input"]),
        (
            &["--no-push", "-c", "s3://bucket/c.tgz"],
            &["s3://bucket/c.tgz", "aws s3 cp"],
        ),
        (&["-c", "context", "-d", "Reg.io/App"], &["--destination"]),
        (
            &["-c", "context", "-d", "reg.io/app:feature/x"],
            &["invalid tag `feature/x`", "--destination=reg.io/app"],
        ),
        (
            &["--no-push", "-c", "context", "--custom-platform=plan9"],
            &["--custom-platform"],
        ),
        (&["--no-push", "-c", "context", "--target=gone"], &["gone"]),
        (
            &["--no-push", "-c", "context", "--digest-file=context"],
            &["context"],
        ),
    ] {
        refused(project.path(), arguments, says);
    }
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let project = project();
    let ran = kaniko(
        &Imgmake::new(),
        project.path(),
        &[
            "-c",
            "context",
            "-d",
            "reg.example/app:1",
            "--tar-path=a.tar",
            "--dryrun",
        ],
    );
    assert!(
        ran.stdout.contains("push   reg.example/app:1") && ran.stdout.contains("write  a.tar"),
        "{}",
        ran.stdout
    );
    assert!(!project.path().join("a.tar").exists());
}

#[test]
fn what_has_no_effect_is_said_once_and_logs_can_be_json() {
    let project = project();
    let ran = kaniko(
        &Imgmake::new(),
        project.path(),
        &[
            "-c",
            "context",
            "--no-push",
            "--use-new-run",
            "--kaniko-dir=/elsewhere",
        ],
    );
    assert_eq!(
        ran.stderr.matches("--use-new-run").count(),
        1,
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("--kaniko-dir"), "{}", ran.stderr);
    let ran = kaniko(
        &Imgmake::new(),
        project.path(),
        &["-c", "context", "--no-push", "--log-format=json"],
    );
    let lines: Vec<&str> = ran.stdout.lines().chain(ran.stderr.lines()).collect();
    assert!(
        !lines.is_empty() && lines.iter().all(|line| line.starts_with('{')),
        "{lines:?}"
    );
}

#[test]
fn lines_of_the_log_begin_with_the_time_where_that_is_asked_for() {
    let stamped = |line: &str| {
        let digits = |c: char| if c.is_ascii_digit() { '0' } else { c };
        let shape: String = line.chars().take(25).map(digits).collect();
        shape == "0000-00-00T00:00:00.000Z "
    };
    let project = project();
    let arguments = ["-c", "context", "--no-push"];
    let ran = kaniko(&Imgmake::new(), project.path(), &arguments);
    assert!(!ran.stderr.lines().any(stamped), "{}", ran.stderr);
    let wished = [&arguments[..], &["--log-timestamp"]].concat();
    let ran = kaniko(&Imgmake::new(), project.path(), &wished);
    assert!(ran.stderr.lines().count() > 2, "{}", ran.stderr);
    assert!(ran.stderr.lines().all(stamped), "{}", ran.stderr);
    // The ordinary command line has the same.
    crate::ground::write(
        project.path(),
        "imgmake.kdl",
        "build app { context \"context\" }\n",
    );
    let ran = Imgmake::new().ok(project.path(), &["app", "--timestamps", "--force"]);
    assert!(ran.stderr.lines().count() > 2, "{}", ran.stderr);
    assert!(ran.stderr.lines().all(stamped), "{}", ran.stderr);
}
