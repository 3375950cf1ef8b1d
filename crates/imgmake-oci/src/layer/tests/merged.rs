//! Whiteouts and the merged view.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn layer(tree: Tree) -> Arc<Index> {
    Arc::new(write(&tree, Compression::None).2)
}

fn paths(view: &View) -> Vec<String> {
    view.walk(b"")
        .map(|e| String::from_utf8(e.entry.path.clone()).unwrap())
        .collect()
}

#[test]
fn whiteout_names_are_built_and_parsed() {
    assert_eq!(whiteout_path(b"a/b"), b"a/.wh.b");
    assert_eq!(opaque_path(b""), b".wh..wh..opq");
    for (path, meant) in [
        ("a/.wh.b", Some(Whiteout::Removes(b"a/b".to_vec()))),
        (".wh.b", Some(Whiteout::Removes(b"b".to_vec()))),
        ("a/.wh..wh..opq", Some(Whiteout::Opaque(b"a".to_vec()))),
        (".wh..wh.plnk/1.2", Some(Whiteout::Reserved)),
        (".wh..wh.aufs", Some(Whiteout::Reserved)),
        (".wh...", Some(Whiteout::Reserved)),
        ("a/x.wh.b", None),
        ("a/b", None),
    ] {
        assert_eq!(Whiteout::parse(path.as_bytes()), meant, "{path}");
    }
}

#[test]
fn upper_layers_hide_replace_and_merge() {
    let view = View::new(&[
        layer(vec![
            bare(Entry::directory("etc", 0o755)),
            file("etc/a", b"1"),
            file("etc/b", b"1"),
            file("etc-more", b""),
            file("opt/x/y", b""),
            file("var/lib/z", b""),
            file("srv/deep/q", b""),
        ]),
        layer(vec![
            bare(Entry::directory("etc", 0o700)),
            file("etc/.wh.a", b""),
            file("etc/b", b"2"),
            file("opt/.wh..wh..opq", b""),
            file("opt/new", b""),
            file("var/lib", b"now a file"),
            file(".wh.srv", b""),
            file("srv/again", b""),
        ]),
    ]);
    assert_eq!(
        paths(&view),
        [
            "etc",
            "etc-more",
            "etc/b",
            "opt",
            "opt/new",
            "srv",
            "srv/again",
            "var",
            "var/lib"
        ]
    );
    assert_eq!(view.get(b"etc").unwrap().entry.mode, 0o700);
    assert_eq!(
        view.get(b"etc/b").unwrap().content,
        Some(*blake3::hash(b"2").as_bytes())
    );
    assert_eq!(
        view.children(b""),
        ["etc", "etc-more", "opt", "srv", "var"].map(|n| n.as_bytes().to_vec())
    );
    assert_eq!(view.children(b"etc"), [b"b".to_vec()]);
    assert_eq!(view.children(b"nowhere"), Vec::<Vec<u8>>::new());
    assert_eq!(view.walk(b"etc").count(), 2);
}

#[test]
fn a_hard_link_is_answered_as_its_file_also_from_a_layer_below() {
    let view = View::new(&[
        layer(vec![
            file("z", b"content"),
            bare(Entry::hard_link("a", "z", 0o644)),
        ]),
        layer(vec![
            bare(Entry::hard_link("b", "z", 0o644)),
            bare(Entry::hard_link("c", "b", 0o644)),
            bare(Entry::hard_link("lost", "nowhere", 0o644)),
            bare(Entry::hard_link("loop", "loop", 0o644)),
            file(".wh.z", b""),
        ]),
    ]);
    for path in [b"a", b"b", b"c"] {
        let found = view.get(path).unwrap();
        assert_eq!(found.entry.kind, EntryKind::File { size: 7 });
        assert_eq!(found.entry.path, path);
        assert_eq!(found.content, Some(*blake3::hash(b"content").as_bytes()));
    }
    assert!(view.get(b"z").is_none());
    assert!(matches!(
        view.get(b"lost").unwrap().entry.kind,
        EntryKind::HardLink { .. }
    ));
}

