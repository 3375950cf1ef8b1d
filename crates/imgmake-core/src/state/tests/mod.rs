//! What a project remembers, on real directories: records of its log, runs beside each other, hashes of files,
//! keys that are others', links that lead elsewhere.

mod keys;
mod links;
mod records;
mod runs;
mod stats;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use super::*;
use crate::error::Overlap;
use crate::files::Signature;
use crate::fingerprint::Inputs;
use imgmake_event::Cancel;

fn key() -> MacKey {
    MacKey::of_text("the key of the user who runs these tests").unwrap()
}

fn open(project: &Path, lock: &Lock) -> State {
    State::open(project, &key(), lock).unwrap()
}

fn read(project: &Path) -> State {
    State::read(project, &key()).unwrap()
}

fn inputs(value: &str) -> Inputs {
    let mut inputs = Inputs::new();
    inputs.value("file", "src/main.c", value.as_bytes());
    inputs
}

fn outcome(value: &str) -> Outcome {
    let output = Output::Pushed {
        reference: "r/x:1".parse().unwrap(),
        digest: imgmake_oci::image::Digest::of(value.as_bytes()),
    };
    Outcome::new(&inputs(value), [7; 32], vec![output])
}

fn project() -> (tempfile::TempDir, Lock) {
    let directory = tempfile::tempdir().unwrap();
    let lock = Lock::take(directory.path(), &Wait::No).unwrap();
    (directory, lock)
}

/// A project's `.imgmake` for the cache alone.
fn stats_of(directory: &Path) -> (StatCache, bool) {
    let state = Directory::open_or_make(directory).unwrap();
    load_stats(&state, &key())
}

fn signature(file: &Path) -> Signature {
    Signature::of(&fs::metadata(file).unwrap())
}

fn hash_file(stats: &StatCache, file: &Path) -> [u8; 32] {
    let open = || fs::File::open(file);
    stats
        .hash_file(&signature(file), open, &Cancel::default())
        .unwrap()
}

fn save(stats: &StatCache, directory: &Path) {
    let state = Directory::open_or_make(directory).unwrap();
    save_stats(stats, &state, &key(), state.inode(STATS)).unwrap();
}

/// A project with every kind of file in its `.imgmake`, all of this key.
fn filed_under(key: &MacKey) -> (tempfile::TempDir, Lock) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("f");
    fs::write(&file, "one").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(60));
    // Later: what changes while a run goes on is not remembered by it.
    let lock = Lock::take(directory.path(), &Wait::No).unwrap();
    let mut state = State::open(directory.path(), key, &lock).unwrap();
    state.look_at_files(directory.path());
    state.finished("test", outcome("1")).unwrap();
    state.set_pin("debian:12", "sha256:00");
    hash_file(&state.stats, &file);
    see(state, &file);
    cache_manifest(directory.path(), key, b"the manifest");
    (directory, lock)
}

/// Remembers a hash by this file, and saves.
fn see(state: State, file: &Path) {
    let mut evidence = state.sightings.evidence().unwrap();
    evidence.itself(b"f", &signature(file));
    state
        .sightings
        .learn(b"name", &[0; 32], &[1; 32], &evidence);
    state.save_stats();
}

fn is_seen(project: &Path) -> bool {
    let mut state = read(project);
    state.look_at_files(project);
    let hash = state.sightings.hash(b"name", &[0; 32], &Cancel::default());
    hash == Some([1; 32])
}

fn is_believed(project: &Path) -> [bool; 5] {
    let state = read(project);
    [
        state.record("test").outcome.is_some(),
        state.pin("debian:12").is_some(),
        state.stats.known(&signature(&project.join("f"))).is_some(),
        matches!(cached_manifest(project, &key()), Sealed::Ours(_)),
        is_seen(project),
    ]
}
