use super::*;

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
