use super::*;

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
        kept, 7,
        "the lock, the run's file, .gitignore, log, stat, seen and manifest.cache"
    );
}
