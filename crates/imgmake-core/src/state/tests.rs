use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use super::*;
use crate::error::Overlap;
use crate::files::Signature;
use imgmake_event::Cancel;

fn key() -> MacKey {
    MacKey::of_text("the key of the user who runs these tests").unwrap()
}

fn open(project: &Path, lock: &Lock) -> State {
    State::open(project, &key(), lock).unwrap()
}

fn read(project: &Path) -> State {
    State::read(project, &key()).unwrap()
}

fn inputs(value: &str) -> Inputs {
    let mut inputs = Inputs::new();
    inputs.value("file", "src/main.c", value.as_bytes());
    inputs
}

fn outcome(value: &str) -> Outcome {
    let output = Output::Pushed {
        reference: "r/x:1".parse().unwrap(),
        digest: imgmake_oci::image::Digest::of(value.as_bytes()),
    };
    Outcome::new(&inputs(value), [7; 32], vec![output])
}

fn project() -> (tempfile::TempDir, Lock) {
    let directory = tempfile::tempdir().unwrap();
    let lock = Lock::take(directory.path(), &Wait::No).unwrap();
    (directory, lock)
}

#[test]
fn an_outcome_comes_back_as_it_was_with_its_explanation() {
    let (directory, lock) = project();
    let state = open(directory.path(), &lock);
    state.started("app").unwrap();
    state.finished("app", outcome("1")).unwrap();
    state.set_pin("debian:12", "sha256:00");

    let again = read(directory.path());

    let known = again.record("app");
    assert_eq!(known.status, AttemptStatus::Finished);
    assert_eq!(known.outcome, Some(outcome("1")));
    let explanation = known.outcome.unwrap().explanation();
    assert_eq!(explanation, inputs("1").explanation());
    assert_eq!(again.pin("debian:12").as_deref(), Some("sha256:00"));
}

#[test]
fn a_start_without_a_finish_is_an_interruption() {
    let (directory, lock) = project();
    let state = open(directory.path(), &lock);
    state.finished("app", outcome("1")).unwrap();
    state.started("app").unwrap();
    let known = read(directory.path()).record("app");
    assert_eq!(known.status, AttemptStatus::Interrupted);
    assert!(known.outcome.is_some());
}

#[test]
fn a_log_cut_anywhere_or_with_any_byte_changed_keeps_what_stands_before() {
    let (directory, lock) = project();
    let state = open(directory.path(), &lock);
    state.finished("first", outcome("1")).unwrap();
    let path = directory.path().join(".imgmake/log");
    let kept = fs::metadata(&path).unwrap().len() as usize;
    state.finished("second", outcome("2")).unwrap();
    drop(state);
    let whole = fs::read(&path).unwrap();
    for at in kept..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x40;
        for damaged in [&whole[..at], &changed[..]] {
            fs::write(&path, damaged).unwrap();
            let state = open(directory.path(), &lock);
            assert!(state.record("first").outcome.is_some(), "{at}");
            assert!(state.record("second").outcome.is_none(), "{at}");
            state.finished("third", outcome("3")).unwrap();
            let again = read(directory.path());
            assert!(again.record("third").outcome.is_some(), "{at}");
        }
    }
}

#[test]
fn a_file_that_is_no_log_of_ours_is_replaced_by_one() {
    let (directory, lock) = project();
    fs::write(directory.path().join(".imgmake/log"), "who knows").unwrap();
    let state = open(directory.path(), &lock);
    state.finished("app", outcome("1")).unwrap();
    assert!(read(directory.path()).record("app").outcome.is_some());
}

