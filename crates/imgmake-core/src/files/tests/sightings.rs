//! Hashes that are remembered by how files were: believed while nothing moved, and never longer.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::files::signature::now;

const CONTEXT: [u8; 32] = [1; 32];
const HASH: [u8; 32] = [2; 32];

/// A directory `in` with the file `f`, long enough ago.
fn project() -> tempfile::TempDir {
    let project = tempfile::tempdir().unwrap();
    fs::create_dir(project.path().join("in")).unwrap();
    fs::write(project.path().join("in/f"), "one").unwrap();
    std::thread::sleep(Duration::from_millis(60));
    project
}

fn sightings(project: &Path, begun: i64) -> Sightings {
    let mut sightings = Sightings::default();
    sightings.look_in(project, Some(begun));
    sightings
}

fn signature(path: &Path) -> Signature {
    Signature::of(&fs::symlink_metadata(path).unwrap())
}

/// Remembers a hash by `in`, `in/f`, and that nothing is called `absent`.
fn learn(sightings: &Sightings, project: &Path) {
    let mut evidence = sightings.evidence().unwrap();
    evidence.followed(b"in", &signature(&project.join("in")));
    evidence.itself(b"in/f", &signature(&project.join("in/f")));
    evidence.absent(b"absent", true);
    sightings.learn(b"name", &CONTEXT, &HASH, &evidence);
}

/// What the next run finds.
fn again(sightings: &Sightings, project: &Path) -> Sightings {
    let records = sightings.records_with(&Sightings::default());
    let mut again = Sightings::from_records(records).unwrap();
    again.look_in(project, Some(now()));
    again
}

fn known(sightings: &Sightings) -> bool {
    let hash = sightings.hash(b"name", &CONTEXT, &Cancel::default());
    assert!(hash.is_none_or(|hash| hash == HASH));
    hash.is_some()
}

fn set_times_of(path: &Path, from: &Path) {
    let times = fs::metadata(from).unwrap().modified().unwrap();
    File::open(path).unwrap().set_modified(times).unwrap();
}

#[test]
fn a_hash_is_believed_until_something_moves_that_it_rests_on() {
    type Change = fn(&dyn Fn(&str) -> PathBuf);
    let changes: &[(&str, bool, Change)] = &[
        ("nothing", true, |_| {}),
        ("a file elsewhere", true, |at| {
            fs::write(at("other"), "1").unwrap()
        }),
        ("content of the same length and time", false, |at| {
            fs::copy(at("in/f"), at("before")).unwrap();
            set_times_of(&at("before"), &at("in/f"));
            fs::write(at("in/f"), "two").unwrap();
            set_times_of(&at("in/f"), &at("before"));
        }),
        ("the same content, written again", false, |at| {
            fs::write(at("in/f"), "one").unwrap()
        }),
        ("its mode", false, |at| {
            fs::set_permissions(at("in/f"), fs::Permissions::from_mode(0o755)).unwrap();
        }),
        ("another file in its place", false, |at| {
            fs::write(at("new"), "two").unwrap();
            set_times_of(&at("new"), &at("in/f"));
            fs::rename(at("new"), at("in/f")).unwrap();
        }),
        ("a link to the same in its place", false, |at| {
            fs::rename(at("in/f"), at("real")).unwrap();
            symlink(at("real"), at("in/f")).unwrap();
        }),
        ("a new name", false, |at| {
            fs::write(at("in/g"), "1").unwrap()
        }),
        ("a new name that went again", false, |at| {
            fs::write(at("in/g"), "1").unwrap();
            fs::remove_file(at("in/g")).unwrap();
        }),
        ("a name that went", false, |at| {
            fs::remove_file(at("in/f")).unwrap()
        }),
        (
            "another directory with the times of the first",
            false,
            |at| {
                fs::rename(at("in"), at("old")).unwrap();
                fs::create_dir(at("in")).unwrap();
                fs::copy(at("old/f"), at("in/f")).unwrap();
                set_times_of(&at("in/f"), &at("old/f"));
                set_times_of(&at("in"), &at("old"));
            },
        ),
        ("what was absent", false, |at| {
            fs::write(at("absent"), "").unwrap()
        }),
        ("a link of that name to nothing", true, |at| {
            symlink("nowhere", at("absent")).unwrap()
        }),
        ("a link of that name to something", false, |at| {
            symlink("in", at("absent")).unwrap()
        }),
    ];
    for (what, is_known, change) in changes {
        let project = project();
        let first = sightings(project.path(), now());
        learn(&first, project.path());
        change(&|name| project.path().join(name));
        let again = again(&first, project.path());
        assert_eq!(known(&again), *is_known, "{what}");
    }
}

