use proptest::prelude::*;

use super::*;

fn component() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..12),
        "[a-z]{1,20}".prop_map(String::into_bytes),
        "[a-zé]{80,130}".prop_map(String::into_bytes),
    ]
    .prop_map(|mut name| {
        name.retain(|b| !matches!(b, 0 | b'/'));
        name
    })
    .prop_filter("no special component", |c| {
        !matches!(c.as_slice(), b"" | b"." | b"..")
    })
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(component(), 1..5).prop_map(|c| c.join(&b'/'))
}

fn kind() -> impl Strategy<Value = (EntryKind, Vec<u8>)> {
    let device = (0..=0o777_7777_u32, 0..=0o777_7777_u32);
    let target = proptest::collection::vec(1..=255_u8, 1..150);
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..2000).prop_map(|content| {
            let size = content.len() as u64;
            (EntryKind::File { size }, content)
        }),
        Just((EntryKind::Directory, vec![])),
        Just((EntryKind::Fifo, vec![])),
        target.prop_map(|target| (EntryKind::Symlink { target }, vec![])),
        path().prop_map(|target| (EntryKind::HardLink { target }, vec![])),
        device
            .clone()
            .prop_map(|(major, minor)| (EntryKind::CharDevice { major, minor }, vec![])),
        device.prop_map(|(major, minor)| (EntryKind::BlockDevice { major, minor }, vec![])),
    ]
}

