//! What lies beside a manifest may have come with the checkout: it is believed only with a
//! MAC of the user who runs, and never makes anything fail or run.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use imgmake_guard::mac::{HEAD, MacKey};

use crate::ground::imgmake::{Imgmake, Ran};
use crate::ground::pipeline::{Platform, SEQUENCE};
use crate::ground::{git, run, temporary, write};

const OTHERS: &str = "belongs to another user, machine or directory";
const TEXT: &str = "a secret of the pipeline, 40 letters long";

fn said(ran: &Ran) -> String {
    format!("{}{}", ran.stdout, ran.stderr)
}

fn is_done(ran: &Ran) -> bool {
    said(ran).contains("nothing to do")
}

/// What the key of a user is for files of a project.
fn key_of(imgmake: &Imgmake, project: &Path) -> MacKey {
    let key = MacKey::read(&imgmake.store()).unwrap().unwrap();
    key.derive("project", project.as_os_str().as_encoded_bytes())
}

#[test]
fn a_manifest_cache_with_another_command_is_not_run() {
    let project = temporary();
    let innocent = "run hello { inputs \"input\"; command \"echo hello\" }\n";
    let evil = "run hello { inputs \"input\"; command \"touch evil\" }\n";
    write(project.path(), "input", "");
    let cache = project.path().join(".imgmake/manifest.cache");
    let (attacker, victim) = (Imgmake::new(), Imgmake::new());
    let content = |manifest: &str| {
        write(project.path(), "imgmake.kdl", manifest);
        // The first run creates the directory, the second files the manifest in it.
        attacker.ok(project.path(), &["run", "hello"]);
        attacker.ok(project.path(), &["run", "hello"]);
        fs::read(&cache).unwrap()[HEAD..].to_vec()
    };
    let (harmless, harmful) = (content(innocent), content(evil));
    write(project.path(), "imgmake.kdl", innocent);
    // 32 bytes say what the manifest's text was.
    let forged = [&harmless[..32], &harmful[32..]].concat();
    let evil = project.path().join("evil");
    let plant = |key: &MacKey| {
        drop(fs::remove_file(&evil));
        fs::write(&cache, key.seal("manifest.cache", &forged)).unwrap();
    };
    // The forgery works on its maker, so nothing but the MAC stands in its way.
    plant(&key_of(&attacker, project.path()));
    attacker.ok(project.path(), &["run", "--force", "hello"]);
    assert!(evil.exists());

    for key in [key_of(&attacker, project.path()), MacKey::checksum()] {
        plant(&key);
        for arguments in [
            &["list"][..],
            &["plan", "hello"],
            &["why", "hello"],
            &["check", "hello"],
        ] {
            // A command that reads files what it decoded.
            plant(&key);
            let ran = victim.run(project.path(), arguments);
            assert!(
                said(&ran).contains("the state in `.imgmake` "),
                "{arguments:?}: {ran:?}"
            );
        }
        plant(&key);
        let ran = victim.ok(project.path(), &["run", "--force", "hello"]);
        assert!(said(&ran).contains("hello"), "{ran:?}");
        assert!(!evil.exists());
        let again = victim.ok(project.path(), &["run", "hello"]);
        assert!(
            is_done(&again) && !said(&again).contains(OTHERS),
            "{again:?}"
        );
    }
}

/// A project whose test passes while there is a flag that it does not name, and the flag.
fn flagged() -> (tempfile::TempDir, PathBuf) {
    let project = temporary();
    let flag = project.path().join("flag");
    write(
        project.path(),
        "imgmake.kdl",
        format!(
            "run test {{ inputs \"input\"; command \"test -e '{}'\" }}\n",
            flag.display()
        ),
    );
    write(project.path(), "input", "");
    fs::write(&flag, "").unwrap();
    (project, flag)
}

