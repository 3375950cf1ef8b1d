//! `plan --since` names what a range of commits touches, also in a fresh clone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::ground::imgmake::Imgmake;
use crate::ground::{git, temporary, write};

const MANIFEST: &str = r#"
var LEVEL "1"
registry own "registry.example.com"
run assets { command "true"; inputs "web/src/**" "!web/src/*.md"; outputs "web/dist" }
build base { from "scratch"; copy "base" to="/" }
build web { from (target)base; copy "web/dist" to="/" }
build api { context "api"; args { LEVEL "${LEVEL}" } }
build tool { from "scratch"; copy "tool" to="/" }
run test { command "true" }
push release { images api; to own { tags "1" } }
group default web api tool
"#;

/// A repository whose branch `work` starts where `main` is.
fn repository() -> tempfile::TempDir {
    let top = temporary();
    let path = top.path();
    git(path, &["init"]);
    write(path, "imgmake.kdl", MANIFEST);
    write(path, ".gitignore", ".imgmake\nweb/dist\n");
    write(path, "base/etc", "1");
    write(path, "web/src/a.js", "1");
    write(path, "web/src/deep/b.js", "1");
    write(
        path,
        "api/Dockerfile",
        "FROM scratch\nARG LEVEL\nCOPY src/ /\n",
    );
    write(path, "api/.dockerignore", "**/*.log\n");
    write(path, "api/src/main.c", "1");
    write(path, "api/notes", "1");
    write(path, "tool/t", "1");
    write(path, "README.md", "1");
    commit(path);
    git(path, &["checkout", "-q", "-b", "work"]);
    top
}

fn commit(path: &Path) {
    git(path, &["add", "-A"]);
    git(path, &["commit", "-q", "-m", "one"]);
}

/// The targets that are touched, with their reasons.
fn touched(path: &Path, since: &str, targets: &[&str]) -> BTreeMap<String, Vec<String>> {
    let mut arguments = vec!["plan", "--since", since, "--format", "json"];
    arguments.extend(targets);
    let ran = Imgmake::new().ok(path, &arguments);
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    let targets = answer["targets"].as_array().unwrap().iter();
    let reasons = |target: &Value| -> Vec<String> {
        let reasons = target["reasons"].as_array().unwrap().iter();
        reasons
            .map(|reason| reason["text"].as_str().unwrap().to_string())
            .collect()
    };
    targets
        .filter(|target| target["state"] != "untouched")
        .map(|target| {
            (
                target["name"].as_str().unwrap().to_string(),
                reasons(target),
            )
        })
        .collect()
}

fn names(path: &Path, since: &str) -> Vec<String> {
    touched(path, since, &[]).into_keys().collect()
}

