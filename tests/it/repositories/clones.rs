//! A clone has the files, references and history of git's, whatever part is asked for.

use super::*;
use crate::ground::web::{Transport, Web};

/// git's arguments and the same wish in ours.
fn wishes() -> Vec<(&'static str, Vec<&'static str>, CloneOf)> {
    let branch = |name: &str| CloneOf {
        branch: Some(name.into()),
        ..everything()
    };
    let single = |clone: CloneOf| CloneOf {
        single_branch: true,
        ..clone
    };
    let cut = |clone: CloneOf, depth: u32| CloneOf {
        depth: Some(depth),
        ..clone
    };
    vec![
        ("everything", vec![], everything()),
        ("a branch", vec!["--branch=topic/one"], branch("topic/one")),
        ("a tag object", vec!["--branch=v2"], branch("v2")),
        (
            "one branch",
            vec!["--single-branch", "--branch=topic/one"],
            single(branch("topic/one")),
        ),
        (
            "the default branch",
            vec!["--single-branch"],
            single(everything()),
        ),
        (
            "one tag",
            vec!["--single-branch", "--branch=v1"],
            single(branch("v1")),
        ),
        (
            "two commits",
            vec!["--depth=2", "--no-single-branch"],
            cut(everything(), 2),
        ),
        (
            "one commit",
            vec!["--depth=1", "--branch=topic/one"],
            single(cut(branch("topic/one"), 1)),
        ),
    ]
}

#[test]
fn every_kind_of_clone_is_the_one_that_git_makes() {
    let web = Web::start(Transport::Plain, "");
    rich(&web);
    for protocol in ["", "v0/"] {
        // What differs between the protocols is the asking, of which there are three kinds.
        let step = if protocol.is_empty() { 1 } else { 3 };
        for (what, arguments, clone) in wishes().into_iter().step_by(step) {
            let (theirs, ours) = (temporary(), temporary());
            let name = format!("{protocol}app.git");
            let url = format!("http://{}/{name}", web.host);
            git(
                theirs.path(),
                &[&["clone", "-q"], &arguments[..], &["--", &url, "."]].concat(),
            );
            client()
                .clone_to(&remote(&web, &name), &clone, ours.path())
                .unwrap();
            judge(&format!("{protocol}{what}"), theirs.path(), ours.path());
        }
    }
}

#[track_caller]
fn judge(what: &str, theirs: &Path, ours: &Path) {
    assert_eq!(listing(ours), listing(theirs), "{what}");
    assert_eq!(references(ours), references(theirs), "{what}");
    for question in [
        &["rev-parse", "HEAD"][..],
        &["rev-list", "--all", "--objects"],
        &["ls-files", "--stage"],
        &["branch", "-vv"],
        &["describe", "--tags", "--always", "--dirty"],
        &["status", "--porcelain", "--branch"],
        &["config", "--get-regexp", "^(remote|branch)\\."],
    ] {
        let sorted = |text: String| text.lines().map(String::from).collect::<BTreeSet<_>>();
        assert_eq!(
            sorted(git(ours, question)),
            sorted(git(theirs, question)),
            "{what}: {question:?}"
        );
    }
    git(ours, &["fsck", "--strict"]);
}

