//! A machine that has imgmake and the digest of a source needs no checkout: the same keys, the same images; it fetches
//! what it needs, and nothing that is not what the digest says.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ground::cosign::{put_blob, put_manifest};
use crate::ground::imgmake::{Imgmake, Ran, User};
use crate::ground::registry::{Registry, free_port};
use crate::ground::{git, run, temporary, write};

const MANIFEST: &str = r#"
var TAG "dev"
var CHANNEL env="RELEASE_CHANNEL"
secret token env="TOKEN" optional=#true
run assets {
    command "mkdir -p web/dist && cat web/src/*.txt > web/dist/all.txt"
    inputs "web/src/**"
    outputs "web/dist"
}
build base { context "docker"; dockerfile "docker/base.Dockerfile" }
build app {
    context "."
    contexts { base (target)base; }
    args { TAG "${TAG}"; CHANNEL "${CHANNEL}"; ZONE "${env.ZONE}" }
    secrets token
    tar "out/app.tar"
}
build other { context "other" }
"#;

const DOCKERFILE: &str = "FROM base\n\
    ARG TAG\n\
    ARG CHANNEL\n\
    ARG ZONE\n\
    COPY web/dist/ /web/\n\
    COPY current/file /file\n\
    COPY empty /empty\n\
    COPY data /data/\n\
    LABEL tag=$TAG channel=$CHANNEL zone=$ZONE\n";

