use super::*;

fn targets(names: &[&str]) -> Claim {
    Claim::Targets {
        graph: [1; 32],
        names: names.iter().map(ToString::to_string).collect(),
    }
}

fn claim(project: &Path, claim: &Claim) -> Result<Lock> {
    let Claim::Targets { names, .. } = claim else {
        return Lock::take(project, &Wait::No);
    };
    let common = |theirs: &[&str]| {
        let common = theirs
            .iter()
            .find(|name| names.iter().any(|own| own == *name))?;
        Some(Overlap::Target(common.to_string()))
    };
    Lock::claim(project, claim, &common, &Wait::No)
}

#[test]
fn runs_of_other_targets_work_side_by_side_and_others_wait() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let one = claim(path, &targets(&["a", "b"])).unwrap();
    let other = claim(path, &targets(&["c"])).unwrap();
    for (wanted, told) in [
        (targets(&["d", "b"]), "another run works on `b`"),
        (targets(&["c"]), "another run works on `c`"),
        (Claim::Project, "another run works in this project"),
    ] {
        let refused = claim(path, &wanted).unwrap_err().to_string();
        assert!(refused.starts_with(told), "{refused}");
    }
    drop(one);
    let again = claim(path, &targets(&["b"])).unwrap();
    drop((again, other));
    drop(claim(path, &Claim::Project).unwrap());
    let left = fs::read_dir(path.join(".imgmake")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().starts_with("run-")),
        "{left:?}"
    );
}

#[test]
fn what_a_dead_run_left_is_removed_and_what_is_no_file_of_a_run_stops_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    drop(Lock::take(path, &Wait::No).unwrap());
    let state = path.join(".imgmake");
    fs::write(state.join("run-1-0"), "1 2\0all\0").unwrap();
    fs::create_dir(state.join("run-2-0")).unwrap();
    symlink("/etc/passwd", state.join("run-3-0")).unwrap();
    drop(Lock::take(path, &Wait::No).unwrap());
    assert!(!state.join("run-1-0").exists());
    assert!(Path::new("/etc/passwd").exists());
}

#[test]
fn two_runs_write_one_log_and_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (first, second) = (
        claim(path, &targets(&["a"])).unwrap(),
        claim(path, &targets(&["b"])).unwrap(),
    );
    let (one, other) = (open(path, &first), open(path, &second));
    one.finished("a", outcome("1")).unwrap();
    other.finished("b", outcome("2")).unwrap();
    // What one that was killed left is cut off by the other.
    let log = path.join(".imgmake/log");
    let whole = fs::metadata(&log).unwrap().len();
    let torn = [&fs::read(&log).unwrap()[..], b"torn"].concat();
    fs::write(&log, torn).unwrap();
    one.started("a").unwrap();
    other.set_pin("debian:12", "sha256:00");
    one.finished("a", outcome("3")).unwrap();
    assert!(fs::metadata(&log).unwrap().len() > whole);
    let again = read(path);
    assert_eq!(again.ignored(), None);
    assert_eq!(again.record("a").outcome, Some(outcome("3")));
    assert_eq!(again.record("b").outcome, Some(outcome("2")));
    assert_eq!(again.pin("debian:12").as_deref(), Some("sha256:00"));
}

#[test]
fn a_log_that_grew_is_left_to_those_who_write_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let first = claim(path, &targets(&["a"])).unwrap();
    let one = open(path, &first);
    for round in 0..3000 {
        one.finished("a", outcome(&round.to_string())).unwrap();
    }
    let size = || fs::metadata(path.join(".imgmake/log")).unwrap().len();
    let before = size();
    let second = claim(path, &targets(&["b"])).unwrap();
    let other = open(path, &second);
    assert_eq!(size(), before);
    one.finished("a", outcome("last")).unwrap();
    other.finished("b", outcome("2")).unwrap();
    drop((one, other, first, second));
    let third = claim(path, &targets(&["c"])).unwrap();
    let third = open(path, &third);
    assert!(size() < before / 10);
    assert_eq!(third.record("a").outcome, Some(outcome("last")));
    assert_eq!(third.record("b").outcome, Some(outcome("2")));
}

#[test]
fn hashes_that_two_runs_have_learnt_are_all_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for name in ["one", "other"] {
        fs::write(path.join(name), name).unwrap();
    }
    std::thread::sleep(std::time::Duration::from_millis(60));
    let (first, second) = (
        claim(path, &targets(&["a"])).unwrap(),
        claim(path, &targets(&["b"])).unwrap(),
    );
    let (one, other) = (open(path, &first), open(path, &second));
    hash_file(&one.stats, &path.join("one"));
    hash_file(&other.stats, &path.join("other"));
    one.save_stats();
    other.save_stats();
    let again = read(path);
    for name in ["one", "other"] {
        assert!(
            again.stats.known(&signature(&path.join(name))).is_some(),
            "{name}"
        );
    }
}

#[test]
fn hashing_again_what_one_target_reads_keeps_the_hashes_of_the_others() {
    let (directory, lock) = project();
    let path = directory.path();
    for name in ["one", "other"] {
        fs::write(path.join(name), name).unwrap();
    }
    std::thread::sleep(std::time::Duration::from_millis(60));
    let state = open(path, &lock);
    hash_file(&state.stats, &path.join("one"));
    hash_file(&state.stats, &path.join("other"));
    state.save_stats();
    drop(state);

    let mut again = open(path, &lock);
    again.forget_hashes();
    let one = signature(&path.join("one"));
    assert!(again.stats.known(&one).is_none(), "it is read again");
    hash_file(&again.stats, &path.join("one"));
    again.save_stats();
    let saved = read(path);
    for name in ["one", "other"] {
        assert!(
            saved.stats.known(&signature(&path.join(name))).is_some(),
            "{name}"
        );
    }
}