#[test]
fn another_name_or_context_has_another_hash() {
    let project = project();
    let first = sightings(project.path(), now());
    learn(&first, project.path());
    let again = again(&first, project.path());
    let hash = |name: &[u8], context| again.hash(name, context, &Cancel::default());
    assert_eq!(hash(b"name", &CONTEXT), Some(HASH));
    assert_eq!(hash(b"name", &[9; 32]), None);
    assert_eq!(hash(b"nam", &CONTEXT), None);
    let cancel = Cancel::default();
    cancel.cancel();
    assert_eq!(again.hash(b"name", &CONTEXT, &cancel), None);
}

#[test]
fn what_somebody_knows_to_have_moved_is_not_looked_at() {
    let project = project();
    let first = sightings(project.path(), now());
    learn(&first, project.path());
    for (name, is_known) in [("in/f", false), ("in", false), ("n/f", true), ("f", true)] {
        let mut again = again(&first, project.path());
        again.expect_moved([name.as_bytes().to_vec()]);
        assert_eq!(known(&again), is_known, "{name}");
    }
}

#[test]
fn what_was_copied_with_all_its_times_is_looked_at_anew() {
    let project = project();
    let first = sightings(project.path(), now());
    learn(&first, project.path());
    let copy = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp")
        .args(["-a", "in"])
        .arg(copy.path())
        .current_dir(project.path())
        .status();
    assert!(copied.unwrap().success());
    assert!(known(&again(&first, project.path())));
    assert!(!known(&again(&first, copy.path())));
}

#[test]
fn what_changed_a_moment_ago_is_no_evidence() {
    let project = project();
    let path = |name: &str| project.path().join(name);
    let remembers = |begun: i64| {
        let first = sightings(project.path(), begun);
        learn(&first, project.path());
        first.has_learnt()
    };
    assert!(remembers(now()));
    // The clock that stamps the files is behind ours: by it, they are as old as the run.
    let changed = signature(&path("in/f")).ctime;
    assert!(!remembers(changed) && !remembers(changed + 10_000_000));
    // Nothing was made when the run began, so that nobody knows what that clock says.
    assert!(!remembers(0));
    for name in ["in/f", "in/g"] {
        fs::write(path(name), "two").unwrap();
        assert!(!remembers(now()), "{name}");
        std::thread::sleep(Duration::from_millis(60));
        assert!(remembers(now()), "{name}");
    }
}

#[test]
fn times_in_whole_seconds_are_believed_two_seconds_later() {
    let signature = |ctime| Signature {
        device: 1,
        inode: 1,
        size: 1,
        mtime: 0,
        ctime,
    };
    let second = 1_000_000_000;
    let coarse = signature(100 * second);
    assert!(!coarse.would_move_after(102 * second));
    assert!(coarse.would_move_after(102 * second + 1));
    let fine = signature(100 * second + 1);
    assert!(!fine.would_move_after(100 * second + 20_000_001));
    assert!(fine.would_move_after(100 * second + 20_000_002));
    // A clock that was set back.
    assert!(!signature(i64::MAX).would_move_after(i64::MAX));
}

