use super::*;

const LONG: Duration = Duration::from_secs(20);

/// Everything but one name.
struct AllBut(&'static str);

impl Wanted for AllBut {
    fn counts(&self, path: &Path) -> bool {
        !path.ends_with(self.0)
    }

    fn enters(&self, directory: &Path) -> bool {
        !directory.ends_with(self.0)
    }
}

const ALL: AllBut = AllBut("nothing");

fn places(trees: &[&Path], flat: &[&Path]) -> Places {
    let owned = |paths: &[&Path]| paths.iter().map(|path| path.to_path_buf()).collect();
    Places {
        trees: owned(trees),
        flat: owned(flat),
        ..Places::default()
    }
}

fn watcher(directory: &Path) -> Watcher {
    let mut watcher = Watcher::new().unwrap();
    watcher.pace(Duration::from_millis(50), Duration::from_secs(1));
    watcher.observe(&places(&[directory], &[]), &ALL).unwrap();
    watcher
}

#[test]
fn a_changed_file_is_named_even_in_a_directory_made_a_moment_ago() {
    let directory = tempfile::tempdir().unwrap();
    let watcher = watcher(directory.path());
    std::fs::create_dir_all(directory.path().join("a/b")).unwrap();
    std::fs::write(directory.path().join("a/b/c"), "x").unwrap();
    let Change::Paths(paths) = watcher.wait(LONG, &ALL) else {
        panic!()
    };
    let inside = directory.path().join("a");
    assert!(
        paths.iter().any(|path| path.starts_with(&inside)),
        "{paths:?}"
    );
}

#[test]
fn what_does_not_count_wakes_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let watcher = watcher(directory.path());
    std::fs::write(directory.path().join("noise"), "x").unwrap();
    std::fs::read(directory.path().join("noise")).unwrap();
    assert_eq!(
        watcher.wait(Duration::from_millis(300), &AllBut("noise")),
        Change::Nothing
    );
    watcher.asker()();
    assert_eq!(watcher.wait(LONG, &ALL), Change::Asked);
}

#[test]
fn a_directory_within_another_is_watched_once_and_others_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let (inner, beside) = (
        directory.path().join("inner"),
        directory.path().join("beside"),
    );
    std::fs::create_dir(&inner).unwrap();
    std::fs::create_dir(&beside).unwrap();
    let depths = places(&[&inner, directory.path()], &[&inner]).depths(&ALL);
    assert_eq!(depths.keys().collect::<Vec<_>>(), [directory.path()]);
    let watcher = watcher(directory.path());
    watcher.observe(&places(&[&inner], &[]), &ALL).unwrap();
    std::fs::write(beside.join("f"), "x").unwrap();
    std::fs::write(inner.join("g"), "x").unwrap();
    let Change::Paths(paths) = watcher.wait(LONG, &ALL) else {
        panic!()
    };
    assert!(
        paths.iter().all(|path| path.starts_with(&inner)),
        "{paths:?}"
    );
}

fn paths(change: Change) -> Vec<PathBuf> {
    match change {
        Change::Paths(paths) => paths,
        other => panic!("{other:?}"),
    }
}

/// More of them than the kernel keeps for somebody who does not listen.
fn beyond_the_queue() -> usize {
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    limit.trim().parse::<usize>().unwrap() + 10
}

#[test]
fn what_is_only_read_is_no_news_however_much_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (a, b) = (directory.path().join("a"), directory.path().join("b"));
    std::fs::write(&a, "1").unwrap();
    std::fs::write(&b, "1").unwrap();
    let watcher = watcher(directory.path());
    // In turns: the kernel tells the same only once in a row.
    for _ in 0..beyond_the_queue() / 2 {
        std::fs::File::open(&a).unwrap();
        std::fs::File::open(&b).unwrap();
    }
    std::fs::write(&a, "2").unwrap();
    assert_eq!(paths(watcher.wait(LONG, &ALL)), [a]);
}

#[test]
fn directories_that_came_while_the_kernel_lost_count_are_watched() {
    let directory = tempfile::tempdir().unwrap();
    let places = places(&[directory.path()], &[]);
    let watcher = watcher(directory.path());
    let (a, b) = (directory.path().join("a"), directory.path().join("b"));
    for _ in 0..beyond_the_queue() / 2 {
        std::fs::write(&a, "1").unwrap();
        std::fs::write(&b, "1").unwrap();
    }
    let late = directory.path().join("late");
    std::fs::create_dir(&late).unwrap();
    assert_eq!(watcher.wait(LONG, &ALL), Change::Unknown);
    watcher.observe(&places, &ALL).unwrap();
    std::fs::write(late.join("f"), "1").unwrap();
    assert_eq!(paths(watcher.wait(LONG, &ALL)), [late.join("f")]);
}

