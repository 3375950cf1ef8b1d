use super::*;

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

#[test]
fn what_was_seen_with_any_byte_changed_counts_as_nothing_and_is_told_of() {
    let (directory, lock) = filed_under(&key());
    let path = directory.path().join(".imgmake/seen");
    let sound = fs::read(&path).unwrap();
    assert!(is_seen(directory.path()));
    for at in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(!is_seen(directory.path()), "{at}");
        assert_eq!(read(directory.path()).ignored(), Some(Ignored::Foreign));
    }
    // A run removes it, and goes on without.
    let state = open(directory.path(), &lock);
    assert_eq!(state.ignored(), Some(Ignored::Foreign));
    assert_eq!(read(directory.path()).ignored(), None);
    assert!(state.record("test").outcome.is_some());
}

#[test]
fn a_foreign_stat_cache_is_told_of_when_somebody_needs_it() {
    let (directory, _lock) = filed_under(&key());
    fs::write(directory.path().join(".imgmake/stat"), "foreign").unwrap();
    let state = read(directory.path());
    assert_eq!(state.ignored(), None);
    let file = signature(&directory.path().join("f"));
    assert_eq!(state.stats.known(&file), None);
    assert_eq!(state.ignored(), Some(Ignored::Foreign));
}

#[test]
fn nothing_is_learnt_of_files_when_hashes_are_made_anew_or_nobody_knows_the_time() {
    let (directory, lock) = filed_under(&key());
    let mut state = open(directory.path(), &lock);
    state.look_at_files(directory.path());
    let hash = |state: &State| state.sightings.hash(b"name", &[0; 32], &Cancel::default());
    assert!(hash(&state).is_some());
    state.forget_hashes();
    assert!(hash(&state).is_none());
    // Whoever only reads has made no file by which the clock is known.
    let mut state = read(directory.path());
    state.look_at_files(directory.path());
    let mut evidence = state.sightings.evidence().unwrap();
    evidence.itself(b"f", &signature(&directory.path().join("f")));
    state
        .sightings
        .learn(b"other", &[0; 32], &[1; 32], &evidence);
    assert!(!state.sightings.has_learnt());
}
