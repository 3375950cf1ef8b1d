//! Somebody exchanges directories of a context for links while it is read.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::fs::{CWD, RenameFlags};

use super::*;
use crate::files::tree::Tree;
use imgmake_guard::checkout::Checkout;

const INSIDE: &str = "what the context holds";
const OUTSIDE: &str = "what nobody may have..";

/// Exchanges two names until it is dropped.
struct Exchanging {
    ended: Arc<AtomicBool>,
    times: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Exchanging {
    fn new(one: PathBuf, other: PathBuf) -> Exchanging {
        let (ended, times) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (end, count) = (ended.clone(), times.clone());
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::SeqCst) {
                rustix::fs::renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                std::thread::yield_now();
            }
        });
        Exchanging {
            ended,
            times,
            thread: Some(thread),
        }
    }

    /// Whether there was time enough for a fault to show.
    fn is_enough(&self, reads: usize) -> bool {
        let running = self.thread.as_ref().is_some_and(|t| !t.is_finished());
        assert!(running, "nothing is exchanged");
        reads >= 60 && self.times.load(Ordering::SeqCst) >= 3000
    }
}

impl Drop for Exchanging {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

/// A project with a context, and a directory outside of it that is like the context.
fn ground() -> (Project, tempfile::TempDir) {
    let (p, outside) = (Project::new(), tempfile::tempdir().unwrap());
    p.write("d/f", INSIDE).write("d/e/f", INSIDE);
    for path in ["d/e", "e"] {
        std::fs::create_dir_all(outside.path().join(path)).unwrap();
    }
    for path in ["d/f", "d/e/f", "f", "e/f", "d/outside", "outside"] {
        let path = outside.path().join(path);
        std::fs::write(&path, OUTSIDE).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    }
    (p, outside)
}

fn confined(p: &Project) -> BuildRequest {
    let mut request = p.request("FROM scratch\nCOPY d /d\n");
    request.checkout = Checkout::new([p.dir.path()]);
    request.compression = imgmake_oci::layer::Compression::None;
    request
}

/// Everything in the store.
fn store_holds(p: &Project, text: &str) -> bool {
    let mut left = vec![p.engine.store.root().to_path_buf()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        } else if std::fs::read(&path).is_ok_and(|bytes| {
            let mut windows = bytes.windows(text.len());
            windows.any(|window| window == text.as_bytes())
        }) {
            return true;
        }
    }
    false
}

fn builds_nothing_from_outside(p: &Project, one: PathBuf, other: PathBuf) {
    let exchanging = Exchanging::new(one.clone(), other.clone());
    let mut tries = 0;
    let mut request = confined(p);
    request.no_cache = true;
    while !exchanging.is_enough(tries) {
        tries += 1;
        // It may succeed or be refused, by what it finds.
        let _ = build(&request, &p.engine);
    }
    drop(exchanging);
    assert!(!store_holds(p, OUTSIDE));
    // Left alone it is read: what is looked for would be seen.
    if one.is_symlink() {
        rustix::fs::renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
    }
    build(&request, &p.engine).unwrap();
    assert!(store_holds(p, INSIDE));
}

#[test]
fn nothing_that_a_context_was_exchanged_for_is_in_a_layer() {
    let (p, outside) = ground();
    let link = p.dir.path().join("link");
    symlink(outside.path(), &link).unwrap();
    builds_nothing_from_outside(&p, p.dir.path().join("ctx"), link);
}

#[test]
fn nothing_that_a_directory_of_it_was_exchanged_for_is_in_a_layer() {
    let (p, outside) = ground();
    symlink(outside.path(), p.path("link")).unwrap();
    builds_nothing_from_outside(&p, p.path("d"), p.path("link"));
}

/// What a fingerprint is made of: the names of files, and hashes of them.
fn files(request: &BuildRequest, p: &Project) -> Option<Vec<(String, [u8; 32])>> {
    let found = inputs(request, &p.engine).ok()?;
    let files = found.entries().iter().filter(|entry| entry.kind == "file");
    Some(
        files
            .map(|entry| (entry.name.clone(), entry.hash))
            .collect(),
    )
}

fn fingerprints_nothing_from_outside(p: &Project, one: PathBuf, other: PathBuf) {
    let request = confined(p);
    let mut expected = files(&request, p).unwrap();
    let exchanging = Exchanging::new(one, other);
    let mut reads = 0;
    while !exchanging.is_enough(reads) {
        reads += 1;
        for found in files(&request, p).unwrap_or_default() {
            // The link itself is in the context.
            assert!(found.0 == "d" || expected.contains(&found), "{}", found.0);
        }
    }
    drop(exchanging);
    expected.retain(|(name, _)| name.ends_with("/f"));
    assert_eq!(expected.len(), 2);
}

#[test]
fn nothing_that_a_context_was_exchanged_for_is_in_a_fingerprint() {
    let (p, outside) = ground();
    let link = p.dir.path().join("link");
    symlink(outside.path(), &link).unwrap();
    fingerprints_nothing_from_outside(&p, p.dir.path().join("ctx"), link);
}

#[test]
fn nothing_that_a_directory_of_it_was_exchanged_for_is_in_a_fingerprint() {
    let (p, outside) = ground();
    symlink(outside.path(), p.path("link")).unwrap();
    fingerprints_nothing_from_outside(&p, p.path("d"), p.path("link"));
}

#[test]
fn a_cancelled_walk_of_a_context_reads_no_directory() {
    let p = Project::new();
    p.write("d/f", INSIDE);
    let cancel = Cancel::default();
    let here = Checkout::default();
    let tree = crate::files::context::ContextTree::open(
        &p.path(""),
        &here,
        crate::files::context::IgnoreFiles::none(),
        &[],
        imgmake_oci::layer::Timestamp::default(),
    );
    let tree = tree.unwrap().stopped_by(&cancel);
    assert_eq!(Tree::walk(&tree, b"").unwrap().len(), 2);
    cancel.cancel();
    let is_cancelled = |error: BuildError| error.is_cancelled();
    assert!(is_cancelled(Tree::walk(&tree, b"").unwrap_err()));
    assert!(is_cancelled(Tree::children(&tree, b"d").unwrap_err()));
    let error = tree.open_file(b"d/f").unwrap_err();
    assert!(imgmake_event::Cancelled::ended(&error));
}