#[test]
fn a_directory_that_is_exchanged_for_another_is_watched_again() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    std::fs::create_dir_all(tree.join("below")).unwrap();
    let watcher = watcher(&tree);
    let places = places(&[&tree], &[directory.path()]);
    watcher.observe(&places, &ALL).unwrap();
    std::fs::rename(&tree, directory.path().join("old")).unwrap();
    std::fs::create_dir_all(tree.join("below")).unwrap();
    assert!(paths(watcher.wait(LONG, &ALL)).contains(&tree));
    // Before anybody observes again, and after it.
    std::fs::write(tree.join("below/f"), "1").unwrap();
    assert_eq!(paths(watcher.wait(LONG, &ALL)), [tree.join("below/f")]);
    std::fs::write(directory.path().join("old/below/f"), "1").unwrap();
    std::fs::remove_dir_all(&tree).unwrap();
    paths(watcher.wait(LONG, &ALL));
    std::fs::create_dir(&tree).unwrap();
    watcher.observe(&places, &ALL).unwrap();
    std::fs::write(tree.join("g"), "1").unwrap();
    let told = paths(watcher.wait(LONG, &ALL));
    assert!(told.contains(&tree.join("g")), "{told:?}");
}

#[test]
fn what_nobody_enters_is_not_watched_but_for_what_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    std::fs::create_dir_all(out.join("named")).unwrap();
    let watcher = watcher(directory.path());
    let wanted = AllBut("out");
    let named = places(&[directory.path()], &[&out.join("named")]);
    watcher.look_again();
    watcher.observe(&named, &wanted).unwrap();
    std::fs::write(out.join("f"), "1").unwrap();
    std::fs::write(out.join("named/f"), "1").unwrap();
    assert_eq!(paths(watcher.wait(LONG, &wanted)), [out.join("named/f")]);
}

#[test]
fn a_tree_that_is_gone_is_watched_once_it_comes_again() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    let places = places(&[&tree], &[directory.path()]);
    let watcher = watcher(directory.path());
    watcher.observe(&places, &ALL).unwrap();
    std::fs::remove_dir(&tree).unwrap();
    assert_eq!(paths(watcher.wait(LONG, &ALL)), std::slice::from_ref(&tree));
    watcher.observe(&places, &ALL).unwrap();
    std::fs::create_dir(&tree).unwrap();
    assert_eq!(paths(watcher.wait(LONG, &ALL)), std::slice::from_ref(&tree));
    std::fs::write(tree.join("f"), "1").unwrap();
    assert_eq!(paths(watcher.wait(LONG, &ALL)), [tree.join("f")]);
}

#[test]
fn a_name_is_heard_of_though_directories_above_it_come_later_or_are_exchanged() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let mut places = Places {
        within: Some(root.clone()),
        ..Places::default()
    };
    let file = root.join("a/b/f");
    places.names(&file);
    assert_eq!(places.flat.len(), 3, "{places:?}");
    let watcher = watcher(&root);
    watcher.observe(&places, &ALL).unwrap();
    std::fs::create_dir(root.join("a")).unwrap();
    paths(watcher.wait(LONG, &ALL));
    std::fs::create_dir(root.join("a/b")).unwrap();
    paths(watcher.wait(LONG, &ALL));
    std::fs::write(&file, "1").unwrap();
    assert_eq!(paths(watcher.wait(LONG, &ALL)), std::slice::from_ref(&file));
    std::fs::create_dir_all(root.join("new/b")).unwrap();
    std::fs::rename(root.join("a"), root.join("old")).unwrap();
    std::fs::rename(root.join("new"), root.join("a")).unwrap();
    paths(watcher.wait(LONG, &ALL));
    std::fs::write(root.join("old/b/f"), "1").unwrap();
    std::fs::write(&file, "1").unwrap();
    assert_eq!(paths(watcher.wait(LONG, &ALL)), [file]);
}

#[test]
fn who_observes_again_finds_another_directory_of_the_same_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::create_dir_all(path("a/tree/below")).unwrap();
    std::fs::create_dir_all(path("new/tree/below")).unwrap();
    let watcher = watcher(&path("a/tree"));
    // Nobody watches what is above.
    std::fs::rename(path("a"), path("old")).unwrap();
    std::fs::rename(path("new"), path("a")).unwrap();
    let places = places(&[&path("a/tree")], &[]);
    watcher.observe(&places, &ALL).unwrap();
    std::fs::write(path("old/tree/below/f"), "1").unwrap();
    std::fs::write(path("a/tree/below/g"), "1").unwrap();
    let told = paths(watcher.wait(LONG, &ALL));
    assert_eq!(told, [path("a/tree/below/g")]);
}
