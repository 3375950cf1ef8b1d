//! What a layer claims is bounded, and whatever it claims, reading it can be ended.

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use super::super::header::HeaderBuilder;
use super::*;
use imgmake_event::{Cancel, Cancelled};

const FORMATS: [&[&str]; 5] = [
    &["--format=gnu"],
    &["--format=oldgnu"],
    &["--format=posix", "--sparse-version=0.0"],
    &["--format=posix", "--sparse-version=0.1"],
    &["--format=posix", "--sparse-version=1.0"],
];

/// GNU tar's archive of `d/f`: a hole of `length` bytes, then one byte.
fn sparse(length: u64, format: &[&str]) -> Vec<u8> {
    sparse_files(&["f"], length, format)
}

fn sparse_files(names: &[&str], length: u64, format: &[&str]) -> Vec<u8> {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("d")).unwrap();
    for name in names {
        let file = std::fs::File::create(root.path().join("d").join(name)).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"x", length).unwrap();
    }
    let output = Command::new("tar")
        .current_dir(root.path())
        .args(format)
        .args(["--sparse", "-cf", "-"])
        .args(names.iter().map(|name| format!("d/{name}")))
        .output()
        .expect("these tests need GNU tar");
    assert!(output.status.success());
    output.stdout
}

#[test]
#[ignore = "needs GNU tar: tests/run runs it"]
fn a_sparse_file_that_claims_too_much_is_refused_by_name_in_every_format() {
    for format in FORMATS {
        let tar = sparse(100 << 30, format);
        assert!(tar.len() < 64 << 10);
        let told = format!("{:#}", LayerReader::new(&tar[..]).next_entry().unwrap_err());
        assert!(
            told.contains("d/f") && told.contains("64 GiB of holes"),
            "{told}"
        );
        let tar = sparse(3 << 40, format);
        let told = format!("{:#}", LayerReader::new(&tar[..]).next_entry().unwrap_err());
        assert!(told.contains("d/f") && told.contains("1024 GiB"), "{told}");
    }
}

#[test]
#[ignore = "needs GNU tar: tests/run runs it"]
fn holes_are_counted_over_all_files_of_a_layer() {
    let four = sparse_files(&["a", "b", "c", "d"], 20 << 30, FORMATS[4]);
    let mut reader = LayerReader::new(&four[..]);
    for _ in 0..3 {
        assert_eq!(reader.next_entry().unwrap().unwrap().size(), (20 << 30) + 1);
        while reader.skip_hole().unwrap() > 0 {}
    }
    let told = format!("{:#}", reader.next_entry().unwrap_err());
    assert!(
        told.contains("d/d") && told.contains("with those before"),
        "{told}"
    );
}

#[test]
#[ignore = "needs GNU tar: tests/run runs it"]
fn holes_become_holes_in_every_format() {
    for format in FORMATS {
        let tar = sparse(5 << 30, format);
        let mut reader = LayerReader::new(&tar[..]);
        reader.next_entry().unwrap().unwrap();
        let file = tempfile::tempfile().unwrap();
        write_content(&mut reader, &file, 0, &mut vec![0; 64 << 10]).unwrap();
        let meta = file.metadata().unwrap();
        assert_eq!(meta.len(), (5 << 30) + 1);
        assert!(meta.blocks() * 512 < 1 << 20, "{}", meta.blocks());
        assert!(reader.next_entry().unwrap().is_none());
    }
}

#[test]
fn a_sparse_map_that_only_goes_on_is_refused() {
    let mut header = HeaderBuilder::new(b'S');
    header.bytes(0, b"f");
    header.octal(124, 12, 0);
    header.bytes(257, b"ustar  \0");
    // "More blocks follow", each of which says nothing but that.
    header.bytes(482, &[1]);
    let mut tar = header.finish().to_vec();
    for _ in 0..100 {
        let mut block = [0; 512];
        block[504] = 1;
        tar.extend_from_slice(&block);
    }
    let told = refusal(&tar);
    assert!(told.contains("without a segment"), "{told}");
}

#[test]
fn global_headers_do_not_pile_up() {
    let mut tar = Vec::new();
    for n in 0..20 {
        let mut record = Vec::new();
        let key = format!("SCHILY.xattr.user.{n}");
        super::super::pax::push_record(&mut record, key.as_bytes(), &vec![b'x'; 1 << 20]);
        let mut header = HeaderBuilder::new(b'g');
        header.bytes(0, b"g");
        header.octal(124, 12, record.len() as u64);
        tar.extend_from_slice(&header.finish());
        record.resize(record.len().next_multiple_of(512), 0);
        tar.extend_from_slice(&record);
    }
    let told = refusal(&tar);
    assert!(told.contains("global PAX headers"), "{told}");
}

/// Cancels after so many reads.
struct After<R> {
    inner: R,
    reads: usize,
    cancel: Cancel,
}

impl<R: Read> Read for After<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.reads -= 1;
        if self.reads == 0 {
            self.cancel.cancel();
        }
        self.inner.read(buffer)
    }
}

#[test]
#[ignore = "needs GNU tar: tests/run runs it"]
fn reading_a_hole_ends_with_a_cancellation() {
    let tar = sparse(60 << 30, FORMATS[0]);
    let cancel = Cancel::default();
    let mut reader = LayerReader::new(&tar[..]).stopped_by(&cancel);
    reader.next_entry().unwrap().unwrap();
    let mut content = After {
        inner: &mut reader,
        reads: 3,
        cancel: cancel.clone(),
    };
    let error = std::io::copy(&mut content, &mut std::io::sink()).unwrap_err();
    assert!(Cancelled::ended(&error), "{error}");
    // Nor does the index wait for the end of it.
    assert!(
        Index::read_until(&tar[..], &cancel)
            .unwrap_err()
            .is_cancelled()
    );
}

#[test]
fn skipping_and_draining_end_with_a_cancellation() {
    let mut header = HeaderBuilder::new(b'0');
    header.bytes(0, b"f");
    header.octal(124, 12, 7 << 30);
    let bytes = header.finish();
    let cancel = Cancel::default();
    let after = |reads| After {
        inner: (&bytes[..]).chain(std::io::repeat(0)),
        reads,
        cancel: cancel.clone(),
    };
    let mut reader = LayerReader::new(after(5)).stopped_by(&cancel);
    reader.next_entry().unwrap().unwrap();
    let error = reader.next_entry().unwrap_err();
    assert!(error.is_cancelled(), "{error:#}");
}

#[test]
fn writing_ends_with_a_cancellation() {
    let cancel = Cancel::default();
    let out = tempfile::tempfile().unwrap();
    let compression = Compression::Gzip { level: 1 };
    let mut writer = LayerWriter::new(out, compression)
        .unwrap()
        .stopped_by(&cancel);
    let mut content = After {
        inner: std::io::repeat(0),
        reads: 10,
        cancel: cancel.clone(),
    };
    let entry = Entry::file("f", 0o644, 60 << 30);
    let error = writer.append(&entry, &mut content).unwrap_err();
    assert!(error.is_cancelled(), "{error:#}");
}

#[test]
fn a_file_larger_than_any_that_can_be_read_again_is_not_written() {
    let out = tempfile::tempfile().unwrap();
    let mut writer = LayerWriter::new(out, Compression::None).unwrap();
    let entry = Entry::file("huge", 0o644, 2 << 40);
    let told = format!(
        "{:#}",
        writer.append(&entry, &mut std::io::repeat(0)).unwrap_err()
    );
    assert!(
        told.contains("/huge") && told.contains("1024 GiB"),
        "{told}"
    );
}