#[test]
fn a_log_that_grew_is_compacted_and_loses_nothing_live() {
    let (directory, lock) = project();
    let state = open(directory.path(), &lock);
    for round in 0..3000 {
        state.finished("app", outcome(&round.to_string())).unwrap();
    }
    state.attempt("other", AttemptStatus::Failed).unwrap();
    let path = directory.path().join(".imgmake/log");
    let before = fs::metadata(&path).unwrap().size();
    let state = open(directory.path(), &lock);
    assert!(fs::metadata(&path).unwrap().size() < before / 10);
    assert_eq!(state.record("app").outcome, Some(outcome("2999")));
    assert_eq!(
        read(directory.path()).record("other").status,
        AttemptStatus::Failed
    );
}

#[test]
fn a_second_run_is_told_who_holds_the_project() {
    let (directory, lock) = project();
    let refused = Lock::take(directory.path(), &Wait::No).unwrap_err();
    let pid = std::process::id().to_string();
    assert!(refused.to_string().contains(&pid), "{refused}");
    drop(lock);
    Lock::take(directory.path(), &Wait::No).unwrap();
}

/// A sound log of this key whose first line is another.
fn log_of_format(project: &Path, line: &[u8; 16]) -> Vec<u8> {
    let key = project_key(project, &key());
    let fields = [&line[..], &[7; 16]].concat();
    let mac = key.mac(&[b"start", &fields]);
    [
        &fields[..],
        &mac[..16],
        b"records that nobody here can read",
    ]
    .concat()
}

#[test]
fn a_log_of_an_older_format_is_made_anew_and_a_newer_one_is_refused_and_kept() {
    let (directory, lock) = filed_under(&key());
    let path = directory.path().join(".imgmake/log");
    fs::write(&path, log_of_format(directory.path(), b"imgmake state 2\n")).unwrap();
    assert_eq!(read(directory.path()).ignored(), Some(Ignored::Older));
    let state = open(directory.path(), &lock);
    assert_eq!(state.ignored(), Some(Ignored::Older));
    // Nor is what lies beside it read.
    assert!(
        state
            .stats
            .known(&signature(&directory.path().join("f")))
            .is_none()
    );
    state.finished("app", outcome("1")).unwrap();
    let again = read(directory.path());
    assert_eq!(again.ignored(), None);
    // Nor later, when the log no longer says what it was.
    assert!(
        again
            .stats
            .known(&signature(&directory.path().join("f")))
            .is_none()
    );

    for newer in [
        b"imgmake state 4\n",
        b"imgmake state 17",
        b"imgmake state 2b",
    ] {
        let newer = log_of_format(directory.path(), newer);
        fs::write(&path, &newer).unwrap();
        for refused in [
            State::read(directory.path(), &key()).err(),
            State::open(directory.path(), &key(), &lock).err(),
        ] {
            assert!(
                matches!(refused, Some(CoreError::NewerState { known: 3, .. })),
                "{refused:?}"
            );
        }
        assert_eq!(fs::read(&path).unwrap(), newer);
    }
    // Anybody can write such a line, and nobody is stopped by it.
    fs::write(&path, [&b"imgmake state 9\n"[..], &[0; 32]].concat()).unwrap();
    assert_eq!(read(directory.path()).ignored(), Some(Ignored::Foreign));
}

