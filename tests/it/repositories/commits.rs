//! One commit's files, as ADD takes them.

use super::*;
use crate::ground::imgmake::Imgmake;
use crate::ground::tree::unpack;
use crate::ground::web::{Transport, Web};

fn checkout(web: &Web, name: &str, commit: &str, git_directory: GitDirectory) -> tempfile::TempDir {
    let place = temporary();
    let done = client().checkout(
        &remote(web, name),
        commit,
        place.path(),
        git_directory,
        Submodules::Recursive,
    );
    done.unwrap_or_else(|error| panic!("{name}: {}", text(error)));
    place
}

#[test]
fn names_become_commits_as_git_takes_them() {
    let web = Web::start(Transport::Plain, "");
    rich(&web);
    let bare = web.root().join("app.git");
    for name in ["app.git", "v0/app.git"] {
        for reference in [
            "HEAD",
            "main",
            "topic/one",
            "v1",
            "v2",
            "refs/tags/v3",
            "refs/pull/7/head",
            "pull/7/head",
        ] {
            let resolved = client().resolve(&remote(&web, name), reference).unwrap();
            let told = git(&bare, &["rev-parse", &format!("{reference}^{{}}")]);
            assert_eq!(resolved, told, "{name} {reference}");
        }
        let error = client()
            .resolve(&remote(&web, name), "topik/one")
            .unwrap_err();
        let imgmake_git::GitError::ReferenceNotFound { existing, .. } = error.root() else {
            panic!("{error}")
        };
        assert!(existing.contains(&"topic/one".to_string()));
    }
}

#[test]
fn any_commit_is_checked_out_also_where_servers_give_none_alone() {
    let web = Web::start(Transport::Plain, "");
    rich(&web);
    let theirs = temporary();
    let url = format!("http://{}/app.git", web.host);
    git(
        theirs.path(),
        &["clone", "-q", "--recurse-submodules", &url, "."],
    );
    git(
        theirs.path(),
        &["checkout", "-q", "--recurse-submodules", "main~3"],
    );
    let commit = git(theirs.path(), &["rev-parse", "HEAD"]);
    // The older protocol gives what a reference names, and nothing else alone.
    for name in ["app.git", "v0/app.git"] {
        let ours = checkout(&web, name, &commit, GitDirectory::Remove);
        assert_eq!(listing(ours.path()), listing(theirs.path()), "{name}");
        assert!(!ours.path().join(".git").exists());
        assert!(!ours.path().join("third/lib/.git").exists());
    }
    let place = temporary();
    let gone = "0123456789012345678901234567890123456789";
    for name in ["app.git", "v0/app.git"] {
        let remote = remote(&web, name);
        let done = client().checkout(
            &remote,
            gone,
            place.path(),
            GitDirectory::Remove,
            Submodules::Leave,
        );
        assert!(text(done.unwrap_err()).contains("has no commit 0123"));
    }
}

/// Everything in a `.git`, with modes and contents.
fn git_directory(checkout: &Path) -> BTreeMap<String, String> {
    listing(&checkout.join(".git"))
}

#[test]
fn the_git_directory_of_a_commit_has_the_same_bytes_however_it_was_packed() {
    let web = Web::start(Transport::Plain, "");
    let work = temporary();
    git(work.path(), &["init", "-q"]);
    for number in 0..150 {
        let text: String = (0..100)
            .map(|line| format!("{line} {}\n", line * number))
            .collect();
        write(work.path(), &format!("f{number}"), text);
    }
    commit(work.path(), "many");
    publish(&web, work.path(), "app.git");
    let commit = git(work.path(), &["rev-parse", "HEAD"]);
    let first = checkout(&web, "app.git", &commit, GitDirectory::Keep);
    git(
        &web.root().join("app.git"),
        &["repack", "-qadfF", "--depth=2", "--window=3"],
    );
    let second = checkout(&web, "app.git", &commit, GitDirectory::Keep);
    assert_eq!(git_directory(first.path()), git_directory(second.path()));
    for place in [first.path(), second.path()] {
        git(place, &["fsck", "--strict"]);
        assert_eq!(git(place, &["status", "--porcelain"]), "");
        assert_eq!(git(place, &["rev-parse", "HEAD"]), commit);
        assert_eq!(git(place, &["rev-list", "--count", "HEAD"]), "1");
    }
    let packs = std::fs::read_dir(first.path().join(".git/objects/pack")).unwrap();
    assert_eq!(packs.count(), 2, "a pack and its index");
}

#[test]
fn the_modes_are_gits_whatever_the_umask() {
    let web = Web::start(Transport::Plain, "");
    rich(&web);
    let commit = git(&web.root().join("app.git"), &["rev-parse", "main"]);
    let ours = checkout(&web, "app.git", &commit, GitDirectory::Keep);
    let all = listing(ours.path());
    assert!(all["bin/tool"].starts_with("file 755"));
    assert!(all["plain"].starts_with("file 644"));
    assert_eq!(all["sub"], "dir 755");
    assert!(git_directory(ours.path())["HEAD"].starts_with("file 644"));
}

#[test]
fn add_takes_a_private_repository_where_there_is_no_program() {
    let web = Web::start(Transport::Plain, "x-access-token:a-secret-word");
    rich(&web);
    let project = temporary();
    let place = project.path();
    let source = format!("http://{}/lib.git", web.host);
    let dockerfile = format!("FROM scratch\nADD --keep-git-dir=true {source}#main /lib/\n");
    write(place, "Dockerfile", dockerfile);
    write(
        place,
        "imgmake.kdl",
        "secret \"GIT_AUTH_TOKEN.127.0.0.1\" env=\"TOKEN\" optional=#true\nbuild app { context \".\"; secrets \"GIT_AUTH_TOKEN.127.0.0.1\"; tar \"app.tar\" }\n",
    );
    let imgmake = || Imgmake::new().with("PATH", "/nowhere");
    // The submodule within it wants the login too, being on the same server.
    let made = imgmake().with("TOKEN", "a-secret-word");
    made.ok(place, &["run"]);
    let tree = unpack(&format!("oci-archive:{}", path(&place.join("app.tar")))).tree;
    assert!(
        tree.keys()
            .any(|name| name.ends_with("lib/in/deep/deep.txt")),
        "{tree:?}"
    );
    assert!(
        tree.keys().any(|name| name.ends_with("lib/.git/HEAD")),
        "{tree:?}"
    );
    let without = imgmake().refused(
        place,
        &["run", "--pull"],
        1,
        &["Dockerfile:2", "requires a login", "GIT_AUTH_TOKEN"],
    );
    let wrong = imgmake().with("TOKEN", "a-secret-lie");
    let wrong = wrong.refused(
        place,
        &["run", "--pull"],
        1,
        &["Dockerfile:2", "refused the login"],
    );
    for said in [without.stderr, wrong.stderr] {
        assert!(!said.contains("secret-"), "{said}");
    }
}
