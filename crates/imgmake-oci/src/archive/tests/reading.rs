use std::io::Write as _;

use super::*;
use crate::layer::decompress;

/// A tar of files and links, as other tools write it.
struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    fn new() -> Tar {
        Tar(tar::Builder::new(Vec::new()))
    }

    fn file(mut self, name: &str, content: &[u8]) -> Tar {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        self.0.append_data(&mut header, name, content).unwrap();
        self
    }

    fn link(mut self, name: &str, target: &str) -> Tar {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        self.0.append_link(&mut header, name, target).unwrap();
        self
    }

    fn save(self, path: &Path) {
        std::fs::write(path, self.0.into_inner().unwrap()).unwrap();
    }
}

fn plain(ground: &Ground, layer: &Layer) -> Vec<u8> {
    let mut tar = Vec::new();
    let blob = ground.store.open_blob(layer.digest()).unwrap();
    std::io::copy(&mut decompress(blob).unwrap(), &mut tar).unwrap();
    tar
}

/// As `docker save` wrote until version 24: `<id>/layer.tar`, equal layers linked.
fn old_docker_archive(ground: &Ground, break_layer: bool) -> (Tar, Layer) {
    let layer = ground.layer("hello", b"hello", GZIP);
    let mut config = ImageConfig::scratch(&Platform::new("linux", "amd64", None));
    config.rootfs.diff_ids = vec![layer.diff_id.clone(), layer.diff_id.clone()];
    let config = to_json(&config);
    let config_name = format!("{}.json", Digest::of(&config).hex());
    let mut tar = plain(ground, &layer);
    if break_layer {
        tar[600] ^= 1;
        tar.extend_from_slice(&[0; 512]);
    }
    let list = format!(
        r#"[{{"Config":"{config_name}","RepoTags":["old/app:1"],"Layers":["aa/layer.tar","bb/layer.tar"]}}]"#
    );
    let archive = Tar::new()
        .file("aa/VERSION", b"1.0")
        .file("aa/layer.tar", &tar)
        .link("bb/layer.tar", "../aa/layer.tar")
        .file(&config_name, &config)
        .file("manifest.json", list.as_bytes());
    (archive, layer)
}

#[test]
fn an_old_docker_archive_is_packed_into_the_same_image_every_time() {
    let ground = Ground::new();
    let (archive, layer) = old_docker_archive(&ground, false);
    let path = ground.path("old.tar");
    archive.save(&path);
    let first = read(&ground.empty_store("one"), &path, None).unwrap();
    let store = ground.empty_store("two");
    let second = read(&store, &path, Some("old/app:1")).unwrap();
    assert_eq!(first, second);
    assert_eq!(first.tags, ["old/app:1"]);
    let contents = Contents::of(&store, &first.root).unwrap();
    // Packed as our own layer was.
    assert_eq!(contents.images[0].1.layers[1].digest, *layer.digest());
}

#[test]
#[ignore = "needs gzip, xz and zstd: tests/run runs it"]
fn a_packed_docker_archive_and_one_from_a_pipe_are_read_alike() {
    let ground = Ground::new();
    let (archive, _) = old_docker_archive(&ground, false);
    let path = ground.path("old.tar");
    archive.save(&path);
    let expected = read(&ground.store, &path, None).unwrap();
    for tool in ["gzip", "xz", "zstd", "bzip2"] {
        run(tool, &["-q", "-k", "-f", text(&path)]);
    }
    for packed in ["old.tar.gz", "old.tar.xz", "old.tar.zst", "old.tar.bz2"] {
        assert_eq!(
            read(&ground.store, &ground.path(packed), None).unwrap(),
            expected
        );
    }
    let pipe = ground.path("pipe");
    run("mkfifo", &[text(&pipe)]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut out = std::fs::File::options().write(true).open(&pipe).unwrap();
            out.write_all(&std::fs::read(&path).unwrap()).unwrap();
        });
        assert_eq!(read(&ground.store, &pipe, None).unwrap(), expected);
    });
}

#[test]
fn our_docker_archive_keeps_the_digest_and_its_names() {
    let ground = Ground::new();
    let image = ground.image("x");
    let path = ground.path("a.tar");
    let images = [(image.clone(), names(&["app:1", "reg.example/team/app:2"]))];
    write_docker(&ground.store, &images, &path).unwrap();
    let store = ground.empty_store("other");
    let read = read(&store, &path, None).unwrap();
    assert_eq!(read.root, image);
    assert_eq!(read.tags, ["app:1", "reg.example/team/app:2"]);
    for blob in blobs(&store, &read.root).unwrap() {
        assert!(store.holds(&blob));
    }
}

