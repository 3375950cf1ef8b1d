//! `reproduce` builds from nothing, twice, and leaves nothing: neither in the project, nor in a registry, nor as
//! copies or processes.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::ground::images::bases;
use crate::ground::imgmake::{Imgmake, Ran, User};
use crate::ground::registry::Registry;
use crate::ground::{git, run, temporary, write};

const DIFFER: i32 = 6;

#[track_caller]
fn same(ran: &Ran) {
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.starts_with("the same image: sha256:"), "{ran:?}");
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn caches_of_the_manifest_are_neither_read_nor_written() {
    let directory = temporary();
    let path = directory.path();
    let registry = Registry::start();
    let base = bases();
    let manifest = format!(
        "imgmake version=1 {{\n  cache {{ registry ref=\"{}/cache\" }}\n}}\nbuild app {{ context \".\" }}\n",
        registry.host
    );
    write(path, "imgmake.kdl", manifest);
    write(
        path,
        "Dockerfile",
        format!(
            "FROM {}/library/busybox\nRUN head -c 99 /dev/urandom > /random\n",
            base.host
        ),
    );
    let imgmake = Imgmake::new();
    imgmake.ok(path, &[]);
    let before = registry.requests();
    assert!(!before.is_empty());
    let ran = imgmake.run(path, &["reproduce", "app"]);
    assert_eq!(ran.code, DIFFER, "{ran:?}");
    assert!(ran.stdout.contains("/random"), "{ran:?}");
    assert_eq!(registry.requests(), before);
}

#[test]
fn what_was_made_before_is_made_again() {
    let directory = temporary();
    let path = directory.path();
    let manifest = r#"
run stamp { command "test -f stamp || date +%s%N >stamp"; outputs "stamp" }
run object { command "mkdir -p obj; test -f obj/x || date +%s%N >obj/x; cp obj/x linked"; outputs "linked" }
build stamped { from "scratch"; copy "stamp" to="/stamp" }
build linked { from "scratch"; copy "linked" to="/linked" }
"#;
    write(path, "imgmake.kdl", manifest);
    write(path, ".gitignore", "obj/\n");
    git(path, &["init", "-q"]);
    let imgmake = Imgmake::new();
    imgmake.ok(path, &["stamped", "linked"]);
    for (target, made) in [("stamped", "`stamp`"), ("linked", "`obj`")] {
        let ran = imgmake.run(path, &["reproduce", target]);
        assert_eq!(ran.code, DIFFER, "{ran:?}");
        assert!(ran.stderr.contains("note: not copied"), "{ran:?}");
        assert!(ran.stderr.contains(made), "{ran:?}");
    }
    same(&imgmake.run(path, &["reproduce", "linked", "--ignored"]));
    assert!(path.join("stamp").exists() && path.join("obj/x").exists());
}

#[test]
fn a_build_that_needs_what_git_ignores_says_how_to_copy_it() {
    let directory = temporary();
    let path = directory.path();
    let manifest = "build app { from \"scratch\"; copy \"vendor/x\" to=\"/x\" }\n";
    write(path, "imgmake.kdl", manifest);
    write(path, ".gitignore", "vendor/\n");
    write(path, "vendor/x", "x");
    git(path, &["init", "-q"]);
    let imgmake = Imgmake::new();
    let says = ["the first build failed", "`--ignored` copies them, too"];
    imgmake.refused(path, &["reproduce", "app"], 1, &says);
    same(&imgmake.run(path, &["reproduce", "app", "--ignored"]));
}

#[test]
fn nothing_is_written_where_the_project_is() {
    let directory = temporary();
    let path = directory.path();
    let real = text(path);
    let manifest = format!(
        "build tar {{ from \"scratch\"; file \"/a\" \"x\"; tar \"{real}/real.tar\" }}\n\
         build above {{ from \"scratch\"; file \"/a\" \"x\"; export \"../../elsewhere\" }}\n\
         run there {{ dir \"{real}/out\"; command \"echo x >made\"; outputs \"out/made\" }}\n\
         build of-there {{ from \"scratch\"; copy \"out/made\" to=\"/made\" }}\n\
         run linked {{ command \"echo x >link/log; cp link/log made\"; outputs \"made\" }}\n\
         build of-linked {{ from \"scratch\"; copy \"made\" to=\"/made\" }}\n"
    );
    write(path, "imgmake.kdl", manifest);
    write(path, "out/kept", "x");
    std::os::unix::fs::symlink(path.join("out"), path.join("link")).unwrap();
    let imgmake = Imgmake::new();
    for (target, says) in [
        ("tar", "writes `/"),
        ("above", "writes `../../elsewhere`"),
        ("of-there", "whose command works in `/"),
    ] {
        let says = [says, "outside of `"];
        imgmake.refused(path, &["reproduce", target], 2, &says);
    }
    same(&imgmake.run(path, &["reproduce", "of-linked"]));
    for there in ["real.tar", "out/made", "out/log", "made"] {
        assert!(!path.join(there).exists(), "{there}");
    }
}

#[test]
fn logs_of_earlier_runs_are_kept() {
    let directory = temporary();
    let path = directory.path();
    let manifest = "run hello { command \"echo said before\" }\nbuild app { from \"scratch\"; file \"/a\" \"x\" }\n";
    write(path, "imgmake.kdl", manifest);
    let imgmake = Imgmake::new();
    imgmake.ok(path, &["hello"]);
    same(&imgmake.run(path, &["reproduce", "app"]));
    let logs = imgmake.ok(path, &["logs", "hello"]);
    assert!(logs.stdout.contains("said before"), "{logs:?}");
}