#[test]
fn a_log_that_says_up_to_date_for_a_failing_test_is_ignored() {
    let (project, flag) = flagged();
    let (attacker, victim) = (Imgmake::new(), Imgmake::new());
    attacker.ok(project.path(), &["test"]);
    fs::remove_file(flag).unwrap();
    assert!(is_done(&attacker.ok(project.path(), &["test"])));

    for arguments in [&["check", "test"][..], &["plan", "test"], &["why", "test"]] {
        let ran = victim.run(project.path(), arguments);
        assert!(
            !is_done(&ran) && !said(&ran).contains("up to date"),
            "{ran:?}"
        );
        assert!(ran.stderr.contains("the state in `.imgmake` "), "{ran:?}");
        assert_eq!(ran.code, if arguments[0] == "check" { 5 } else { 0 });
    }
    victim.refused(project.path(), &["test"], 1, &[OTHERS]);
    // Made anew: told of once.
    let again = victim.refused(project.path(), &["test"], 1, &[]);
    assert!(!again.stderr.contains(OTHERS), "{again:?}");
}

#[test]
fn a_log_of_another_project_or_with_a_byte_changed_is_ignored() {
    let (project, flag) = flagged();
    let imgmake = Imgmake::new();
    imgmake.ok(project.path(), &["test"]);
    fs::remove_file(flag).unwrap();
    let copy = temporary();
    run(
        "cp",
        &[
            "-r",
            &project.path().join(".").display().to_string(),
            &copy.path().display().to_string(),
        ],
    );
    imgmake.refused(copy.path(), &["test"], 1, &[OTHERS]);

    let log = project.path().join(".imgmake/log");
    let sound = fs::read(&log).unwrap();
    let changed = |at: usize| {
        let mut changed = sound.clone();
        changed[at] ^= 1;
        fs::write(&log, changed).unwrap();
    };
    changed(5);
    imgmake.refused(project.path(), &["test"], 1, &[OTHERS]);
    for at in [60, 80, sound.len() - 1] {
        changed(at);
        imgmake.refused(project.path(), &["test"], 1, &["is damaged"]);
    }
    fs::write(&log, &sound).unwrap();
    assert!(is_done(&imgmake.ok(project.path(), &["test"])));
}

#[test]
fn state_goes_to_another_machine_with_a_key_in_the_environment() {
    let (project, flag) = flagged();
    let with = |text: &str| Imgmake::new().with("IMGMAKE_STATE_KEY", text);
    with(TEXT).ok(project.path(), &["test"]);
    fs::remove_file(flag).unwrap();
    assert!(is_done(&with(TEXT).ok(project.path(), &["test"])));
    for other in [with(&TEXT.replace('a', "b")), Imgmake::new()] {
        let ran = other.run(project.path(), &["check", "test"]);
        assert!(
            ran.code == 5 && ran.stderr.contains("the state in `.imgmake` "),
            "{ran:?}"
        );
    }
    for short in ["short", &TEXT[..31]] {
        let says = ["IMGMAKE_STATE_KEY", "at least 32", "openssl rand"];
        with(short).refused(project.path(), &["test"], 2, &says);
    }
    // As platforms hand over a secret that a pipeline does not get.
    let ran = with("").run(project.path(), &["check", "test"]);
    assert!(
        ran.code == 5 && ran.stderr.contains("the state in `.imgmake` "),
        "{ran:?}"
    );
}

#[test]
fn nothing_that_is_started_gets_the_key() {
    let project = temporary();
    write(
        project.path(),
        "imgmake.kdl",
        "run show { command \"env; tr '\\\\0' '\\\\n' < /proc/$PPID/cmdline\" }\n",
    );
    let imgmake = Imgmake::new().with("IMGMAKE_STATE_KEY", TEXT);
    let ran = imgmake.ok(project.path(), &["--progress=plain", "show"]);
    assert!(said(&ran).contains("PATH="), "{ran:?}");
    assert!(!said(&ran).contains(TEXT), "{ran:?}");
}

