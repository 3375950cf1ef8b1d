//! Layers written, read and looked up: `cargo bench -p imgmake-oci`.

use std::fs::File;
use std::io::Cursor;
use std::sync::Arc;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use imgmake_event::Cancel;
use imgmake_oci::layer::{Compression, Entry, Index, LayerWriter, View, decompress, pack};

fn main() {
    divan::main();
}

const LEVELS: [Compression; 4] = [
    Compression::None,
    Compression::Gzip { level: 1 },
    Compression::Gzip { level: 6 },
    Compression::Zstd { level: 3 },
];

/// Text that compresses about as well as source code does, other in each file.
fn text(seed: usize, size: usize) -> Vec<u8> {
    let mut state = seed as u64 | 1;
    let mut bytes = Vec::with_capacity(size + 16);
    while bytes.len() < size {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let word = format!("name{} = {}; ", state >> 57, state >> 50 & 0xff);
        bytes.extend_from_slice(word.as_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// `count` files of `size` bytes, 50 a directory.
fn write(out: File, files: &[Vec<u8>], compression: Compression) -> (File, Index) {
    let mut kept = out.try_clone().expect("a descriptor is free");
    let mut writer = LayerWriter::new(out, compression).expect("the level is valid");
    for (at, content) in files.iter().enumerate() {
        if at % 50 == 0 {
            let directory = Entry::directory(format!("usr/lib/d{:04}", at / 50), 0o755);
            writer.append_empty(&directory).expect("the disk has room");
        }
        let path = format!("usr/lib/d{:04}/file{at}", at / 50);
        let entry = Entry::file(path, 0o644, content.len() as u64);
        writer
            .append(&entry, &mut Cursor::new(content))
            .expect("the disk has room");
    }
    let (_, index) = writer.finish().expect("the disk has room");
    std::io::Seek::rewind(&mut kept).expect("it is a file");
    (kept, index)
}

fn scratch() -> File {
    tempfile::tempfile().expect("there is a directory for temporary files")
}

#[divan::bench(args = LEVELS, sample_count = 10)]
fn write_2000_small_files(bencher: Bencher<'_, '_>, compression: Compression) {
    let files: Vec<_> = (0..2000).map(|at| text(at, 4096)).collect();
    bencher
        .counter(BytesCount::new(2000_usize * 4096))
        .bench(|| write(scratch(), &files, compression));
}

#[divan::bench(args = LEVELS, sample_count = 5)]
fn write_a_file_of_64_mib(bencher: Bencher<'_, '_>, compression: Compression) {
    let files = [text(1, 64 << 20)];
    bencher
        .counter(BytesCount::new(64_usize << 20))
        .bench(|| write(scratch(), &files, compression));
}

/// Inflated, hashed and indexed: what happens to a base layer.
#[divan::bench(args = LEVELS, sample_count = 5)]
fn inflate_and_index(bencher: Bencher<'_, '_>, compression: Compression) {
    let files: Vec<_> = (0..2000).map(|at| text(at, 16 << 10)).collect();
    bencher
        .counter(BytesCount::new(2000_usize * (16 << 10)))
        .with_inputs(|| write(scratch(), &files, compression).0)
        .bench_values(|file| {
            let plain = decompress(file).expect("it was written by us");
            Index::read_hashing(plain, &Cancel::default()).expect("it was written by us")
        });
}

#[divan::bench(sample_count = 5)]
fn pack_a_tar_again(bencher: Bencher<'_, '_>) {
    let files: Vec<_> = (0..2000).map(|at| text(at, 16 << 10)).collect();
    bencher
        .counter(BytesCount::new(2000_usize * (16 << 10)))
        .with_inputs(|| write(scratch(), &files, Compression::None).0)
        .bench_values(|file| {
            pack(
                file,
                scratch(),
                Compression::Gzip { level: 6 },
                &Cancel::default(),
            )
            .expect("it was written by us")
        });
}

/// The merged tree of ten layers that overlap, then every path looked up.
#[divan::bench]
fn merge_ten_layers(bencher: Bencher<'_, '_>) {
    let files: Vec<_> = (0..2000).map(|_| Vec::new()).collect();
    let index = Arc::new(write(scratch(), &files, Compression::None).1);
    let layers = vec![index; 10];
    bencher.bench(|| {
        let view = View::new(&layers);
        for at in 0..2000 {
            let path = format!("usr/lib/d{:04}/file{at}", at / 50);
            black_box(view.get(path.as_bytes()));
        }
    });
}

#[divan::bench]
fn decode_an_index(bencher: Bencher<'_, '_>) {
    let files: Vec<_> = (0..2000).map(|_| Vec::new()).collect();
    let bytes = write(scratch(), &files, Compression::None).1.encode();
    bencher.bench(|| Index::decode(&bytes));
}