#[test]
fn a_signal_to_it_alone_ends_its_build_and_removes_the_copies() {
    let directory = temporary();
    let path = directory.path();
    let manifest = format!(
        "run slow {{ command \"echo $$ >{0}/new; mv {0}/new {0}/pid; sleep 876\"; outputs \"x\" }}\n\
         build app {{ from \"scratch\"; copy \"x\" to=\"/x\" }}\n",
        text(path)
    );
    write(path, "project/imgmake.kdl", manifest);
    let copies = path.join("copies");
    std::fs::create_dir(&copies).unwrap();
    let imgmake = Imgmake::new().with("TMPDIR", &text(&copies));
    for (signal, code) in [("TERM", Some(143)), ("KILL", None)] {
        let mut child = imgmake
            .command(&path.join("project"))
            .args(["reproduce", "app"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = path.join("pid");
        awaited("the command begins", || pid.exists());
        let command = std::fs::read_to_string(&pid).unwrap();
        run("kill", &[&format!("-{signal}"), &child.id().to_string()]);
        let status = child.wait().unwrap();
        assert_eq!(status.code(), code);
        let process = Path::new("/proc").join(command.trim());
        awaited("the command ends", || !process.exists());
        if code.is_some() {
            assert_eq!(std::fs::read_dir(&copies).unwrap().count(), 0);
        }
        std::fs::remove_file(&pid).unwrap();
    }
}

#[track_caller]
fn awaited(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn copies_of_directories_without_write_permission_are_removed() {
    let directory = temporary();
    let path = directory.path();
    let manifest = "build app { from \"scratch\"; copy \"read-only\" to=\"/r\" }\n";
    write(path, "project/imgmake.kdl", manifest);
    write(path, "project/read-only/deep/file", "x");
    let copies = path.join("copies");
    std::fs::create_dir(&copies).unwrap();
    for read_only in ["project/read-only/deep", "project/read-only"] {
        run("chmod", &["0555", &text(&path.join(read_only))]);
    }
    let imgmake = Imgmake::run_by(User::Plain).with("TMPDIR", &text(&copies));
    run("chmod", &["0755", &text(path)]);
    imgmake.give(&path.join("project"));
    imgmake.give(&copies);
    let ran = imgmake.run(&path.join("project"), &["reproduce", "app"]);
    same(&ran);
    assert!(!ran.stderr.contains("cannot remove"), "{ran:?}");
    assert_eq!(std::fs::read_dir(&copies).unwrap().count(), 0);
}

#[test]
fn groups_of_one_build_and_included_targets_have_images() {
    let directory = temporary();
    let path = directory.path();
    write(
        path,
        "imgmake.kdl",
        "include \"services/*/imgmake.kdl\"\n\
         build app { from \"scratch\"; file \"/a\" \"x\"; layout \"image\" }\n\
         group one app\n",
    );
    write(
        path,
        "services/v1.2/imgmake.kdl",
        "build app { from \"scratch\"; file \"/b\" \"x\" }\n",
    );
    let imgmake = Imgmake::new();
    same(&imgmake.run(path, &["reproduce", "one"]));
    same(&imgmake.run(path, &["reproduce", "services/v1.2:app"]));
    assert!(!path.join("image").exists());
}

#[test]
fn options_of_every_command_reach_the_builds() {
    let directory = temporary();
    let path = directory.path();
    write(
        path,
        "imgmake.kdl",
        "build app { from \"scratch\"; file \"/a\" \"x\" }\n",
    );
    let imgmake = Imgmake::new();
    for quiet in [&["-q"][..], &["--progress", "quiet"]] {
        let ran = imgmake.run(path, &[&["reproduce", "app"], quiet].concat());
        same(&ran);
        assert_eq!(ran.stderr, "");
    }
    let ran = imgmake.run(path, &["reproduce", "app", "--timestamps"]);
    same(&ran);
    let is_stamped = |line: &str| {
        line.split_once("Z app │ ")
            .is_some_and(|(time, _)| time.contains('T'))
    };
    assert!(ran.stderr.lines().any(is_stamped), "{ran:?}");
    let ran = imgmake.run(path, &["reproduce", "app", "--color", "always"]);
    same(&ran);
    assert!(ran.stderr.contains("\x1b["), "{ran:?}");
    let says = [
        "`reproduce` does not support `--progress json`",
        "`--json` prints",
    ];
    imgmake.refused(path, &["reproduce", "app", "--progress", "json"], 2, &says);
}

#[test]
fn its_builds_write_no_summary_of_a_job() {
    let directory = temporary();
    let path = directory.path();
    write(
        path,
        "imgmake.kdl",
        "build app { from \"scratch\"; file \"/a\" \"x\" }\n",
    );
    let summary = path.join("summary.md");
    let imgmake = Imgmake::new()
        .with("GITHUB_ACTIONS", "true")
        .with("GITHUB_STEP_SUMMARY", &text(&summary));
    same(&imgmake.run(path, &["reproduce", "app"]));
    assert!(!summary.exists());
    imgmake.ok(path, &["app"]);
    assert!(summary.exists());
}

#[test]
fn copies_may_lie_in_the_project() {
    let directory = temporary();
    let path = directory.path().join("project");
    let manifest = "build app { from \"scratch\"; copy \"tmp\" to=\"/tmp\" }\n";
    write(&path, "imgmake.kdl", manifest);
    write(&path, "tmp/x", "x");
    let alias = directory.path().join("alias");
    std::os::unix::fs::symlink(&path, &alias).unwrap();
    for place in [&path, &alias] {
        let imgmake = Imgmake::new().with("TMPDIR", &text(&place.join("tmp")));
        same(&imgmake.run(&path, &["reproduce", "app"]));
        let left = std::fs::read_dir(path.join("tmp")).unwrap().count();
        assert_eq!(left, 1, "{}", place.display());
    }
}