#[test]
fn files_of_another_device_are_no_evidence() {
    let project = project();
    let first = sightings(project.path(), now());
    let mut evidence = first.evidence().unwrap();
    evidence.itself(b"/proc/self", &signature(Path::new("/proc/self/stat")));
    first.learn(b"name", &CONTEXT, &HASH, &evidence);
    assert!(!first.has_learnt());
    // Directories there do not change their times with their names.
    assert!(sightings(Path::new("/proc"), now()).evidence().is_none());
}

#[test]
fn the_records_of_two_runs_are_joined_and_the_newer_one_counts() {
    let project = project();
    let path = project.path();
    let evidence = |of: &Sightings| {
        let mut evidence = of.evidence().unwrap();
        evidence.itself(b"in/f", &signature(&path.join("in/f")));
        evidence
    };
    let (one, other) = (sightings(path, now()), sightings(path, now()));
    for (of, name, hash) in [
        (&one, b"a", [1; 32]),
        (&one, b"b", [1; 32]),
        (&other, b"b", [2; 32]),
        (&other, b"c", [2; 32]),
    ] {
        of.learn(name, &CONTEXT, &hash, &evidence(of));
    }
    let other = again(&other, path);
    let mut joined = Sightings::from_records(one.records_with(&other)).unwrap();
    joined.look_in(path, None);
    for (name, hash) in [(b"a", [1; 32]), (b"b", [1; 32]), (b"c", [2; 32])] {
        let found = joined.hash(name, &CONTEXT, &Cancel::default());
        assert_eq!(found, Some(hash));
    }
}

#[test]
fn many_places_are_looked_at_as_few_are() {
    let project = project();
    for at in 0..3000 {
        fs::write(project.path().join(format!("in/{at}")), "1").unwrap();
    }
    std::thread::sleep(Duration::from_millis(60));
    let first = sightings(project.path(), now());
    let mut evidence = first.evidence().unwrap();
    for at in 0..3000 {
        let name = format!("in/{at}");
        evidence.itself(name.as_bytes(), &signature(&project.path().join(&name)));
    }
    first.learn(b"name", &CONTEXT, &HASH, &evidence);
    let again = again(&first, project.path());
    assert!(known(&again));
    for at in [0, 511, 512, 2999] {
        let file = project.path().join(format!("in/{at}"));
        let before = fs::metadata(&file).unwrap().ino();
        fs::write(&file, "2").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().ino(), before);
        assert!(!known(&again), "{at}");
        fs::write(&file, "1").unwrap();
        assert!(!known(&again), "{at}");
    }
}

#[test]
fn what_another_version_has_seen_is_nothing_and_no_stranger_s() {
    let project = project();
    let first = sightings(project.path(), now());
    learn(&first, project.path());
    let records = first.records_with(&Sightings::default());
    let own = concat!("imgmake ", env!("CARGO_PKG_VERSION"), "\n");
    let rest = records.strip_prefix(own.as_bytes()).unwrap();
    for (version, is_known) in [(own, true), ("imgmake 0.0.1\n", false)] {
        let records = [version.as_bytes(), rest].concat();
        let mut found = Sightings::from_records(records).unwrap();
        found.look_in(project.path(), Some(now()));
        assert_eq!(known(&found), is_known, "{version}");
    }
    assert!(Sightings::from_records(rest.to_vec()).is_none());
}

#[test]
fn any_bytes_are_records_or_refused() {
    let project = project();
    let first = sightings(project.path(), now());
    learn(&first, project.path());
    let sound = first.records_with(&Sightings::default());
    let mut tried: Vec<Vec<u8>> = (0..sound.len()).map(|at| sound[..at].to_vec()).collect();
    for at in 0..sound.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = sound.clone();
            bytes[at] = value;
            tried.push(bytes);
        }
    }
    tried.push([&sound[..], &sound].concat());
    for bytes in tried {
        if let Some(mut found) = Sightings::from_records(bytes) {
            found.look_in(project.path(), Some(now()));
            found.hash(b"name", &CONTEXT, &Cancel::default());
            found.records_with(&Sightings::default());
        }
    }
}