/// What a record looks like is what the format promises.
#[test]
fn records_of_this_format_look_as_they_did() {
    let digest = imgmake_oci::image::Digest::of(b"x");
    let reference: imgmake_oci::image::Reference = "r/x:1".parse().unwrap();
    let file = |what| Output::File {
        what,
        path: "p".into(),
        signature: [1; 32],
    };
    let outputs = vec![
        Output::Image {
            media_type: "m".into(),
            digest: digest.clone(),
            size: 1,
            blobs: vec![(digest.clone(), 2)],
            sources: vec![reference.clone()],
            tags: vec!["t".into()],
        },
        file(FileKind::Tar),
        file(FileKind::Layout),
        file(FileKind::Report),
        file(FileKind::Digests),
        file(FileKind::Export),
        Output::Tree {
            path: "p".into(),
            hash: [2; 32],
        },
        Output::Pushed {
            reference,
            digest: digest.clone(),
        },
        Output::Passed { digest },
        Output::Loaded {
            daemon: crate::manifest::LoadInto::Docker,
            ids: vec![("n".into(), "i".into())],
        },
        Output::ValidUntil { seconds: 3 },
    ];
    // What keys mean has versions of its own.
    let outcome = Outcome {
        key: CacheKey([6; 32]),
        digest: [7; 32],
        outputs,
        explanation: vec![8, 9],
    };
    let attempt = |status| Record::Attempt {
        target: "a",
        status,
    };
    let records = [
        attempt(AttemptStatus::Finished),
        attempt(AttemptStatus::Interrupted),
        attempt(AttemptStatus::Failed),
        attempt(AttemptStatus::InputsChanged),
        attempt(AttemptStatus::InputsTouched),
        outcome.record("a"),
        Record::Pin {
            name: "n",
            value: "v",
        },
        Record::Took {
            target: "a",
            millis: 300,
        },
    ];
    let bytes: Vec<u8> = records
        .iter()
        .flat_map(|r| postcard::to_stdvec(r).unwrap())
        .collect();
    let found = hex::encode(&blake3::hash(&bytes).as_bytes()[..8]);
    assert_eq!(
        (log::FORMAT, found.as_str()),
        (3, "119be8ab24a754fb"),
        "other records are another `FORMAT`"
    );
}

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

/// A project's `.imgmake` for the cache alone.
fn stats_of(directory: &Path) -> (StatCache, bool) {
    let state = Directory::open_or_make(directory).unwrap();
    load_stats(&state, &key())
}

fn signature(file: &Path) -> Signature {
    Signature::of(&fs::metadata(file).unwrap())
}

fn hash_file(stats: &StatCache, file: &Path) -> [u8; 32] {
    let open = || fs::File::open(file);
    stats
        .hash_file(&signature(file), open, &Cancel::default())
        .unwrap()
}

fn save(stats: &StatCache, directory: &Path) {
    let state = Directory::open_or_make(directory).unwrap();
    save_stats(stats, &state, &key(), state.inode(STATS)).unwrap();
}

#[test]
fn a_known_file_is_not_read_again_and_a_changed_one_is() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("f");
    fs::write(&file, "one").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(60));
    let hash = |stats: &StatCache| hash_file(stats, &file);
    let (stats, _) = stats_of(directory.path());
    assert_eq!(hash(&stats), *blake3::hash(b"one").as_bytes());
    save(&stats, directory.path());

    let (stats, foreign) = stats_of(directory.path());
    assert!(!foreign);
    let unreadable = || Err(std::io::ErrorKind::NotFound.into());
    let known = stats
        .hash_file(&signature(&file), unreadable, &Cancel::default())
        .unwrap();
    assert_eq!(known, *blake3::hash(b"one").as_bytes());

    fs::write(&file, "two").unwrap();
    assert_eq!(hash(&stats), *blake3::hash(b"two").as_bytes());
}

#[test]
fn a_file_written_just_now_is_hashed_but_not_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("f");
    let (stats, _) = stats_of(directory.path());
    fs::write(&file, "one").unwrap();
    hash_file(&stats, &file);
    save(&stats, directory.path());
    assert!(!directory.path().join(".imgmake/stat").exists());
}

#[test]
fn a_stat_cache_with_any_byte_changed_counts_as_empty() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("f");
    let cache = directory.path().join(".imgmake/stat");
    fs::write(&file, "one").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(60));
    let (stats, _) = stats_of(directory.path());
    hash_file(&stats, &file);
    save(&stats, directory.path());
    let sound = fs::read(&cache).unwrap();
    for at in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        fs::write(&cache, bytes).unwrap();
        let (stats, foreign) = stats_of(directory.path());
        assert!(foreign && stats.known(&signature(&file)).is_none(), "{at}");
    }
}