#[test]
fn without_any_place_for_a_key_state_is_ignored_and_nothing_fails() {
    let (project, flag) = flagged();
    let store = project.path().join(".imgmake/store").display().to_string();
    let home = project.path().display().to_string();
    // The user's own place lies in the checkout too.
    let imgmake = || {
        Imgmake::new()
            .with("HOME", &home)
            .with("IMGMAKE_STORE", &store)
    };
    imgmake().ok(project.path(), &["test"]);
    fs::remove_file(flag).unwrap();
    let says = ["is ignored", "IMGMAKE_STATE_KEY"];
    imgmake().refused(project.path(), &["test"], 1, &says);
    assert!(!project.path().join(".cache/imgmake/key").exists());
}

#[test]
fn links_and_special_files_are_not_followed() {
    let (project, _flag) = flagged();
    let imgmake = Imgmake::new();
    let outside = temporary();
    let victim = outside.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let state = project.path().join(".imgmake");
    symlink(outside.path(), &state).unwrap();
    imgmake.refused(
        project.path(),
        &["test"],
        1,
        &["not a directory but a link"],
    );
    imgmake.ok(project.path(), &["list"]);
    let left: Vec<_> = fs::read_dir(outside.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    fs::remove_file(&state).unwrap();

    fs::create_dir(&state).unwrap();
    symlink(&victim, state.join("lock")).unwrap();
    imgmake.refused(project.path(), &["test"], 1, &["`lock` in it is a link"]);
    fs::remove_file(state.join("lock")).unwrap();
    for name in ["log", "stat", "manifest.cache"] {
        drop(fs::remove_file(state.join(name)));
        symlink(&victim, state.join(name)).unwrap();
    }
    imgmake.ok(project.path(), &["test"]);
    for name in ["log", "stat", "manifest.cache"] {
        drop(fs::remove_file(state.join(name)));
        run("mkfifo", &[&state.join(name).display().to_string()]);
    }
    imgmake.ok(project.path(), &["test"]);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");

    // A store that is reached through a link.
    symlink(outside.path(), state.join("store")).unwrap();
    let store = state.join("store").display().to_string();
    let through = Imgmake::new().with("IMGMAKE_STORE", &store);
    through.refused(project.path(), &["test"], 2, &["symbolic link"]);
}

#[test]
fn state_that_git_tracks_is_refused() {
    for (kind, below) in [
        (&["init"][..], ""),
        (&["init"], "services/api"),
        (&["init", "--object-format=sha256"], "services/api"),
    ] {
        let top = temporary();
        let project = top.path().join(below);
        git(top.path(), kind);
        write(
            &project,
            "imgmake.kdl",
            "run hello { inputs \"input\"; command \"echo hello\" }\n",
        );
        write(&project, "input", "");
        for before in [
            ".gitignore",
            ".imgmake-notes",
            ".imgmake.kdl",
            "services/a/x",
            "z",
        ] {
            write(top.path(), before, "");
        }
        // Longer than a name's length in an index can say.
        write(
            top.path(),
            &format!("{}x", "a-long-folder/".repeat(290)),
            "",
        );
        let imgmake = Imgmake::new();
        imgmake.ok(&project, &["hello"]);
        git(top.path(), &["add", "."]);
        imgmake.ok(&project, &["hello"]);
        let state = project.join(".imgmake/log").display().to_string();
        for version in ["2", "3", "4"] {
            git(top.path(), &["update-index", "--index-version", version]);
            git(top.path(), &["add", "-f", &state]);
            for arguments in [
                &["hello"][..],
                &["plan", "hello"],
                &["list"],
                &["check", "hello"],
            ] {
                let says = ["git tracks `.imgmake`", "git rm -r --cached .imgmake"];
                imgmake.refused(&project, arguments, 2, &says);
            }
            git(&project, &["rm", "-r", "-q", "--cached", ".imgmake"]);
            imgmake.ok(&project, &["hello"]);
        }
        git(top.path(), &["commit", "-q", "-m", "1"]);
        // What git keeps in more than one file, or in none that we know, is said.
        git(top.path(), &["update-index", "--split-index"]);
        let ran = imgmake.ok(&project, &["hello"]);
        assert!(ran.stderr.contains("it is split"), "{ran:?}");
        let mut index = fs::read(top.path().join(".git/index")).unwrap();
        index[7] = 9;
        fs::write(top.path().join(".git/index"), index).unwrap();
        let ran = imgmake.ok(&project, &["hello"]);
        assert!(ran.stderr.contains("version 9"), "{ran:?}");
    }
}

#[test]
fn a_linked_work_tree_has_an_index_of_its_own() {
    let (top, other) = (temporary(), temporary());
    git(top.path(), &["init"]);
    write(
        top.path(),
        "imgmake.kdl",
        "run hello { inputs \"input\"; command \"echo hello\" }\n",
    );
    write(top.path(), "input", "");
    git(top.path(), &["add", "."]);
    git(top.path(), &["commit", "-q", "-m", "1"]);
    let tree = other.path().join("tree");
    git(
        top.path(),
        &["worktree", "add", "-q", &tree.display().to_string()],
    );
    let imgmake = Imgmake::new();
    imgmake.ok(&tree, &["hello"]);
    git(&tree, &["add", "-f", ".imgmake/log"]);
    imgmake.refused(&tree, &["hello"], 2, &["git tracks"]);
    imgmake.ok(top.path(), &["hello"]);
}

const CRITICAL: &str = r#"{"schema_version":"1.6.0","id":"EXAMPLE-9","modified":"2026-01-01T00:00:00Z","summary":"all of it",
    "severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
    "affected":[{"package":{"ecosystem":"npm","name":"left-pad"},"ranges":[{"type":"SEMVER","events":[{"introduced":"INTRODUCED"}]}]}]}"#;
