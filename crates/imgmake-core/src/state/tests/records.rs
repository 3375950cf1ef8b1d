use super::*;

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

#[test]
fn explanations_are_read_from_the_log_that_was_read_whatever_takes_its_place() {
    let (directory, lock) = project();
    let first = open(directory.path(), &lock);
    for value in ["1", "2"] {
        first.finished("app", outcome(value)).unwrap();
    }
    first.finished("other", outcome("3")).unwrap();
    let state = read(directory.path());
    let log = directory.path().join(".imgmake/log");
    fs::rename(&log, log.with_extension("old")).unwrap();
    fs::write(&log, "another").unwrap();
    assert_eq!(state.record("app").outcome, Some(outcome("2")));
    assert_eq!(state.record("other").outcome, Some(outcome("3")));
    assert_eq!(
        read(directory.path()).record("app"),
        TargetRecord::default()
    );
}

#[test]
fn an_explanation_that_is_no_longer_there_says_that_all_is_new() {
    let (directory, lock) = project();
    open(directory.path(), &lock)
        .finished("app", outcome("1"))
        .unwrap();
    let state = read(directory.path());
    let log = directory.path().join(".imgmake/log");
    let length = fs::metadata(&log).unwrap().len();
    for damage in [
        fs::read(&log).unwrap()[..100].to_vec(),
        vec![0; usize::try_from(length).unwrap()],
    ] {
        // In place.
        fs::write(&log, damage).unwrap();
        let known = state.record("app").outcome.unwrap();
        assert_eq!(known.key, outcome("1").key);
        let explanation = known.explanation();
        let all = explanation.changes(&inputs("1").explanation());
        assert!(!all.is_empty());
    }
}