/// A project with every kind of file in its `.imgmake`, all of this key.
fn filed_under(key: &MacKey) -> (tempfile::TempDir, Lock) {
    let (directory, lock) = project();
    let file = directory.path().join("f");
    fs::write(&file, "one").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(60));
    let state = State::open(directory.path(), key, &lock).unwrap();
    state.finished("test", outcome("1")).unwrap();
    state.set_pin("debian:12", "sha256:00");
    hash_file(&state.stats, &file);
    state.save_stats();
    cache_manifest(directory.path(), key, b"the manifest");
    (directory, lock)
}

fn is_believed(project: &Path) -> [bool; 4] {
    let state = read(project);
    [
        state.record("test").outcome.is_some(),
        state.pin("debian:12").is_some(),
        state.stats.known(&signature(&project.join("f"))).is_some(),
        matches!(cached_manifest(project, &key()), Sealed::Ours(_)),
    ]
}

#[test]
fn files_of_another_key_are_ignored_told_of_and_made_anew() {
    let (directory, lock) = filed_under(&key());
    assert_eq!(is_believed(directory.path()), [true; 4]);
    assert_eq!(read(directory.path()).ignored(), None);
    drop((directory, lock));

    for other in [MacKey::random().unwrap(), MacKey::checksum()] {
        let (directory, lock) = filed_under(&other);
        assert_eq!(is_believed(directory.path()), [false; 4]);
        assert_eq!(read(directory.path()).ignored(), Some(Ignored::Foreign));
        let state = open(directory.path(), &lock);
        assert_eq!(state.ignored(), Some(Ignored::Foreign));
        state.finished("new", outcome("2")).unwrap();
        let again = read(directory.path());
        assert_eq!(again.ignored(), None);
        assert!(again.record("new").outcome.is_some());
        assert!(again.record("test").outcome.is_none());
    }
}

#[test]
fn files_of_another_project_or_in_each_others_place_are_ignored() {
    let (other, _lock) = filed_under(&key());
    let (directory, lock) = project();
    fs::copy(other.path().join("f"), directory.path().join("f")).unwrap();
    for name in ["log", "stat", "manifest.cache"] {
        let from = other.path().join(".imgmake").join(name);
        fs::copy(from, directory.path().join(".imgmake").join(name)).unwrap();
    }
    assert_eq!(is_believed(directory.path()), [false; 4]);
    drop((directory, lock));
    let own = |name: &str| other.path().join(".imgmake").join(name);
    fs::copy(own("manifest.cache"), own("stat")).unwrap();
    assert_eq!(is_believed(other.path()), [true, true, false, true]);
    fs::copy(own("log"), own("manifest.cache")).unwrap();
    assert_eq!(is_believed(other.path()), [true, true, false, false]);
}

#[test]
fn records_cannot_be_reordered_repeated_or_cut_out_of_a_log() {
    let (directory, lock) = project();
    let path = directory.path().join(".imgmake/log");
    let state = open(directory.path(), &lock);
    let mut ends = vec![fs::metadata(&path).unwrap().len() as usize];
    for target in ["a", "b", "c"] {
        state.finished(target, outcome("1")).unwrap();
        ends.push(fs::metadata(&path).unwrap().len() as usize);
    }
    let whole = fs::read(&path).unwrap();
    let start = &whole[..ends[0]];
    let [a, b, c] = [0, 1, 2].map(|at| &whole[ends[at]..ends[at + 1]]);
    for (pieces, sound) in [
        (vec![a, b, c], "abc"),
        (vec![b, a, c], ""),
        (vec![a, c], "a"),
        (vec![a, a, b, c], "a"),
        (vec![a, b, c, a], "abc"),
        (vec![b], ""),
    ] {
        fs::write(&path, [&[start], &pieces[..]].concat().concat()).unwrap();
        let state = read(directory.path());
        let known: String = ["a", "b", "c"]
            .into_iter()
            .filter(|target| state.record(target).outcome.is_some())
            .collect();
        assert_eq!(known, sound);
        let damaged =
            (pieces.concat().len() > sound.len() * a.len()).then_some(Ignored::DamagedEnd);
        assert_eq!(state.ignored(), damaged);
    }
    // A record of the same key's earlier log.
    fs::remove_file(&path).unwrap();
    let state = open(directory.path(), &lock);
    state.finished("x", outcome("1")).unwrap();
    let newer = fs::read(&path).unwrap();
    fs::write(&path, [&newer[..ends[0]], a].concat()).unwrap();
    assert!(read(directory.path()).record("a").outcome.is_none());
}