const LOCK: &str = r#"{"name":"app","version":"1.0.0","lockfileVersion":3,
    "packages":{"":{"name":"app"},"node_modules/left-pad":{"version":"1.3.0"}}}"#;

/// Findings with the checksum that they have under another name: it is no secret.
fn under_the_name_of(file: &Path, findings: &[u8]) -> Vec<u8> {
    let name = file.file_name().unwrap().as_encoded_bytes();
    let sum = blake3::Hasher::new()
        .update(blake3::hash(name).as_bytes())
        .update(&findings[32..])
        .finalize();
    [sum.as_bytes(), &findings[32..]].concat()
}

#[test]
fn findings_in_a_store_inside_the_project_do_not_open_a_gate() {
    let project = temporary();
    let path = project.path();
    write(path, "package-lock.json", LOCK);
    write(
        path,
        "Dockerfile",
        "FROM scratch\nCOPY package-lock.json /app/\n",
    );
    write(
        path,
        "imgmake.kdl",
        "build app { context \".\" }\nscan gate { images app; advisories \"advisories\"; fail-on severity=critical }\n",
    );
    let advisory = |from: &str| {
        let text = CRITICAL.replace("INTRODUCED", from);
        write(path, "advisories/EXAMPLE-9.json", text);
    };
    let attacker = Imgmake::new();
    let findings = attacker.store().join("db/findings");
    let files = || -> Vec<PathBuf> {
        let entries = fs::read_dir(&findings).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    };
    advisory("0");
    attacker.refused(path, &["gate"], 3, &["EXAMPLE-9"]);
    let found = files();
    // The same image without a finding: what was found then takes the place of the others.
    advisory("9.0.0");
    attacker.ok(path, &["gate"]);
    let clean: Vec<PathBuf> = files().into_iter().filter(|f| !found.contains(f)).collect();
    let [clean] = &clean[..] else {
        panic!("{clean:?}");
    };
    let sound: Vec<Vec<u8>> = found.iter().map(|file| fs::read(file).unwrap()).collect();
    advisory("0");
    let mut poisoned = 0;
    for (file, sound) in found.iter().zip(&sound) {
        fs::write(file, under_the_name_of(file, &fs::read(clean).unwrap())).unwrap();
        match attacker.run(path, &["gate"]).code {
            // The poison works in the store of its maker.
            0 => {
                poisoned += 1;
                break;
            }
            _ => fs::write(file, sound).unwrap(),
        }
    }
    assert_eq!(poisoned, 1);
    fs::remove_dir_all(path.join(".imgmake")).unwrap();
    fs::create_dir(path.join(".imgmake")).unwrap();
    run(
        "cp",
        &[
            "-r",
            &attacker.store().display().to_string(),
            &path.join(".imgmake/store").display().to_string(),
        ],
    );
    let store = path.join(".imgmake/store").display().to_string();
    for imgmake in [
        Imgmake::new(),
        Imgmake::new().with("IMGMAKE_STATE_KEY", TEXT),
        // The home is in the checkout as well.
        Imgmake::new().with("HOME", &path.display().to_string()),
    ] {
        let imgmake = imgmake.with("IMGMAKE_STORE", &store);
        imgmake.refused(path, &["gate"], 3, &["EXAMPLE-9"]);
    }
}

