//! Archives whose headers mean harm: each is refused with its reason, and costs little.

use std::fs::File;

use super::super::members::members;
use super::*;
use imgmake_event::Cancel;

/// One entry, header and content, filled up to whole blocks.
fn entry(kind: u8, name: &str, size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(size);
    header.set_cksum();
    let mut bytes = [header.as_bytes().as_slice(), content].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn pax(kind: u8, records: &[u8]) -> Vec<u8> {
    entry(kind, "pax", records.len() as u64, records)
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    entry(b'0', name, content.len() as u64, content)
}

fn found(bytes: &[u8], cancel: &Cancel) -> Result<Vec<String>> {
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), bytes).unwrap();
    let members = members(&File::open(path.path()).unwrap(), cancel)?;
    let mut names: Vec<String> = members
        .into_keys()
        .map(|name| String::from_utf8(name).unwrap())
        .collect();
    names.sort();
    Ok(names)
}

fn names_of(pieces: &[Vec<u8>]) -> Result<Vec<String>> {
    found(&pieces.concat(), &Cancel::default())
}

#[test]
fn headers_that_readers_understand_differently_are_refused() {
    let zeros = vec![0; 512];
    let target = |kind, name: &str, link: &str| {
        let mut bytes = entry(kind, name, 0, b"");
        bytes[157..157 + link.len()].copy_from_slice(link.as_bytes());
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(&bytes);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let long = format!("{}/", "a".repeat(90)).repeat(100);
    let cases: Vec<(Vec<Vec<u8>>, &str)> = vec![
        (
            vec![file("a", b"x"), zeros.clone(), file("b", b"x")],
            "there is a block of zeros between",
        ),
        (
            vec![pax(b'g', b"9 path=x\n"), file("a", b"")],
            "invalid global PAX header: it sets `path`",
        ),
        (
            vec![pax(b'g', b"9 size=1\n"), file("a", b"")],
            "invalid global PAX header: it sets `size`",
        ),
        (
            vec![pax(b'x', b"9 size=1\n9 size=2\n"), file("a", b"x")],
            "invalid PAX record `size`: it is a duplicate",
        ),
        (
            vec![pax(b'x', b"9 size=x\n"), file("a", b"x")],
            "invalid PAX record `size`: `x`",
        ),
        (
            vec![pax(b'x', b"7 path=x\n"), file("a", b"x")],
            "invalid PAX header",
        ),
        (
            vec![pax(b'x', b"12 path=a\0b\n"), file("a", b"x")],
            "contains a NUL byte",
        ),
        (
            vec![pax(b'x', b"22 GNU.sparse.major=1\n"), file("a", b"x")],
            "entry `a`: a sparse file in an image archive is not supported",
        ),
        (vec![entry(b'S', "a", 0, b"")], "damaged"),
        (
            vec![entry(b'M', "a", 0, b"")],
            "a file on several volumes is not supported",
        ),
        (vec![entry(b'Q', "a", 0, b"")], "type `Q` is not supported"),
        (vec![pax(b'x', b"9 path=x\n")], "damaged"),
        (
            vec![file("../a", b"")],
            "invalid name: it leads out of the root",
        ),
        (
            vec![file("./", b""), entry(b'7', ".", 0, b"")],
            "the root can only be a directory",
        ),
        (vec![target(b'1', "a", "../b")], "leads out of the root"),
        (
            vec![target(b'1', "a", "")],
            "invalid hard link to ``: it is empty",
        ),
        (
            vec![target(b'2', "a", "")],
            "invalid symbolic link: it is empty",
        ),
        (
            vec![
                entry(b'L', "a", long.len() as u64, long.as_bytes()),
                file("a", b""),
            ],
            "has 9099 bytes",
        ),
        (vec![entry(b'0', "a", 1 << 33, b"x")], "cut off inside `a`"),
        (
            vec![file("a", b"x"), vec![b'x'; 100]],
            "cut off inside a header, at byte 1124",
        ),
        (
            vec![file("a", b"x"), vec![b'x'; 512]],
            "damaged before byte 1536",
        ),
    ];
    for (pieces, expected) in cases {
        let error = format!("{:#}", names_of(&pieces).expect_err(expected));
        assert!(error.contains(expected), "expected {expected}: {error}");
    }
}

#[test]
fn names_and_records_are_not_held_beyond_a_limit() {
    for kind in *b"xLKg" {
        // Announced alone, and there in full length.
        let announced = entry(kind, "a", 1 << 40, b"x");
        let whole = entry(kind, "a", 9 << 20, &vec![b'a'; 9 << 20]);
        for bytes in [announced, whole] {
            let error = names_of(&[bytes, file("a", b"")]);
            assert!(error.is_err(), "{}", kind as char);
        }
    }
    let record = |length: usize| format!("{length} comment={}\n", "a".repeat(length - 17));
    let many = pax(b'g', record(8 << 20).as_bytes());
    let error = format!("{:#}", names_of(&[many, file("a", b"")]).unwrap_err());
    assert!(error.contains("more than 8388608 bytes"), "{error}");
    // Each for itself is fine.
    let some = pax(b'x', record(1 << 20).as_bytes());
    let pieces: Vec<Vec<u8>> = (0..20)
        .flat_map(|n| [some.clone(), file(&n.to_string(), b"")])
        .collect();
    assert_eq!(names_of(&pieces).unwrap().len(), 20);
}

#[test]
fn records_and_long_names_count_for_the_entry_that_follows() {
    let long = "b/".repeat(120) + "c";
    let sized = entry(b'0', "a", 0, b"12345");
    let pieces = [
        pax(b'x', b"9 size=5\n9 path=x\n"),
        [&sized[..], &[0; 0]].concat(),
        entry(b'L', "l", long.len() as u64, long.as_bytes()),
        file("short", b""),
        pax(b'g', b"13 comment=x\n"),
        entry(b'V', "label", 0, b""),
        entry(b'5', "directory", 0, b""),
        file("z/./y", b""),
        vec![0; 1024],
    ];
    let expected = [long, "x".to_string(), "z/y".to_string()];
    assert_eq!(names_of(&pieces).unwrap(), expected);
}

#[test]
fn a_cancelled_run_reads_no_further() {
    let cancel = Cancel::default();
    cancel.cancel();
    let error = found(&file("a", b""), &cancel).unwrap_err();
    assert!(error.is_cancelled(), "{error:#}");
}

#[test]
fn an_archive_that_could_not_be_written_does_not_end_as_one() {
    let ground = Ground::new();
    let image = ground.image("x");
    let blob = ground
        .store
        .blob_path(&blobs(&ground.store, &image).unwrap()[3].digest);
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    let mut out = Vec::new();
    send_docker(&ground.store, &[(image, Vec::new())], &mut out).unwrap_err();
    assert!(!out.ends_with(&[0; 1024]));
}
