//! Pipelines that call kaniko's executor keep their arguments: contexts,
//! destinations, files for later steps, refusals.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::ground::images::bases;
use crate::ground::imgmake::{Imgmake, Ran, User};
use crate::ground::registry::{Access, Registry};
use crate::ground::web::{Transport, Web};
use crate::ground::{run, temporary, write};

/// A context that needs no base image.
fn project() -> tempfile::TempDir {
    let directory = temporary();
    write(
        directory.path(),
        "context/Dockerfile",
        "FROM scratch\nARG WORD=none\nLABEL word=$WORD\nCOPY src /src\n",
    );
    write(directory.path(), "context/src/a", "a\n");
    write(directory.path(), "context/src/b", "b\n");
    directory
}

fn kaniko(imgmake: &Imgmake, directory: &Path, arguments: &[&str]) -> Ran {
    imgmake.ok(directory, &[&["kaniko"], arguments].concat())
}

fn refused(directory: &Path, arguments: &[&str], says: &[&str]) -> Ran {
    Imgmake::new().refused(directory, &[&["kaniko"], arguments].concat(), 1, says)
}

/// The digest of the image that a context makes.
fn digest(directory: &Path, imgmake: &Imgmake, arguments: &[&str]) -> String {
    kaniko(
        imgmake,
        directory,
        &[&["--no-push", "--digest-file=digest"], arguments].concat(),
    );
    let digest = std::fs::read_to_string(directory.join("digest")).unwrap();
    std::fs::remove_file(directory.join("digest")).unwrap();
    digest
}

/// The program under kaniko's name.
fn as_executor(imgmake: &Imgmake, directory: &Path) -> std::process::Command {
    let template = imgmake.command(directory);
    let link = directory.join("executor");
    drop(std::fs::remove_file(&link));
    std::os::unix::fs::symlink(template.get_program(), &link).unwrap();
    let mut command = std::process::Command::new(link);
    command
        .env_clear()
        .current_dir(directory)
        .stdin(Stdio::null());
    for (name, value) in template.get_envs() {
        command.env(name, value.unwrap());
    }
    command
}

#[test]
fn the_usual_arguments_build_and_push_to_every_destination() {
    let project = project();
    let (one, two) = (Registry::start(), Registry::start());
    let destinations = [
        format!("{}/team/app:1", one.host),
        format!("{}/team/app:latest", one.host),
        format!("{}/copy:1", two.host),
    ];
    let mut arguments = vec![
        "--dockerfile=Dockerfile",
        "--context=dir://context",
        "--cache=true",
        "--insecure",
        "--build-arg",
        "WORD=x",
    ];
    for destination in &destinations {
        arguments.extend(["--destination", destination]);
    }
    arguments.extend([
        "--digest-file=out/digest",
        "--image-name-with-digest-file=out/names",
        "--image-name-tag-with-digest-file=out/tags",
    ]);

    kaniko(&Imgmake::new(), project.path(), &arguments);

    let digest = one.digest("team/app", "1").unwrap();
    assert_eq!(one.tags(), ["team/app:1", "team/app:latest"]);
    assert_eq!(two.digest("copy", "1").as_ref(), Some(&digest));
    let read = |name: &str| std::fs::read_to_string(project.path().join("out").join(name)).unwrap();
    assert_eq!(read("digest"), digest);
    assert_eq!(
        read("names"),
        format!(
            "{}/team/app@{digest}\n{}/copy@{digest}\n",
            one.host, two.host
        )
    );
    let lines: Vec<String> = destinations
        .iter()
        .map(|name| format!("{name}@{digest}\n"))
        .collect();
    assert_eq!(read("tags"), lines.concat());
}

