//! skopeo, podman, buildah and umoci.

use super::*;

fn skopeo_digest(image: &str) -> String {
    run("skopeo", &["inspect", "--format", "{{.Digest}}", image])
        .trim()
        .to_string()
}

#[test]
#[ignore = "needs skopeo, umoci, podman and buildah: tests/run runs it"]
fn skopeo_reads_our_docker_archive_and_copies_it_with_the_same_digest() {
    let ground = Ground::new();
    let image = ground.image("x");
    let path = ground.path("a.tar");
    write_docker(
        &ground.store,
        &[(image.clone(), names(&["acme/app:1"]))],
        &path,
    )
    .unwrap();
    let source = format!("docker-archive:{}", text(&path));
    let seen = run("skopeo", &["inspect", "--config", &source]);
    assert!(seen.contains("/hello"), "{seen}");
    run("skopeo", &["inspect", &format!("{source}:acme/app:1")]);
    let copy = ground.path("copy");
    run(
        "skopeo",
        &["copy", "-q", &source, &format!("oci:{}:x", text(&copy))],
    );
    let copied = read(&ground.store, &copy, Some("x")).unwrap();
    let layers = |root: &Descriptor| -> Vec<Digest> {
        let config = Contents::of(&ground.store, root).unwrap().images[0]
            .1
            .config
            .clone();
        let bytes = ground.store.read_blob(&config.digest, 99_999).unwrap();
        let config: ImageConfig = crate::image::from_json(&bytes).unwrap();
        config.rootfs.diff_ids
    };
    assert_eq!(layers(&copied.root), layers(&image));
    // The same file as an OCI archive: to the byte.
    assert_eq!(
        skopeo_digest(&format!("oci-archive:{}", text(&path))),
        image.digest.to_string()
    );
}