/// A checkout with what a source must keep, and what it must leave out.
fn checkout() -> tempfile::TempDir {
    let directory = temporary();
    let root = directory.path();
    write(root, "imgmake.kdl", MANIFEST);
    write(root, "Dockerfile", DOCKERFILE);
    write(root, ".dockerignore", ".git\nout\ndata/ignored\n");
    write(
        root,
        "docker/base.Dockerfile",
        "FROM scratch\nCOPY hello /\n",
    );
    write(root, "docker/hello", "hello\n");
    write(root, "docker/unused", "nobody reads this\n");
    write(root, "web/src/a.txt", "one\n");
    symlink("a.txt", root.join("web/src/b.txt")).unwrap();
    write(root, "v2/file", "second\n");
    symlink("v2", root.join("current")).unwrap();
    std::fs::create_dir(root.join("empty")).unwrap();
    chmod(&root.join("empty"), 0o700);
    write(root, "data/ignored", "not this\n");
    write(root, "data/noise", noise(5 << 20));
    std::fs::hard_link(root.join("data/noise"), root.join("data/same")).unwrap();
    write(root, "data/sealed", "read only\n");
    chmod(&root.join("data/sealed"), 0o444);
    write(root, "other/Dockerfile", "FROM scratch\nCOPY x /\n");
    write(root, "other/x", "of another target\n");
    write(root, "secret.txt", "s3cret\n");
    directory
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Where the checkout is, with an environment that values come from.
fn developer() -> Imgmake {
    Imgmake::new()
        .with("RELEASE_CHANNEL", "stable")
        .with("ZONE", "eu")
        .with("TOKEN", "s3cret")
}

fn push(imgmake: &Imgmake, project: &Path, registry: &Registry, targets: &[&str]) -> (String, Ran) {
    let repository = format!("{}/acme/source", registry.host);
    let ran = imgmake.ok(
        project,
        &[&["source", "push", &repository], targets].concat(),
    );
    (ran.stdout.trim().to_string(), ran)
}

fn list(imgmake: &Imgmake, source: &str) -> Value {
    let shown = imgmake.ok(Path::new("/"), &["source", "show", source, "--format=json"]);
    serde_json::from_str(&shown.stdout).unwrap()
}

fn paths(list: &Value) -> BTreeSet<String> {
    let entries = list["list"]["entries"].as_array().unwrap().iter();
    let path = |entry: &Value| entry["path"].as_str().unwrap().to_string();
    entries.map(path).collect()
}

fn image_of(ran: &Ran, target: &str) -> String {
    let mut lines = ran.stdout.lines();
    let line = lines.find(|line| line.starts_with(target) && line.contains(" image "));
    let line = line.unwrap_or_else(|| panic!("no image of {target}:\n{}", ran.stdout));
    line.split_whitespace().nth(2).unwrap().to_string()
}

/// What was fetched of a repository's blobs.
fn blobs_fetched(requests: &[String]) -> usize {
    let is_fetch = |line: &&String| line.starts_with("GET ") && line.contains("/blobs/");
    requests.iter().filter(is_fetch).count()
}

#[test]
fn another_machine_builds_the_same_from_a_digest_alone() {
    let registry = Registry::start();
    let (project, one) = (checkout(), developer());
    let (source, _) = push(&one, project.path(), &registry, &["app"]);
    let here = one.ok(project.path(), &["app"]);
    // No environment, no checkout, another user.
    let two = Imgmake::run_by(User::Plain);
    let there = two.ok(Path::new("/"), &["--source", &source, "app"]);
    assert_eq!(image_of(&here, "app"), image_of(&there, "app"));
    let again = two.ok(Path::new("/"), &["--source", &source, "app"]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    // Values of the machine that it runs on are not asked for.
    let three = Imgmake::new()
        .with("RELEASE_CHANNEL", "beta")
        .with("ZONE", "us");
    let there = three.ok(Path::new("/"), &["--source", &source, "app"]);
    assert_eq!(image_of(&here, "app"), image_of(&there, "app"));
    let other = three.ok(
        Path::new("/"),
        &["--source", &source, "--var", "TAG=2", "app"],
    );
    assert_ne!(image_of(&here, "app"), image_of(&other, "app"));
}

#[test]
fn a_source_has_what_its_targets_read_and_nothing_else() {
    let registry = Registry::start();
    let (project, imgmake) = (checkout(), developer());
    write(project.path(), "out/app.tar", "of an earlier run");
    write(project.path(), "web/dist/all.txt", "of an earlier run");
    let (source, _) = push(&imgmake, project.path(), &registry, &["app"]);
    let list = list(&imgmake, &source);
    let expected = [
        ".dockerignore",
        "Dockerfile",
        "current",
        "data",
        "data/noise",
        "data/same",
        "data/sealed",
        "docker",
        "docker/base.Dockerfile",
        "docker/hello",
        "empty",
        "imgmake.kdl",
        "v2/file",
        "web/src/a.txt",
        "web/src/b.txt",
    ];
    let found = paths(&list);
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(found, expected);
    let facts = &list["list"]["facts"];
    assert_eq!(facts["environment"]["RELEASE_CHANNEL"], "stable");
    assert_eq!(facts["environment"]["ZONE"], "eu");
    assert!(!list.to_string().contains("s3cret"), "{list}");
    // Keys need nothing but the list.
    assert_eq!(list["list"]["entries"][1]["text"], DOCKERFILE);
}

#[test]
fn an_unchanged_source_costs_one_request_and_a_changed_file_its_chunks() {
    let registry = Registry::start();
    let (project, imgmake) = (checkout(), developer());
    let (first, _) = push(&imgmake, project.path(), &registry, &["app"]);
    let before = registry.requests().len();
    let (second, ran) = push(&imgmake, project.path(), &registry, &["app"]);
    assert_eq!(first, second);
    assert!(
        ran.stderr.contains("the registry has them"),
        "{}",
        ran.stderr
    );
    let requests = registry.requests().split_off(before);
    assert_eq!(requests.len(), 1, "{requests:?}");
    // One of five megabytes, in the middle of them.
    write(project.path(), "data/sealed2", "new\n");
    let blobs = registry.blobs();
    let (third, _) = push(&imgmake, project.path(), &registry, &["app"]);
    assert_ne!(first, third);
    let size = |digest: &String| {
        let path = format!(
            "data/docker/registry/v2/blobs/sha256/{}/{digest}/data",
            &digest[..2]
        );
        std::fs::metadata(registry.storage_root().join(path))
            .unwrap()
            .len()
    };
    let sent: u64 = registry.blobs().difference(&blobs).map(size).sum();
    assert!(sent < 4 << 20, "{sent} bytes were sent");
}

#[test]
fn what_is_known_already_needs_the_list_alone() {
    let registry = Registry::start();
    let (project, imgmake) = (checkout(), developer());
    let (source, _) = push(&imgmake, project.path(), &registry, &["app", "other"]);
    let two = Imgmake::new();
    let before = registry.requests().len();
    let planned = two.ok(Path::new("/"), &["--source", &source, "plan", "other"]);
    assert!(planned.stdout.contains("other"), "{}", planned.stdout);
    let requests = registry.requests().split_off(before);
    assert_eq!(blobs_fetched(&requests), 1, "{requests:?}");
    // A target brings its own files: those of `app` have five megabytes.
    let before = registry.requests().len();
    two.ok(Path::new("/"), &["--source", &source, "other"]);
    let requests = registry.requests().split_off(before);
    assert!(blobs_fetched(&requests) <= 1, "{requests:?}");
    let before = registry.requests().len();
    two.ok(Path::new("/"), &["--source", &source, "other"]);
    assert_eq!(registry.requests().len(), before);
}

#[test]
fn a_pulled_source_has_modes_links_and_names_of_one_file() {
    let registry = Registry::start();
    let (project, imgmake) = (checkout(), developer());
    let (source, _) = push(&imgmake, project.path(), &registry, &["app"]);
    for user in [User::Own, User::Plain] {
        let two = Imgmake::run_by(user);
        let directory = temporary();
        two.give(directory.path());
        let to = directory.path().join("new/tree");
        two.ok(directory.path(), &["source", "pull", &source, "new/tree"]);
        let compared = run(
            "diff",
            &[
                "-r",
                project.path().join("data").to_str().unwrap(),
                to.join("data").to_str().unwrap(),
                "--exclude=ignored",
            ],
        );
        assert_eq!(compared, "");
        let mode = |path: &str| std::fs::metadata(to.join(path)).unwrap().mode() & 0o7777;
        assert_eq!((mode("empty"), mode("data/sealed")), (0o700, 0o444));
        let inode = |path: &str| std::fs::metadata(to.join(path)).unwrap().ino();
        assert_eq!(inode("data/noise"), inode("data/same"));
        assert_eq!(
            std::fs::read_link(to.join("current")).unwrap(),
            Path::new("v2")
        );
        // It is not written over.
        two.ok(directory.path(), &["source", "pull", &source, "new/tree"]);
        write(directory.path(), "full/x", "mine");
        let full = directory.path().join("full");
        two.give(&full);
        let pulling = ["source", "pull", &source, "full"];
        two.refused(directory.path(), &pulling, 1, &["is not empty"]);
        assert_eq!(std::fs::read_to_string(full.join("x")).unwrap(), "mine");
    }
}

#[test]
fn a_source_that_was_being_fetched_by_a_killed_run_is_gone_on_with() {
    let registry = Registry::start();
    let (project, imgmake) = (checkout(), developer());
    for number in 0..400 {
        write(
            project.path(),
            &format!("data/many/{number}"),
            noise(9000 + number),
        );
    }
    let (source, _) = push(&imgmake, project.path(), &registry, &["app"]);
    let expected = imgmake.ok(project.path(), &["app"]);
    let two = Imgmake::new();
    for millis in (10..250).step_by(15) {
        let mut command = two.command(Path::new("/"));
        let mut child = command
            .args(["--source", &source, "app"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let there = two.ok(Path::new("/"), &["--source", &source, "app"]);
    assert_eq!(image_of(&expected, "app"), image_of(&there, "app"));
    let tree = two
        .store()
        .join("sources")
        .join(source.rsplit(':').next().unwrap());
    let left = run("find", &[tree.to_str().unwrap(), "-name", ".imgmake-*"]);
    assert_eq!(left, "");
}

#[test]
fn two_runs_share_one_source() {
    let registry = Registry::start();
    let (project, imgmake) = (checkout(), developer());
    let (source, _) = push(&imgmake, project.path(), &registry, &["app", "other"]);
    let two = Imgmake::new();
    let start = |target: &str| {
        let mut command = two.command(Path::new("/"));
        command.args(["--source", &source, target]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let runs: Vec<_> = ["app", "other", "app", "base"].map(start).into();
    for run in runs {
        let output = run.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
    }
    let again = two.ok(Path::new("/"), &["--source", &source, "app"]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
}

#[test]
fn values_of_git_of_files_and_of_the_command_line_travel_and_their_files_do_not() {
    let registry = Registry::start();
    let imgmake = Imgmake::new();
    let checkout = temporary();
    let project = checkout.path().join("app");
    write(
        &project,
        "imgmake.kdl",
        r#"imgmake version=1 { env-file ".env" }
var COMMIT { default-from git="short-sha" }
var FLAVOR "plain"
var SIZE "small"
build app {
    contexts { proto (path)"../proto"; }
    args { COMMIT "${COMMIT}"; FLAVOR "${FLAVOR}"; SIZE "${SIZE}"; COLOR "red" }
}
"#,
    );
    write(
        &project,
        "Dockerfile",
        "FROM scratch\nARG COMMIT\nARG FLAVOR\nARG SIZE\nARG COLOR\nCOPY --from=proto api /api\n\
         LABEL commit=$COMMIT flavor=$FLAVOR size=$SIZE color=$COLOR\n",
    );
    write(&project, ".env", "FLAVOR=salty\nPASSWORD=s3cret\n");
    write(checkout.path(), "proto/api", "of another directory\n");
    git(checkout.path(), &["init", "-q"]);
    git(checkout.path(), &["add", "app/imgmake.kdl"]);
    git(checkout.path(), &["commit", "-q", "-m", "one"]);
    let values = ["--var", "SIZE=large", "--set", "app.args.COLOR=blue"];
    let repository = format!("{}/acme/source", registry.host);
    let pushing = [&values[..], &["source", "push", &repository, "app"]].concat();
    let source = imgmake.ok(&project, &pushing).stdout.trim().to_string();
    let here = imgmake.ok(&project, &[&values[..], &["app"]].concat());
    let two = Imgmake::new();
    let there = two.ok(Path::new("/"), &["--source", &source, "app"]);
    assert_eq!(image_of(&here, "app"), image_of(&there, "app"));
    let list = list(&two, &source);
    let found = paths(&list);
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    let expected = [
        "app",
        "app/Dockerfile",
        "app/imgmake.kdl",
        "proto",
        "proto/api",
    ];
    assert_eq!(found, expected);
    assert!(!list.to_string().contains("s3cret"), "{list}");
}

#[test]
fn a_target_on_a_built_one_with_triggers_has_the_files_that_they_copy() {
    let registry = Registry::start();
    let (project, imgmake) = (temporary(), Imgmake::new());
    write(
        project.path(),
        "imgmake.kdl",
        "build base { context \"base\" }\nbuild app { context \"app\"; contexts { base (target)base; } }\n",
    );
    write(
        project.path(),
        "base/Dockerfile",
        "FROM scratch\nONBUILD COPY code /code\n",
    );
    write(project.path(), "app/Dockerfile", "FROM base\n");
    write(project.path(), "app/code", "x\n");
    imgmake.ok(project.path(), &["base"]);
    let (source, _) = push(&imgmake, project.path(), &registry, &["app"]);
    let here = imgmake.ok(project.path(), &["app"]);
    let there = Imgmake::new().ok(Path::new("/"), &["--source", &source, "app"]);
    assert_eq!(image_of(&here, "app"), image_of(&there, "app"));
}

#[test]
fn chunks_that_are_neither_here_nor_there_any_more_are_made_again() {
    let registry = Registry::start();
    let (project, imgmake) = (checkout(), developer());
    let (source, _) = push(&imgmake, project.path(), &registry, &["app"]);
    let manifest = registry.json(source.rsplit('@').next().unwrap());
    for layer in manifest["layers"].as_array().unwrap() {
        let hex = &layer["digest"].as_str().unwrap()[7..];
        let path = format!("data/docker/registry/v2/blobs/sha256/{}/{hex}", &hex[..2]);
        std::fs::remove_dir_all(registry.storage_root().join(path)).unwrap();
        std::fs::remove_file(imgmake.store().join("blobs/sha256").join(hex)).unwrap();
    }
    write(project.path(), "web/src/a.txt", "two\n");
    let (source, _) = push(&imgmake, project.path(), &registry, &["app"]);
    let here = imgmake.ok(project.path(), &["app"]);
    let there = Imgmake::new().ok(Path::new("/"), &["--source", &source, "app"]);
    assert_eq!(image_of(&here, "app"), image_of(&there, "app"));
}

#[test]
fn other_commands_take_a_source_or_refuse_it() {
    let registry = Registry::start();
    let (project, imgmake) = (checkout(), developer());
    let (source, _) = push(&imgmake, project.path(), &registry, &["other"]);
    let (two, elsewhere) = (Imgmake::new(), temporary());
    let at = elsewhere.path();
    two.ok(at, &["--source", &source, "other"]);
    let inspected = two.ok(at, &["--source", &source, "inspect", "other", "--files"]);
    assert!(inspected.stdout.contains("x"), "{}", inspected.stdout);
    let listed = two.ok(at, &["list", "--source", &source]);
    assert!(listed.stdout.contains("assets"), "{}", listed.stdout);
    for command in [
        &["watch"][..],
        &["update"],
        &["reproduce", "other"],
        &["logs", "other"],
        &["ci", "--to", "gitlab"],
        &["plan", "--since", "HEAD"],
        &["gc"],
    ] {
        let all = [&["--source", &source][..], command].concat();
        two.refused(at, &all, 2, &["`--source` cannot be used with"]);
    }
    let building = ["--source", &source, "build", "-t", "x", "."];
    two.refused(at, &building, 2, &["without one"]);
}

#[test]
fn a_directory_of_the_user_is_filled_and_emptied_by_the_user() {
    let registry = Registry::start();
    let (project, imgmake) = (checkout(), developer());
    let (source, _) = push(&imgmake, project.path(), &registry, &["app"]);
    let (two, elsewhere) = (Imgmake::new(), temporary());
    let run = ["--source", &source, "-C", "work", "app"];
    for _ in 0..2 {
        two.ok(elsewhere.path(), &run);
        assert!(elsewhere.path().join("work/out/app.tar").exists());
        std::fs::remove_dir_all(elsewhere.path().join("work")).unwrap();
        std::fs::create_dir(elsewhere.path().join("work")).unwrap();
    }
}

#[test]
fn gc_removes_the_files_of_sources_and_cache_counts_what_is_here() {
    let registry = Registry::start();
    let (project, imgmake) = (checkout(), developer());
    let (source, _) = push(&imgmake, project.path(), &registry, &["app", "other"]);
    let two = Imgmake::new();
    let kept = || -> Value {
        let shown = two.ok(project.path(), &["cache", "--json"]);
        serde_json::from_str::<Value>(&shown.stdout).unwrap()["sources"].clone()
    };
    two.ok(Path::new("/"), &["--source", &source, "other"]);
    assert_eq!(kept()["count"], 1);
    // Files of five megabytes are not here.
    assert!(kept()["bytes"].as_u64().unwrap() < 1 << 20, "{}", kept());
    two.ok(project.path(), &["gc"]);
    assert_eq!(kept()["count"], 1);
    let removed = two.ok(project.path(), &["gc", "--all"]);
    let says = "removed the files of a source";
    assert!(removed.stdout.contains(says), "{}", removed.stdout);
    assert_eq!(kept()["count"], 0);
    two.ok(Path::new("/"), &["--source", &source, "other"]);
}

#[test]
fn files_that_cannot_be_sent_are_named() {
    let registry = Registry::start();
    let imgmake = Imgmake::new();
    let project = temporary();
    let repository = format!("{}/acme/source", registry.host);
    write(
        project.path(),
        "imgmake.kdl",
        "run t { command \"true\"; inputs \"src/**\" }\ngroup default t",
    );
    write(project.path(), "src/a", "a");
    let pushing = ["source", "push", &repository];
    run(
        "mkfifo",
        &[project.path().join("src/pipe").to_str().unwrap()],
    );
    imgmake.refused(project.path(), &pushing, 1, &["src/pipe` is a pipe"]);
    std::fs::remove_file(project.path().join("src/pipe")).unwrap();
    symlink("/usr/bin/env", project.path().join("src/far")).unwrap();
    imgmake.refused(project.path(), &pushing, 1, &["too far from the project"]);
    std::fs::remove_file(project.path().join("src/far")).unwrap();
    for (repository, says) in [
        (format!("{repository}:latest"), "a repository is expected"),
        (
            format!("{}/Acme", registry.host),
            "invalid name of a source",
        ),
    ] {
        imgmake.refused(project.path(), &["source", "push", &repository], 2, &[says]);
    }
    let compose = ["-f", "compose.yaml", "source", "push", &repository];
    imgmake.refused(project.path(), &compose, 2, &["in a file of its own"]);
}

#[test]
fn a_registry_that_does_not_answer_or_lost_something_is_an_error_of_4() {
    let registry = Registry::start();
    let (project, imgmake) = (checkout(), developer());
    let (source, _) = push(&imgmake, project.path(), &registry, &["app"]);
    let digest = source.rsplit('@').next().unwrap();
    let two = Imgmake::new();
    let gone = format!("oci://127.0.0.1:{}/acme/source@{digest}", free_port());
    two.refused(
        Path::new("/"),
        &["--source", &gone, "app"],
        4,
        &["127.0.0.1"],
    );
    let other = format!("sha256:{}", "ab".repeat(32));
    let missing = source.replace(digest, &other);
    two.refused(
        Path::new("/"),
        &["--source", &missing, "app"],
        4,
        &["acme/source"],
    );
    // The list is there, and a chunk is not.
    let manifest = registry.json(digest);
    for layer in manifest["layers"].as_array().unwrap() {
        let hex = &layer["digest"].as_str().unwrap()[7..];
        let path = format!("data/docker/registry/v2/blobs/sha256/{}/{hex}", &hex[..2]);
        std::fs::remove_dir_all(registry.storage_root().join(path)).unwrap();
    }
    two.ok(Path::new("/"), &["--source", &source, "plan"]);
    two.refused(
        Path::new("/"),
        &["--source", &source, "app"],
        4,
        &["cannot fetch files of the source"],
    );
}

#[test]
fn a_source_that_is_not_what_it_says_is_refused() {
    let registry = Registry::start();
    let imgmake = Imgmake::new();
    let whole = b"build app { context \".\" }\n";
    let packed = zstd::encode_all(&b"FROM scratch\n"[..], 3).unwrap();
    let bomb = zstd::encode_all(&vec![0; 64 << 20][..], 3).unwrap();
    let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
    let file = |path: &str, mode: u32| {
        json!({"type": "file", "path": path, "mode": mode, "size": whole.len(),
            "hash": hash(whole), "early": true, "text": String::from_utf8_lossy(whole)})
    };
    let chunked = |path: &str| {
        json!({"type": "file", "path": path, "mode": 0o644, "size": 13,
            "hash": hash(b"FROM scratch\n"), "content": {"chunk": 0, "offset": 0}})
    };
    let link =
        |path: &str, target: &str| json!({"type": "symlink", "path": path, "target": target});
    let chunk = json!({"hash": hash(b"FROM scratch\n"), "size": 13});
    type Attempt<'a> = (Vec<Value>, Vec<Value>, &'a [u8], &'a str);
    let attempts: [Attempt<'_>; 6] = [
        (
            vec![file("../x", 0o644), file("imgmake.kdl", 0o644)],
            vec![],
            b"",
            "leads elsewhere",
        ),
        (
            vec![
                link("a", "/etc"),
                file("a/x", 0o644),
                file("imgmake.kdl", 0o644),
            ],
            vec![],
            b"",
            "beneath something",
        ),
        (
            vec![file(".imgmake/log", 0o644), file("imgmake.kdl", 0o644)],
            vec![],
            b"",
            "state of runs",
        ),
        (
            vec![chunked("Dockerfile"), file("imgmake.kdl", 0o644)],
            vec![chunk.clone()],
            b"not zstd",
            "cannot be decompressed",
        ),
        (
            vec![chunked("Dockerfile"), file("imgmake.kdl", 0o644)],
            vec![chunk.clone()],
            &bomb,
            "cannot be decompressed",
        ),
        (
            vec![chunked("Dockerfile"), file("imgmake.kdl", 0o644)],
            vec![json!({"hash": hash(b"other bytes.."), "size": 13})],
            &packed,
            "other bytes than the list says",
        ),
    ];
    for (number, (entries, chunks, bytes, says)) in attempts.into_iter().enumerate() {
        let list = json!({
            "version": 1, "manifest": "imgmake.kdl", "targets": [],
            "facts": {"variables": {}, "environment": {}, "git": {}, "sets": [], "env_files": []},
            "pins": {}, "entries": entries, "chunks": chunks,
        });
        let config = put_blob(&registry, "evil", list.to_string().as_bytes());
        let (kind, bytes) = match chunks.is_empty() {
            true => ("application/vnd.oci.empty.v1+json", &b"{}"[..]),
            false => ("application/vnd.imgmake.source.chunk.v1+zstd", bytes),
        };
        let layer = put_blob(&registry, "evil", bytes);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "application/vnd.imgmake.source.v1",
            "config": {"mediaType": "application/vnd.imgmake.source.list.v1+json",
                "digest": config, "size": list.to_string().len()},
            "layers": [{"mediaType": kind, "digest": layer, "size": bytes.len()}],
        });
        let digest = put_manifest(&registry, "evil", &format!("t{number}"), &manifest);
        let source = format!("oci://{}/evil@{digest}", registry.host);
        let directory = temporary();
        let pulling = ["source", "pull", &source, "to"];
        imgmake.refused(directory.path(), &pulling, 1, &[says]);
        assert!(!directory.path().join("x").exists());
    }
    let name = format!("oci://{}/evil:t0", registry.host);
    imgmake.refused(
        Path::new("/"),
        &["source", "show", &name],
        1,
        &["has no digest"],
    );
    imgmake.refused(
        Path::new("/"),
        &["--source", &name, "watch"],
        2,
        &["`watch`"],
    );
}
