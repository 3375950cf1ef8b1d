//! Other tars' output read by us, and ours by them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::*;

fn gnu_tar(directory: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("tar")
        .current_dir(directory)
        .env("LC_ALL", "C.UTF-8")
        .args(arguments)
        .output()
        .expect("these tests need GNU tar");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Directories, links, a long name, a long link, times before the epoch, and a sparse file.
fn make_tree(root: &Path) {
    let deep = "d".repeat(90);
    std::fs::create_dir_all(root.join(&deep).join(&deep).join(&deep)).unwrap();
    std::fs::write(
        root.join(&deep).join(&deep).join(&deep).join("leaf"),
        b"leaf",
    )
    .unwrap();
    std::fs::write(root.join("plain"), b"plain\n").unwrap();
    std::fs::hard_link(root.join("plain"), root.join("second")).unwrap();
    std::os::unix::fs::symlink("l".repeat(180), root.join("link")).unwrap();
    let old = filetime::FileTime::from_unix_time(-1, 500_000_000);
    filetime::set_file_mtime(root.join("plain"), old).unwrap();
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    for n in 0..40_u64 {
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"island", n * 131_072 + 7).unwrap();
    }
    sparse.set_len(6_000_000).unwrap();
}

fn by_path(tree: Tree) -> BTreeMap<Vec<u8>, (Entry, Vec<u8>)> {
    tree.into_iter()
        .map(|(e, c)| (e.path.clone(), (e, c)))
        .collect()
}

#[test]
#[ignore = "needs GNU tar: tests/run runs it"]
fn every_format_of_gnu_tar_is_read() {
    let root = tempfile::tempdir().unwrap();
    make_tree(root.path());
    let sparse = std::fs::read(root.path().join("sparse")).unwrap();
    for format in [
        &["--format=gnu"][..],
        &["--format=gnu", "--sparse"],
        &["--format=oldgnu", "--sparse"],
        &["--format=posix"],
        &["--format=posix", "--sparse", "--sparse-version=0.0"],
        &["--format=posix", "--sparse", "--sparse-version=0.1"],
        &["--format=posix", "--sparse", "--sparse-version=1.0"],
    ] {
        let mut arguments = vec!["-c", "--sort=name"];
        arguments.extend(format);
        arguments.push(".");
        let tree = by_path(read(&gnu_tar(root.path(), &arguments)).unwrap());
        let deep = "d".repeat(90);
        let leaf = format!("{deep}/{deep}/{deep}/leaf");
        assert_eq!(tree[leaf.as_bytes()].1, b"leaf", "{format:?}");
        assert!(tree[&b"sparse"[..]].1 == sparse, "{format:?}");
        assert_eq!(tree[&b""[..]].0.kind, EntryKind::Directory);
        let target = "l".repeat(180).into_bytes();
        assert_eq!(tree[&b"link"[..]].0.kind, EntryKind::Symlink { target });
        let target = b"plain".to_vec();
        assert_eq!(tree[&b"second"[..]].0.kind, EntryKind::HardLink { target });
        assert_eq!(tree[&b"plain"[..]].0.mtime.seconds, -1, "{format:?}");
        assert_eq!(tree.len(), 9, "{format:?}");
    }
}

#[test]
#[ignore = "needs GNU tar: tests/run runs it"]
fn old_v7_directories_are_known_by_their_slash() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("etc")).unwrap();
    std::fs::write(root.path().join("etc/motd"), b"hi").unwrap();
    let tree = by_path(read(&gnu_tar(root.path(), &["-c", "--format=v7", "etc"])).unwrap());
    assert_eq!(tree[&b"etc"[..]].0.kind, EntryKind::Directory);
    assert_eq!(tree[&b"etc/motd"[..]].1, b"hi");
}

fn all_kinds() -> Tree {
    let mut capable = file("usr/bin/ping", b"elf");
    capable.0.mode = 0o4755;
    capable.0.xattrs.insert(
        b"security.capability".to_vec(),
        b"\x01\0\0\x02\0\n\0=\n".to_vec(),
    );
    let mut precise = file("precise", b"1");
    precise.0.mtime = Timestamp {
        seconds: 1_700_000_000,
        nanos: 123_456_789,
    };
    vec![
        bare(Entry::directory("", 0o755)),
        bare(Entry::directory("tmp", 0o1777)),
        capable,
        precise.clone(),
        file(
            &format!("{}/{}", "a".repeat(120), "b".repeat(90)),
            b"ustar prefix",
        ),
        file(
            &format!("{}/{}", "c".repeat(200), "é".repeat(120)),
            b"pax path",
        ),
        bare(Entry::symlink("link", "x".repeat(150))),
        bare(Entry::hard_link("second", "precise", 0o644)),
        bare(Entry::directory("big", 0o755).owned_by(4_000_000_000, 3_000_000)),
    ]
}

