use std::fs;
use std::io::Write;
use std::time::{Duration, SystemTime};

use super::*;
use crate::error::OciError;
use crate::image::{Descriptor, ImageManifest, ManifestFormat};
use crate::layer::{Compression, Entry, LayerWriter};

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("store")).unwrap();
    (directory, store)
}

#[test]
fn a_blob_is_there_under_its_digest_once_committed_and_not_before() {
    let (_keep, store) = store();
    let mut writer = store.blob_writer().unwrap();
    writer.write_all(b"hello").unwrap();
    assert!(!store.has(&Digest::of(b"hello")));
    let (digest, size) = writer.commit(None).unwrap();
    assert_eq!((digest.clone(), size), (Digest::of(b"hello"), 5));
    assert_eq!(store.read_blob(&digest, 5).unwrap(), b"hello");
}

#[test]
fn content_that_is_not_what_was_promised_never_gets_a_name() {
    let (_keep, store) = store();
    for (promised, size) in [(Digest::of(b"other"), 5), (Digest::of(b"hello"), 6)] {
        let mut writer = store.blob_writer().unwrap();
        writer.write_all(b"hello").unwrap();
        assert!(
            writer
                .commit(Some(&Descriptor::new("", promised.clone(), size)))
                .is_err()
        );
        assert!(!store.has(&promised));
    }
}

#[test]
fn a_blob_cut_short_by_a_power_failure_counts_as_absent_and_is_written_again() {
    let (_keep, store) = store();
    let digest = store.put_bytes(b"hello").unwrap();
    fs::write(store.blob_path(&digest), b"").unwrap();
    assert!(!store.holds(&Descriptor::new("", digest.clone(), 5)));
    store.put_bytes(b"hello").unwrap();
    assert_eq!(store.read_blob(&digest, 10).unwrap(), b"hello");
}

#[test]
fn a_document_longer_than_its_limit_is_refused_rather_than_read() {
    let (_keep, store) = store();
    let digest = store.put_bytes(&[7; 100]).unwrap();
    assert!(store.read_blob(&digest, 99).is_err());
}

#[test]
fn ext4_spreads_what_processes_make_over_the_disk() {
    use rustix::fs::{IFlags, ioctl_getflags, statfs};
    const EXT4: i64 = 0xef53;
    let (_keep, store) = store();
    // Where deletions have just been, making files is slow; on others the wish is not heard.
    store.temporary_dir().unwrap();
    let tmp = fs::File::open(store.root().join("tmp")).unwrap();
    let is_ext4 = statfs(store.root()).unwrap().f_type == EXT4;
    let spread = ioctl_getflags(&tmp).is_ok_and(|flags| flags.contains(IFlags::TOPDIR));
    assert_eq!(spread, is_ext4);
}

#[test]
fn work_of_the_living_stays_and_work_of_the_dead_is_swept() {
    let (_keep, store) = store();
    let mine = store.temporary_dir().unwrap();
    let dead = store.root().join("tmp/4711-dead-0");
    fs::create_dir_all(dead.join("0/tree")).unwrap();
    fs::write(dead.join("lock"), "4711").unwrap();

    let second = Store::open(store.root()).unwrap();

    assert!(mine.is_dir() && !dead.exists());
    assert!(second.leftovers().is_empty());
}

#[test]
fn closing_a_store_leaves_nothing_unfinished_behind() {
    let (_keep, store) = store();
    store.temporary_dir().unwrap();
    let tmp = store.root().join("tmp");
    drop(store);
    assert_eq!(fs::read_dir(tmp).unwrap().count(), 0);
}

#[test]
fn a_name_finds_its_image_until_the_manifest_is_gone() {
    let (_keep, store) = store();
    let digest = store.put_bytes(b"{}").unwrap();
    let manifest = Descriptor::new(ManifestFormat::Oci.manifest(), digest.clone(), 2);
    store.tag("acme/app:1", &manifest, None).unwrap();
    assert_eq!(store.tagged("acme/app:1"), Some(manifest));
    assert_eq!(store.tagged("acme/app:2"), None);
    fs::remove_file(store.blob_path(&digest)).unwrap();
    assert_eq!(store.tagged("acme/app:1"), None);
}

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

