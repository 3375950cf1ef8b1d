use super::*;
use proptest::prelude::*;

fn hash() -> String {
    "ab".repeat(32)
}

fn file(path: &str, size: u64, content: Option<(usize, u64)>) -> Entry {
    Entry::File {
        path: path.to_string(),
        mode: 0o644,
        size,
        hash: hash(),
        content: content.map(|(chunk, offset)| ContentPlace { chunk, offset }),
        early: false,
        text: None,
    }
}

fn list(entries: Vec<Entry>, chunks: &[u64]) -> SourceList {
    SourceList {
        version: VERSION,
        manifest: "imgmake.kdl".to_string(),
        targets: vec!["app".to_string()],
        facts: SourceFacts::default(),
        pins: std::collections::BTreeMap::new(),
        entries,
        chunks: chunks
            .iter()
            .map(|size| Chunk {
                hash: hash(),
                size: *size,
            })
            .collect(),
    }
}

fn link(path: &str, target: &str) -> Entry {
    Entry::Symlink {
        path: path.to_string(),
        target: target.to_string(),
    }
}

fn refusal(entries: Vec<Entry>, chunks: &[u64]) -> String {
    let bytes = list(entries, chunks).to_bytes();
    SourceList::parse(&bytes).unwrap_err().to_string()
}

#[test]
fn a_list_is_read_as_it_was_written() {
    let directory = Entry::Directory {
        path: "empty".to_string(),
        mode: 0o755,
    };
    let hard = Entry::Hardlink {
        path: "second".to_string(),
        target: "imgmake.kdl".to_string(),
    };
    let written = list(
        vec![
            file("a", 7, Some((0, 0))),
            directory,
            file("imgmake.kdl", 8, Some((0, 7))),
            link("link", "/usr/share"),
            file("nothing", 0, None),
            hard,
            file("z/last", 5, Some((1, 5))),
        ],
        &[10, 10],
    );
    let bytes = written.to_bytes();
    assert_eq!(SourceList::parse(&bytes).unwrap(), written);
    assert_eq!(SourceList::parse(&bytes).unwrap().to_bytes(), bytes);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let manifest = || file("imgmake.kdl", 0, None);
    for path in ["/etc/passwd", "../x", "a/../b", "a//b", "./a", "", "a/"] {
        let text = refusal(vec![file(path, 0, None), manifest()], &[]);
        let is_told = text.contains("leads elsewhere") || text.contains("not the name");
        assert!(is_told, "{path}: {text}");
    }
    let long = "x".repeat(256);
    for (path, why) in [
        (".imgmake/log", "state of runs"),
        ("a/.imgmake/key", "state of runs"),
        ("a\\q", "not escaped"),
        ("a\\x41", "not escaped"),
        ("a\\x00b", "not escaped"),
        (long.as_str(), "too long"),
    ] {
        let text = refusal(vec![file(path, 0, None), manifest()], &[]);
        assert!(text.contains(why), "{path}: {text}");
    }
}

#[test]
fn nothing_is_beneath_a_link_or_a_file() {
    for leaf in [link("a", "/etc"), file("a", 0, None)] {
        let entries = vec![leaf, file("a/passwd", 0, None)];
        let text = refusal(entries, &[]);
        assert!(text.contains("beneath something"), "{text}");
    }
    // Others may stand between them.
    let entries = vec![
        link("a", "/etc"),
        file("a-b", 0, None),
        file("a/b/c", 0, None),
    ];
    assert!(refusal(entries, &[]).contains("`a/b/c`: it is beneath something"));
}

#[test]
fn contents_are_where_the_chunks_are_and_nowhere_else() {
    let manifest = |at| file("imgmake.kdl", 4, at);
    for (entries, chunks, why) in [
        (vec![manifest(Some((0, 0)))], vec![3], "not in the chunks"),
        (vec![manifest(Some((0, 0)))], vec![5], "belongs to no file"),
        (
            vec![manifest(Some((0, 0)))],
            vec![4, 1],
            "belongs to no file",
        ),
        (vec![manifest(Some((0, 1)))], vec![5], "does not follow"),
        (vec![manifest(None)], vec![4], "does not follow"),
        (vec![manifest(Some((0, 0)))], vec![4, 0], "it is empty"),
        (
            vec![manifest(Some((0, 0)))],
            vec![4, LARGEST_CHUNK + 1],
            "too large",
        ),
        (
            vec![file("a", u64::MAX, Some((0, 0))), manifest(Some((1, 0)))],
            vec![4],
            "not in the chunks",
        ),
    ] {
        let text = refusal(entries, &chunks);
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn a_text_in_the_list_is_what_its_hash_says() {
    let manifest = |text: &str, size: u64, content| Entry::File {
        path: "imgmake.kdl".to_string(),
        mode: 0o644,
        size,
        hash: blake3::hash(b"build app").to_hex().to_string(),
        content,
        early: true,
        text: Some(text.to_string()),
    };
    let sound = list(vec![manifest("build app", 9, None)], &[]);
    assert_eq!(SourceList::parse(&sound.to_bytes()).unwrap(), sound);
    for entry in [
        manifest("build other", 11, None),
        manifest("build other", 9, None),
        manifest("build app", 8, None),
    ] {
        assert!(refusal(vec![entry], &[]).contains("its text is not"));
    }
    let place = Some(ContentPlace {
        chunk: 0,
        offset: 0,
    });
    let text = refusal(vec![manifest("build app", 9, place)], &[9]);
    assert!(text.contains("does not follow"), "{text}");
}

#[test]
fn order_hard_links_and_the_manifest_are_checked() {
    let manifest = || file("imgmake.kdl", 0, None);
    let hard = |target: &str| Entry::Hardlink {
        path: "h".to_string(),
        target: target.to_string(),
    };
    for (entries, why) in [
        (vec![manifest(), file("a", 0, None)], "not in order"),
        (vec![manifest(), manifest()], "not in order"),
        (
            vec![hard("imgmake.kdl"), manifest()],
            "does not stand before",
        ),
        (vec![hard("h"), manifest()], "does not stand before"),
        (vec![file("a", 0, None)], "the manifest is not among"),
        (vec![link("imgmake.kdl", "x")], "the manifest is not among"),
    ] {
        let text = refusal(entries, &[]);
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn later_formats_and_unknown_fields_are_refused() {
    let mut later = list(vec![file("imgmake.kdl", 0, None)], &[]);
    later.version = 2;
    let error = SourceList::parse(&later.to_bytes()).unwrap_err();
    assert!(error.to_string().contains("use a newer version"), "{error}");
    let text = String::from_utf8(list(vec![file("imgmake.kdl", 0, None)], &[]).to_bytes()).unwrap();
    for (written, put) in [
        ("\"targets\"", "\"secrets\":{},\"targets\""),
        ("\"mode\"", "\"owner\":0,\"mode\""),
        ("\"type\":\"file\"", "\"type\":\"device\""),
    ] {
        let text = text.replacen(written, put, 1);
        let error = SourceList::parse(text.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("cannot be read"), "{error}");
    }
}

proptest! {
    #[test]
    fn every_path_comes_back_from_its_text(path in proptest::collection::vec(any::<u8>(), 0..40)) {
        prop_assert_eq!(decode_path(&encode_path(&path)), Some(path));
    }

    #[test]
    fn a_text_stands_for_one_path_or_none(text in "[ab\\\\x0-9é]{0,12}") {
        if let Some(path) = decode_path(&text) {
            prop_assert_eq!(encode_path(&path), text);
        }
    }

    #[test]
    fn no_bytes_are_a_reason_to_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(SourceList::parse(&bytes));
    }
}
