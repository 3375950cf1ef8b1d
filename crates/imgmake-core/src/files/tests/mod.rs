mod sightings;

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::fingerprint::LengthPrefixedHasher;
use imgmake_event::Cancel;

fn sign(path: &Path) -> io::Result<[u8; 32]> {
    tree_signature(path, &Cancel::default())
}

#[test]
fn a_tree_of_any_depth_is_signed_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut at = imgmake_guard::confined::open_directory(directory.path()).unwrap();
    let mut dig = |levels: usize| {
        for _ in 0..levels {
            rustix::fs::mkdirat(&at, "d", 0o755.into()).unwrap();
            at = imgmake_guard::confined::open_child(&at, b"d").unwrap();
        }
    };
    dig(1900);
    let first = sign(directory.path()).unwrap();
    assert_eq!(sign(directory.path()).unwrap(), first);
    dig(1);
    assert_ne!(sign(directory.path()).unwrap(), first);
    dig(3000);
    assert!(sign(directory.path()).is_err());
    imgmake_guard::confined::remove_tree(&directory.path().join("d")).unwrap();
}

fn file_signature(path: &Path) -> [u8; 40] {
    Signature::of(&fs::symlink_metadata(path).unwrap()).bytes()
}

/// The rule, in the fewest words: signatures of files, numbers of names, depth first.
fn signed_by_the_rule(path: &Path, hasher: &mut LengthPrefixedHasher) {
    if !fs::symlink_metadata(path).unwrap().is_dir() {
        hasher.bytes(&file_signature(path));
        return;
    }
    let mut names: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    hasher.bytes(&(names.len() as u64).to_le_bytes());
    for name in names {
        hasher.bytes(name.as_bytes());
        signed_by_the_rule(&path.join(&name), hasher);
    }
}

#[test]
fn a_tree_is_signed_depth_first_in_the_order_of_its_names() {
    let directory = tempfile::tempdir().unwrap();
    let at = |path: &str| directory.path().join(path);
    for path in ["a", "a/b", "a-b", "a/empty", "z"] {
        fs::create_dir(at(path)).unwrap();
    }
    for path in ["a/b/f", "a/f", "a-b/f", "a.f", "f"] {
        fs::write(at(path), path).unwrap();
    }
    symlink("a", at("link")).unwrap();
    for path in ["", "z", "a", "f"] {
        let mut expected = LengthPrefixedHasher::new();
        signed_by_the_rule(&at(path), &mut expected);
        assert_eq!(sign(&at(path)).unwrap(), expected.finish(), "{path}");
    }
    assert!(sign(&at("absent")).is_err());
}

#[test]
fn a_link_is_signed_as_what_it_leads_to() {
    let directory = tempfile::tempdir().unwrap();
    let at = |path: &str| directory.path().join(path);
    fs::create_dir(at("tree")).unwrap();
    fs::write(at("tree/f"), "one").unwrap();
    symlink("tree", at("link")).unwrap();
    symlink("tree/f", at("file")).unwrap();
    for (link, target) in [("link", "tree"), ("file", "tree/f")] {
        assert_eq!(sign(&at(link)).unwrap(), sign(&at(target)).unwrap());
    }
    let before = (sign(&at("link")).unwrap(), sign(&at("file")).unwrap());
    fs::write(at("tree/f"), "another").unwrap();
    assert_ne!(before.0, sign(&at("link")).unwrap());
    assert_ne!(before.1, sign(&at("file")).unwrap());
    symlink("nowhere", at("dangling")).unwrap();
    assert!(sign(&at("dangling")).is_err());
}

#[test]
fn a_walk_that_is_cancelled_signs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let cancel = Cancel::default();
    cancel.cancel();
    let error = tree_signature(directory.path(), &cancel).unwrap_err();
    assert!(imgmake_event::Cancelled::ended(&error));
}

#[test]
fn a_full_disk_and_a_quota_are_told_by_their_kind_however_they_are_wrapped() {
    let raw = |code: i32| io::Error::from_raw_os_error(code);
    let no_space = rustix::io::Errno::NOSPC.raw_os_error();
    let quota = rustix::io::Errno::DQUOT.raw_os_error();
    assert!(is_storage_full(&raw(no_space)) && is_storage_full(&raw(quota)));
    let wrapped = io::Error::other(io::Error::other(raw(no_space)));
    assert!(is_storage_full(&wrapped));
    assert!(!is_storage_full(&io::Error::other(
        "No space left on device"
    )));
}

#[test]
fn what_stands_in_the_place_of_a_content_is_never_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    std::fs::write(&path, [0; 10]).unwrap();
    let (tv_sec, tv_nsec) = CONTENT_MISSING;
    let time = rustix::fs::Timespec { tv_sec, tv_nsec };
    let times = rustix::fs::Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::futimens(std::fs::File::open(&path).unwrap(), &times).unwrap();
    let signature = Signature::of(&path.metadata().unwrap());
    let open = || std::fs::File::open(&path);
    let hashed = StatCache::new().hash_file(&signature, open, &Default::default());
    assert!(hashed.unwrap_err().to_string().contains("not fetched"));
}
