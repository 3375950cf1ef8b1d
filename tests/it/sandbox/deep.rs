//! Directories in each other, deeper than there are descriptors, stack or characters in a
//! path: the right layer or a clear error, and nothing that cannot be deleted.

use std::fs;
use std::path::{Path, PathBuf};

use imgmake_build::worker::{RunMount, Sharing};
use imgmake_oci::layer::Entry;
use imgmake_oci::store::Keep;
use imgmake_sandbox::IsolationMode;

use super::{Ground, isolation_mode};

/// Makes `$1` times thousand directories in each other, by names that are short enough
/// for a shell: a thousand, into whose last the
/// ones before are moved. In the deepest is a file of 100,000 bytes.
const DIG: &str = "dig() { P=; i=0; while test $i -lt 1000; do P=$P/d; i=$((i+1)); done; \
                   mkdir -p t0$P; head -c 100000 /dev/zero > t0$P/f; n=1; \
                   while test $n -lt $1; do mkdir -p t$n$P && mv t$((n-1)) t$n$P/d || exit 9; \
                   n=$((n+1)); done; }; ";

/// A shell that goes down as it makes directories; `$1` of them.
const DOWN: &str = "down() { i=0; while test $i -lt $1; do mkdir d && cd d || exit 9; i=$((i+1)); \
                    done; }; ";

fn below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn left_in_tmp(ground: &Ground) -> Vec<PathBuf> {
    let processes = below(&ground.store.root().join("tmp"));
    let mut left: Vec<_> = processes
        .iter()
        .flat_map(|process| below(process))
        .collect();
    left.retain(|path| path.file_name().unwrap() != "lock");
    left
}

#[test]
fn what_lies_deeper_than_any_path_is_a_clear_error_and_is_deleted() {
    let ground = Ground::new();
    let request = ground.request(&format!("{DIG} dig 50; echo down"));
    let error = format!("{:#}", ground.try_run(&request).unwrap_err());
    assert!(error.contains("4095 are the most"), "{error}");
    assert!(error.len() < 400, "{error}");
    assert_eq!(left_in_tmp(&ground), Vec::<PathBuf>::new());
    assert_eq!(ground.sh("echo on").out, "on\n");
}

#[test]
fn the_deepest_paths_that_there_can_be_are_recorded_unpacked_and_removed() {
    let ground = Ground::new();
    let ran = ground.sh(&format!("{DOWN} down 1990; echo x > f"));
    let deepest = "d/".repeat(1990) + "f";
    assert_eq!(ran.entries.len(), 1991);
    assert!(ran.entries.contains_key(&deepest));
    let layer = ran.layer.unwrap();
    // From the blob alone, and changed once more.
    let all: Vec<_> = below(&ground.store.root().join("trees"))
        .iter()
        .flat_map(|map| below(map))
        .collect();
    ground.worker.delete(&all).unwrap();
    let mut request =
        ground.request("i=0; while cd d 2>/dev/null; do i=$((i+1)); done; echo $i; cat f");
    request.layers.push(layer);
    let ran = ground.run(&request);
    assert_eq!(ran.out, "1990\nx\n", "{}", ran.err);
    assert_eq!(ran.paths(), Vec::<&str>::new());
    request.argv[2] = "rm -rf /d".to_string();
    assert_eq!(ground.run(&request).paths(), [".wh.d"]);
}

#[test]
fn a_cache_that_was_dug_deep_is_measured_and_collected() {
    let ground = Ground::new();
    let mut request = ground.request(&format!("cd /c; {DIG} dig 5"));
    request.mounts = vec![RunMount::Cache {
        id: "deep".to_string(),
        target: "/c".to_string(),
        sharing: Sharing::Locked,
        readonly: false,
        mode: 0o755,
        uid: 0,
        gid: 0,
        seed: None,
    }];
    assert_eq!(ground.run(&request).exit, 0);
    if isolation_mode() != IsolationMode::Rootless {
        let usage = ground.store.usage();
        let cache = usage.folders.iter().find(|(name, ..)| *name == "cache");
        assert!(cache.unwrap().1 >= 100_000, "{usage:?}");
    }
    let garbage = ground
        .store
        .collect(Keep {
            younger_than: std::time::Duration::ZERO,
            at_most: None,
            project: None,
        })
        .unwrap();
    ground.worker.delete(&garbage.aside).unwrap();
    let caches = ground.store.root().join("cache");
    for map in fs::read_dir(caches).unwrap() {
        assert_eq!(fs::read_dir(map.unwrap().path()).unwrap().count(), 0);
    }
}

#[test]
fn a_mount_that_was_dug_deep_is_undone() {
    let ground = Ground::new();
    let mut request = ground.request(&format!("cd /t; {DIG} dig 5"));
    request.mounts = vec![RunMount::Tmpfs {
        target: "/t".to_string(),
        size: None,
    }];
    let ran = ground.run(&request);
    assert_eq!((ran.exit, ran.paths()), (0, Vec::new()), "{}", ran.err);
}

#[test]
fn layers_that_lead_deeper_than_any_path_are_refused() {
    let ground = Ground::new();
    let deep = "d/".repeat(2000);
    let deep = deep.trim_end_matches('/');
    // A link to the deepest directory, and another layer's worth of directories through it.
    let layer = ground.layer(&[
        (Entry::directory(deep, 0o755), b""),
        (Entry::symlink("s", deep), b""),
        (Entry::directory(format!("s/{deep}"), 0o755), b""),
    ]);
    let mut request = ground.request("true");
    request.layers.push(layer);
    let error = format!("{:#}", ground.try_run(&request).unwrap_err());
    assert!(error.contains("4095 are the most"), "{error}");
    assert_eq!(left_in_tmp(&ground), Vec::<PathBuf>::new());
}