#[test]
#[ignore = "needs GNU tar: tests/run runs it"]
fn gnu_tar_reads_what_we_write() {
    let place = tempfile::tempdir().unwrap();
    let (bytes, ..) = write(&all_kinds(), Compression::Gzip { level: 6 });
    std::fs::write(place.path().join("l.tar.gz"), bytes).unwrap();
    let listing = gnu_tar(
        place.path(),
        &["-tvzf", "l.tar.gz", "--numeric-owner", "--full-time"],
    );
    let listing = String::from_utf8(listing).unwrap();
    let lines: Vec<&str> = listing.lines().collect();
    assert_eq!(lines.len(), all_kinds().len(), "{listing}");
    assert!(lines[1].starts_with("drwxrwxrwt 0/0"), "{listing}");
    assert!(lines[2].starts_with("-rwsr-xr-x"), "{listing}");
    assert!(lines[3].contains(".123456789 precise"), "{listing}");
    assert!(lines[5].ends_with(&"é".repeat(120)), "{listing}");
    assert!(
        lines[6].ends_with(&format!("link -> {}", "x".repeat(150))),
        "{listing}"
    );
    assert!(lines[7].ends_with("second link to precise"), "{listing}");
    assert!(lines[8].contains("4000000000/3000000"), "{listing}");
}

#[test]
fn the_tar_crate_reads_what_we_write() {
    let tar = write_plain(&all_kinds());
    let mut archive = tar::Archive::new(tar.as_slice());
    let mut entries = archive.entries().unwrap();
    for (ours, content) in all_kinds() {
        let mut theirs = entries.next().unwrap().unwrap();
        assert_eq!(clean(&theirs.path_bytes()), ours.path);
        assert_eq!(theirs.header().mode().unwrap(), ours.mode);
        let mut read = Vec::new();
        theirs.read_to_end(&mut read).unwrap();
        assert_eq!(read, content);
    }
    assert!(entries.next().is_none());
}

#[test]
#[ignore = "needs gzip, bzip2, xz and zstd: tests/run runs it"]
fn packings_of_other_tools_are_known_by_their_first_bytes() {
    let place = tempfile::tempdir().unwrap();
    let plain = write_plain(&all_kinds());
    std::fs::write(place.path().join("plain"), &plain).unwrap();
    for (tool, packing) in [
        ("gzip", Packing::Gzip),
        ("bzip2", Packing::Bzip2),
        ("xz", Packing::Xz),
        ("zstd", Packing::Zstd),
    ] {
        let pack = |name| {
            let output = Command::new(tool)
                .args(["-c", "-q", name])
                .current_dir(place.path())
                .output()
                .unwrap_or_else(|_| panic!("these tests need {tool}"));
            assert!(output.status.success());
            output.stdout
        };
        let once = pack("plain");
        assert_eq!(Packing::of(&once), packing);
        // Several members, frames or streams behind each other are one stream.
        let twice = [once.clone(), once.clone()].concat();
        let mut unpacked = Vec::new();
        decompress(twice.as_slice())
            .unwrap()
            .read_to_end(&mut unpacked)
            .unwrap();
        assert!(
            unpacked == [plain.clone(), plain.clone()].concat(),
            "{tool}"
        );
        let cut = &once[..once.len() - 9];
        let error = decompress(cut)
            .unwrap()
            .read_to_end(&mut Vec::new())
            .unwrap_err();
        assert!(error.to_string().contains(tool), "{error}");
    }
}

/// A tar by hand: header fields as they are.
fn raw(name: &str, typeflag: u8, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = header::HeaderBuilder::new(typeflag);
    header.bytes(0, name.as_bytes());
    header.octal(100, 8, 0o644);
    header.octal(124, 12, content.len() as u64);
    header.bytes(157, link.as_bytes());
    let mut tar = header.finish().to_vec();
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
    tar
}

fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, value) in records {
        super::super::pax::push_record(&mut body, key.as_bytes(), value);
    }
    body
}

#[test]
fn an_archive_that_is_no_layer_may_name_its_root_and_what_is_above() {
    let tar = [
        raw("", b'0', "", b"nameless"),
        raw("/", b'2', "x", b""),
        raw("a/../../etc/passwd", b'0', "", b"x"),
        raw("../x", b'1', "../../etc/passwd", b""),
    ]
    .concat();
    let mut reader = LayerReader::of_archive(tar.as_slice());
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let target = match entry.kind {
            EntryKind::HardLink { target } => target,
            _ => Vec::new(),
        };
        found.push([entry.path, target].map(|p| String::from_utf8(p).unwrap()));
    }
    assert_eq!(
        found,
        [["", ""], ["", ""], ["etc/passwd", ""], ["x", "etc/passwd"]]
    );
}

#[test]
fn names_are_cleaned_and_those_that_climb_out_are_refused_by_name() {
    let tree = read(&[raw("//a/./b/../c", b'0', "", b""), raw("./", b'5', "", b"")].concat());
    let paths: Vec<_> = tree.unwrap().into_iter().map(|(e, _)| e.path).collect();
    assert_eq!(paths, [b"a/c".to_vec(), b"".to_vec()]);
    for tar in [
        raw("a/../../etc/passwd", b'0', "", b""),
        raw("x", b'1', "../../etc/passwd", b""),
        [
            raw("p", b'x', "", &pax(&[("path", b"../x")])),
            raw("x", b'0', "", b""),
        ]
        .concat(),
    ] {
        let said = refusal(&tar);
        assert!(
            said.contains("out of the root") && said.contains("entry `"),
            "{said}"
        );
    }
}

#[test]
fn pax_overrides_the_header_and_global_records_stand_below_it() {
    let tar = [
        raw("g", b'g', "", &pax(&[("mtime", b"5"), ("uid", b"7")])),
        raw(
            "p",
            b'x',
            "",
            &pax(&[
                ("mtime", b"-0.25"),
                ("path", b"long\xffname"),
                ("size", b"3"),
            ]),
        ),
        raw("short", b'0', "", b"abc"),
        raw("next", b'7', "", b"contiguous"),
        raw("odd", b'q', "", b"unknown"),
    ]
    .concat();
    let tree = read(&tar).unwrap();
    assert_eq!(tree[0].0.path, b"long\xffname");
    assert_eq!(
        tree[0].0.mtime,
        Timestamp {
            seconds: -1,
            nanos: 750_000_000
        }
    );
    assert_eq!((tree[0].0.uid, tree[1].0.uid), (7, 7));
    assert_eq!(tree[1].0.mtime, Timestamp::from_seconds(5));
    assert_eq!(tree[1].1, b"contiguous");
    assert_eq!(tree[2].1, b"unknown");
}

#[test]
fn damage_is_named() {
    let good = write_plain(&vec![file("a", &[7; 1500]), file("b", b"x")]);
    let mut flipped = good.clone();
    flipped[2048] ^= 1;
    for (tar, said) in [
        (
            b"PK\x03\x04 this is a zip".to_vec(),
            "invalid archive: expected a tar",
        ),
        (vec![b'x'; 4096], "invalid archive: expected a tar"),
        (flipped, "checksum of the header at byte 2048"),
        (good[..1000].to_vec(), "cut off inside `a`"),
        (good[..2100].to_vec(), "cut off inside a header"),
        (
            raw("p", b'x', "", &pax(&[("path", b"x")])),
            "cut off inside an entry that was announced",
        ),
        (
            [raw("p", b'x', "", b"12 path=x\n"), raw("x", b'0', "", b"")].concat(),
            "invalid PAX record",
        ),
        (raw("m", b'M', "", b""), "several volumes is not supported"),
        (
            raw("g", b'g', "", &pax(&[("path", b"x")])),
            "for every entry",
        ),
        (
            [
                raw("p", b'x', "", &pax(&[("size", b"99999999999999999999")])),
                raw("x", b'0', "", b""),
            ]
            .concat(),
            "64 bits",
        ),
    ] {
        let error = refusal(&tar);
        assert!(error.contains(said), "expected {said}: {error}");
    }
    assert_eq!(read(b"").unwrap(), vec![]);
}
