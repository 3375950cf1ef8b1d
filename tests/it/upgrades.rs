//! State and stores of other versions: an older one is made anew with one line, a newer one is refused
//! and left as it is.

use std::fs;

use imgmake_guard::mac::MacKey;

use crate::ground::project::Project;

const PROJECT: &str = r#"
build app { from "scratch"; copy "in" to="/in"; tags "a:1" }
run made { command "cat in > out; echo ran >> log"; inputs "in"; outputs "out" }
group default app made
"#;

fn built() -> Project {
    Project::new(PROJECT).with("in", "1").built()
}

/// A sound log of the user, whose first line is this one.
fn write_log(p: &Project, line: &[u8; 16]) {
    let key = MacKey::read(&p.imgmake.store()).unwrap().unwrap();
    let project = p.path().canonicalize().unwrap();
    let key = key.derive("project", project.as_os_str().as_encoded_bytes());
    let fields = [&line[..], &[7; 16]].concat();
    let mac = key.mac(&[b"start", &fields]);
    let log = [&fields[..], &mac[..16], b"records"].concat();
    fs::write(p.file(".imgmake/log"), log).unwrap();
}

#[test]
fn a_newer_state_is_refused_by_every_command_that_reads_it_and_kept() {
    let p = built();
    write_log(&p, b"imgmake state 9\n");
    let before = fs::read(p.file(".imgmake/log")).unwrap();
    for arguments in [
        &["run"][..],
        &["plan"],
        &["check"],
        &["why", "made"],
        &["run", "--force"],
    ] {
        let ran = p.imgmake.run(p.path(), arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        let told = "has format 9, written by a newer imgmake; this one reads format 3";
        assert!(ran.stderr.contains(told), "{ran:?}");
        assert!(ran.stderr.contains("help: use that version"), "{ran:?}");
    }
    assert_eq!(fs::read(p.file(".imgmake/log")).unwrap(), before);
    assert_eq!(p.read("log"), "ran\n");
}

#[test]
fn an_older_state_is_made_anew_with_one_line() {
    let p = built();
    write_log(&p, b"imgmake state 1\n");
    let ran = p.imgmake.ok(p.path(), &["run"]);
    let told =
        "the state in `.imgmake` was written by an older version: imgmake checks everything again";
    assert_eq!(ran.stderr.matches(told).count(), 1, "{ran:?}");
    assert_eq!(p.read("log"), "ran\nran\n");
    let ran = p.imgmake.ok(p.path(), &["check"]);
    assert!(!ran.stderr.contains("older"), "{ran:?}");
}

#[test]
fn a_newer_store_is_refused_and_left_as_it_is() {
    let p = built();
    let store = p.imgmake.store();
    fs::write(store.join("format"), "imgmake store 9\n").unwrap();
    let steps = || fs::read_dir(store.join("indexes")).unwrap().count();
    let before = steps();
    assert!(before > 0);
    p.write("in", "2");
    for arguments in [
        &["run", "app"][..],
        &["run"],
        &["inspect", "a:1"],
        &["gc", "--all"],
        &["rmi", "a:1"],
    ] {
        let ran = p.imgmake.run(p.path(), arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        let told = "has format 9, written by a newer imgmake; this one reads format 1";
        assert!(ran.stderr.contains(told), "{arguments:?}: {ran:?}");
    }
    assert_eq!(steps(), before);
}

#[test]
fn steps_of_an_older_store_are_made_again_with_one_line() {
    let p = built();
    let store = p.imgmake.store();
    let steps = || fs::read_dir(store.join("indexes")).unwrap().count();
    for older in [None, Some("imgmake store 0\n")] {
        match older {
            None => fs::remove_file(store.join("format")).unwrap(),
            Some(text) => fs::write(store.join("format"), text).unwrap(),
        }
        let before = steps();
        let ran = p.imgmake.ok(p.path(), &["run", "--force"]);
        let told = "was written by an older version: its steps are built again";
        assert_eq!(ran.stderr.matches(told).count(), 1, "{ran:?}");
        assert_eq!(steps(), before);
        let ran = p.imgmake.ok(p.path(), &["run"]);
        assert!(!ran.stderr.contains("older"), "{ran:?}");
    }
    p.imgmake.ok(p.path(), &["inspect", "a:1"]);
}