#[test]
fn a_fresh_clone_knows_what_a_branch_touches() {
    let top = repository();
    let path = top.path();
    assert!(names(path, "main").is_empty(), "nothing has changed");
    write(path, "README.md", "2");
    write(path, "web/src/notes.md", "2");
    write(path, "api/notes", "2");
    write(path, "api/src/x.log", "2");
    commit(path);
    assert!(names(path, "main").is_empty(), "nobody reads these");
    write(path, "api/src/main.c", "2");
    commit(path);
    assert_eq!(names(path, "main"), ["api"]);
    fs::remove_file(path.join("web/src/deep/b.js")).unwrap();
    commit(path);
    let expected = BTreeMap::from([
        ("api".to_string(), vec!["file api/src/main.c".to_string()]),
        (
            "assets".to_string(),
            vec!["file web/src/deep/b.js".to_string()],
        ),
        (
            "web".to_string(),
            vec!["dependency assets is touched".to_string()],
        ),
    ]);
    assert_eq!(touched(path, "main", &[]), expected);

    // Without state, by another name of the same commit, and only as deep as needed.
    let clones = temporary();
    let clone = clones.path().join("clone");
    let url = format!("file://{}", path.display());
    git(
        clones.path(),
        &["clone", "-q", "--no-local", "-b", "work", &url, "clone"],
    );
    assert_eq!(touched(&clone, "origin/main", &[]), expected);
    assert_eq!(names(&clone, "HEAD~1"), ["assets", "web"]);
    assert_eq!(names(&clone, "HEAD^"), ["assets", "web"]);
    let before = git(&clone, &["rev-parse", "--short", "origin/main"]);
    assert_eq!(touched(&clone, before.trim(), &[]), expected);
    git(&clone, &["tag", "-a", "-m", "one", "v1", "origin/main"]);
    git(&clone, &["pack-refs", "--all"]);
    git(&clone, &["update-index", "--index-version", "4"]);
    assert_eq!(touched(&clone, "v1", &[]), expected);
    assert!(!clone.join(".imgmake").exists(), "it only looks");

    // For people, and for a matrix: of what was asked for, not of what that needs.
    let imgmake = Imgmake::new();
    let text = imgmake.ok(&clone, &["plan", "--since", "v1"]).stdout;
    assert_eq!(
        text,
        "run    assets  file web/src/deep/b.js\nbuild  web     dependency assets is touched\nbuild  api     file api/src/main.c\n"
    );
    let matrix = |since: &str, target: &str| {
        let arguments = [
            "plan",
            "--since",
            since,
            "--format",
            "github-matrix",
            target,
        ];
        imgmake.ok(&clone, &arguments).stdout
    };
    assert_eq!(
        matrix("v1", "default"),
        "{\"include\":[{\"target\":\"web\",\"kind\":\"build\"},{\"target\":\"api\",\"kind\":\"build\"}]}\n"
    );
    assert_eq!(matrix("HEAD", "default"), "{\"include\":[]}\n");
    // Nobody knows what it reads.
    assert_eq!(
        matrix("HEAD", "test"),
        "{\"include\":[{\"target\":\"test\",\"kind\":\"run\"}]}\n"
    );
    let text = imgmake.ok(&clone, &["plan", "--since", "HEAD"]).stdout;
    assert!(
        text.starts_with("no target is touched by changes since `HEAD` ("),
        "{text}"
    );
    // What was not built is stale; the requested ones are jobs.
    let all = imgmake.ok(&clone, &["plan", "--format", "github-matrix", "tool"]);
    assert_eq!(
        all.stdout,
        "{\"include\":[{\"target\":\"tool\",\"kind\":\"build\"}]}\n"
    );
}