#[test]
fn submodules_come_in_each_other_and_git_goes_on_with_them() {
    let web = Web::start(Transport::Plain, "");
    rich(&web);
    let (theirs, ours) = (temporary(), temporary());
    let url = format!("http://{}/app.git", web.host);
    git(
        theirs.path(),
        &["clone", "-q", "--recurse-submodules", &url, "."],
    );
    let clone = CloneOf {
        submodules: Submodules::Recursive,
        ..everything()
    };
    client()
        .clone_to(&remote(&web, "app.git"), &clone, ours.path())
        .unwrap();
    assert_eq!(listing(ours.path()), listing(theirs.path()));
    assert!(ours.path().join("third/lib/in/deep/deep.txt").is_file());
    let status = ["submodule", "status", "--recursive"];
    let bare = |text: String| {
        let lines = text.lines();
        lines
            .map(|l| l.split(" (").next().unwrap().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        bare(git(ours.path(), &status)),
        bare(git(theirs.path(), &status))
    );
    assert_eq!(git(ours.path(), &["status", "--porcelain"]), "");
    // Moved elsewhere, as a COPY into an image does.
    let moved = temporary();
    run(
        "cp",
        &["-a", path(ours.path()), path(&moved.path().join("app"))],
    );
    let lib = moved.path().join("app/third/lib");
    assert_eq!(git(&lib, &["status", "--porcelain"]), "");
    assert_eq!(git(&lib, &["rev-list", "--count", "--all"]), "2");
}

#[test]
fn commits_and_other_references_are_where_the_files_come_from() {
    let web = Web::start(Transport::Plain, "");
    rich(&web);
    let bare = web.root().join("app.git");
    let first = git(&bare, &["rev-parse", "v1"]);
    let middle = git(&bare, &["rev-parse", "main~2"]);
    let of = |reference: &str, commit: Option<&str>, depth: Option<u32>| {
        let ours = temporary();
        let clone = CloneOf {
            reference: Some(reference.into()),
            commit: commit.map(String::from),
            depth,
            ..everything()
        };
        client()
            .clone_to(&remote(&web, "app.git"), &clone, ours.path())
            .unwrap();
        assert_eq!(git(ours.path(), &["status", "--porcelain"]), "");
        git(ours.path(), &["fsck"]);
        git(ours.path(), &["rev-parse", "HEAD"])
    };
    assert_eq!(of("refs/pull/7/head", None, None), first);
    assert_eq!(of(&middle, None, None), middle);
    assert_eq!(of(&middle, None, Some(1)), middle);
    assert_eq!(of("main", Some(&middle), Some(1)), middle);
    assert_eq!(of("refs/heads/topic/one", Some(&first), None), first);
    assert_eq!(
        of("refs/tags/v2", None, None),
        git(&bare, &["rev-parse", "v2^{}"])
    );
}

#[test]
fn what_is_not_there_is_named_with_what_there_is() {
    let web = Web::start(Transport::Plain, "");
    rich(&web);
    let empty = temporary();
    git(empty.path(), &["init", "-q"]);
    publish(&web, empty.path(), "empty.git");
    let refused = |name: &str, clone: CloneOf| {
        let ours = temporary();
        let error = client()
            .clone_to(&remote(&web, name), &clone, ours.path())
            .unwrap_err();
        text(error)
    };
    let of = |reference: &str| CloneOf {
        reference: Some(reference.into()),
        ..everything()
    };
    let gone = "0123456789012345678901234567890123456789";
    for (name, clone, says) in [
        ("app.git", of("nowhere"), "has no reference `nowhere`"),
        (
            "app.git",
            of("refs/pull/8/head"),
            "has no reference `refs/pull/8/head`",
        ),
        ("app.git", of(gone), "has no commit 0123456789"),
        ("v0/app.git", of(gone), "has no commit 0123456789"),
        ("gone.git", everything(), "not found"),
        ("empty.git", everything(), "is empty"),
        ("v0/empty.git", everything(), "is empty"),
    ] {
        let message = refused(name, clone);
        assert!(message.contains(says), "{name}: {message}");
    }
    write(&web.root(), "page.git/info/refs", "<html>");
    assert!(refused("page.git", everything()).contains("not found"));
}

#[test]
fn a_large_history_with_deltas_and_names_by_sha256_are_read() {
    let web = Web::start(Transport::Plain, "");
    let work = temporary();
    git(work.path(), &["init", "-q", "--object-format=sha256"]);
    for number in 0..300 {
        let text: String = (0..200)
            .map(|line| format!("{line} {}\n", line * number))
            .collect();
        write(work.path(), &format!("d{:02}/f{number}", number % 17), text);
    }
    commit(work.path(), "many");
    for number in 0..300 {
        let text: String = (0..200)
            .map(|line| format!("{line} {}\n", (line + 1) * number))
            .collect();
        write(work.path(), &format!("d{:02}/f{number}", number % 17), text);
    }
    commit(work.path(), "changed");
    publish(&web, work.path(), "many.git");
    git(
        &web.root().join("many.git"),
        &["repack", "-qadf", "--depth=50"],
    );
    for name in ["many.git", "v0/many.git"] {
        let (theirs, ours) = (temporary(), temporary());
        let url = format!("http://{}/{name}", web.host);
        git(theirs.path(), &["clone", "-q", &url, "."]);
        client()
            .clone_to(&remote(&web, name), &everything(), ours.path())
            .unwrap();
        judge(name, theirs.path(), ours.path());
    }
}