#[test]
fn zstd_and_plain_layers_and_docker_types_keep_their_digests() {
    let ground = Ground::new();
    let layers = [
        ground.layer("a", b"a", Compression::Zstd { level: 3 }),
        ground.layer("b", b"b", Compression::None),
        ground.layer("c", b"c", GZIP),
    ];
    for format in [ManifestFormat::Oci, ManifestFormat::Docker] {
        let image = ground.image_of(&layers, format, "arm64");
        let path = ground.path("a.tar");
        write_oci_archive(&ground.store, &image, &[], &path).unwrap();
        let store = ground.empty_store(&format!("{format:?}"));
        assert_eq!(read(&store, &path, None).unwrap().root, image);
    }
}

#[test]
fn of_several_images_one_is_picked_by_name_tag_digest_or_number() {
    let ground = Ground::new();
    let (one, two) = (ground.image("1"), ground.image("2"));
    let path = ground.path("two.tar");
    let images = [
        (one.clone(), names(&["app:1"])),
        (two.clone(), names(&["other/app:2"])),
    ];
    write_docker(&ground.store, &images, &path).unwrap();
    let pick = |pick| read(&ground.store, &path, pick);
    let error = refusal(pick(None));
    assert!(
        error.contains("contains 2 images") && error.contains("1. app:1"),
        "{error}"
    );
    assert!(error.contains("2. other/app:2"), "{error}");
    for by in ["app:1", "docker.io/library/app:1", "1", one.digest.as_str()] {
        assert_eq!(pick(Some(by)).unwrap().root, one, "{by}");
    }
    for by in ["other/app:2", "2", two.digest.as_str()] {
        assert_eq!(pick(Some(by)).unwrap().root, two, "{by}");
    }
    assert!(refusal(pick(Some("app:3"))).contains("image `app:3` not found"));
    assert!(refusal(pick(Some("3"))).contains("image `3` not found"));
}

#[test]
fn an_index_of_which_only_one_platform_was_saved_gives_that_platform() {
    let ground = Ground::new();
    let root = ground.two_platforms();
    let dir = ground.path("layout");
    write_layout(&ground.store, &root, &names(&["app:1"]), &dir).unwrap();
    let index: ImageIndex =
        crate::image::from_json(&ground.store.read_blob(&root.digest, 9999).unwrap()).unwrap();
    std::fs::remove_file(dir.join(blob_name(&index.manifests[0].digest))).unwrap();
    let read = read(&ground.empty_store("other"), &dir, None).unwrap();
    assert_eq!(read.root, index.manifests[1]);
}

#[test]
fn damage_is_named_and_the_store_stays_usable() {
    let ground = Ground::new();
    let image = ground.image("salt");
    let path = ground.path("good.tar");
    write_docker(&ground.store, &[(image.clone(), names(&["app:1"]))], &path).unwrap();
    let good = std::fs::read(&path).unwrap();
    let store = ground.empty_store("other");
    let mut flipped = good.clone();
    let last_layer = good.windows(3).rposition(|w| w == b"\x1f\x8b\x08").unwrap();
    flipped[last_layer + 40] ^= 1;
    for (bytes, said) in [
        (flipped, "damaged"),
        (
            good[..last_layer + 40].to_vec(),
            "cut off inside `blobs/sha256/",
        ),
        (
            good[..last_layer - 512].to_vec(),
            "is the archive incomplete?",
        ),
        (good[..700].to_vec(), "cut off"),
    ] {
        std::fs::write(ground.path("bad.tar"), bytes).unwrap();
        let error = refusal(read(&store, &ground.path("bad.tar"), None));
        assert!(error.contains(said) && error.contains("bad.tar"), "{error}");
    }
    assert_eq!(read(&store, &path, None).unwrap().root, image);
}

#[test]
fn a_layer_that_is_not_what_the_config_says_is_refused() {
    let ground = Ground::new();
    let (archive, _) = old_docker_archive(&ground, true);
    archive.save(&ground.path("bad.tar"));
    let error = refusal(read(&ground.store, &ground.path("bad.tar"), None));
    assert!(
        error.contains("aa/layer.tar") && error.contains("config says"),
        "{error}"
    );

    // The same for a compressed blob with a right digest.
    let mut layer = ground.layer("a", b"a", GZIP);
    layer.diff_id = Digest::of(b"something else");
    let image = ground.image_of(&[layer], ManifestFormat::Oci, "amd64");
    let path = ground.path("wrong.tar");
    write_oci_archive(&ground.store, &image, &[], &path).unwrap();
    let error = refusal(read(&ground.empty_store("other"), &path, None));
    assert!(error.contains("config says"), "{error}");
}

