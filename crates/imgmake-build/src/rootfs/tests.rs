use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;

use super::tree::{Tree, Whiteouts};
use super::*;
use imgmake_event::Cancel;
use imgmake_oci::layer::{
    Compression, Entry, EntryKind, Index, Layer, LayerWriter, Timestamp, View,
};
use imgmake_oci::store::Store;

struct Ground {
    _dir: tempfile::TempDir,
    store: Store,
    trees: Trees,
}

impl Ground {
    fn new() -> Ground {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        // One id: these tests give nothing away, and run as any user.
        let trees = Trees::new(
            store.clone(),
            "test".to_string(),
            Marks::User,
            Devices::Placeholders,
            true,
        );
        Ground {
            _dir: dir,
            store,
            trees,
        }
    }

    fn layer(&self, entries: &[Entry]) -> Layer {
        let (file, handle) = self.store.layer_file().unwrap();
        let mut writer = LayerWriter::new(handle, Compression::None).unwrap();
        for entry in entries {
            let content = vec![b'x'; usize::try_from(entry.size()).unwrap()];
            writer.append(entry, &mut &content[..]).unwrap();
        }
        let (layer, index) = writer.finish().unwrap();
        self.store.adopt_layer(file, &layer, &index).unwrap();
        layer
    }

    /// Everything that a tree holds.
    fn contents(&self, tree: &Path) -> Arc<Index> {
        self.changes(tree, above(&[]))
    }

    fn changes(&self, tree: &Path, changes: Changes<'_>) -> Arc<Index> {
        self.store.index(&self.recorded(tree, changes)).unwrap()
    }

    /// The tree of these layers, to be changed, and how it was.
    fn taken(&self, layers: &[Layer]) -> (PathBuf, Snapshot) {
        let tree = self.store.temporary_dir().unwrap().join("tree");
        take_merged(&self.trees, layers, &tree, &Cancel::default()).unwrap();
        let indexes = layers.iter().map(|l| self.store.index(l).unwrap());
        let view = View::new(&indexes.collect::<Vec<_>>());
        let work = tree.join("fs");
        let before = Snapshot::of(&work, view).unwrap();
        (work, before)
    }

    fn recorded(&self, tree: &Path, changes: Changes<'_>) -> Layer {
        let options = DiffOptions {
            changes,
            owners: Owners::Squashed,
            compression: Compression::None,
            epoch: None,
        };
        write_layer(tree, &options, &self.store).unwrap()
    }
}

fn above(lowers: &[std::path::PathBuf]) -> Changes<'_> {
    Changes::Above {
        lowers,
        marks: Marks::User,
    }
}

/// Path, kind and mode of everything.
fn listing<'a>(entries: impl Iterator<Item = &'a Entry>) -> BTreeMap<String, String> {
    let told = |e: &Entry| {
        let kind = match &e.kind {
            EntryKind::Directory => "dir".to_string(),
            EntryKind::File { size } => format!("file of {size}"),
            EntryKind::Symlink { target } => {
                format!("link to {}", String::from_utf8_lossy(target))
            }
            other => format!("{other:?}"),
        };
        format!("{kind} {:o}", e.mode)
    };
    let named = |e: &Entry| (String::from_utf8_lossy(&e.path).into_owned(), told(e));
    entries
        .map(named)
        .filter(|(path, _)| !path.is_empty())
        .collect()
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab]", 1..4).prop_map(|parts| parts.join("/"))
}

