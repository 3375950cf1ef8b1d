use std::io::Write;
use std::time::Duration;

use super::*;
use crate::image::{Descriptor, ImageManifest, ManifestFormat};

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
    store.tag("acme/app:1", &manifest).unwrap();
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
    store.tag("app:1", &root).unwrap();
    store.put_step("00ff", b"record").unwrap();

    let garbage = store
        .collect(Keep {
            younger_than: Duration::ZERO,
            at_most: None,
        })
        .unwrap();

    assert_eq!(garbage.files, 2);
    assert!(store.has(&layer) && store.has(&config) && store.has(&root.digest));
    assert!(!store.has(&orphan) && store.step("00ff").is_none());
}

#[test]
fn a_collection_waits_for_nobody_and_takes_nothing_from_a_run_in_progress() {
    let (_keep, store) = store();
    let orphan = store.put_bytes(b"orphan").unwrap();
    let running = Store::open(store.root()).unwrap();
    let refused = store
        .collect(Keep {
            younger_than: Duration::ZERO,
            at_most: None,
        })
        .unwrap_err();
    assert!(
        refused.to_string().contains("another run uses the store"),
        "{refused}"
    );
    assert!(running.has(&orphan));
}

#[test]
fn step_records_come_back_as_they_were() {
    let (_keep, store) = store();
    assert_eq!(store.step("abc"), None);
    store.put_step("abc", b"one").unwrap();
    store.put_step("abc", b"two").unwrap();
    assert_eq!(store.step("abc").as_deref(), Some(&b"two"[..]));
}
