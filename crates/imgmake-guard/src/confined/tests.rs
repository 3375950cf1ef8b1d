use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use super::*;

/// A tree of directories named `d`, made as a command would, one in the other.
fn deep(root: &Path, levels: usize) {
    let mut at = open_directory(root).unwrap();
    for _ in 0..levels {
        rustix::fs::mkdirat(&at, "d", Mode::from(0o755)).unwrap();
        drop(rustix::fs::openat(
            &at,
            "f",
            OFlags::CREATE | OFlags::WRONLY,
            Mode::from(0o644),
        ));
        at = open_child(&at, b"d").unwrap();
    }
}

#[test]
fn trees_of_any_depth_are_removed_with_few_descriptors_and_little_stack() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("t/wide/more")).unwrap();
    deep(&dir.path().join("t"), 50_000);
    deep(&dir.path().join("t/wide"), 3_000);
    let path = dir.path().join("t");
    let removed = std::thread::Builder::new().stack_size(256 << 10);
    let removed = removed.spawn(move || remove_tree(&path)).unwrap().join();
    removed.unwrap().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn deletion_follows_no_link_and_takes_what_is_absent_as_done() {
    let dir = tempfile::tempdir().unwrap();
    let (outside, inside) = (dir.path().join("outside"), dir.path().join("inside"));
    fs::create_dir_all(outside.join("kept")).unwrap();
    fs::create_dir_all(inside.join("d")).unwrap();
    symlink(&outside, inside.join("link")).unwrap();
    symlink(&outside, inside.join("d/link")).unwrap();
    remove_tree(&inside.join("link/kept/absent")).unwrap();
    remove_tree(&inside).unwrap();
    remove_tree(&inside).unwrap();
    remove_tree(&inside.join("below/nothing")).unwrap();
    assert!(outside.join("kept").is_dir());
    assert!(!inside.exists());
}

#[test]
fn a_walk_comes_back_from_any_depth_and_notices_a_moved_directory() {
    let dir = tempfile::tempdir().unwrap();
    deep(dir.path(), 300);
    let mut walk = Descent::new(open_directory(dir.path()).unwrap());
    while walk.enter(b"d").is_ok() {}
    assert_eq!(walk.depth(), 300);
    // What was above the lowest levels is another directory now.
    let moved: std::path::PathBuf = std::iter::repeat_n("d", 150).collect();
    fs::rename(dir.path().join(moved), dir.path().join("moved")).unwrap();
    let outcome: io::Result<()> = (0..300).try_for_each(|_| walk.leave());
    assert!(outcome.unwrap_err().to_string().contains("moved"));
    let mut walk = Descent::new(open_directory(&dir.path().join("moved")).unwrap());
    while walk.enter(b"d").is_ok() {}
    let deepest = walk.depth();
    (0..deepest).try_for_each(|_| walk.leave()).unwrap();
    assert_eq!(walk.depth(), 0);
    assert_eq!(names(walk.here()).unwrap().len(), 2);
}

#[test]
fn paths_are_opened_beneath_a_root_and_never_through_links() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("a/b")).unwrap();
    symlink("a", dir.path().join("link")).unwrap();
    let root = open_root(dir.path()).unwrap();
    assert!(open_beneath(&root, b"a/b").is_ok());
    assert!(open_beneath(&root, b"").is_ok());
    for path in ["link", "link/b", "a/../a", "a/b/c"] {
        assert!(open_beneath(&root, path.as_bytes()).is_err(), "{path}");
    }
}

#[test]
fn what_is_held_is_known_again_wherever_its_directory_went() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("a/point")).unwrap();
    let before = fs::metadata(dir.path().join("a")).unwrap();
    let root = open_root(dir.path()).unwrap();
    let held = Held::beneath(&root, Path::new("a/point")).unwrap();
    fs::rename(dir.path().join("a"), dir.path().join("b")).unwrap();
    fs::create_dir_all(dir.path().join("a/point")).unwrap();
    assert!(held.is_there().unwrap());
    held.remove_if_empty().unwrap();
    assert!(!dir.path().join("b/point").exists());
    assert!(dir.path().join("a/point").exists());
    let after = fs::metadata(dir.path().join("b")).unwrap();
    assert_eq!(
        (before.mtime(), before.mtime_nsec()),
        (after.mtime(), after.mtime_nsec())
    );
    // Another of the same name is not it, though numbers of inodes are used again.
    fs::create_dir(dir.path().join("b/point")).unwrap();
    assert!(!held.is_there().unwrap());
    held.remove_if_empty().unwrap();
    assert!(dir.path().join("b/point").exists());
}

#[test]
fn paths_that_no_program_could_name_are_refused_without_being_repeated() {
    check_length(&[b'x'; LONGEST_PATH]).unwrap();
    let error = check_length(&[b'x'; LONGEST_PATH + 1]).unwrap_err();
    assert!(error.to_string().contains("4096 bytes"), "{error}");
    assert!(error.to_string().len() < 200, "{error}");
}

#[test]
fn the_kernels_way_beneath_a_root_and_the_other_find_the_same() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("d/e")).unwrap();
    fs::write(dir.path().join("d/f"), "x").unwrap();
    symlink("d", dir.path().join("l")).unwrap();
    symlink("f", dir.path().join("d/l")).unwrap();
    let root = open_root(dir.path()).unwrap();
    for (path, is_file) in [
        ("d/f", true),
        ("l/f", false),
        ("d/l", false),
        ("d/../d/f", false),
        ("d", false),
        ("", false),
        ("no", false),
    ] {
        assert_eq!(open_file(&root, path.as_bytes()).is_ok(), is_file, "{path}");
        let (path, flags) = (path.as_bytes(), OFlags::PATH | OFlags::NOFOLLOW);
        let opened = open_inside(&root, path, flags).ok();
        let name = if path.is_empty() { b"." } else { path };
        let stepped = inside::step_by_step(&root, name, flags).ok();
        let identity = |fd: Option<OwnedFd>| fd.map(|fd| descent::identity(fd).unwrap());
        assert_eq!(identity(opened), identity(stepped), "{path:?}");
    }
    let link = open_inside(&root, b"d/l", OFlags::PATH).unwrap();
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(link).unwrap().st_mode);
    assert_eq!(kind, rustix::fs::FileType::Symlink);
    assert!(open_inside(&root, b"/d", OFlags::PATH).is_err());
    let real = dir.path().canonicalize().unwrap();
    assert!(open_real(&real.join("d/e")).is_ok());
    assert!(open_real(&real.join("l/e")).is_err());
    assert!(open_real(&real.join("d/f")).is_err());
    assert!(open_real(Path::new("d")).is_err());
}
