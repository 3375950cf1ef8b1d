//! Every kind of context that kaniko takes.

use super::{digest, kaniko, project};
use crate::ground::imgmake::Imgmake;
use crate::ground::web::{Transport, Web};
use crate::ground::{run, temporary, write};

#[test]
fn a_store_that_lies_in_the_context_is_not_in_the_image() {
    let project = project();
    let context = project.path().join("context");
    write(&context, "Dockerfile", "FROM scratch\nCOPY . /\n");
    let plain = digest(project.path(), &Imgmake::new(), &["--context=context"]);
    // The second is what an earlier job left, from another directory.
    for store in ["cache/store", ".imgmake/store"] {
        let path = context.join(store).display().to_string();
        let imgmake = || Imgmake::new().with("IMGMAKE_STORE", &path);
        for _ in 0..2 {
            let again = digest(project.path(), &imgmake(), &["--context=context"]);
            assert_eq!(again, plain, "{store}");
        }
        std::fs::remove_dir_all(context.join("cache")).ok();
    }
    let other = digest(project.path(), &Imgmake::new(), &["--context=context"]);
    assert_eq!(other, plain);
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

/// Repositories over HTTP, and no program to be found, as in an image from scratch.
fn without_programs() -> Imgmake {
    Imgmake::new()
        .with("GIT_PULL_METHOD", "http")
        .with("PATH", "/nowhere")
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
    let imgmake = without_programs();
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
        &["--context=http://", "has no reference `nowhere`", "`topic`"],
    );
    let argument = "--build-arg=BUILDKIT_CONTEXT_KEEP_GIT_DIR=0";
    write(directory.path(), "all", "FROM scratch\nCOPY . /\n");
    let whole = ["--dockerfile=all"];
    let with_git = of("", &whole);
    assert_eq!(of("", &whole), with_git, "the same repository");
    assert!(of("", &[&whole[..], &[argument]].concat()) != with_git);
    let outside = format!("--context=git://{}/app.git", web.host);
    imgmake.refused(
        directory.path(),
        &["kaniko", "--no-push", &outside, "--context-sub-path=none"],
        1,
        &["--context-sub-path=none"],
    );
}

#[test]
fn a_sub_path_and_the_dockerfile_beside_it_stay_in_the_context() {
    let directory = temporary();
    write(directory.path(), "context/inside/f", "x");
    write(directory.path(), "outside/f", "secret");
    write(
        directory.path(),
        "outside/Dockerfile",
        "FROM scratch\nCOPY f /\n",
    );
    write(
        directory.path(),
        "context/Dockerfile",
        "FROM scratch\nCOPY f /\n",
    );
    let link = |target: &str, name: &str| {
        let name = directory.path().join("context").join(name);
        std::os::unix::fs::symlink(target, name).unwrap();
    };
    link("../outside", "out");
    link("inside", "in");
    link("../outside/Dockerfile", "away");
    let context = format!("--context={}", directory.path().join("context").display());
    let file = |name: &str| {
        let path = directory.path().join("context").join(name);
        format!("--dockerfile={}", path.display())
    };
    let (imgmake, elsewhere) = (Imgmake::new(), temporary());
    for sub_path in ["inside", "in"] {
        let sub_path = format!("--context-sub-path={sub_path}");
        let digest = digest(
            elsewhere.path(),
            &imgmake,
            &[&context, &sub_path, &file("Dockerfile")],
        );
        assert!(digest.starts_with("sha256:"), "{digest}");
    }
    for (sub_path, name) in [("out", "Dockerfile"), ("inside", "away")] {
        let sub_path = format!("--context-sub-path={sub_path}");
        imgmake.refused(
            elsewhere.path(),
            &["kaniko", "--no-push", &context, &sub_path, &file(name)],
            1,
            &["leads out of"],
        );
    }
}

#[test]
fn the_login_of_a_repository_is_used_and_never_shown() {
    let web = Web::start(Transport::Plain, "ann:secret-word");
    repository(&web);
    let directory = temporary();
    let plain = format!("--context=git://{}/app.git", web.host);
    let inside = format!("--context=git://ann:secret-word@{}/app.git", web.host);
    let imgmake = without_programs;
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
        &["refused the login", "GIT_TOKEN"],
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

/// Each of these can be read once: a second look would find nothing.
#[test]
fn a_dockerfile_may_come_through_a_pipe() {
    let directory = temporary();
    let directory = directory.path();
    write(directory, "context/app.txt", "the application\n");
    let recipe = "FROM scratch\nCOPY app.txt /\n";
    write(directory, "Dockerfile", recipe);
    let imgmake = Imgmake::new();
    let program = imgmake.program().display().to_string();
    let arguments = "kaniko --context=context --no-push --digest-file=digest";
    let digest = |script: &str| {
        let mut shell = std::process::Command::new("bash");
        let ran = shell
            .args(["-c", script])
            .current_dir(directory)
            .env("IMGMAKE_STORE", directory.join("store"))
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "{script}: {}",
            String::from_utf8_lossy(&ran.stderr)
        );
        std::fs::read_to_string(directory.join("digest")).unwrap()
    };
    let of_file = digest(&format!("{program} {arguments} --dockerfile=Dockerfile"));
    for script in [
        format!("cat Dockerfile | {program} {arguments} --dockerfile=/dev/stdin"),
        format!("cat Dockerfile | {program} {arguments} --dockerfile=/dev/fd/0"),
        format!("{program} {arguments} --dockerfile=<(cat Dockerfile)"),
        format!("mkfifo pipe; cat Dockerfile > pipe & {program} {arguments} --dockerfile=pipe"),
    ] {
        assert_eq!(digest(&script), of_file, "{script}");
    }
}
