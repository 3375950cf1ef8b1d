//! Names, links and submodules of a hostile repository lead nowhere.

use std::io::Write;
use std::process::{Command, Stdio};

use super::*;
use crate::ground::web::{Transport, Web};

/// Writes an object of any content into a repository.
fn object(repository: &Path, kind: &str, content: &[u8]) -> String {
    let mut child = Command::new("git")
        .args(["-C", path(repository), "-c", "safe.directory=*"])
        .args(["hash-object", "-w", "--literally", "--stdin", "-t", kind])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(content).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

fn tree(repository: &Path, entries: &[(&str, &str, &str)]) -> String {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        bytes.extend_from_slice(&hex::decode(id).unwrap());
    }
    object(repository, "tree", &bytes)
}

/// A branch `main` whose root is the tree.
fn stand_on(repository: &Path, tree: &str) -> String {
    let text = format!("tree {tree}\nauthor t <t@t> 0 +0000\ncommitter t <t@t> 0 +0000\n\nx\n");
    let commit = object(repository, "commit", text.as_bytes());
    std::fs::write(repository.join("refs/heads/main"), format!("{commit}\n")).unwrap();
    commit
}

fn bare(web: &Web, name: &str) -> std::path::PathBuf {
    let place = web.root().join(name);
    git(&web.root(), &["init", "-q", "--bare", path(&place)]);
    place
}

/// What comes of cloning it: the error, and that nothing lies beside the clone.
fn refusal(web: &Web, submodules: Submodules) -> String {
    let around = temporary();
    let place = around.path().join("a/b/clone");
    std::fs::create_dir_all(&place).unwrap();
    let clone = CloneOf {
        submodules,
        ..everything()
    };
    let error = client().clone_to(&remote(web, "bad.git"), &clone, &place);
    let error = error.expect_err("git does not check this out either");
    let beside: Vec<String> = listing(around.path()).into_keys().collect();
    let beside: Vec<&String> = beside
        .iter()
        .filter(|name| !name.starts_with("a/b/clone/"))
        .collect();
    assert_eq!(beside, ["a", "a/b", "a/b/clone"]);
    let hooks = place.join(".git/hooks");
    assert!(!hooks.exists());
    text(error)
}

#[test]
fn names_that_lead_out_or_into_the_git_directory_are_refused() {
    let web = Web::start(Transport::Plain, "");
    let repository = bare(&web, "bad.git");
    let file = object(&repository, "blob", b"evil\n");
    let inner = tree(&repository, &[("100755", "post-checkout", &file)]);
    let hooks = tree(&repository, &[("40000", "hooks", &inner)]);
    for name in [
        "..",
        ".",
        ".git",
        ".GIT",
        ".Git",
        "git~1",
        ".git\u{200c}",
        "..\\..\\x/..",
        "a/b",
        "/etc",
        ".git.",
        ".git::$INDEX_ALLOCATION",
    ] {
        for (mode, id) in [("40000", &hooks), ("100644", &file), ("120000", &file)] {
            let root = tree(&repository, &[(mode, name, id)]);
            stand_on(&repository, &root);
            let said = refusal(&web, Submodules::Leave);
            assert!(said.contains("cannot check out"), "{name:?} {mode}: {said}");
        }
        // Deeper down as well.
        let root = tree(&repository, &[("40000", name, &hooks)]);
        let root = tree(&repository, &[("40000", "sub", &root)]);
        stand_on(&repository, &root);
        refusal(&web, Submodules::Leave);
    }
}

#[test]
fn a_link_is_never_followed_by_what_comes_after_it() {
    let web = Web::start(Transport::Plain, "");
    let repository = bare(&web, "bad.git");
    let outside = object(&repository, "blob", b"../..");
    let into_git = object(&repository, "blob", b".git/hooks");
    let file = object(&repository, "blob", b"evil\n");
    let inner = tree(&repository, &[("100755", "post-checkout", &file)]);
    for target in [&outside, &into_git] {
        for entries in [
            &[("120000", "d", target.as_str()), ("40000", "d", &inner)][..],
            &[("40000", "d", &inner), ("120000", "d", target)],
            &[("120000", "d", target), ("100644", "d", &file)],
        ] {
            let root = tree(&repository, entries);
            stand_on(&repository, &root);
            let said = refusal(&web, Submodules::Leave);
            assert!(said.contains("duplicate file name"), "{said}");
        }
    }
    let modules = tree(&repository, &[("120000", ".gitmodules", &file)]);
    stand_on(&repository, &modules);
    refusal(&web, Submodules::Recursive);
}

#[test]
fn submodules_stay_inside_and_are_fetched_from_servers_only() {
    let web = Web::start(Transport::Plain, "");
    let repository = bare(&web, "bad.git");
    let some = stand_on(&repository, &tree(&repository, &[]));
    for (name, url) in [
        ("../../../evil", "../bad.git"),
        ("x/../../evil", "../bad.git"),
        ("/tmp/evil", "../bad.git"),
        ("lib", "file:///etc"),
        ("lib", "/etc"),
        ("lib", "ext::sh -c evil"),
        ("lib", "ssh://-oProxyCommand=evil/x"),
        ("lib", "-u./evil:x"),
    ] {
        let text =
            format!("[submodule \"{name}\"]\n\tpath = lib\n\turl = {url}\n\tupdate = !evil\n");
        let modules = object(&repository, "blob", text.as_bytes());
        let root = tree(
            &repository,
            &[
                ("100644", ".gitmodules", &modules),
                ("160000", "lib", &some),
            ],
        );
        stand_on(&repository, &root);
        let said = refusal(&web, Submodules::Recursive);
        assert!(said.contains("submodule `lib`"), "{name} {url}: {said}");
    }
}

#[test]
fn a_repository_within_itself_comes_to_an_end() {
    let web = Web::start(Transport::Plain, "");
    let repository = bare(&web, "bad.git");
    let text = "[submodule \"again\"]\n\tpath = again\n\turl = ../bad.git\n";
    let modules = object(&repository, "blob", text.as_bytes());
    // A commit cannot hold itself; a chain of them is as good.
    let mut commit = stand_on(&repository, &tree(&repository, &[]));
    for _ in 0..20 {
        let root = tree(
            &repository,
            &[
                ("100644", ".gitmodules", &modules),
                ("160000", "again", &commit),
            ],
        );
        commit = stand_on(&repository, &root);
    }
    let said = refusal(&web, Submodules::Recursive);
    assert!(
        said.contains("submodules within each other") && said.contains("16 levels"),
        "{said}"
    );
    let mut deep = tree(&repository, &[]);
    for _ in 0..500 {
        deep = tree(&repository, &[("40000", "d", &deep)]);
    }
    stand_on(&repository, &deep);
    let said = refusal(&web, Submodules::Leave);
    assert!(
        said.contains("directories within each other: limit of 400 levels"),
        "{said}"
    );
}
