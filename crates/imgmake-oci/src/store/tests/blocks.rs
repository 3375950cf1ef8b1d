use super::*;

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