#[test]
fn a_poisoned_step_record_in_a_workspace_gives_no_other_image() {
    let workspace = temporary();
    let path = workspace.path();
    write(path, "Dockerfile", "FROM scratch\nCOPY app.txt /\n");
    let root = path.join(".imgmake/store");
    let build = |key: Option<&str>| {
        let mut imgmake = Imgmake::new()
            .with("IMGMAKE_STORE", &root.display().to_string())
            .with("PLUGIN_REPO", "registry.example.com/app")
            .with("PLUGIN_NO_PUSH", "true")
            .with("PLUGIN_TAR_PATH", "image.tar");
        if let Some(key) = key {
            imgmake = imgmake.with("IMGMAKE_STATE_KEY", key);
        }
        let ran = imgmake.ok(path, &["plugin", "--as", "kaniko-docker"]);
        let listed = run(
            "tar",
            &[
                "-xOf",
                &path.join("image.tar").display().to_string(),
                "manifest.json",
            ],
        );
        (listed, said(&ran))
    };
    let steps = || -> Vec<PathBuf> {
        let entries = fs::read_dir(root.join("steps")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let store_key = |key: &MacKey| {
        let canonical = root.canonicalize().unwrap();
        key.derive("store", canonical.as_os_str().as_encoded_bytes())
    };
    let ours = MacKey::of_text(TEXT).unwrap();
    let name = |file: &Path| format!("steps/{}", file.file_name().unwrap().display());
    write(path, "app.txt", "evil");
    let (evil, _) = build(Some(TEXT));
    let evil_steps = steps();
    write(path, "app.txt", "good");
    let (good, _) = build(Some(TEXT));
    assert_ne!(evil, good);
    let [of_good] = &steps()
        .into_iter()
        .filter(|s| !evil_steps.contains(s))
        .collect::<Vec<_>>()[..]
    else {
        panic!("{:?}", steps());
    };
    let sealed = fs::read(&evil_steps[0]).unwrap();
    let record = store_key(&ours)
        .open(&name(&evil_steps[0]), &sealed)
        .unwrap()
        .to_vec();
    let plant = |key: &MacKey| {
        fs::write(of_good, key.seal(&name(of_good), &record)).unwrap();
    };
    // With the right key the record is believed, so nothing but the MAC stands in its way.
    plant(&store_key(&ours));
    assert_eq!(build(Some(TEXT)).0, evil);

    for key in [
        store_key(&MacKey::of_text(&TEXT.replace('a', "b")).unwrap()),
        MacKey::checksum(),
        store_key(&MacKey::checksum()),
    ] {
        plant(&key);
        assert_eq!(build(Some(TEXT)).0, good);
        plant(&key);
        let (image, said) = build(None);
        assert_eq!(image, good);
        assert!(
            said.contains("IMGMAKE_STATE_KEY") && said.contains("are not used"),
            "{said}"
        );
    }
    plant(&store_key(&ours));
    assert_eq!(build(None).0, good);
}

#[test]
fn a_later_step_pushes_by_name_and_says_whose_name_it_is() {
    for key in [None, Some(TEXT)] {
        let mut platform = Platform::with_registries(&["docker"]);
        if let Some(key) = key {
            platform = platform.with("IMGMAKE_STATE_KEY", key);
        }
        platform.ok("build-only-daemon-off");
        let ran = platform.ok("push-only-daemon-off");
        let output = &ran[0].output;
        let tag = format!("v.{SEQUENCE}");
        let digest = platform
            .registry("docker")
            .digest("team/app", &tag)
            .unwrap();
        let store = platform.file(".imgmake/store").display().to_string();
        assert!(
            output.contains(&format!("is {digest} of the store `{store}`")),
            "{output}"
        );
        let by_anybody = output
            .contains("under a name that anyone who can write to the workspace could have set");
        assert_eq!(by_anybody, key.is_none(), "{output}");
    }
    let mut platform = Platform::with_registries(&["docker"]);
    platform = platform.with("IMGMAKE_STATE_KEY", "short");
    let ran = platform.run("build-only-daemon-off");
    assert!(
        ran[0].code == 1 && ran[0].output.contains("at least 32"),
        "{ran:?}"
    );
}

#[test]
fn a_blob_that_is_not_what_its_name_says_is_not_pushed() {
    // The manifest, the configuration and the layer; each time for a registry that has none.
    for at in 0..3 {
        let platform = Platform::with_registries(&["docker"]);
        platform.ok("build-only-daemon-off");
        let entries = fs::read_dir(platform.file(".imgmake/store/blobs/sha256")).unwrap();
        let mut blobs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        blobs.sort();
        assert!(blobs.len() >= 3, "{blobs:?}");
        let mut bytes = fs::read(&blobs[at]).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&blobs[at], bytes).unwrap();
        let ran = platform.run("push-only-daemon-off");
        assert!(ran.iter().any(|step| step.code != 0), "{ran:?}");
        assert!(platform.registry("docker").tags().is_empty(), "{ran:?}");
    }
}

#[test]
fn a_workspace_whose_state_is_a_link_or_tracked_is_refused() {
    let step = || {
        Imgmake::new()
            .with("IMGMAKE_STORE", ".imgmake/store")
            .with("PLUGIN_REPO", "registry.example.com/app")
            .with("PLUGIN_NO_PUSH", "true")
    };
    let plugin = ["plugin", "--as", "kaniko-docker"];
    let (workspace, outside) = (temporary(), temporary());
    write(workspace.path(), "Dockerfile", "FROM scratch\nLABEL a=1\n");
    let state = workspace.path().join(".imgmake");
    symlink(outside.path(), &state).unwrap();
    step().refused(workspace.path(), &plugin, 1, &["symbolic link"]);
    fs::remove_file(&state).unwrap();
    for inner in [
        "store",
        "store/blobs",
        "store/tmp",
        "store/trees",
        "store/lock",
    ] {
        fs::create_dir_all(state.join(inner).parent().unwrap()).unwrap();
        symlink(outside.path(), state.join(inner)).unwrap();
        step().refused(workspace.path(), &plugin, 1, &["symbolic link"]);
        fs::remove_file(state.join(inner)).unwrap();
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    step().ok(workspace.path(), &plugin);
    git(workspace.path(), &["init"]);
    git(workspace.path(), &["add", "-f", ".imgmake/store/images"]);
    step().refused(workspace.path(), &plugin, 1, &["git tracks `.imgmake`"]);
}