/// Layers as builders write them: sorted, with every directory told, nothing
/// beneath what is no directory.
fn layer() -> impl Strategy<Value = Vec<Entry>> {
    let what = prop_oneof![
        3 => Just("dir"), 3 => Just("file"), 1 => Just("link"), 2 => Just("whiteout"), 1 => Just("opaque"),
    ];
    prop::collection::btree_map(path(), what, 0..8).prop_map(|wanted| {
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        let mut removed: Vec<String> = Vec::new();
        for (path, what) in wanted {
            let parents: Vec<String> = path
                .match_indices('/')
                .map(|(i, _)| path[..i].to_string())
                .collect();
            let fine = |p: &String| entries.get(p).is_none_or(Entry::is_directory);
            if !parents.iter().all(fine) || parents.iter().any(|p| removed.contains(p)) {
                continue;
            }
            for parent in parents {
                let entry = Entry::directory(&parent, 0o711);
                entries.entry(parent).or_insert(entry);
            }
            match what {
                "file" => drop(entries.insert(path.clone(), Entry::file(&path, 0o640, 3))),
                "link" => drop(entries.insert(path.clone(), Entry::symlink(&path, "a"))),
                "whiteout" => {
                    let name = imgmake_oci::layer::whiteout_path(path.as_bytes());
                    let key = String::from_utf8(name.clone()).unwrap();
                    entries.insert(key, Entry::file(name, 0o644, 0));
                    removed.push(path);
                }
                _ => {
                    entries.insert(path.clone(), Entry::directory(&path, 0o750));
                    if what == "opaque" {
                        let name = imgmake_oci::layer::opaque_path(path.as_bytes());
                        let key = String::from_utf8(name.clone()).unwrap();
                        entries.insert(key, Entry::file(name, 0o644, 0));
                    }
                }
            }
        }
        entries.into_values().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn merged_layers_are_the_tree_that_the_view_says(layers in prop::collection::vec(layer(), 1..4)) {
        let ground = Ground::new();
        let blobs: Vec<Layer> = layers.iter().map(|l| ground.layer(l)).collect();
        let merged = merged_directory(&ground.trees, &blobs, &Cancel::default()).unwrap();
        let found = ground.contents(merged.path());
        let indexes: Vec<Arc<Index>> = blobs.iter().map(|b| ground.store.index(b).unwrap()).collect();
        let view = View::new(&indexes);
        let expected = listing(view.walk(b"").map(|e| &e.entry));
        prop_assert_eq!(listing(found.entries.iter().map(|e| &e.entry)), expected);
    }

    #[test]
    fn what_changed_in_place_makes_the_tree_again(below in layer(), above in layer()) {
        let ground = Ground::new();
        let base = ground.layer(&below);
        let (work, before) = ground.taken(std::slice::from_ref(&base));
        let mut tree = Tree::new(&work, Whiteouts::Applied, Devices::Placeholders, true, &[]).unwrap();
        for entry in &above {
            let content = vec![b'y'; usize::try_from(entry.size()).unwrap()];
            tree.add(entry, &mut &content[..]).unwrap();
        }
        tree.finish().unwrap();
        drop(tree);
        let changed = ground.changes(&work, Changes::InPlace(&before));
        let base_index = ground.store.index(&base).unwrap();
        let view = View::new(&[base_index, changed]);
        let whole = ground.contents(&work);
        prop_assert_eq!(
            listing(view.walk(b"").map(|e| &e.entry)),
            listing(whole.entries.iter().map(|e| &e.entry))
        );
    }
}

#[test]
fn an_unchanged_directory_has_no_changes() {
    let ground = Ground::new();
    let base = ground.layer(&[Entry::directory("d", 0o755), Entry::file("d/f", 0o644, 9)]);
    let (work, before) = ground.taken(&[base]);
    assert!(
        ground
            .changes(&work, Changes::InPlace(&before))
            .entries
            .is_empty()
    );
}

#[test]
fn a_tree_goes_from_step_to_step_and_layers_that_came_between_are_put_on_it() {
    let ground = Ground::new();
    let base = ground.layer(&[Entry::directory("d", 0o755), Entry::file("d/f", 0o644, 9)]);
    let (first, before) = ground.taken(std::slice::from_ref(&base));
    std::fs::write(first.join("d/new"), "new").unwrap();
    // Known by its inode: whatever is taken next is this very tree.
    let file = |tree: &Path| std::fs::metadata(tree.join("d/f")).unwrap().ino();
    let inode = file(&first);
    let run = ground.recorded(&first, Changes::InPlace(&before));
    let chain = [base.clone(), run.clone()];
    keep_merged(&ground.trees, &chain, first.parent().unwrap()).unwrap();

    let copy = ground.layer(&[Entry::file("copied", 0o644, 1)]);
    let (second, before) = ground.taken(&[base.clone(), run, copy]);
    assert_eq!(file(&second), inode);
    assert!(second.join("copied").exists() && second.join("d/new").exists());
    assert!(
        ground
            .changes(&second, Changes::InPlace(&before))
            .entries
            .is_empty()
    );
    // An earlier state is made from the layers.
    let (third, _) = ground.taken(&[base]);
    assert!(!third.join("d/new").exists() && third.join("d/f").exists());
}

#[test]
fn a_tree_that_somebody_reads_is_not_taken() {
    let ground = Ground::new();
    let base = ground.layer(&[Entry::file("f", 0o644, 9)]);
    let read = merged_directory(
        &ground.trees,
        std::slice::from_ref(&base),
        &Cancel::default(),
    )
    .unwrap();
    let (work, _) = ground.taken(std::slice::from_ref(&base));
    std::fs::remove_file(work.join("f")).unwrap();
    assert!(read.path().join("f").exists());
    drop(read);
    let kept = merged_directory(
        &ground.trees,
        std::slice::from_ref(&base),
        &Cancel::default(),
    )
    .unwrap();
    let path = kept.path().to_path_buf();
    drop(kept);
    drop(ground.taken(&[base]));
    assert!(!path.exists());
}

#[test]
fn what_was_written_again_in_place_is_no_change_and_sockets_are_nobodys() {
    let ground = Ground::new();
    let base = ground.layer(&[
        Entry::directory("d", 0o755),
        Entry::file("d/same", 0o644, 9),
        Entry::file("d/other", 0o644, 9),
        Entry::symlink("d/link", "same"),
    ]);
    let (work, before) = ground.taken(&[base]);
    let directory = work.join("d");
    let time = |path: &Path| {
        let meta = std::fs::symlink_metadata(path).unwrap();
        filetime::FileTime::from_last_modification_time(&meta)
    };
    let was = time(&directory);
    for (name, content) in [("same", "xxxxxxxxx"), ("other", "different")] {
        let path = directory.join(name);
        let was = time(&path);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, content).unwrap();
        filetime::set_file_mtime(&path, was).unwrap();
    }
    let link = directory.join("link");
    let linked = time(&link);
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("same", &link).unwrap();
    filetime::set_symlink_file_times(&link, linked, linked).unwrap();
    drop(std::os::unix::net::UnixListener::bind(directory.join("socket")).unwrap());
    filetime::set_file_mtime(&directory, was).unwrap();
    let changes = ground.changes(&work, Changes::InPlace(&before));
    let paths: Vec<String> = changes.entries.iter().map(|e| e.entry.display()).collect();
    assert_eq!(paths, ["/d", "/d/other"]);
    assert!(!directory.join("socket").exists());
}

#[test]
fn a_marked_time_is_recorded_as_the_fixed_one() {
    let ground = Ground::new();
    let real = Timestamp {
        seconds: 1_500_000_000,
        nanos: 5,
    };
    let layer = ground.layer(&[
        Entry::file("fixed", 0o644, 1),
        Entry::file("real", 0o644, 1).modified(real),
    ]);
    let stack = ground
        .trees
        .stack(std::slice::from_ref(&layer), &Cancel::default())
        .unwrap();
    let modified = std::fs::metadata(stack.lowers[0].join("fixed")).unwrap();
    assert!(modified.modified().unwrap().elapsed().unwrap().as_secs() < 3600);
    let again = ground.contents(&stack.lowers[0]);
    let times: Vec<Timestamp> = again.entries.iter().map(|e| e.entry.mtime).collect();
    assert_eq!(times, [Timestamp::default(), real]);
}

#[test]
fn the_store_shows_a_tree_only_when_it_is_whole() {
    let ground = Ground::new();
    let mut layer = ground.layer(&[Entry::file("f", 0o644, 1)]);
    let good = layer.clone();
    layer.diff_id = imgmake_oci::image::Digest::of(b"other");
    assert!(
        ground
            .trees
            .stack(std::slice::from_ref(&layer), &Cancel::default())
            .is_err()
    );
    assert!(!ground.store.tree_path("test", &layer.diff_id).exists());
    assert!(ground.trees.stack(&[good], &Cancel::default()).is_ok());
}

#[test]
fn a_tree_whose_record_is_damaged_is_made_again() {
    let ground = Ground::new();
    let layer = ground.layer(&[Entry::file("d/f", 0o644, 1)]);
    let unpack = || {
        let layers = std::slice::from_ref(&layer);
        ground.trees.stack(layers, &Cancel::default()).unwrap();
    };
    unpack();
    let tree = ground.store.tree_path("test", &layer.diff_id);
    let sound = std::fs::read(tree.join("implied")).unwrap();
    // Left alone it is used as it is: nothing but its record says that it is whole.
    std::fs::write(tree.join("fs/mark"), "").unwrap();
    unpack();
    assert!(tree.join("fs/mark").exists());
    for at in 0..sound.len() {
        std::fs::write(tree.join("fs/mark"), "").unwrap();
        let mut damaged = sound.clone();
        damaged[at] ^= 1;
        std::fs::write(tree.join("implied"), damaged).unwrap();
        unpack();
        assert!(!tree.join("fs/mark").exists(), "{at}");
        assert_eq!(std::fs::read(tree.join("implied")).unwrap(), sound, "{at}");
        let named = ground.store.take_damage();
        assert!(named.len() == 1 && named[0].path == tree, "{at}: {named:?}");
    }
}

#[test]
fn what_is_written_again_as_it_was_is_no_change() {
    let ground = Ground::new();
    let entries = [
        Entry::directory("d", 0o755),
        Entry::directory("d/e", 0o750),
        Entry::file("d/e/same", 0o644, 9),
        Entry::file("d/e/other", 0o644, 9),
    ];
    let base = ground.layer(&entries);
    let lowers = ground
        .trees
        .stack(&[base], &Cancel::default())
        .unwrap()
        .lowers;
    let upper = ground.store.temporary_dir().unwrap();
    // As overlay leaves a file that was opened for writing.
    copy_directory(
        &lowers[0],
        &upper,
        Devices::Placeholders,
        &Cancel::default(),
    )
    .unwrap();
    assert!(ground.changes(&upper, above(&lowers)).entries.is_empty());
    // Nor does the upper directory, which other layers may come to lie under.
    assert_eq!(std::fs::read_dir(&upper).unwrap().count(), 0);
    copy_directory(
        &lowers[0],
        &upper,
        Devices::Placeholders,
        &Cancel::default(),
    )
    .unwrap();

    let other = upper.join("d/e/other");
    let before = std::fs::metadata(&other).unwrap();
    std::fs::write(&other, "different").unwrap();
    let time = filetime::FileTime::from_last_modification_time(&before);
    filetime::set_file_mtime(&other, time).unwrap();
    let changes = ground.changes(&upper, above(&lowers));
    let paths: Vec<String> = changes.entries.iter().map(|e| e.entry.display()).collect();
    assert_eq!(paths, ["/d", "/d/e", "/d/e/other"]);
}

/// GNU tar's archive of `f`: a hole, then one byte.
fn sparse_layer(ground: &Ground, length: u64) -> Layer {
    let root = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(root.path().join("f")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"x", length - 1).unwrap();
    let tar = std::process::Command::new("tar")
        .args([
            "-C",
            root.path().to_str().unwrap(),
            "--sparse",
            "-cf",
            "-",
            "f",
        ])
        .output()
        .unwrap();
    let (file, out) = ground.store.layer_file().unwrap();
    let gzip = Compression::Gzip { level: 1 };
    let (layer, index) =
        imgmake_oci::layer::pack(&tar.stdout[..], out, gzip, &Cancel::default()).unwrap();
    ground.store.adopt_layer(file, &layer, &index).unwrap();
    layer
}

#[test]
#[ignore = "needs GNU tar: tests/run runs it"]
fn holes_of_a_layer_are_holes_of_its_tree_and_of_what_is_copied() {
    let ground = Ground::new();
    let layer = sparse_layer(&ground, 1 << 30);
    let is_sparse = |path: &Path| {
        let meta = std::fs::metadata(path).unwrap();
        assert_eq!(meta.len(), 1 << 30);
        assert!(meta.blocks() * 512 < 1 << 20, "{}", meta.blocks());
    };
    let layers = [layer];
    let stack = ground.trees.stack(&layers, &Cancel::default()).unwrap();
    is_sparse(&stack.lowers[0].join("f"));
    let merged = merged_directory(&ground.trees, &layers, &Cancel::default()).unwrap();
    is_sparse(&merged.path().join("f"));
    let copy = tempfile::tempdir().unwrap();
    copy_directory(
        merged.path(),
        copy.path(),
        Devices::Placeholders,
        &Cancel::default(),
    )
    .unwrap();
    is_sparse(&copy.path().join("f"));
}

#[test]
#[ignore = "needs GNU tar: tests/run runs it"]
fn a_cancelled_unpacking_leaves_nothing() {
    let ground = Ground::new();
    let layer = sparse_layer(&ground, 1 << 20);
    let cancel = Cancel::default();
    cancel.cancel();
    let Err(error) = ground.trees.stack(std::slice::from_ref(&layer), &cancel) else {
        panic!("it went on");
    };
    assert!(error.is_cancelled(), "{error:#}");
    assert!(ground.trees.stack(&[layer], &Cancel::default()).is_ok());
}

#[test]
fn attributes_of_an_implied_directory_never_come_from_the_host() {
    let ground = Ground::new();
    let host = tempfile::tempdir().unwrap();
    std::fs::create_dir(host.path().join("b")).unwrap();
    // Baseline a link to the host, upper layers imply a directory of the same name.
    let link = ground.layer(&[Entry::symlink("a", host.path().to_str().unwrap())]);
    let implied = ground.layer(&[Entry::file("a/b/f", 0o644, 1)]);
    let stack = ground
        .trees
        .stack(&[link, implied], &Cancel::default())
        .unwrap();
    let store = ground.store.root();
    let foreign = |c: &Correction| !c.like.canonicalize().unwrap().starts_with(store);
    assert_eq!(stack.corrections.into_iter().filter(foreign).count(), 0);
}

#[test]
fn a_copy_keeps_more_links_than_there_are_descriptors_and_directories_of_any_depth() {
    let ground = Ground::new();
    let [from, to] = [(); 2].map(|()| ground.store.temporary_dir().unwrap());
    for n in 0..3000 {
        std::fs::write(from.join(format!("{n}")), "x").unwrap();
        std::fs::hard_link(from.join(format!("{n}")), from.join(format!("{n}b"))).unwrap();
    }
    let mut at = imgmake_guard::confined::open_directory(&from).unwrap();
    for _ in 0..1500 {
        rustix::fs::mkdirat(&at, "d", 0o755.into()).unwrap();
        at = imgmake_guard::confined::open_child(&at, b"d").unwrap();
    }
    let copy = std::thread::Builder::new().stack_size(16 << 20);
    let (source, target) = (from.clone(), to.clone());
    let copied = copy
        .spawn(move || copy_directory(&source, &target, Devices::Placeholders, &Cancel::default()))
        .unwrap();
    copied.join().unwrap().unwrap();
    let links = |name: &str| std::fs::metadata(to.join(name)).unwrap().nlink();
    assert_eq!((links("7"), links("2999b")), (2, 2));
    assert!(
        imgmake_guard::confined::open_beneath(
            imgmake_guard::confined::open_root(&to).unwrap(),
            "d/".repeat(1500).as_bytes()
        )
        .is_ok()
    );
}