#[test]
fn links_are_followed_inside_the_root_only() {
    let view = View::new(&[layer(vec![
        bare(Entry::symlink("bin", "usr/bin")),
        bare(Entry::symlink("abs", "/usr/../../../usr")),
        bare(Entry::symlink("usr/bin/up", "../../../../etc/new")),
        bare(Entry::symlink("l1", "l2")),
        bare(Entry::symlink("l2", "l1")),
        bare(Entry::directory("usr/bin", 0o755)),
    ])]);
    let resolve = |path: &str, last| {
        view.resolve(path.as_bytes(), last)
            .map(|p| String::from_utf8(p).unwrap())
    };
    assert_eq!(resolve("/bin/sh", FollowLast::Yes).unwrap(), "usr/bin/sh");
    assert_eq!(resolve("bin", FollowLast::No).unwrap(), "bin");
    assert_eq!(resolve("bin", FollowLast::Yes).unwrap(), "usr/bin");
    assert_eq!(
        resolve("abs/bin/up/x", FollowLast::Yes).unwrap(),
        "etc/new/x"
    );
    assert_eq!(resolve("bin/..", FollowLast::Yes).unwrap(), "usr");
    assert_eq!(resolve("../../x/./y/", FollowLast::Yes).unwrap(), "x/y");
    assert!(
        resolve("l1/x", FollowLast::Yes)
            .unwrap_err()
            .to_string()
            .contains("255")
    );
}

#[test]
fn a_file_put_through_a_linked_directory_lands_where_the_link_leads() {
    let mut view = View::new(&[layer(vec![
        bare(Entry::directory("usr/bin", 0o755)),
        file("usr/bin/old", b""),
        bare(Entry::symlink("bin", "usr/bin")),
    ])]);
    view.push(&layer(vec![
        file("bin/new", b"n"),
        file("bin/.wh.old", b""),
    ]));
    assert_eq!(paths(&view), ["bin", "usr", "usr/bin", "usr/bin/new"]);
}

#[test]
fn what_is_removed_in_a_directory_that_replaces_a_link_stays_where_the_link_led() {
    let below = layer(vec![
        bare(Entry::directory("a", 0o755)),
        bare(Entry::directory("a/b", 0o755)),
        bare(Entry::symlink("l", "a")),
    ]);
    for hidden in ["l/.wh.b", "l/.wh..wh..opq"] {
        let above = layer(vec![bare(Entry::directory("l", 0o755)), file(hidden, b"")]);
        let view = View::new(&[below.clone(), above]);
        assert_eq!(paths(&view), ["a", "a/b", "l"], "{hidden}");
    }
    // A layer that does not name the directory goes through the link.
    let view = View::new(&[below, layer(vec![file("l/.wh.b", b"")])]);
    assert_eq!(paths(&view), ["a", "l"]);
}

#[test]
fn a_clone_is_not_changed_by_what_is_pushed_to_the_other() {
    let below = View::new(&[layer(vec![file("a", b"")])]);
    let mut above = below.clone();
    above.push(&layer(vec![file("b", b"")]));
    assert_eq!((paths(&below).len(), paths(&above).len()), (1, 2));
}

/// The merge as a directory would do it, without any cleverness.
fn plainly(layers: &[Vec<(String, bool)>]) -> Vec<String> {
    let mut tree: std::collections::BTreeMap<String, bool> = Default::default();
    for layer in layers {
        for (path, _) in layer.iter().filter(|(p, _)| p.contains(".wh.")) {
            let gone = path.replace(".wh.", "");
            tree.retain(|p, _| *p != gone && !p.starts_with(&format!("{gone}/")));
        }
        let plain: std::collections::BTreeMap<_, _> = layer
            .iter()
            .filter(|(p, _)| !p.contains(".wh."))
            .cloned()
            .collect();
        for (path, directory) in plain {
            for (at, _) in path.match_indices('/') {
                if tree.get(&path[..at]) != Some(&true) {
                    tree.insert(path[..at].into(), true);
                }
            }
            if !directory {
                tree.retain(|p, _| !p.starts_with(&format!("{path}/")));
            }
            tree.insert(path, directory);
        }
    }
    tree.into_keys().collect()
}

proptest! {
    #[test]
    fn views_merge_as_directories_do(layers in proptest::collection::vec(
        proptest::collection::vec(("[ab](/(\\.wh\\.)?[ab]){0,2}", any::<bool>()), 0..6), 1..5))
    {
        // A whiteout has nothing beneath it.
        let layers: Vec<Vec<(String, bool)>> = layers.into_iter()
            .map(|l| l.into_iter().filter(|(p, _)| !split(p.as_bytes()).0.windows(4).any(|w| w == b".wh.")).collect())
            .collect();
        let indexes: Vec<Arc<Index>> = layers.iter().map(|l| layer(l.iter().map(|(path, directory)| {
            if *directory && !path.contains(".wh.") { bare(Entry::directory(path, 0o755)) } else { file(path, b"") }
        }).collect())).collect();
        let view = View::new(&indexes);
        prop_assert_eq!(paths(&view), plainly(&layers));
        for path in paths(&view) {
            let children = view.children(path.as_bytes()).len();
            let expected = paths(&view).iter().filter(|p| split(p.as_bytes()).0 == path.as_bytes()).count();
            prop_assert_eq!(children, expected);
        }
    }
}