#[test]
fn what_changed_on_the_other_branch_does_not_count() {
    let top = repository();
    let path = top.path();
    write(path, "tool/t", "2");
    commit(path);
    git(path, &["checkout", "-q", "main"]);
    write(path, "base/etc", "2");
    write(path, "api/src/main.c", "2");
    commit(path);
    git(path, &["checkout", "-q", "work"]);
    assert_eq!(names(path, "main"), ["tool"]);
    git(path, &["merge", "-q", "--no-edit", "main"]);
    assert_eq!(names(path, "main"), ["tool"], "merged");
    assert_eq!(names(path, "HEAD^2"), ["tool"]);
    assert_eq!(names(path, "HEAD^1"), ["api", "base", "web"]);

    // Of a clone that has no common commit, what changed there counts too, and it says so.
    let clones = temporary();
    let url = format!("file://{}", path.display());
    git(
        clones.path(),
        &["clone", "-q", "--depth", "1", "-b", "work", &url, "clone"],
    );
    let clone = clones.path().join("clone");
    let imgmake = Imgmake::new();
    imgmake.refused(
        &clone,
        &["plan", "--since", "origin/main"],
        2,
        &[
            "`--since origin/main`: revision not found",
            "fetch-depth: 0",
        ],
    );
    git(
        &clone,
        &[
            "fetch",
            "-q",
            "--depth",
            "1",
            "origin",
            "main:refs/remotes/origin/main",
        ],
    );
    let ran = imgmake.ok(&clone, &["plan", "--since", "origin/main"]);
    assert!(ran.stderr.contains("common commit of"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "build  tool  file tool/t\n");
}

#[test]
fn a_change_of_the_manifest_touches_the_targets_that_it_is_about() {
    let top = repository();
    let path = top.path();
    let edit = |from: &str, to: &str| {
        let text = fs::read_to_string(path.join("imgmake.kdl")).unwrap();
        assert!(text.contains(from), "{from}");
        write(path, "imgmake.kdl", text.replace(from, to));
        commit(path);
    };
    let after = |from: &str, to: &str| {
        edit(from, to);
        touched(path, "HEAD~1", &["*"])
    };
    let settings = "its settings changed in the manifest";
    let touches = |reasons: BTreeMap<String, Vec<String>>| -> Vec<String> {
        let mut reasons = reasons;
        reasons.remove("test");
        let lines = reasons.into_iter();
        lines
            .map(|(name, why)| format!("{name}: {}", why.join(", ")))
            .collect()
    };
    // Every place moves.
    assert!(touches(after("var LEVEL", "// A comment.\n\nvar LEVEL")).is_empty());
    assert_eq!(
        touches(after("var LEVEL \"1\"", "var LEVEL \"2\"")),
        [
            format!("api: {settings}"),
            "release: dependency api is touched".to_string()
        ]
    );
    assert_eq!(
        touches(after("copy \"tool\" to=\"/\"", "copy \"tool\" to=\"/t\"")),
        [format!("tool: {settings}")]
    );
    assert_eq!(
        touches(after("registry.example.com", "registry.example.org")),
        [format!("release: {settings}")]
    );
    assert_eq!(
        touches(after(
            "build tool",
            "build more { from \"scratch\"; copy \"tool\" to=\"/\" }\nbuild tool"
        )),
        ["more: new in the manifest"]
    );
    // One that is wrong by what is required today cannot be compared.
    edit("run test", "nonsense\nrun test");
    git(path, &["commit", "-q", "--amend", "--no-edit"]);
    edit("nonsense\n", "");
    let all = touched(path, "HEAD~1", &["tool"]);
    let reason = "the manifest changed, and its former version cannot be read";
    assert_eq!(all["tool"], [reason]);
    // An include, and an env-file that git does not know.
    write(
        path,
        "more/imgmake.kdl",
        "build m { from \"scratch\"; copy \"x\" to=\"/\" }",
    );
    write(path, "more/x", "1");
    write(path, ".gitignore", ".imgmake\n.env\n");
    write(path, ".env", "SIZE=1\n");
    edit(
        "var LEVEL",
        "imgmake version=1 { env-file \".env\" }\ninclude \"*/imgmake.kdl\"\nvar LEVEL",
    );
    assert_eq!(
        touched(path, "HEAD~1", &["*"])["more:m"],
        ["new in the manifest", "file more/x"]
    );
    write(
        path,
        "more/imgmake.kdl",
        "build m { from \"scratch\"; copy \"x\" to=\"/x\" }",
    );
    commit(path);
    assert_eq!(
        touches(touched(path, "HEAD~1", &["*"])),
        [format!("more:m: {settings}")]
    );
    // Where the manifest's folder is gone, its targets are too.
    fs::remove_dir_all(path.join("tool")).unwrap();
    commit(path);
    assert_eq!(touched(path, "HEAD~1", &["tool"])["tool"], ["file tool/t"]);
}

#[test]
fn what_is_not_committed_counts_as_far_as_git_tracks_it() {
    let top = repository();
    let path = top.path();
    write(path, "tool/t", "2");
    assert_eq!(names(path, "HEAD"), ["tool"], "not staged");
    git(path, &["add", "-A"]);
    assert_eq!(names(path, "HEAD"), ["tool"], "staged");
    write(path, "tool/t", "1");
    assert!(names(path, "HEAD").is_empty(), "as before");
    write(path, "tool/new", "1");
    assert!(names(path, "HEAD").is_empty(), "not tracked");
    git(path, &["add", "-N", "tool/new"]);
    assert_eq!(names(path, "HEAD"), ["tool"], "tracked");
    git(path, &["rm", "-q", "--cached", "tool/new"]);
    git(path, &["reset", "-q", "--hard"]);
    fs::set_permissions(path.join("base/etc"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(names(path, "HEAD"), ["base", "web"], "its mode");
    fs::set_permissions(path.join("base/etc"), fs::Permissions::from_mode(0o644)).unwrap();
    // Same size, same second: only the content tells.
    write(path, "api/src/main.c", "9");
    assert_eq!(names(path, "HEAD"), ["api"]);
    fs::remove_file(path.join("api/src/main.c")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", path.join("api/src/main.c")).unwrap();
    assert_eq!(names(path, "HEAD"), ["api"], "a link now");
}

/// git itself is asked, too.
#[test]
fn lines_that_git_would_store_as_they_were_are_unchanged() {
    let top = repository();
    let path = top.path();
    let file = "api/src/main.c";
    write(path, file, "one\ntwo\n");
    commit(path);
    let changes = |what: &str, content: &str| {
        write(path, file, content);
        let found = names(path, "HEAD");
        let by_git = git(path, &["diff", "--name-only", "HEAD", "--", file]);
        assert_eq!(found.is_empty(), by_git.is_empty(), "{what}: {by_git}");
        !found.is_empty()
    };
    let dos = "one\r\ntwo\r\n";
    let set = |value: &str| drop(git(path, &["config", "core.autocrlf", value]));
    set("false");
    assert!(changes("nothing is converted", dos));
    set("input");
    assert!(!changes("lines are converted", dos));
    assert!(!changes("some lines are", "one\r\ntwo\n"));
    assert!(changes("what is not text is kept", "one\r\ntwo\r\n\0"));
    write(path, ".gitattributes", "*.c -text\n");
    assert!(changes("it is said not to be text", dos));
    write(path, "api/.gitattributes", "*.c text=auto\n");
    set("false");
    assert!(!changes("the nearest file counts", dos));
    write(path, ".git/info/attributes", "*.c -crlf -text\n");
    assert!(changes("what is not committed counts more", dos));
    write(path, ".git/info/attributes", "main.c eol=crlf -crlf\n");
    fs::remove_file(path.join("api/.gitattributes")).unwrap();
    fs::remove_file(path.join(".gitattributes")).unwrap();
    assert!(changes("older attributes count", dos));
    write(path, ".git/info/attributes", "main.c eol=crlf\n");
    assert!(!changes("what has line ends is text", dos));
    fs::remove_file(path.join(".git/info/attributes")).unwrap();

    // Of the user.
    git(path, &["config", "--unset", "core.autocrlf"]);
    write(path, file, dos);
    let home = temporary();
    write(home.path(), ".gitconfig", "[core]\n\tautocrlf = true\n");
    let is_touched = |name: &str, value: &Path| {
        let imgmake = Imgmake::new();
        let mut command = imgmake.command(path);
        let command = command.env(name, value).current_dir(path);
        let answer = command.args(["plan", "--since", "HEAD"]).output().unwrap();
        let text = crate::ground::succeeded("imgmake", &answer);
        !text.starts_with("no target is touched")
    };
    assert!(!is_touched("HOME", home.path()));
    let file = home.path().join(".gitconfig");
    assert!(!is_touched("GIT_CONFIG_GLOBAL", &file));
    assert!(is_touched("GIT_CONFIG_GLOBAL", Path::new("/dev/null")));
}

#[test]
fn manifests_behind_links_are_compared_with_what_they_were() {
    let top = repository();
    let path = top.path();
    let link = |target: &str, name: &str| {
        drop(fs::remove_file(path.join(name)));
        std::os::unix::fs::symlink(target, path.join(name)).unwrap();
    };
    let settings = "its settings changed in the manifest";
    let head =
        format!("imgmake version=1 {{ env-file \".env\" }}\ninclude \"more.kdl\"\n{MANIFEST}");
    let more = "build m { from \"scratch\"; copy \"tool\" to=\"/\" }\n";
    write(path, "conf/main.kdl", &head);
    write(path, "conf/deep/more.kdl", more);
    write(path, "env/dev", "LEVEL=1\n");
    write(path, "env/other", "LEVEL=7\n");
    link("conf/main.kdl", "imgmake.kdl");
    link("conf/deep", "links");
    link("links/../deep/./more.kdl", "more.kdl");
    // Nobody tracks this one.
    link("env/dev", ".env");
    write(path, ".gitignore", ".imgmake\n.env\n");
    commit(path);
    assert!(names(path, "HEAD").is_empty());
    let says = |name: &str| {
        let mut all = touched(path, "HEAD", &["*"]);
        all.remove("test");
        all.remove("release");
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(name).unwrap()
    };
    let reset = || drop(git(path, &["reset", "-q", "--hard"]));
    write(
        path,
        "conf/main.kdl",
        head.replace("\"tool\" to=\"/\"", "\"tool\" to=\"/t\""),
    );
    assert_eq!(says("tool"), [settings]);
    reset();
    write(path, "conf/deep/more.kdl", more.replace("\"/\"", "\"/m\""));
    assert_eq!(says("m"), [settings]);
    reset();
    write(path, "env/dev", "LEVEL=2\n");
    assert_eq!(says("api"), [settings]);
    reset();
    // A link leads elsewhere.
    write(
        path,
        "conf/second.kdl",
        head.replace("\"tool\" to=\"/\"", "\"tool\" to=\"/u\""),
    );
    link("conf/second.kdl", "imgmake.kdl");
    assert_eq!(says("tool"), [settings]);
    reset();
    // It was outside, as far as the commit knows.
    let outside = temporary();
    write(outside.path(), "env", "LEVEL=1\n");
    link(outside.path().join("env").to_str().unwrap(), ".env");
    git(path, &["add", "-f", ".env"]);
    git(path, &["commit", "-q", "-m", "outside"]);
    link("env/dev", ".env");
    let all = touched(path, "HEAD", &["tool"]);
    assert_eq!(
        all["tool"],
        ["the manifest changed, and its former version cannot be read"]
    );
}

#[test]
fn directories_outside_of_a_sparse_checkout_are_compared() {
    let top = repository();
    let path = top.path();
    write(path, "tool/deep/t", "1");
    write(path, "tool/deep/u", "1");
    commit(path);
    write(path, "tool/deep/t", "2");
    commit(path);
    write(path, "base/etc", "2");
    commit(path);
    git(
        path,
        &["sparse-checkout", "set", "--cone", "--sparse-index", "api"],
    );
    let entries = git(path, &["ls-files", "--sparse"]);
    assert!(entries.lines().any(|line| line == "tool/"), "{entries}");
    assert!(names(path, "HEAD").is_empty());
    assert_eq!(names(path, "HEAD~1"), ["base", "web"]);
    let since = touched(path, "HEAD~2", &["tool"]);
    assert_eq!(since["tool"], ["file tool/deep/t"]);
    let since = touched(path, "HEAD~3", &["tool"]);
    assert_eq!(since["tool"], ["file tool/deep/t", "file tool/deep/u"]);
}

#[test]
fn a_revision_is_never_an_option() {
    let top = repository();
    let path = top.path();
    let imgmake = Imgmake::new();
    let outside = temporary();
    let output = format!("--since=--output={}", outside.path().join("x").display());
    for (argument, says) in [
        (output.as_str(), "revision not found"),
        ("--since=-x", "revision not found"),
        ("--since=$(touch /tmp/x)", "revision not found"),
        ("--since=/etc/passwd", "revision not found"),
        ("--since=mian", "did you mean `main`?"),
        ("--since=main..work", "it ends with the files that are here"),
        ("--since=HEAD~5", "there is no such parent"),
        ("--since=HEAD~99999999999999999999", "expected `~N` or `^N`"),
        ("--since=HEAD^{tree}", "expected `~N` or `^N`"),
        ("--since=HEAD~0é", "expected `~N` or `^N`"),
        ("--since=HEAD^0é", "expected `~N` or `^N`"),
        ("--since=HEAD~0x~2", "expected `~N` or `^N`"),
        ("--since=HEAD@{1}", "revision not found"),
        (
            "--since=0000000000000000000000000000000000000000",
            "revision not found",
        ),
    ] {
        imgmake.refused(path, &["plan", argument], 2, &["`--since ", says]);
    }
    // A tree is no commit.
    let tree = git(path, &["rev-parse", "HEAD^{tree}"]);
    let tree = format!("--since={}", tree.trim());
    imgmake.refused(path, &["plan", &tree], 2, &["expected a commit"]);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    // Nothing is compared where nothing is known.
    let bare = temporary();
    write(bare.path(), "imgmake.kdl", "build a { from \"scratch\" }");
    imgmake.refused(
        bare.path(),
        &["plan", "--since", "main"],
        2,
        &["is not in a git checkout"],
    );
    imgmake.refused(
        path,
        &["plan", "--since", "main", "--force"],
        2,
        &["cannot be used with"],
    );
}
