use super::*;

#[test]
fn files_of_another_key_are_ignored_told_of_and_made_anew() {
    let (directory, lock) = filed_under(&key());
    assert_eq!(is_believed(directory.path()), [true; 5]);
    assert_eq!(read(directory.path()).ignored(), None);
    drop((directory, lock));

    for other in [MacKey::random().unwrap(), MacKey::checksum()] {
        let (directory, lock) = filed_under(&other);
        assert_eq!(is_believed(directory.path()), [false; 5]);
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
    for name in ["log", "stat", "seen", "manifest.cache"] {
        let from = other.path().join(".imgmake").join(name);
        fs::copy(from, directory.path().join(".imgmake").join(name)).unwrap();
    }
    assert_eq!(is_believed(directory.path()), [false; 5]);
    drop((directory, lock));
    let own = |name: &str| other.path().join(".imgmake").join(name);
    fs::copy(own("manifest.cache"), own("stat")).unwrap();
    assert_eq!(is_believed(other.path()), [true, true, false, true, true]);
    fs::copy(own("log"), own("manifest.cache")).unwrap();
    assert_eq!(is_believed(other.path()), [true, true, false, false, true]);
    fs::copy(own("stat"), own("seen")).unwrap();
    assert_eq!(is_believed(other.path()), [true, true, false, false, false]);
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