#[test]
fn the_program_called_executor_is_kaniko() {
    let project = project();
    let registry = Registry::start();
    let imgmake = Imgmake::new();
    let destination = format!("-d={}/app:1", registry.host);
    let output = as_executor(&imgmake, project.path())
        .args(["-c", "context", &destination])
        .env("BUILDER_OUTPUT", project.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let digest = registry.digest("app", "1").unwrap();
    let images = std::fs::read_to_string(project.path().join("images")).unwrap();
    assert_eq!(
        images,
        format!(
            "{{\"name\":\"{}/app:1\",\"digest\":\"{digest}\"}}\n",
            registry.host
        )
    );

    let help = as_executor(&imgmake, project.path())
        .arg("--help")
        .output()
        .unwrap();
    assert!(
        help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--destination")
    );
    let version = as_executor(&imgmake, project.path())
        .arg("version")
        .output()
        .unwrap();
    assert!(version.status.success());
}

#[test]
fn every_kind_of_local_context_gives_the_same_image() {
    let project = project();
    let directory = project.path();
    let imgmake = Imgmake::new();
    run(
        "tar",
        &[
            "-C",
            &directory.join("context").display().to_string(),
            "-czf",
            &directory.join("c.tgz").display().to_string(),
            ".",
        ],
    );
    let of_directory = digest(directory, &imgmake, &["--context=context"]);

    assert_eq!(
        digest(directory, &imgmake, &["--context=dir://context"]),
        of_directory
    );
    assert_eq!(
        digest(directory, &imgmake, &["--context=tar://c.tgz"]),
        of_directory
    );
    assert_eq!(
        digest(
            directory,
            &imgmake,
            &["--context=.", "--context-sub-path=context"]
        ),
        of_directory
    );
    let ran = imgmake
        .command(directory)
        .args([
            "kaniko",
            "--context=tar://stdin",
            "--no-push",
            "--digest-file=digest",
        ])
        .stdin(std::fs::File::open(directory.join("c.tgz")).unwrap())
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    assert_eq!(
        std::fs::read_to_string(directory.join("digest")).unwrap(),
        of_directory
    );
    // What was unpacked is gone.
    let left: Vec<_> = std::fs::read_dir(imgmake.store().join("tmp"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn archives_are_written_instead_of_a_push() {
    let project = project();
    let directory = project.path();
    kaniko(
        &Imgmake::new(),
        directory,
        &[
            "-c",
            "context",
            "--no-push",
            "-d",
            "reg.example/app:1",
            "-d",
            "reg.example/app:2",
            "--tarPath=out/a.tar",
            "--oci-layout-path=oci",
            "--digest-file=digest",
        ],
    );
    let digest = std::fs::read_to_string(directory.join("digest")).unwrap();
    let archive = format!("docker-archive:{}", directory.join("out/a.tar").display());
    let tags = run("skopeo", &["list-tags", &archive]);
    assert!(
        tags.contains("reg.example/app:1") && tags.contains("reg.example/app:2"),
        "{tags}"
    );
    let index = std::fs::read_to_string(directory.join("oci/index.json")).unwrap();
    assert!(index.contains(&digest), "{index}");
}

/// A bare repository with two commits, a branch and a tag.
fn repository(web: &Web) -> String {
    let work = temporary();
    let git = |arguments: &[&str]| {
        let place = [
            "-C",
            work.path().to_str().unwrap(),
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "-c",
            "init.defaultBranch=main",
        ];
        run("git", &[&place[..], arguments].concat())
            .trim()
            .to_string()
    };
    git(&["init", "-q"]);
    write(work.path(), ".dockerignore", ".git\n");
    write(work.path(), "Dockerfile", "FROM scratch\nCOPY f /f\n");
    write(work.path(), "f", "first\n");
    write(work.path(), "sub/Dockerfile", "FROM scratch\nCOPY g /g\n");
    write(work.path(), "sub/g", "g\n");
    git(&["add", "-A"]);
    git(&["commit", "-qm", "first"]);
    git(&["tag", "v1"]);
    let first = git(&["rev-parse", "HEAD"]);
    git(&["checkout", "-qb", "topic"]);
    write(work.path(), "f", "topic\n");
    git(&["commit", "-qam", "topic"]);
    git(&["checkout", "-q", "main"]);
    write(work.path(), "f", "second\n");
    git(&["commit", "-qam", "second"]);
    let bare = web.root().join("app.git").display().to_string();
    run(
        "git",
        &[
            "clone",
            "-q",
            "--bare",
            work.path().to_str().unwrap(),
            &bare,
        ],
    );
    run(
        "git",
        &["-C", &bare, "update-ref", "refs/pull/7/head", &first],
    );
    first
}

#[test]
fn git_contexts_are_cloned_at_branch_tag_commit_and_directory() {
    let web = Web::start(Transport::Plain, "");
    let first = repository(&web);
    let directory = temporary();
    let imgmake = Imgmake::new().with("GIT_PULL_METHOD", "http");
    let of = |suffix: &str, more: &[&str]| {
        let context = format!("--context=git://{}/app.git{suffix}", web.host);
        digest(
            directory.path(),
            &imgmake,
            &[&[context.as_str()], more].concat(),
        )
    };
    let (second, topic, old) = (
        of("", &[]),
        of("#topic", &[]),
        of(&format!("#{first}"), &[]),
    );
    assert!(second != topic && topic != old && old != second);
    assert_eq!(of("#refs/heads/topic", &[]), topic);
    assert_eq!(
        of(
            "",
            &[
                "--git=branch=topic",
                "--git=single-branch=true",
                "--git=depth=1"
            ]
        ),
        topic
    );
    for same in [
        "#v1".to_string(),
        "#refs/tags/v1".into(),
        "#refs/pull/7/head".into(),
        format!("#main#{first}"),
    ] {
        assert_eq!(of(&same, &[]), old, "{same}");
    }
    assert_eq!(of(&format!("#main#{first}"), &["--git=depth=1"]), old);
    let sub = of("", &["--context-sub-path=sub"]);
    assert_eq!(of("#main:sub", &[]), sub);
    assert!(sub != second);

    let gone = format!("--context=git://{}/app.git#nowhere", web.host);
    imgmake.refused(
        directory.path(),
        &["kaniko", "--no-push", &gone],
        1,
        &["--context=http://", "nowhere"],
    );
    let outside = format!("--context=git://{}/app.git", web.host);
    imgmake.refused(
        directory.path(),
        &["kaniko", "--no-push", &outside, "--context-sub-path=none"],
        1,
        &["--context-sub-path=none"],
    );
}

#[test]
fn the_login_of_a_repository_is_used_and_never_shown() {
    let web = Web::start(Transport::Plain, "ann:secret-word");
    repository(&web);
    let directory = temporary();
    let plain = format!("--context=git://{}/app.git", web.host);
    let inside = format!("--context=git://ann:secret-word@{}/app.git", web.host);
    let imgmake = || Imgmake::new().with("GIT_PULL_METHOD", "http");
    let by_address = digest(directory.path(), &imgmake(), &[&inside]);
    let named = imgmake()
        .with("GIT_USERNAME", "ann")
        .with("GIT_PASSWORD", "secret-word");
    assert_eq!(digest(directory.path(), &named, &[&plain]), by_address);
    let wrong = imgmake().with("GIT_TOKEN", "secret-wrong");
    let ran = wrong.refused(
        directory.path(),
        &["kaniko", "--no-push", &plain],
        1,
        &["git clone failed"],
    );
    assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
}

#[test]
fn contexts_and_dockerfiles_are_downloaded_and_digests_uploaded() {
    let project = project();
    let directory = project.path();
    let web = Web::start(Transport::Tls, "");
    let context = directory.join("context").display().to_string();
    run(
        "tar",
        &[
            "-C",
            &context,
            "-cJf",
            &web.root().join("c.tar.xz").display().to_string(),
            ".",
        ],
    );
    std::fs::copy(
        directory.join("context/Dockerfile"),
        web.root().join("Other"),
    )
    .unwrap();
    let imgmake = Imgmake::new().with("SSL_CERT_FILE", &web.certificate().display().to_string());
    let local = digest(directory, &imgmake, &["--context=context"]);

    let archive = format!("--context=https://{}/c.tar.xz?sig=secret", web.host);
    assert_eq!(digest(directory, &imgmake, &[&archive]), local);
    let dockerfile = format!("--dockerfile=https://{}/Other", web.host);
    assert_eq!(
        digest(directory, &imgmake, &["--context=context", &dockerfile]),
        local
    );
    let upload = format!("--digest-file=https://{}/digest", web.host);
    kaniko(
        &imgmake,
        directory,
        &["--context=context", "--no-push", &upload],
    );
    assert_eq!(
        std::fs::read_to_string(web.root().join("digest")).unwrap(),
        local
    );

    let gone = format!("--context=https://{}/gone.tgz?sig=secret", web.host);
    let ran = imgmake.refused(
        directory,
        &["kaniko", "--no-push", &gone],
        1,
        &["/gone.tgz", "404"],
    );
    assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
    let untrusting = Imgmake::new();
    untrusting.refused(
        directory,
        &["kaniko", "--no-push", &archive],
        1,
        &["/c.tar.xz"],
    );
}

#[test]
fn base_images_come_from_the_mirror() {
    let directory = temporary();
    write(
        directory.path(),
        "Dockerfile",
        "FROM busybox\nRUN --mount=type=secret,id=word cat /run/secrets/word > /length\nARG SET\nRUN test \"$SET\" = yes\n",
    );
    let mirror = format!("--registry-mirror={}", bases().host);
    let arguments = [
        "-c",
        ".",
        &mirror,
        "--skip-default-registry-fallback",
        "--insecure-pull",
        "--reproducible",
        "--secret=id=word,env=WORD",
        "--build-arg=SET",
    ];
    let made = || {
        let imgmake = Imgmake::new()
            .with("WORD", "secret-word")
            .with("SET", "yes");
        digest(directory.path(), &imgmake, &arguments)
    };
    let first = made();
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(made(), first, "--reproducible");
    // Nobody else is asked.
    write(directory.path(), "Dockerfile", "FROM nowhere\n");
    refused(
        directory.path(),
        &[
            "-c",
            ".",
            "--no-push",
            &mirror,
            "--skip-default-registry-fallback",
        ],
        &["nowhere"],
    );
}

#[test]
fn a_push_that_will_be_refused_is_refused_before_the_build() {
    let project = project();
    let registry = Registry::with(&Access {
        basic: Some(("ann", "secret-word")),
        tls: None,
    });
    let destination = format!("--destination={}/app:1", registry.host);
    let arguments = ["-c", "context", &destination, "--tar-path=a.tar"];
    refused(project.path(), &arguments, &[&registry.host, "401"]);
    assert!(!project.path().join("a.tar").exists());
    refused(
        project.path(),
        &[&arguments[..], &["--skip-push-permission-check"]].concat(),
        &[&registry.host],
    );
    assert!(project.path().join("a.tar").exists());

    let name = format!("KANIKO_{}", registry.host.replace('.', "_"));
    let imgmake = Imgmake::new()
        .with(&format!("{name}_USER"), "ann")
        .with(&format!("{name}_PASSWORD"), "secret-word");
    let ran = kaniko(&imgmake, project.path(), &arguments);
    assert_eq!(registry.tags(), ["app:1"]);
    assert!(!ran.stderr.contains("secret-word"));
}

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
            &["--no-push", "-c", "context", "--custom-platform=plan9"],
            &["--custom-platform"],
        ),
        (&["--no-push", "-c", "context", "--secret=id=x"], &["x"]),
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
            "--single-snapshot",
            "--cache-repo=reg.example/cache",
        ],
    );
    assert_eq!(
        ran.stderr.matches("--single-snapshot").count(),
        1,
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("--cache-repo"), "{}", ran.stderr);
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
fn a_tag_that_cannot_be_moved_counts_as_pushed_where_that_is_wished() {
    let project = project();
    let registry = Registry::start();
    let fixed = Web::in_front_of(&registry.host, "/v2/app/manifests/fixed");
    let (one, two) = (
        format!("-d={}/app:fixed", fixed.host),
        format!("-d={}/app:free", fixed.host),
    );
    let arguments = ["-c", "context", &one, &two, "--digest-file=digest"];
    refused(project.path(), &arguments, &["tag is immutable"]);
    let wished = [&arguments[..], &["--push-ignore-immutable-tag-errors"]].concat();
    let ran = kaniko(&Imgmake::new(), project.path(), &wished);
    assert!(ran.stderr.contains("app:fixed"), "{}", ran.stderr);
    let digest = std::fs::read_to_string(project.path().join("digest")).unwrap();
    assert_eq!(registry.tags(), ["app:free"]);
    assert_eq!(registry.digest("app", "free"), Some(digest));
}

#[test]
fn an_ordinary_user_needs_nothing_more() {
    let directory = temporary();
    let imgmake = Imgmake::run_by(User::Plain);
    write(
        directory.path(),
        "Dockerfile",
        "FROM busybox\nRUN echo made > /made\n",
    );
    run(
        "tar",
        &[
            "-C",
            directory.path().to_str().unwrap(),
            "-czf",
            &directory.path().join("c.tgz").display().to_string(),
            "Dockerfile",
        ],
    );
    imgmake.give(directory.path());
    let mirror = format!("--registry-mirror={}", bases().host);
    kaniko(
        &imgmake,
        directory.path(),
        &[
            "--context=tar://c.tgz",
            &mirror,
            "--insecure-pull",
            "--no-push",
            "--tar-path=a.tar",
        ],
    );
    assert!(directory.path().join("a.tar").exists());
}

#[test]
fn waiting_for_standard_input_ends_with_a_signal() {
    let directory = temporary();
    let imgmake = Imgmake::new();
    let mut child = imgmake
        .command(directory.path())
        .args(["kaniko", "--context=tar://stdin", "--no-push"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Once its temporary directory is there, it reads.
    let temporary = imgmake.store().join("tmp");
    for _ in 0..400 {
        let entries = std::fs::read_dir(&temporary).map(Iterator::count);
        if entries.is_ok_and(|count| count > 0) {
            break;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    run("kill", &["-TERM", &child.id().to_string()]);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let left: Vec<_> = std::fs::read_dir(temporary).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_stopped_run_leaves_nothing_behind() {
    let directory = temporary();
    let host = &bases().host;
    write(
        directory.path(),
        "Dockerfile",
        format!("FROM {host}/library/busybox:latest\nRUN sleep 986\n"),
    );
    run(
        "tar",
        &[
            "-C",
            directory.path().to_str().unwrap(),
            "-czf",
            &directory.path().join("c.tgz").display().to_string(),
            "Dockerfile",
        ],
    );
    let imgmake = Imgmake::new();
    let mut child = imgmake
        .command(directory.path())
        .args([
            "kaniko",
            "--context=tar://c.tgz",
            "--no-push",
            "--tar-path=a.tar",
            "--digest-file=digest",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let sleeps = || {
        let found = std::process::Command::new("pgrep")
            .args(["-f", "^sleep 986"])
            .output()
            .unwrap();
        found.status.success()
    };
    for _ in 0..400 {
        if sleeps() {
            break;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    assert!(sleeps(), "the step did not start");
    run("kill", &["-TERM", &child.id().to_string()]);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(!sleeps());
    for file in ["a.tar", "digest"] {
        assert!(!directory.path().join(file).exists(), "{file}");
    }
    let left: Vec<_> = std::fs::read_dir(imgmake.store().join("tmp"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