#[test]
fn what_is_no_image_is_called_by_its_name() {
    let ground = Ground::new();
    let path = ground.path("file");
    for (bytes, said) in [
        (b"".to_vec(), "an empty file"),
        (b"PK\x03\x04....".to_vec(), "a zip archive"),
        (b"\x7fELF\x02".to_vec(), "a program"),
        (b"<html>404</html>".to_vec(), "an HTML or XML page"),
        (vec![0xff; 3000], "invalid image archive: expected a tar"),
        (vec![0; 10_240], "nothing but zeros"),
        (
            b"\x1f\x8b\x08\x00abc".to_vec(),
            "cannot unpack the gzip stream",
        ),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = refusal(read(&ground.store, &path, None));
        assert!(error.contains(said), "expected {said}: {error}");
    }
    Tar::new()
        .file("etc/passwd", b"")
        .file("usr/bin/x", b"")
        .save(&path);
    let error = refusal(read(&ground.store, &path, None));
    assert!(error.contains("root file system"), "{error}");
    Tar::new().file("readme", b"").save(&path);
    assert!(refusal(read(&ground.store, &path, None)).contains("neither index.json"));
    Tar::new().file("manifest.json", br#"{"schemaVersion":2,"config":{"mediaType":"a","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0}}"#).save(&path);
    assert!(refusal(read(&ground.store, &path, None)).contains("`dir:` format"));
    Tar::new().file("repositories", b"{}").save(&path);
    assert!(refusal(read(&ground.store, &path, None)).contains("1.10"));
    Tar::new()
        .link("manifest.json", "manifest.json")
        .save(&path);
    assert!(refusal(read(&ground.store, &path, None)).contains("leads back to itself"));
    assert!(refusal(read(&ground.store, &ground.path("nothing"), None)).contains("No such file"));
}

#[test]
fn links_of_a_layout_directory_do_not_lead_out_of_it() {
    let ground = Ground::new();
    let dir = ground.path("layout");
    write_layout(&ground.store, &ground.image("x"), &[], &dir).unwrap();
    std::fs::rename(dir.join("index.json"), ground.path("index.json")).unwrap();
    std::os::unix::fs::symlink("../index.json", dir.join("index.json")).unwrap();
    assert!(refusal(read(&ground.store, &dir, None)).contains("leads out"));
}

/// An OCI archive of one image, member by member.
fn members_of(ground: &Ground, image: &Descriptor) -> Vec<(String, Vec<u8>)> {
    let index = to_json(&index_of(vec![image.clone()]));
    let blobs = blobs(&ground.store, image)
        .unwrap()
        .into_iter()
        .map(|blob| {
            let bytes = ground.store.read_blob(&blob.digest, 1 << 20).unwrap();
            (blob_name(&blob.digest), bytes)
        });
    let first = [
        ("oci-layout".to_string(), LAYOUT_FILE.to_vec()),
        ("index.json".to_string(), index),
    ];
    first.into_iter().chain(blobs).collect()
}

fn tar_of(members: &[(String, Vec<u8>)]) -> Tar {
    members
        .iter()
        .fold(Tar::new(), |tar, (name, bytes)| tar.file(name, bytes))
}

#[test]
fn members_that_are_there_twice_are_the_last_and_still_verified() {
    let ground = Ground::new();
    let image = ground.image("x");
    let mut members = members_of(&ground, &image);
    let layer = members.len() - 1;
    let path = ground.path("a.tar");
    let wrong = (members[layer].0.clone(), b"something else".to_vec());
    members.push(wrong.clone());
    tar_of(&members).save(&path);
    let error = refusal(read(&ground.empty_store("one"), &path, None));
    assert!(error.contains("damaged"), "{error}");
    members.pop();
    members.insert(0, wrong);
    tar_of(&members).save(&path);
    assert_eq!(
        read(&ground.empty_store("two"), &path, None).unwrap().root,
        image
    );
}

#[test]
fn names_that_lead_out_are_looked_for_within_and_not_found() {
    let ground = Ground::new();
    std::fs::write(ground.path("outside"), "{}").unwrap();
    let directory = ground.path("in");
    std::fs::create_dir(&directory).unwrap();
    for config in [
        "../outside",
        "/etc/hostname",
        "a/../../outside",
        "x/./../../in/../outside",
    ] {
        let list = format!(r#"[{{"Config":"{config}","RepoTags":["a:1"],"Layers":[]}}]"#);
        std::fs::write(directory.join("manifest.json"), &list).unwrap();
        let error = refusal(read(&ground.store, &directory, None));
        assert!(
            error.contains("not found") || error.contains("leads out"),
            "{config}: {error}"
        );
        Tar::new()
            .file("manifest.json", list.as_bytes())
            .save(&ground.path("a.tar"));
        let error = refusal(read(&ground.store, &ground.path("a.tar"), None));
        assert!(error.contains("not found"), "{config}: {error}");
    }
}

#[test]
fn json_that_no_image_needs_is_refused_before_it_is_held() {
    let ground = Ground::new();
    let path = ground.path("a.tar");
    for name in ["manifest.json", "index.json"] {
        Tar::new().file(name, &vec![b' '; 9 << 20]).save(&path);
        let error = refusal(read(&ground.store, &path, None));
        assert!(
            error.contains(name) && error.contains("the limit is 8388608 bytes"),
            "{error}"
        );
    }
    // Brackets in brackets.
    Tar::new()
        .file("index.json", &vec![b'['; 1 << 20])
        .save(&path);
    assert!(refusal(read(&ground.store, &path, None)).contains("index.json"));
}

#[test]
fn an_index_in_an_index_is_read_with_its_bytes_and_a_long_chain_is_a_trap() {
    let ground = Ground::new();
    let mut root = ground.two_platforms();
    for depth in 1..8 {
        let index = to_json(&ImageIndex::new(ManifestFormat::Oci, vec![root]));
        ground.store.put_bytes(&index).unwrap();
        root = Descriptor::of(media_type::OCI_INDEX, &index);
        let path = ground.path("a.tar");
        let written = write_oci_archive(&ground.store, &root, &[], &path);
        if depth < 4 {
            written.unwrap();
            let store = ground.empty_store(&format!("s{depth}"));
            assert_eq!(read(&store, &path, None).unwrap().root, root, "{depth}");
        } else if depth > 4 {
            assert!(format!("{:#}", written.unwrap_err()).contains("nested in each other"));
        }
    }
}

#[test]
fn one_image_under_many_names_is_one_image() {
    let ground = Ground::new();
    let image = ground.image("x");
    let path = ground.path("a.tar");
    let all = names(&["app:1", "app:2", "reg.example/other:1"]);
    write_oci_archive(&ground.store, &image, &all, &path).unwrap();
    let found = read(&ground.empty_store("other"), &path, None).unwrap();
    assert_eq!(found.root, image);
    assert_eq!(found.tags, ["app:1", "app:2", "reg.example/other:1"]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(60))]

    #[test]
    fn no_damage_makes_the_reader_panic_or_lie(
        damage in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0..=255_u8), 1..5),
        cut: proptest::sample::Index,
    ) {
        let ground = Ground::new();
        let image = ground.image("salt");
        let path = ground.path("a.tar");
        write_docker(&ground.store, &[(image.clone(), names(&["app:1"]))], &path).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        std::fs::write(&path, &bytes).unwrap();
        let store = ground.empty_store("other");
        if let Ok(found) = read(&store, &path, None) {
            let same_layers = blobs(&store, &found.root).unwrap().len() == 4;
            proptest::prop_assert!(same_layers && store.holds(&found.root));
        }
        bytes.truncate(cut.index(bytes.len()));
        std::fs::write(&path, &bytes).unwrap();
        let _ = read(&store, &path, None);
    }

    #[test]
    fn no_json_makes_the_reader_panic(
        list in json_text(),
        index in json_text(),
    ) {
        let ground = Ground::new();
        let path = ground.path("a.tar");
        let mut members = members_of(&ground, &ground.image("x"));
        members[1].1 = index.into_bytes();
        members.push(("manifest.json".into(), list.into_bytes()));
        tar_of(&members).save(&path);
        for pick in [None, Some("1"), Some("a:1")] {
            let _ = read(&ground.empty_store("other"), &path, pick);
        }
    }
}

/// JSON of the right words in wrong places.
fn json_text() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let words = [
        "manifests",
        "digest",
        "size",
        "mediaType",
        "Config",
        "Layers",
        "RepoTags",
        "annotations",
        "platform",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "a:1",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "../x",
        "blobs/sha256",
    ];
    let word = proptest::sample::select(words.to_vec()).prop_map(|w| format!("{w:?}"));
    let leaf = prop_oneof![
        word.clone(),
        Just("null".to_string()),
        Just("-1".to_string()),
        Just("18446744073709551615".to_string()),
        Just("true".to_string()),
        Just("1e999".to_string()),
        ".{0,5}".prop_map(|t| format!("{t:?}"))
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        let pair =
            (word.clone(), inner.clone()).prop_map(|(name, value)| format!("{name}:{value}"));
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(|v| format!("[{}]", v.join(","))),
            proptest::collection::vec(pair, 0..6).prop_map(|v| format!("{{{}}}", v.join(","))),
        ]
    })
}