fn entry() -> impl Strategy<Value = (Entry, Vec<u8>)> {
    let number = || prop_oneof![0..3000_u64, any::<u64>()];
    let time = (
        prop_oneof![0..2_000_000_000_i64, any::<i64>()],
        prop_oneof![Just(0), 0..1_000_000_000_u32],
    );
    let name = proptest::collection::vec(any::<u8>(), 1..20).prop_map(|mut name| {
        name.retain(|b| !matches!(b, 0 | b'='));
        name.push(b'x');
        name
    });
    let xattrs = proptest::collection::btree_map(
        name,
        proptest::collection::vec(any::<u8>(), 0..1100),
        0..3,
    );
    (
        path(),
        kind(),
        0..=0o7777_u32,
        number(),
        number(),
        time,
        xattrs,
    )
        .prop_map(
            |(path, (kind, content), mode, uid, gid, (seconds, nanos), xattrs)| {
                let entry = Entry {
                    path,
                    kind,
                    mode,
                    uid,
                    gid,
                    mtime: Timestamp { seconds, nanos },
                    xattrs,
                };
                (entry, content)
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_tree_reads_as_it_was_written(tree in proptest::collection::vec(entry(), 0..8)) {
        let tar = write_plain(&tree);
        prop_assert_eq!(read(&tar).unwrap(), tree);
    }

    #[test]
    fn any_index_is_the_same_from_the_writer_from_the_tar_and_decoded(
        tree in proptest::collection::vec(entry(), 0..8),
    ) {
        let (tar, _, index) = write(&tree, Compression::None);
        prop_assert_eq!(&Index::read(tar.as_slice()).unwrap(), &index);
        prop_assert_eq!(&Index::decode(&index.encode()).unwrap(), &index);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(
        tree in proptest::collection::vec(entry(), 1..4),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        fix_checksums: bool,
        cut: prop::sample::Index,
    ) {
        let mut tar = write_plain(&tree);
        for (at, byte) in &damage {
            let at = at.index(tar.len());
            tar[at] = *byte;
        }
        if fix_checksums {
            for block in tar.chunks_exact_mut(512) {
                seal(block);
            }
        }
        let _ = read(&tar);
        tar.truncate(cut.index(tar.len()));
        let _ = read(&tar);
    }

    #[test]
    fn no_bytes_make_decompress_or_the_index_panic(
        magic in 0..6_usize,
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let magics: [&[u8]; 6] = [b"", b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\x00",
            b"BZh91AY&SY", b"imgmake layer index 1\n"];
        let input = [magics[magic], &bytes].concat();
        let _ = Index::decode(&input);
        let _ = std::io::copy(&mut decompress(input.as_slice()).unwrap().take(1 << 20), &mut std::io::sink());
    }

    #[test]
    fn cleaning_gives_clean_paths(path in proptest::collection::vec(1..=255_u8, 0..40)) {
        let cleaned = clean(&path);
        prop_assert!(is_clean(&cleaned));
        prop_assert_eq!(clean(&cleaned), cleaned);
    }
}

fn seal(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

#[test]
fn an_ordinary_entry_takes_one_header_and_no_pax() {
    let tar = write_plain(&vec![
        file("usr/bin/true", b"#!"),
        bare(Entry::directory("", 0o755)),
    ]);
    assert_eq!(tar.len(), 512 + 512 + 512 + 1024);
    assert_eq!(&tar[..12], b"usr/bin/true");
    assert_eq!(&tar[1024..1027], b"./\0");
}

#[test]
fn the_same_tree_gives_the_same_bytes_packed_anyhow_and_they_unpack() {
    let mut noise = Vec::new();
    for n in 0..700_000_u32 {
        noise.extend_from_slice(&n.wrapping_mul(2_654_435_761).to_le_bytes()[..3]);
        noise.extend_from_slice(b"text");
    }
    let tree = vec![file("a", b"x"), file("big", &noise), file("z", &[0; 4096])];
    let plain = write_plain(&tree);
    for compression in [
        Compression::Gzip { level: 6 },
        Compression::Gzip { level: 0 },
        Compression::Zstd { level: 3 },
        Compression::Zstd { level: -2 },
        Compression::None,
    ] {
        let (bytes, layer, index) = write(&tree, compression);
        // On a pool of another size, and on the pool's own thread.
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        let (again, layer_again, _) = pool.install(|| write(&tree, compression));
        assert!(bytes == again, "{compression:?}");
        assert_eq!(layer, layer_again);
        assert_eq!(*layer.digest(), crate::image::Digest::of(&bytes));
        assert_eq!(layer.diff_id, crate::image::Digest::of(&plain));
        assert_eq!(layer.descriptor.size, bytes.len() as u64);
        assert_eq!(
            index.get(b"big").unwrap().content,
            Some(*blake3::hash(&noise).as_bytes())
        );
        let mut unpacked = Vec::new();
        decompress(bytes.as_slice())
            .unwrap()
            .read_to_end(&mut unpacked)
            .unwrap();
        assert!(unpacked == plain, "{compression:?}");
    }
}

#[test]
fn a_tar_packed_as_it_is_keeps_its_diff_id_and_gives_the_bytes_of_a_written_layer() {
    let tree = vec![
        file("a", &[9; 3_000_000]),
        bare(Entry::directory("d", 0o755)),
    ];
    let (gzip, layer, index) = write(&tree, Compression::Gzip { level: 6 });
    let out = tempfile::NamedTempFile::new().unwrap();
    let tar = decompress(gzip.as_slice()).unwrap();
    let packed = pack(
        tar,
        out.reopen().unwrap(),
        Compression::Gzip { level: 6 },
        &imgmake_event::Cancel::default(),
    )
    .unwrap();
    assert_eq!(packed, (layer, index));
    assert!(std::fs::read(out.path()).unwrap() == gzip);
}

#[test]
fn a_level_that_does_not_exist_is_refused() {
    for compression in [
        Compression::Gzip { level: 13 },
        Compression::Zstd { level: 23 },
    ] {
        assert!(LayerWriter::new(tempfile::tempfile().unwrap(), compression).is_err());
    }
}

#[test]
fn content_that_is_shorter_or_longer_than_its_entry_is_an_error_naming_it() {
    for (content, said) in [(&b"ab"[..], "shorter"), (b"abcd", "longer")] {
        let out = tempfile::tempfile().unwrap();
        let mut writer = LayerWriter::new(out, Compression::None).unwrap();
        let entry = Entry::file("etc/x", 0o644, 3);
        let error = writer.append(&entry, &mut &content[..]).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("/etc/x") && error.contains(said), "{error}");
    }
}

#[test]
fn what_no_tar_can_hold_is_refused() {
    let mut strange = Entry::file("a", 0o644, 0);
    strange.xattrs.insert(b"user.a=b".to_vec(), b"1".to_vec());
    let mut climbing = Entry::file("a", 0o644, 0);
    climbing.path = b"../a".to_vec();
    let device = EntryKind::CharDevice {
        major: 1 << 21,
        minor: 0,
    };
    for entry in [
        strange,
        climbing,
        Entry::new("d", device, 0o600),
        Entry::file("", 0o644, 0),
        Entry::symlink("a", ""),
        Entry::hard_link("a", "", 0o644),
    ] {
        let out = tempfile::tempfile().unwrap();
        let mut writer = LayerWriter::new(out, Compression::None).unwrap();
        assert!(writer.append_empty(&entry).is_err(), "{entry:?}");
    }
}

#[test]
fn a_file_beyond_eight_gibibytes_has_its_size_in_pax() {
    // The header alone: what follows is cut off, which is noticed.
    let out = tempfile::tempfile().unwrap();
    let mut writer = LayerWriter::new(out.try_clone().unwrap(), Compression::None).unwrap();
    let size = (8 << 30) + 1;
    let entry = Entry::file("huge", 0o644, size);
    let mut content = std::io::repeat(0).take(2 << 20);
    assert!(writer.append(&entry, &mut content).is_err());
    drop(writer);
    let mut tar = Vec::new();
    std::io::Seek::rewind(&mut &out).unwrap();
    (&out).read_to_end(&mut tar).unwrap();
    let mut reader = LayerReader::new(tar.as_slice());
    assert_eq!(reader.next_entry().unwrap(), Some(entry));
    let error = reader.next_entry().unwrap_err();
    assert!(format!("{error:#}").contains("cut off inside `huge`"));
}

#[test]
fn names_longer_than_any_path_are_refused_in_few_words() {
    let long = vec!["x".repeat(100); 2000].join("/");
    for entry in [
        Entry::directory(long.as_str(), 0o755),
        Entry::symlink("link", long.as_str()),
        Entry::hard_link("link", long.as_str(), 0o644),
    ] {
        let error = refusal(&write_plain(&vec![bare(entry)]));
        assert!(error.contains("4095 are the most"), "{error}");
        assert!(error.len() < 400, "{error}");
    }
    let longest = vec!["x".repeat(99); 41].join("/")[..4095].to_string();
    let fits = vec![bare(Entry::directory(longest.as_str(), 0o755))];
    assert_eq!(read(&write_plain(&fits)).unwrap().len(), 1);
}