#[test]
fn images_are_found_by_name_digest_and_pattern() {
    let (_keep, store) = store();
    let digest = store.put_bytes(b"{}").unwrap();
    let image = Descriptor::new(ManifestFormat::Oci.manifest(), digest.clone(), 2);
    for name in ["app:1", "app:latest", "registry.example.com/team/app:1"] {
        store.tag(name, &image, None).unwrap();
    }
    let found = |text: &str| -> Vec<String> {
        let found = store.matching(text).into_iter();
        found.map(|(name, _)| name).collect()
    };
    assert_eq!(found("docker.io/library/app:1"), ["app:1"]);
    assert_eq!(found("app"), ["app:latest"]);
    assert_eq!(found("app:*"), ["app:1", "app:latest"]);
    assert_eq!(found("*/team/*"), ["registry.example.com/team/app:1"]);
    assert_eq!(found(&digest.hex()[..12]).len(), 3);
    assert_eq!(found("other"), [""; 0]);
    assert_eq!(store.beginning_with(&digest.to_string(), 2), [digest]);
    store.untag("app:1").unwrap();
    assert_eq!(found("app:1"), [""; 0]);
}

#[test]
fn step_records_come_back_as_they_were() {
    let (_keep, store) = store();
    assert_eq!(store.step("abc"), None);
    store.put_step("abc", b"one").unwrap();
    store.put_step("abc", b"two").unwrap();
    assert_eq!(store.step("abc").as_deref(), Some(&b"two"[..]));
}

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
fn every_changed_byte_of_a_record_makes_it_no_record() {
    let (directory, store) = store();
    store.put_step("aa", b"what a step made").unwrap();
    let path = directory.path().join("store/steps/aa");
    let sound = std::fs::read(&path).unwrap();
    for at in 0..sound.len() {
        let mut changed = sound.clone();
        changed[at] ^= 4;
        std::fs::write(&path, changed).unwrap();
        assert_eq!(store.step("aa"), None, "{at}");
        std::fs::write(&path, &sound[..at]).unwrap();
        assert_eq!(store.step("aa"), None, "{at}");
    }
    std::fs::write(&path, sound).unwrap();
    assert!(store.step("aa").is_some());
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

#[test]
fn what_is_no_file_in_the_place_of_a_record_makes_nobody_wait() {
    let (directory, store) = store();
    let path = directory.path().join("store/steps/aa");
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    assert_eq!(store.step("aa"), None);
    store.put_step("aa", b"1").unwrap();
    assert!(store.step("aa").is_some());
}

/// A file of a blob, with one bit of it turned.
fn flip(store: &Store, digest: &Digest, at: usize, bit: u8) {
    let path = store.blob_path(digest);
    let mut bytes = fs::read(&path).unwrap();
    bytes[at] ^= 1 << bit;
    fs::write(path, bytes).unwrap();
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn a_damaged_blob_is_never_given_whole(
        length in 1_usize..70_000,
        at in 0_usize..70_000,
        bit in 0_u8..8,
        block in 1_usize..9_000,
    ) {
        use std::io::Read;
        let (_keep, store) = store();
        let content: Vec<u8> = (0..length).map(|n| (n * 31 % 251) as u8).collect();
        let digest = store.put_bytes(&content).unwrap();
        flip(&store, &digest, at % length, bit);

        let mut blob = store.open_blob(&digest).unwrap();
        let (mut given, mut buffer) = (0, vec![0; block]);
        let error = loop {
            match blob.read(&mut buffer) {
                Ok(0) => panic!("it ended as if it were whole"),
                Ok(read) => given += read,
                Err(error) => break error,
            }
        };

        assert!(given < length);
        assert!(error.to_string().contains(digest.hex()), "{error}");
        assert!(blob.finish().is_err());
        assert!(!store.has(&digest));
        assert_eq!((store.removed_damage(), store.take_damage().len()), (1, 1));
        store.put_bytes(&content).unwrap();
        assert_eq!(store.read_blob(&digest, 70_000).unwrap(), content);
    }
}

#[test]
fn who_stops_early_learns_of_damage_behind() {
    use std::io::Read;
    let (_keep, store) = store();
    let digest = store.put_bytes(&[7; 1000]).unwrap();
    flip(&store, &digest, 999, 0);
    let first = |blob: &mut BlobReader| -> Result<u8> {
        let mut byte = [0];
        blob.read_exact(&mut byte)?;
        Ok(byte[0])
    };
    let error = store.with_blob(&digest, first).unwrap_err();
    assert!(error.find::<Damaged>().is_some(), "{error:#}");
    // What stopped the reader is told only when the blob is not to blame.
    let digest = store.put_bytes(&[8; 1000]).unwrap();
    let error = store
        .with_blob(&digest, |_| -> Result<()> {
            Err(OciError::invalid("x", ""))
        })
        .unwrap_err();
    assert_eq!(error.to_string(), "invalid x");
    assert!(store.has(&digest));
}

#[test]
fn a_blob_that_was_verified_is_verified_again_once_it_was_written_to() {
    let (_keep, store) = store();
    let mut writer = store.blob_writer().unwrap();
    writer.write_all(&[1; 5000]).unwrap();
    let (digest, size) = writer.commit(None).unwrap();
    let blob = Descriptor::new("", digest.clone(), size);
    let mut out = Vec::new();
    store.copy_blob(&blob, &mut out).unwrap();
    assert_eq!(out, [1; 5000]);
    // As a clock's tick would have it.
    std::thread::sleep(Duration::from_millis(20));
    flip(&store, &digest, 17, 3);
    let error = store.copy_blob(&blob, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error:#}");
}

#[test]
fn a_damaged_record_is_named_and_gone() {
    let (_keep, store) = store();
    store.put_step("a", b"one").unwrap();
    store.put_step("b", b"two").unwrap();
    let at = |name: &str| store.root().join("steps").join(name);
    fs::copy(at("b"), at("a")).unwrap();
    assert_eq!(store.step("a"), None);
    let damaged = store.take_damage();
    assert_eq!(damaged.len(), 1);
    assert!(damaged[0].removed && damaged[0].path == at("a") && !at("a").exists());
    assert_eq!(store.step("b").as_deref(), Some(&b"two"[..]));
}

/// A store that was closed and opened, so that nothing is remembered.
fn opened_again(store: &Store) -> Store {
    Store::open(store.root()).unwrap()
}

#[test]
fn every_kind_of_record_is_named_and_gone_when_a_bit_of_it_is_another() {
    let (_keep, store) = store();
    let (file, out) = store.layer_file().unwrap();
    let mut writer = LayerWriter::new(out, Compression::None).unwrap();
    let entry = Entry::file("name", 0o644, 4);
    writer.append(&entry, &mut &b"text"[..]).unwrap();
    let (layer, index) = writer.finish().unwrap();
    store.adopt_layer(file, &layer, &index).unwrap();
    let manifest = Descriptor::of("m", b"manifest");
    store.put_bytes(b"manifest").unwrap();
    store.tag("app:1", &manifest, None).unwrap();
    store.put_step("aa", b"record").unwrap();
    type Kind<'a> = (&'a str, &'a dyn Fn(&Store) -> bool);
    let kinds: [Kind<'_>; 4] = [
        ("steps", &|store| store.step("aa").is_some()),
        ("layers", &|store| {
            store.layer(&layer.diff_id, Compression::None).is_some()
        }),
        ("images", &|store| store.tagged("app:1").is_some()),
        // It is made again from the layer, so what matters is that it is the same.
        ("indexes", &|store| {
            let found = store.index(&layer).unwrap();
            assert_eq!(found.encode(), index.encode());
            store.take_damage().is_empty()
        }),
    ];
    for (folder, is_found) in kinds {
        let directory = store.root().join(folder);
        let path = fs::read_dir(directory).unwrap().next().unwrap().unwrap();
        let sound = fs::read(path.path()).unwrap();
        assert!(is_found(&opened_again(&store)), "{folder}");
        for at in 0..sound.len() {
            let mut damaged = sound.clone();
            damaged[at] ^= 1 << (at % 8);
            fs::write(path.path(), &damaged).unwrap();
            let store = opened_again(&store);
            assert!(!is_found(&store), "{folder} {at}");
            if folder == "indexes" {
                assert_eq!(fs::read(path.path()).unwrap(), sound, "{at}");
                continue;
            }
            let named = store.take_damage();
            assert!(
                named.len() == 1 && named[0].removed && named[0].path == path.path(),
                "{folder} {at}: {named:?}"
            );
            assert!(!path.path().exists(), "{folder} {at}");
        }
        fs::write(path.path(), sound).unwrap();
    }
}

#[test]
fn who_reads_a_document_or_unpacks_a_layer_is_told_that_its_blob_is_damaged() {
    let (_keep, store) = store();
    // As a base's config, which is read whole.
    let digest = store.put_bytes(b"{\"architecture\":\"amd64\"}").unwrap();
    flip(&store, &digest, 20, 1);
    let error = store.read_blob(&digest, 1000).unwrap_err();
    assert!(error.find::<Damaged>().is_some(), "{error:#}");
    assert!(!store.has(&digest));
    // What unpacks to something else is the blob's fault, or else its own.
    let digest = store.put_bytes(&[9; 1000]).unwrap();
    let failed = || -> Result<()> { Err(OciError::invalid("x", "")) };
    let error = store.blame(&digest, failed()).unwrap_err();
    assert_eq!(error.to_string(), "invalid x");
    flip(&store, &digest, 500, 4);
    let error = store.blame(&digest, failed()).unwrap_err();
    assert!(
        error.find::<Damaged>().is_some() && !store.has(&digest),
        "{error:#}"
    );
}

/// A layer of noise, by a number for each MiB.
fn noisy_layer(store: &Store, pieces: &[u8]) -> crate::layer::Layer {
    let (file, out) = store.layer_file().unwrap();
    let mut writer = LayerWriter::new(out, Compression::Gzip { level: 1 }).unwrap();
    for (at, number) in pieces.iter().enumerate() {
        let mut noise = vec![0; 1 << 20];
        let mut source = blake3::Hasher::new();
        source.update(&[*number]).finalize_xof().fill(&mut noise);
        let entry = Entry::file(format!("{at:02}").as_str(), 0o644, noise.len() as u64);
        writer.append(&entry, &mut &noise[..]).unwrap();
    }
    let (layer, index) = writer.finish().unwrap();
    store.adopt_layer(file, &layer, &index).unwrap();
    layer
}

fn tables(store: &Store) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(store.root().join("blocks")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_layer_is_made_of_blocks_that_any_process_wrote_and_one_of_a_few_bytes_has_no_table() {
    let (_keep, store) = store();
    noisy_layer(&store, &[]);
    assert_eq!(tables(&store).len(), 0);
    let first = noisy_layer(&store, &[1, 2, 3, 4]);
    assert_eq!(tables(&store).len(), 1);
    let store = opened_again(&store);
    let second = noisy_layer(&store, &[1, 2, 3, 9]);
    let table = |layer: &crate::layer::Layer| store.block_table(layer.digest().hex()).unwrap();
    assert_eq!(table(&first)[..2], table(&second)[..2]);
    assert_eq!(tables(&store).len(), 2);
    let known = store.known_blocks();
    // The second one's were added as it was written.
    let expected: std::collections::HashSet<_> = [table(&first), table(&second)]
        .concat()
        .iter()
        .map(|b| b.key)
        .collect();
    assert_eq!(known.count(), expected.len());
}

#[test]
fn a_table_that_is_damaged_is_named_and_gone_and_the_layer_is_the_same() {
    let (_keep, store) = store();
    let first = noisy_layer(&store, &[1, 2, 3, 4]);
    let path = tables(&store).remove(0);
    let mut table = fs::read(&path).unwrap();
    *table.last_mut().unwrap() ^= 1;
    fs::write(&path, table).unwrap();
    let store = opened_again(&store);
    assert_eq!(noisy_layer(&store, &[1, 2, 3, 4]), first);
    let named = store.take_damage();
    assert!(named.len() == 1 && named[0].path == path, "{named:?}");
    // It was written again, with the layer.
    assert_eq!(tables(&store), [path]);
}

#[test]
fn a_damaged_blob_gives_no_block_to_another_layer() {
    let (_keep, store) = store();
    let first = noisy_layer(&store, &[1, 2, 3, 4]);
    let cold = noisy_layer(&opened_again(&store), &[1, 2, 3, 5]);
    fs::remove_file(store.blob_path(cold.digest())).unwrap();
    fs::remove_file(store.root().join("blocks").join(cold.digest().hex())).unwrap();
    let mut blob = fs::read(store.blob_path(first.digest())).unwrap();
    blob.iter_mut().step_by(1000).for_each(|byte| *byte ^= 1);
    fs::write(store.blob_path(first.digest()), blob).unwrap();
    let store = opened_again(&store);
    assert_eq!(noisy_layer(&store, &[1, 2, 3, 5]), cold);
    store.verified_blob(cold.digest()).unwrap();
}

#[test]
fn a_table_goes_with_its_blob() {
    let (_keep, store) = store();
    let layers = [[1, 2, 3], [4, 5, 6], [7, 8, 9]].map(|pieces| noisy_layer(&store, &pieces));
    let named = Descriptor::of("m", b"manifest");
    store.put_bytes(b"manifest").unwrap();
    store.tag("app:1", &named, None).unwrap();
    fs::remove_file(store.blob_path(layers[0].digest())).unwrap();
    // Of a blob that is gone already.
    let nothing = Keep {
        younger_than: Duration::from_secs(3600),
        at_most: None,
        project: None,
    };
    assert!(store.collect(nothing).unwrap().bytes > 0);
    assert_eq!(tables(&store).len(), 2);
    let everything = Keep {
        younger_than: Duration::ZERO,
        ..nothing
    };
    store.collect(everything).unwrap();
    assert_eq!(tables(&store).len(), 0);
}

#[test]
fn a_store_without_tables_is_one_of_this_format() {
    let (_keep, store) = store();
    let first = noisy_layer(&store, &[1, 2, 3]);
    fs::remove_dir_all(store.root().join("blocks")).unwrap();
    let store = opened_again(&store);
    assert_eq!(store.take_rebuilt(), None);
    assert_eq!(noisy_layer(&store, &[1, 2, 3]), first);
    fs::remove_dir_all(store.root().join("blocks")).unwrap();
    noisy_layer(&store, &[1, 2, 4]);
    assert_eq!(tables(&store).len(), 1);
}
