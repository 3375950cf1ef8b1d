//! Commit, branch and tag are what git says.

use super::*;

fn told(directory: &Path) -> BTreeMap<String, String> {
    let questions: [(&str, &[&str]); 4] = [
        ("sha", &["rev-parse", "HEAD"]),
        ("short", &["rev-parse", "--short", "HEAD"]),
        ("branch", &["symbolic-ref", "--short", "-q", "HEAD"]),
        ("tag", &["describe", "--tags", "--exact-match"]),
    ];
    let ask = |arguments: &[&str]| {
        let output = std::process::Command::new("git")
            .args(arguments)
            .current_dir(directory)
            .output()
            .unwrap();
        let answer = String::from_utf8(output.stdout).unwrap().trim().to_string();
        (output.status.success() && !answer.is_empty()).then_some(answer)
    };
    questions
        .into_iter()
        .filter_map(|(name, arguments)| Some((name.to_string(), ask(arguments)?)))
        .collect()
}

#[track_caller]
fn same(directory: &Path) -> BTreeMap<String, String> {
    let ours = imgmake_git::facts(directory, &BTreeMap::new()).unwrap();
    assert_eq!(ours, told(directory));
    ours
}

fn tag_at(work: &Path, date: &str, arguments: &[&str]) {
    let all = [
        &[
            "-c",
            "advice.nestedTag=false",
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "tag",
        ],
        arguments,
    ]
    .concat();
    let made = std::process::Command::new("git")
        .args(all)
        .env("GIT_COMMITTER_DATE", date)
        .current_dir(work)
        .status();
    assert!(made.unwrap().success());
}

#[test]
fn facts_are_those_of_the_program() {
    let work = temporary();
    let place = work.path();
    assert!(same(place).is_empty());
    git(place, &["init", "-q"]);
    assert_eq!(same(place).len(), 1, "a branch without commits");
    write(place, "sub/f", "1");
    commit(place, "one");
    assert_eq!(same(place).len(), 3);
    same(&place.join("sub"));
    git(place, &["checkout", "-q", "-b", "feature/x"]);
    assert_eq!(same(place)["branch"], "feature/x");
    tag_at(place, "@1000 +0000", &["b-light"]);
    tag_at(place, "@1000 +0000", &["a-light"]);
    assert_eq!(same(place)["tag"], "a-light");
    tag_at(place, "@3000 +0000", &["-am", "x", "newer"]);
    tag_at(place, "@2000 +0000", &["-am", "x", "zolder"]);
    assert_eq!(same(place)["tag"], "newer");
    tag_at(place, "@4000 +0000", &["-am", "x", "of-a-tag", "zolder"]);
    same(place);
    git(place, &["pack-refs", "--all"]);
    git(place, &["gc", "-q"]);
    same(place);
    write(place, "sub/f", "2");
    commit(place, "two");
    assert!(!same(place).contains_key("tag"));
    git(place, &["checkout", "-q", "--detach", "HEAD~1"]);
    assert!(!same(place).contains_key("branch"));
    let linked = temporary();
    let tree = linked.path().join("tree");
    git(place, &["worktree", "add", "-q", path(&tree), "main"]);
    assert_eq!(same(&tree)["branch"], "main");
    git(place, &["config", "core.abbrev", "12"]);
    assert_eq!(same(place)["short"].len(), 12);
}

#[test]
fn a_checkout_of_another_user_has_them_too() {
    let work = temporary();
    git(work.path(), &["init", "-q"]);
    commit_nothing(work.path());
    let before = same(work.path());
    assert_eq!(before.len(), 3);
    run("chown", &["-R", "12345:12345", path(work.path())]);
    // git runs what a configuration says, so it wants to know whose it is. We run nothing.
    let ours = imgmake_git::facts(work.path(), &BTreeMap::new()).unwrap();
    assert_eq!(ours, before);
}

#[test]
fn what_only_git_can_read_is_left_to_it() {
    let work = temporary();
    git(work.path(), &["init", "-q"]);
    // As `git init --ref-format=reftable` says it; older programs cannot.
    let config = "[core]\n\trepositoryformatversion = 1\n[extensions]\n\trefStorage = reftable\n";
    write(work.path(), ".git/config", config);
    assert!(imgmake_git::facts(work.path(), &BTreeMap::new()).is_err());
    let other = temporary();
    git(other.path(), &["init", "-q", "--object-format=sha256"]);
    commit_nothing(other.path());
    assert_eq!(same(other.path())["sha"].len(), 64);
}

fn commit_nothing(work: &Path) {
    git(work, &["commit", "-q", "--allow-empty", "-m", "x"]);
}
