use super::*;

#[test]
fn the_same_image_gives_the_same_bytes_whatever_the_order_of_its_names() {
    let ground = Ground::new();
    let image = ground.image("x");
    let (a, b) = (ground.path("new/dir/a.tar"), ground.path("b.tar"));
    write_docker(
        &ground.store,
        &[(image.clone(), names(&["app:1", "app"]))],
        &a,
    )
    .unwrap();
    write_docker(
        &ground.store,
        &[(image, names(&["app:latest", "app:1"]))],
        &b,
    )
    .unwrap();
    assert!(std::fs::read(&a).unwrap() == std::fs::read(&b).unwrap());
    assert_eq!(
        std::fs::read_dir(a.parent().unwrap()).unwrap().count(),
        1,
        "nothing is left beside"
    );
}

#[test]
fn several_platforms_go_into_an_oci_archive_and_not_into_a_docker_archive() {
    let ground = Ground::new();
    let root = ground.two_platforms();
    let path = ground.path("a.tar");
    let images = [(root.clone(), names(&["app:1"]))];
    let error = format!(
        "{:#}",
        write_docker(&ground.store, &images, &path).unwrap_err()
    );
    assert!(
        error.contains("linux/amd64, linux/arm64") && error.contains("format=oci"),
        "{error}"
    );
    assert!(!path.exists());
    write_oci_archive(&ground.store, &root, &names(&["app:1"]), &path).unwrap();
    let again = read(&ground.empty_store("other"), &path, None).unwrap();
    assert_eq!(again.root, root);
}

#[test]
fn a_blob_that_the_store_lacks_leaves_the_old_file_as_it_was() {
    let ground = Ground::new();
    let image = ground.image("x");
    let path = ground.path("a.tar");
    std::fs::write(&path, "old").unwrap();
    let lost = blobs(&ground.store, &image).unwrap().pop().unwrap();
    std::fs::remove_file(ground.store.blob_path(&lost.digest)).unwrap();
    let error = write_oci_archive(&ground.store, &image, &[], &path).unwrap_err();
    assert!(format!("{error:#}").contains(lost.digest.as_str()));
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
}

#[test]
fn a_layout_gathers_images_and_replaces_what_has_the_same_name() {
    let ground = Ground::new();
    let dir = ground.path("a/layout");
    let (old, new, other) = (
        ground.image("old"),
        ground.image("new"),
        ground.image("other"),
    );
    for (image, name) in [
        (&old, "app:1"),
        (&other, "other:2"),
        (&new, "app:1"),
        (&new, "app:1"),
    ] {
        write_layout(&ground.store, image, &names(&[name]), &dir).unwrap();
    }
    let index: ImageIndex =
        crate::image::from_json(&std::fs::read(dir.join("index.json")).unwrap()).unwrap();
    let digests: Vec<&Digest> = index.manifests.iter().map(|d| &d.digest).collect();
    assert_eq!(digests, [&new.digest, &other.digest]);
}

#[test]
fn without_a_name_there_is_one_image_in_a_layout() {
    let ground = Ground::new();
    let dir = ground.path("layout");
    let (old, new, named) = (
        ground.image("old"),
        ground.image("new"),
        ground.image("named"),
    );
    let digests = || {
        let bytes = std::fs::read(dir.join("index.json")).unwrap();
        let index: ImageIndex = crate::image::from_json(&bytes).unwrap();
        let digests = index.manifests.into_iter().map(|d| d.digest);
        digests.collect::<Vec<Digest>>()
    };
    write_layout(&ground.store, &old, &[], &dir).unwrap();
    write_layout(&ground.store, &new, &[], &dir).unwrap();
    assert_eq!(digests(), std::slice::from_ref(&new.digest));
    write_layout(&ground.store, &named, &names(&["app:1"]), &dir).unwrap();
    write_layout(&ground.store, &old, &[], &dir).unwrap();
    assert_eq!(digests(), [old.digest.clone(), named.digest.clone()]);
    // Where earlier versions left several, one is left.
    let path = dir.join("index.json");
    let mut index: ImageIndex = crate::image::from_json(&std::fs::read(&path).unwrap()).unwrap();
    index.manifests.push(new.clone());
    std::fs::write(&path, crate::image::to_json(&index)).unwrap();
    write_layout(&ground.store, &new, &[], &dir).unwrap();
    assert_eq!(digests(), [new.digest.clone(), named.digest.clone()]);
}

#[test]
fn a_directory_used_for_something_else_is_left_alone() {
    let ground = Ground::new();
    std::fs::create_dir(ground.path("src")).unwrap();
    std::fs::write(ground.path("src/main.c"), "").unwrap();
    let error =
        write_layout(&ground.store, &ground.image("x"), &[], &ground.path("src")).unwrap_err();
    assert!(format!("{error:#}").contains("main.c"), "{error:#}");
    assert_eq!(std::fs::read_dir(ground.path("src")).unwrap().count(), 1);
}

#[test]
fn two_threads_writing_into_one_layout_lose_nothing() {
    let ground = Ground::new();
    let dir = ground.path("layout");
    let images: Vec<Descriptor> = (0..6).map(|n| ground.image(&n.to_string())).collect();
    std::thread::scope(|scope| {
        for (n, image) in images.iter().enumerate() {
            let (store, dir) = (&ground.store, &dir);
            scope.spawn(move || {
                write_layout(store, image, &names(&[&format!("app:{n}")]), dir).unwrap()
            });
        }
    });
    for (n, image) in images.iter().enumerate() {
        let found = read(
            &ground.empty_store(&format!("s{n}")),
            &dir,
            Some(&format!("app:{n}")),
        )
        .unwrap();
        assert_eq!(found.root.digest, image.digest);
    }
}

#[test]
fn what_a_killed_run_left_is_removed_by_the_next() {
    let ground = Ground::new();
    let image = ground.image("x");
    let (archive, layout) = (ground.path("out/a.tar"), ground.path("out/layout"));
    std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let hour_ago = filetime::FileTime::from_unix_time(1_000_000_000, 0);
    let left = [
        "out/.imgmake-old",
        "out/layout/.imgmake-old",
        "out/layout/blobs/sha256/.imgmake-old",
    ];
    for name in left.iter().chain(&["out/.imgmake-held"]) {
        std::fs::write(ground.path(name), "half").unwrap();
        filetime::set_file_mtime(ground.path(name), hour_ago).unwrap();
    }
    let held = std::fs::File::open(ground.path("out/.imgmake-held")).unwrap();
    held.lock().unwrap();
    write_oci_archive(&ground.store, &image, &[], &archive).unwrap();
    write_layout(&ground.store, &image, &[], &layout).unwrap();
    for name in left {
        assert!(!ground.path(name).exists(), "{name}");
    }
    assert!(
        ground.path("out/.imgmake-held").exists(),
        "another run is still writing it"
    );
}
