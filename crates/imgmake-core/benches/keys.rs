//! The manifest, the graph, keys and the stat cache, as a build with nothing to do sees them:
//! `cargo bench -p imgmake-core`.

use std::fmt::Write;
use std::fs;

use divan::Bencher;
use divan::counter::ItemsCount;
use imgmake_core::files::{FileAt, Signature, StatCache, tree_signature};
use imgmake_core::fingerprint::Inputs;
use imgmake_core::graph::Graph;
use imgmake_core::manifest::{Facts, Manifest, load};
use imgmake_event::Cancel;

fn main() {
    divan::main();
}

const TARGETS: usize = 1000;

/// `run` targets in chains of ten, each with three patterns and one output.
fn project() -> String {
    let mut text = String::from("imgmake version=1\n");
    for at in 0..TARGETS {
        let needs = match at % 10 {
            0 => String::new(),
            _ => format!("needs t{}; ", at - 1),
        };
        writeln!(
            text,
            "run t{at} {{ {needs}inputs \"src{at}/**\" \"common.h\" \"conf/*.toml\"; \
             outputs \"out/{at}\"; command \"make {at}\" }}"
        )
        .expect("a string can be written to");
    }
    text
}

fn parse(text: &str) -> Manifest {
    let read = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    let (manifest, _) = load("imgmake.kdl", text, &Facts::default(), &read)
        .unwrap_or_else(|found| panic!("{found:?}"));
    manifest
}

#[divan::bench]
fn parse_1000_targets(bencher: Bencher<'_, '_>) {
    let text = project();
    bencher
        .counter(ItemsCount::new(TARGETS))
        .bench(|| parse(&text));
}

#[divan::bench]
fn graph_of_1000_targets(bencher: Bencher<'_, '_>) {
    let manifest = parse(&project());
    bencher
        .counter(ItemsCount::new(TARGETS))
        .with_inputs(|| manifest.clone())
        .bench_values(|manifest| Graph::new(manifest).map(drop));
}

/// A target's key: some settings and 20 files whose hashes are known.
#[divan::bench]
fn key_of_20_files(bencher: Bencher<'_, '_>) {
    let names: Vec<String> = (0..20).map(|at| format!("src/file{at}.rs")).collect();
    bencher.bench(|| {
        let mut inputs = Inputs::new();
        inputs.value("command", "command", b"make all");
        inputs.list("outputs", "outputs", ["out/a", "out/b"]);
        for name in &names {
            inputs.hashed("file", name.as_str(), [7; 32]);
        }
        inputs.key()
    });
}

const FILES: usize = 20_000;

/// 50 files a directory, and what `lstat` says of them.
fn tree() -> (tempfile::TempDir, Vec<Signature>) {
    let directory = tempfile::tempdir().expect("there is a directory for temporary files");
    let files = (0..FILES)
        .map(|at| {
            let parent = directory.path().join(format!("d{}", at / 50));
            if at % 50 == 0 {
                fs::create_dir(&parent).expect("the disk has room");
            }
            let path = parent.join(at.to_string());
            fs::write(&path, b"content").expect("the disk has room");
            Signature::of(&fs::symlink_metadata(&path).expect("it was just written"))
        })
        .collect();
    (directory, files)
}

/// Files that have not moved: what is left is the search.
#[divan::bench]
fn stat_cache_hits(bencher: Bencher<'_, '_>) {
    let (directory, files) = tree();
    // An entry counts only if its file is older than a tick of the file system's clock.
    std::thread::sleep(std::time::Duration::from_millis(50));
    let cancel = Cancel::default();
    let cache = StatCache::new();
    for (at, signature) in files.iter().enumerate() {
        let path = directory.path().join(format!("d{}/{at}", at / 50));
        cache
            .hash_file(signature, || FileAt::path(&path).open(), &cancel)
            .expect("it is readable");
    }
    let records = cache.records_with(&StatCache::new());
    let cache = StatCache::from_records(records).expect("they are whole");
    bencher
        .counter(ItemsCount::new(FILES))
        .bench(|| files.iter().filter_map(|file| cache.known(file)).count());
}

/// Every file of a tree found and asked for its `lstat`.
#[divan::bench(sample_count = 20)]
fn walk(bencher: Bencher<'_, '_>) {
    let (directory, _) = tree();
    let cancel = Cancel::default();
    bencher
        .counter(ItemsCount::new(FILES))
        .bench(|| tree_signature(directory.path(), &cancel));
}
