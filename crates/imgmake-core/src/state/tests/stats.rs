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
