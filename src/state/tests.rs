use std::os::unix::fs::MetadataExt;

use super::*;

fn inputs(value: &str) -> Inputs {
    let mut inputs = Inputs::new();
    inputs.value("file", "src/main.c", value.as_bytes());
    inputs
}

fn outcome(value: &str) -> Outcome {
    let output = Output::Pushed {
        reference: "r/x:1".into(),
        digest: value.into(),
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
    let state = State::open(directory.path(), &lock).unwrap();
    state.started("app").unwrap();
    state.finished("app", outcome("1")).unwrap();
    state.set_pin("debian:12", "sha256:00");

    let again = State::read(directory.path());

    let known = again.known("app");
    assert_eq!(known.since, Since::Finished);
    assert_eq!(known.outcome, Some(outcome("1")));
    let explanation = known.outcome.unwrap().explanation();
    assert_eq!(explanation, inputs("1").explanation());
    assert_eq!(again.pin("debian:12").as_deref(), Some("sha256:00"));
}

#[test]
fn a_start_without_a_finish_is_an_interruption() {
    let (directory, lock) = project();
    let state = State::open(directory.path(), &lock).unwrap();
    state.finished("app", outcome("1")).unwrap();
    state.started("app").unwrap();
    let known = State::read(directory.path()).known("app");
    assert_eq!(known.since, Since::Interrupted);
    assert!(known.outcome.is_some());
}

#[test]
fn a_log_cut_anywhere_or_with_any_byte_changed_keeps_what_stands_before() {
    let (directory, lock) = project();
    let state = State::open(directory.path(), &lock).unwrap();
    state.finished("first", outcome("1")).unwrap();
    let path = state.directory().join("log");
    let kept = fs::metadata(&path).unwrap().len() as usize;
    state.finished("second", outcome("2")).unwrap();
    drop(state);
    let whole = fs::read(&path).unwrap();
    for at in kept..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x40;
        for damaged in [&whole[..at], &changed[..]] {
            fs::write(&path, damaged).unwrap();
            let state = State::open(directory.path(), &lock).unwrap();
            assert!(state.known("first").outcome.is_some(), "{at}");
            assert!(state.known("second").outcome.is_none(), "{at}");
            state.finished("third", outcome("3")).unwrap();
            let again = State::read(directory.path());
            assert!(again.known("third").outcome.is_some(), "{at}");
        }
    }
}

#[test]
fn a_file_that_is_no_log_of_ours_is_replaced_by_one() {
    let (directory, lock) = project();
    fs::write(directory.path().join(".imgmake/log"), "who knows").unwrap();
    let state = State::open(directory.path(), &lock).unwrap();
    state.finished("app", outcome("1")).unwrap();
    assert!(State::read(directory.path()).known("app").outcome.is_some());
}

#[test]
fn a_log_that_grew_is_compacted_and_loses_nothing_live() {
    let (directory, lock) = project();
    let state = State::open(directory.path(), &lock).unwrap();
    for round in 0..3000 {
        state.finished("app", outcome(&round.to_string())).unwrap();
    }
    state.attempt("other", Since::Failed).unwrap();
    let path = directory.path().join(".imgmake/log");
    let before = fs::metadata(&path).unwrap().size();
    let state = State::open(directory.path(), &lock).unwrap();
    assert!(fs::metadata(&path).unwrap().size() < before / 10);
    assert_eq!(state.known("app").outcome, Some(outcome("2999")));
    assert_eq!(
        State::read(directory.path()).known("other").since,
        Since::Failed
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

#[test]
fn a_known_file_is_not_read_again_and_a_changed_one_is() {
    let directory = tempfile::tempdir().unwrap();
    let (file, cache) = (directory.path().join("f"), directory.path().join("stat"));
    fs::write(&file, "one").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(60));
    let hash = |stats: &StatCache| stats.hash(&file, &fs::metadata(&file).unwrap()).unwrap();
    let stats = StatCache::load(&cache);
    assert_eq!(hash(&stats), *blake3::hash(b"one").as_bytes());
    stats.save(&cache).unwrap();

    let stats = StatCache::load(&cache);
    let metadata = fs::metadata(&file).unwrap();
    let unreadable = directory.path().join("absent");
    let known = stats.hash(&unreadable, &metadata).unwrap();
    assert_eq!(known, *blake3::hash(b"one").as_bytes());

    fs::write(&file, "two").unwrap();
    assert_eq!(hash(&stats), *blake3::hash(b"two").as_bytes());
}

#[test]
fn a_file_written_just_now_is_hashed_but_not_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("f");
    let stats = StatCache::load(&directory.path().join("stat"));
    fs::write(&file, "one").unwrap();
    let metadata = fs::metadata(&file).unwrap();
    stats.hash(&file, &metadata).unwrap();
    stats.save(&directory.path().join("stat")).unwrap();
    assert!(!directory.path().join("stat").exists());
}

#[test]
fn a_damaged_stat_cache_counts_as_empty() {
    let directory = tempfile::tempdir().unwrap();
    let (file, cache) = (directory.path().join("f"), directory.path().join("stat"));
    fs::write(&file, "one").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(60));
    let metadata = fs::metadata(&file).unwrap();
    let stats = StatCache::load(&cache);
    stats.hash(&file, &metadata).unwrap();
    stats.save(&cache).unwrap();
    let mut bytes = fs::read(&cache).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&cache, bytes).unwrap();
    let stats = StatCache::load(&cache);
    assert_eq!(
        stats.hash(&file, &metadata).unwrap(),
        *blake3::hash(b"one").as_bytes()
    );
}