#[test]
fn no_link_is_followed_and_nothing_special_makes_anybody_wait() {
    let fifo = |path: &Path| {
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
    };
    for name in ["log", "stat", "manifest.cache"] {
        let (directory, lock) = filed_under(&key());
        let (path, victim) = (
            directory.path().join(".imgmake").join(name),
            directory.path().join("victim"),
        );
        fs::copy(&path, &victim).unwrap();
        let before = fs::read(&victim).unwrap();
        for make in [
            &|| symlink(&victim, &path).unwrap(),
            &|| fifo(&path),
            &|| fs::hard_link(&victim, &path).unwrap(),
        ] as [&dyn Fn(); 3]
        {
            drop(fs::remove_file(&path));
            make();
            is_believed(directory.path());
            let state = open(directory.path(), &lock);
            state.finished("new", outcome("2")).unwrap();
            let file = directory.path().join("f");
            hash_file(&state.stats, &file);
            state.save_stats();
            cache_manifest(directory.path(), &key(), b"new");
            assert_eq!(fs::read(&victim).unwrap(), before, "{name}");
        }
    }
}

/// Why the lock cannot be taken, with the cause.
fn refusal(project: &Path) -> String {
    let error = Lock::take(project, &Wait::No).unwrap_err();
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    format!("{error}: {}", cause.unwrap_or_default())
}

#[test]
fn a_lock_that_leads_elsewhere_leaves_its_target_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (state, victim) = (
        directory.path().join(".imgmake"),
        directory.path().join("victim"),
    );
    fs::create_dir(&state).unwrap();
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, state.join("lock")).unwrap();
    let refused = refusal(directory.path());
    assert!(refused.contains("`lock` in it is a link"), "{refused}");
    fs::remove_file(state.join("lock")).unwrap();
    symlink(directory.path().join("new"), state.join("lock")).unwrap();
    Lock::take(directory.path(), &Wait::No).unwrap_err();
    assert!(!directory.path().join("new").exists());
    fs::remove_file(state.join("lock")).unwrap();
    // A second name of a file is locked, and not written.
    fs::hard_link(&victim, state.join("lock")).unwrap();
    Lock::take(directory.path(), &Wait::No).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

#[test]
fn a_directory_that_is_a_link_is_refused_for_writing_and_ignored_for_reading() {
    let directory = tempfile::tempdir().unwrap();
    let (other, _lock) = filed_under(&key());
    let link = directory.path().join(".imgmake");
    for target in [other.path().join(".imgmake"), other.path().join("f")] {
        symlink(&target, &link).unwrap();
        let refused = refusal(directory.path());
        assert!(refused.contains("not a directory but"), "{refused}");
        let state = read(directory.path());
        assert_eq!(state.ignored(), Some(Ignored::Foreign));
        assert!(matches!(
            cached_manifest(directory.path(), &key()),
            Sealed::Foreign
        ));
        cache_manifest(directory.path(), &key(), b"new");
        fs::remove_file(&link).unwrap();
    }
    let kept = fs::read_dir(other.path().join(".imgmake")).unwrap().count();
    assert_eq!(
        kept, 6,
        "the lock, the run's file, .gitignore, log, stat and manifest.cache"
    );
}
