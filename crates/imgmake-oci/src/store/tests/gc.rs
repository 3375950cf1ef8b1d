use super::*;

#[test]
fn a_collection_keeps_what_named_images_need_and_removes_the_rest() {
    let (_keep, store) = store();
    let layer = store.put_bytes(b"layer").unwrap();
    let config = store.put_bytes(b"config").unwrap();
    let orphan = store.put_bytes(b"orphan").unwrap();
    let format = ManifestFormat::Oci;
    let manifest = ImageManifest::new(
        format,
        Descriptor::new(format.config(), config.clone(), 6),
        vec![Descriptor::new("l", layer.clone(), 5)],
    );
    let bytes = crate::image::to_json(&manifest);
    let root = Descriptor::of(format.manifest(), &bytes);
    store.put_bytes(&bytes).unwrap();
    store.tag("app:1", &root, Some("/p")).unwrap();
    store.put_step("00ff", b"record").unwrap();

    let other = store.put_bytes(b"{}").unwrap();
    let named = Descriptor::new(format.manifest(), other.clone(), 2);
    store.tag("other:1", &named, Some("/q")).unwrap();
    let all = [&layer, &config, &root.digest, &orphan, &other];
    for digest in all {
        aged(&store.blob_path(digest), 30);
    }
    aged(&store.record_path("steps", "00ff"), 30);
    aged(&store.name_path("other:1"), 20);

    let garbage = store.collect(keep(14)).unwrap();

    assert_eq!(
        (garbage.files, &*garbage.names),
        (3, &["other:1".to_string()][..])
    );
    assert!(store.has(&layer) && store.has(&config) && store.has(&root.digest));
    assert!(!store.has(&orphan) && !store.has(&other) && store.step("00ff").is_none());
    let held = [("app:1".to_string(), Some("/p".to_string()))];
    assert_eq!(garbage.kept.names, held);
    assert!(garbage.kept.named >= root.size + 11, "{garbage:?}");

    // A size goes before names.
    let smaller = Keep {
        at_most: Some(0),
        ..keep(14)
    };
    let garbage = store.collect(smaller).unwrap();
    assert_eq!(garbage.names, ["app:1"]);
    assert!(!store.has(&layer) && store.tagged("app:1").is_none());
}

fn keep(days: u64) -> Keep<'static> {
    Keep {
        younger_than: Duration::from_secs(days * 86_400),
        at_most: None,
        project: None,
    }
}

/// Last used so many days ago.
fn aged(path: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * 86_400);
    filetime::set_file_mtime(path, then.into()).unwrap();
}

#[test]
fn of_a_project_only_its_names_and_what_they_alone_need_go() {
    let (_keep, store) = store();
    let format = ManifestFormat::Oci;
    let image = |text: &[u8]| {
        let digest = store.put_bytes(text).unwrap();
        aged(&store.blob_path(&digest), 30);
        Descriptor::new(format.manifest(), digest, text.len() as u64)
    };
    let (own, both, orphan) = (image(b"{1}"), image(b"{2}"), image(b"{3}"));
    for (name, image, project) in [
        ("own:1", &own, "/p"),
        ("own:2", &both, "/p"),
        ("foreign:1", &both, "/q"),
    ] {
        store.tag(name, image, Some(project)).unwrap();
        aged(&store.name_path(name), 30);
    }
    let of_project = Keep {
        project: Some("/p"),
        ..keep(14)
    };
    let garbage = store.collect(of_project).unwrap();
    assert_eq!(garbage.names, ["own:1", "own:2"]);
    assert!(!store.has(&own.digest) && store.has(&both.digest) && store.has(&orphan.digest));
    assert!(store.tagged("foreign:1").is_some());
}

#[test]
fn beside_another_run_only_what_it_cannot_have_seen_is_removed() {
    let (_keep, store) = store();
    let (old, recent) = (
        store.put_bytes(b"old").unwrap(),
        store.put_bytes(b"recent").unwrap(),
    );
    let running = Store::open(store.root()).unwrap();
    aged(&store.blob_path(&old), 30);
    let garbage = store.collect(keep(0)).unwrap();
    assert_eq!((garbage.files, garbage.kept.running), (1, 6));
    assert!(running.has(&recent) && !running.has(&old));
    // What the run looks at is moved forward, and stays.
    aged(&store.blob_path(&recent), 30);
    assert!(running.has(&recent));
    assert_eq!(store.collect(keep(0)).unwrap().files, 0);
    assert!(running.has(&recent));
    drop(running);
    assert_eq!(store.collect(keep(0)).unwrap().files, 1);
}

/// A run that begins while an unpacked layer is deleted must not find a part of it.
#[test]
fn unpacked_layers_and_cache_mounts_are_out_of_the_way_when_a_collection_ends() {
    let (_keep, store) = store();
    let tree = store.tree_path("root", &Digest::of(b"layer"));
    let mount = store.cache_mount_path("root", None, "npm");
    for directory in [tree.join("fs"), mount.join("data")] {
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("file"), "text").unwrap();
    }
    let running = Store::open(store.root()).unwrap();
    assert!(store.collect(keep(0)).unwrap().aside.is_empty());
    drop(running);
    let garbage = store.collect(keep(0)).unwrap();
    assert_eq!((garbage.unpacked_layers, garbage.cache_mounts), (1, 1));
    assert!(!tree.exists() && !mount.exists());
    for aside in &garbage.aside {
        assert!(aside.join("tree").is_dir() && aside.starts_with(store.root().join("tmp")));
    }
    drop(store);
    assert!(!garbage.aside[0].exists(), "it ends with the process");
}

/// What another run uses cannot go, and nothing else goes in its place.
#[test]
fn a_size_is_asked_of_what_can_go() {
    let (_keep, store) = store();
    let tree = store.tree_path("root", &Digest::of(b"layer"));
    fs::create_dir_all(&tree).unwrap();
    fs::write(tree.join("file"), vec![0; 5000]).unwrap();
    let old = store.put_bytes(b"old").unwrap();
    aged(&store.blob_path(&old), 3);
    let _running = Store::open(store.root()).unwrap();
    let smaller = Keep {
        at_most: Some(4000),
        ..keep(14)
    };
    assert_eq!(store.collect(smaller).unwrap().files, 0);
    assert!(store.has(&old));
}
