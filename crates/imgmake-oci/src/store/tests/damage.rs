use super::*;

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
