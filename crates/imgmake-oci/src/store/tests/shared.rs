use super::*;

fn shared(root: &Path, key: &MacKey, found_again: FoundAgain, names: Names) -> Store {
    let shared = Shared {
        key: key.clone(),
        found_again,
        names,
        own: None,
    };
    Store::open_with(root, Trust::Shared(shared)).unwrap()
}

#[test]
fn records_of_a_shared_store_count_under_their_own_key_and_name_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (MacKey::random().unwrap(), MacKey::random().unwrap());
    let open = |key| {
        shared(
            directory.path(),
            key,
            FoundAgain::Everything,
            Names::WithMac,
        )
    };
    let store = open(&theirs);
    store.put_step("aa", b"record").unwrap();
    let (file, out) = store.layer_file().unwrap();
    let empty = LayerWriter::new(out, Compression::None).unwrap();
    let (layer, index) = empty.finish().unwrap();
    store.adopt_layer(file, &layer, &index).unwrap();
    let manifest = Descriptor::of("m", b"manifest");
    store.put_bytes(b"manifest").unwrap();
    store.tag("app:1", &manifest, None).unwrap();
    assert_eq!(open(&theirs).step("aa").as_deref(), Some(&b"record"[..]));
    assert!(open(&theirs).has_index(&layer.diff_id));
    assert_eq!(open(&theirs).tagged("app:1"), Some(manifest.clone()));

    let store = open(&ours);
    assert_eq!(store.step("aa"), None);
    assert_eq!(store.hint("aa"), None);
    assert!(!store.has_index(&layer.diff_id));
    assert_eq!(store.layer(&layer.diff_id, Compression::None), None);
    assert_eq!(store.tagged("app:1"), None);
    assert_eq!(store.images(), []);
    // Blobs are proven by their digests.
    assert!(store.has(layer.digest()));
    // A record of the user's own kind of store, which needs no secret.
    let private = tempfile::tempdir().unwrap();
    Store::open(private.path())
        .unwrap()
        .put_step("bb", b"1")
        .unwrap();
    std::fs::copy(
        private.path().join("steps/bb"),
        directory.path().join("steps/bb"),
    )
    .unwrap();
    assert_eq!(store.step("bb"), None);
    // One record in the place of another.
    store.put_step("cc", b"right").unwrap();
    let steps = directory.path().join("steps");
    std::fs::copy(steps.join("cc"), steps.join("dd")).unwrap();
    assert_eq!(store.step("cc").as_deref(), Some(&b"right"[..]));
    assert_eq!(store.step("dd"), None);
    // The same under another path.
    let moved = tempfile::tempdir().unwrap();
    let copy = shared(moved.path(), &ours, FoundAgain::Everything, Names::WithMac);
    std::fs::copy(steps.join("cc"), moved.path().join("steps/cc")).unwrap();
    assert_eq!(copy.step("cc"), None);
}

#[test]
fn names_of_neighbors_are_found_where_that_is_asked_for_and_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let open = |key| shared(directory.path(), key, FoundAgain::Nothing, Names::Any);
    let (ours, theirs) = (MacKey::random().unwrap(), MacKey::random().unwrap());
    let neighbor = open(&theirs);
    let manifest = Descriptor::of("m", b"manifest");
    neighbor.put_bytes(b"manifest").unwrap();
    neighbor.tag("app:1", &manifest, None).unwrap();
    neighbor.put_step("aa", b"where").unwrap();

    let store = open(&ours);
    assert_eq!(store.tagged("app:1"), Some(manifest.clone()));
    assert_eq!(store.images(), [("app:1".to_string(), manifest)]);
    assert!(!store.is_own_name("app:1"));
    assert!(neighbor.is_own_name("app:1"));
    assert_eq!(store.hint("aa").as_deref(), Some(&b"where"[..]));
    assert_eq!(store.step("aa"), None);
}

#[test]
fn what_nothing_proves_lies_where_others_do_not_choose_it() {
    let directory = tempfile::tempdir().unwrap();
    let root = &directory.path().join("shared");
    let (key, other) = (MacKey::random().unwrap(), MacKey::random().unwrap());
    let id = Digest::of(b"layer");
    let places = |key: &MacKey, found_again| {
        let store = shared(root, key, found_again, Names::WithMac);
        (
            store.tree_path("root", &id),
            store.cache_mount_path("root", None, "go"),
        )
    };
    let plain = Store::open(&directory.path().join("own")).unwrap();
    let plain = plain.tree_path("root", &id);
    let all = places(&key, FoundAgain::Everything);
    assert_eq!(all, places(&key, FoundAgain::Everything));
    assert!(!plain.ends_with(all.0.strip_prefix(root).unwrap()));
    assert_ne!(all.0, places(&other, FoundAgain::Everything).0);
    assert_ne!(all.1, places(&other, FoundAgain::Everything).1);
    let mounts = places(&key, FoundAgain::CacheMounts);
    assert_eq!(mounts.1, all.1);
    assert_ne!(mounts.0, places(&key, FoundAgain::CacheMounts).0);
    let nothing = places(&key, FoundAgain::Nothing);
    assert!(nothing.0.starts_with(root.join("tmp")) && nothing.1.starts_with(root.join("tmp")));

    // Findings and advisories: in the user's own store, else with the process.
    let store = shared(root, &key, FoundAgain::Everything, Names::WithMac);
    assert!(store.database().unwrap().starts_with(root.join("tmp")));
    let own = tempfile::tempdir().unwrap();
    let with_own = Trust::Shared(Shared {
        key,
        found_again: FoundAgain::Everything,
        names: Names::WithMac,
        own: Some(own.path().to_path_buf()),
    });
    let store = Store::open_with(root, with_own).unwrap();
    assert!(
        store
            .database()
            .unwrap()
            .starts_with(own.path().canonicalize().unwrap())
    );
}

#[test]
fn a_shared_store_with_links_in_it_is_refused() {
    for inner in [
        "trees",
        "blobs",
        "blobs/sha256",
        "tmp",
        "logs",
        "lock",
        "cache/root",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let path = directory.path().join(inner);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(outside.path().join("victim"), &path).unwrap();
        let shared = Trust::Shared(Shared {
            key: MacKey::random().unwrap(),
            found_again: FoundAgain::Nothing,
            names: Names::Any,
            own: None,
        });
        let refused = Store::open_with(directory.path(), shared).unwrap_err();
        assert!(
            refused.to_string().contains("symbolic link"),
            "{inner}: {refused}"
        );
        assert_eq!(
            std::fs::read_dir(outside.path()).unwrap().count(),
            0,
            "{inner}"
        );
    }
}