#[test]
#[ignore = "needs skopeo, umoci, podman and buildah: tests/run runs it"]
fn skopeo_and_umoci_read_our_oci_archive_and_layout() {
    let ground = Ground::new();
    // Several gzip members, and a name that takes a PAX record.
    let long = format!("etc/{}/{}", "é".repeat(90), "n".repeat(200));
    let noise: Vec<u8> = (0..3_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let layers = [
        ground.layer("etc/salt", b"x", GZIP),
        ground.layer(&long, &noise, GZIP),
    ];
    let mut image = ground.image_of(&layers, ManifestFormat::Oci, "amd64");
    image.platform = None;
    let (path, dir) = (ground.path("a.tar"), ground.path("layout"));
    write_oci_archive(&ground.store, &image, &names(&["acme/app:1"]), &path).unwrap();
    write_layout(&ground.store, &image, &names(&["acme/app:1"]), &dir).unwrap();
    let digest = image.digest.to_string();
    assert_eq!(
        skopeo_digest(&format!("oci-archive:{}:1", text(&path))),
        digest
    );
    assert_eq!(skopeo_digest(&format!("oci:{}:1", text(&dir))), digest);
    assert_eq!(run("umoci", &["ls", "--layout", text(&dir)]).trim(), "1");
    let bundle = ground.path("bundle");
    run(
        "umoci",
        &[
            "unpack",
            "--rootless",
            "--image",
            &format!("{}:1", text(&dir)),
            text(&bundle),
        ],
    );
    assert_eq!(std::fs::read(bundle.join("rootfs/etc/salt")).unwrap(), b"x");
    assert!(std::fs::read(bundle.join("rootfs").join(long)).unwrap() == noise);
}

#[test]
#[ignore = "needs skopeo, umoci, podman and buildah: tests/run runs it"]
fn podman_loads_our_archives_under_their_names() {
    let ground = Ground::new();
    let image = ground.image("x");
    let (docker, oci) = (ground.path("d.tar"), ground.path("o.tar"));
    let images = [(
        image.clone(),
        names(&["reg.example/app:1", "reg.example/app:2"]),
    )];
    write_docker(&ground.store, &images, &docker).unwrap();
    write_oci_archive(&ground.store, &image, &names(&["reg.example/oci:1"]), &oci).unwrap();
    let (root, runroot) = (ground.path("podman"), ground.path("podman-run"));
    let podman = |arguments: &[&str]| {
        let place = [
            "--root",
            text(&root),
            "--runroot",
            text(&runroot),
            "--storage-driver",
            "vfs",
        ];
        run("podman", &[&place, arguments].concat())
    };
    podman(&["load", "-q", "-i", text(&docker)]);
    podman(&["load", "-q", "-i", text(&oci)]);
    let listed = podman(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    for name in [
        "reg.example/app:1",
        "reg.example/app:2",
        "reg.example/oci:1",
    ] {
        assert!(listed.contains(name), "{listed}");
    }
}

#[test]
#[ignore = "needs skopeo, umoci, podman and buildah: tests/run runs it"]
fn what_skopeo_writes_is_read() {
    let ground = Ground::new();
    let image = ground.image("x");
    let dir = ground.path("layout");
    write_layout(&ground.store, &image, &names(&["app:1"]), &dir).unwrap();
    let source = format!("oci:{}:1", text(&dir));
    for (transport, kept) in [
        ("docker-archive", false),
        ("oci-archive", true),
        ("oci", true),
    ] {
        let path = ground.path(transport);
        let destination = format!("{transport}:{}:acme/app:1", text(&path));
        run("skopeo", &["copy", "-q", &source, &destination]);
        let store = ground.empty_store(&format!("store-{transport}"));
        let found = read(&store, &path, None).unwrap();
        assert_eq!(found.tags, ["acme/app:1"], "{transport}");
        // A docker archive of skopeo's holds plain layers; ours pack to the same bytes.
        let layers = |store: &Store, root| {
            Contents::of(store, root).unwrap().images[0]
                .1
                .layers
                .clone()
        };
        assert_eq!(
            layers(&store, &found.root),
            layers(&ground.store, &image),
            "{transport}"
        );
        assert!(!kept || found.root.digest == image.digest, "{transport}");
    }
}

/// podman or buildah with a storage of their own.
fn with_storage(ground: &Ground, program: &str, arguments: &[&str]) -> String {
    let (root, runroot) = (ground.path("storage"), ground.path("storage-run"));
    let place = [
        "--root",
        text(&root),
        "--runroot",
        text(&runroot),
        "--storage-driver",
        "vfs",
    ];
    run(program, &[&place, arguments].concat())
}

fn diff_ids(store: &Store, root: &Descriptor) -> Vec<Digest> {
    let manifest = Contents::of(store, root).unwrap().images[0].1.clone();
    let bytes = store.read_blob(&manifest.config.digest, 99_999).unwrap();
    let config: ImageConfig = crate::image::from_json(&bytes).unwrap();
    config.rootfs.diff_ids
}

#[test]
#[ignore = "needs skopeo, umoci, podman and buildah: tests/run runs it"]
fn what_podman_saves_and_buildah_pushes_is_read_in_every_form() {
    let ground = Ground::new();
    let image = ground.image("x");
    let loaded = ground.path("in.tar");
    write_oci_archive(
        &ground.store,
        &image,
        &names(&["reg.example/app:1"]),
        &loaded,
    )
    .unwrap();
    with_storage(&ground, "podman", &["load", "-q", "-i", text(&loaded)]);
    let expected = diff_ids(&ground.store, &image);
    for form in ["docker-archive", "oci-archive", "oci-dir", "docker-dir"] {
        let path = ground.path(&format!("podman-{form}"));
        let name = "reg.example/app:1";
        with_storage(
            &ground,
            "podman",
            &["save", "-q", "--format", form, "-o", text(&path), name],
        );
        let store = ground.empty_store(&format!("store-{form}"));
        if form == "docker-dir" {
            let error = refusal(read(&store, &path, None));
            assert!(
                error.contains("`dir:` format") && error.contains("`oci:`"),
                "{error}"
            );
            continue;
        }
        let found = read(&store, &path, None).unwrap();
        assert_eq!(found.tags, [name], "{form}");
        assert_eq!(diff_ids(&store, &found.root), expected, "{form}");
    }
    for transport in ["oci-archive", "docker-archive", "oci"] {
        let path = ground.path(&format!("buildah-{transport}"));
        let to = format!("{transport}:{}:reg.example/app:2", text(&path));
        with_storage(
            &ground,
            "buildah",
            &["push", "-q", "reg.example/app:1", &to],
        );
        let store = ground.empty_store(&format!("store-b-{transport}"));
        let found = read(&store, &path, None).unwrap();
        assert_eq!(diff_ids(&store, &found.root), expected, "{transport}");
        // Its docker archives carry the storage's other names too.
        assert_eq!(found.tags[0], "reg.example/app:2", "{transport}");
    }
}

#[test]
#[ignore = "needs skopeo, umoci, podman and buildah: tests/run runs it"]
fn podmans_archive_of_several_images_is_read_image_by_image() {
    let ground = Ground::new();
    let images = ["1", "2"].map(|salt| ground.image(salt));
    for (image, name) in images
        .iter()
        .zip(["reg.example/one:1", "reg.example/two:2"])
    {
        let path = ground.path(&name.replace(['/', ':'], "-"));
        write_oci_archive(&ground.store, image, &names(&[name]), &path).unwrap();
        with_storage(&ground, "podman", &["load", "-q", "-i", text(&path)]);
    }
    let both = ground.path("both.tar");
    let save = [
        "save",
        "-q",
        "-m",
        "-o",
        text(&both),
        "reg.example/one:1",
        "reg.example/two:2",
    ];
    with_storage(&ground, "podman", &save);
    let store = ground.empty_store("other");
    assert!(refusal(read(&store, &both, None)).contains("contains 2 images"));
    for (image, name) in images
        .iter()
        .zip(["reg.example/one:1", "reg.example/two:2"])
    {
        let found = read(&store, &both, Some(name)).unwrap();
        assert_eq!(
            diff_ids(&store, &found.root),
            diff_ids(&ground.store, image)
        );
    }
}

#[test]
#[ignore = "needs skopeo, umoci, podman and buildah: tests/run runs it"]
fn buildah_builds_from_our_archives_and_umoci_adds_to_our_layout() {
    let ground = Ground::new();
    let image = ground.image("x");
    let (docker, layout) = (ground.path("d.tar"), ground.path("layout"));
    let images = [(image.clone(), names(&["reg.example/app:1"]))];
    write_docker(&ground.store, &images, &docker).unwrap();
    write_layout(&ground.store, &image, &names(&["app:1"]), &layout).unwrap();
    let from = format!("docker-archive:{}", text(&docker));
    with_storage(&ground, "buildah", &["pull", "-q", &from]);
    let listed = with_storage(
        &ground,
        "buildah",
        &["images", "--format", "{{.Name}}:{{.Tag}}"],
    );
    assert!(listed.contains("reg.example/app:1"), "{listed}");
    let at = |tag: &str| format!("{}:{tag}", text(&layout));
    run(
        "umoci",
        &[
            "config",
            "--image",
            &at("1"),
            "--tag",
            "2",
            "--config.env",
            "A=b",
        ],
    );
    let store = ground.empty_store("other");
    let found = read(&store, &layout, Some("2")).unwrap();
    let manifest = Contents::of(&store, &found.root).unwrap().images[0]
        .1
        .clone();
    let config = store.read_blob(&manifest.config.digest, 99_999).unwrap();
    assert!(String::from_utf8(config).unwrap().contains("A=b"));
    assert_eq!(
        diff_ids(&store, &found.root),
        diff_ids(&ground.store, &image)
    );
    // What was there is still there.
    assert_eq!(read(&store, &layout, Some("1")).unwrap().root, image);
}
