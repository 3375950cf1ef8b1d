//! What the layer of a RUN holds, and what layers give together.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use imgmake_oci::layer::{Entry, EntryKind, Timestamp};
use imgmake_sandbox::IsolationMode;

use super::{Ground, isolation_mode};

#[test]
fn a_step_that_changes_nothing_gives_an_empty_layer() {
    let ground = Ground::new();
    let ran = ground.sh("true");
    assert_eq!(ran.paths(), Vec::<&str>::new());
}

#[test]
fn what_is_made_and_changed_is_in_the_layer_and_nothing_else() {
    let ground = Ground::new();
    let ran = ground.sh(
        "mkdir -p /srv/a && echo hi > /srv/a/f && chmod 4755 /srv/a/f && ln /srv/a/f /srv/a/g \
         && ln -s /srv/a/f /srv/l && mkfifo /srv/p && chmod 600 /etc/passwd",
    );
    assert_eq!(ran.exit, 0, "{}", ran.err);
    let expected = [
        "etc",
        "etc/passwd",
        "srv",
        "srv/a",
        "srv/a/f",
        "srv/a/g",
        "srv/l",
        "srv/p",
    ];
    let paths: Vec<&str> = ran.paths().into_iter().filter(|p| *p != "etc").collect();
    assert_eq!(paths, expected[1..]);
    let entry = |path: &str| &ran.entries[path].entry;
    assert_eq!(entry("srv/a/f").mode, 0o4755);
    assert_eq!(
        entry("srv/a/g").kind,
        EntryKind::HardLink {
            target: b"srv/a/f".to_vec()
        }
    );
    assert_eq!(entry("srv/p").kind, EntryKind::Fifo);
    assert_eq!(entry("etc/passwd").mode, 0o600);
    assert_eq!((entry("srv").uid, entry("srv").gid), (0, 0));
}

#[test]
fn removed_things_leave_whiteouts_and_stay_gone() {
    let ground = Ground::new();
    let first = ground.sh("mkdir -p /d/sub; echo 1 > /d/old; echo 2 > /d/sub/x; echo 3 > /gone");
    let mut second = ground.request("rm /gone; rm -r /d; mkdir /d; echo new > /d/new");
    second.layers.push(first.layer.clone().unwrap());
    let ran = ground.run(&second);
    let paths = ran.paths();
    assert!(paths.contains(&".wh.gone"), "{paths:?}");
    assert!(paths.contains(&"d/new"), "{paths:?}");
    let mut third = ground.request("ls -A /d; test ! -e /gone");
    third.layers = [second.layers, vec![ran.layer.unwrap()]].concat();
    let ran = ground.run(&third);
    assert_eq!((ran.exit, ran.out.as_str()), (0, "new\n"));
}

#[test]
fn a_layer_unpacked_again_gives_the_same_tree_as_the_one_that_was_made() {
    let ground = Ground::new();
    let first = ground.sh(
        "mkdir -p /d/e; echo 1 > /d/e/f; chmod 2775 /d/e; rm /etc/group; rm -r /tmp; mkdir -m 700 /tmp",
    );
    let look = "find / -xdev ! -path '/proc*' ! -path '/sys*' ! -path '/dev*' | sort; \
                stat -c '%a %u %g %Y %n' /d /d/e /d/e/f /tmp /";
    let mut request = ground.request(look);
    request.layers.push(first.layer.clone().unwrap());
    let before = ground.run(&request).out;
    // Another store has only the blobs.
    let other = Ground::new();
    for layer in &request.layers {
        fs::copy(
            ground.store.blob_path(layer.digest()),
            other.store.blob_path(layer.digest()),
        )
        .unwrap();
    }
    let root_line = |text: &str| -> Vec<String> {
        // The root's own time is nobody's: no layer records it.
        let lines = text.lines().filter(|l| !l.ends_with(" /"));
        lines.map(str::to_string).collect()
    };
    assert_eq!(root_line(&other.run(&request).out), root_line(&before));
}

#[test]
fn more_layers_than_an_overlay_takes_are_merged() {
    let ground = Ground::new();
    let mut request = ground.request("cat /f; ls /d | wc -l; echo x > /d/new");
    for i in 0..405u32 {
        let text = format!("{i}\n");
        let size = text.len() as u64;
        let layer = ground.layer(&[
            (Entry::directory("d", 0o755), b""),
            (Entry::file(format!("d/{i}"), 0o644, 0), b""),
            (Entry::file("f", 0o644, size), text.as_bytes()),
        ]);
        request.layers.push(layer);
    }
    let ran = ground.run(&request);
    assert_eq!(ran.out, "404\n405\n", "{}", ran.err);
    assert_eq!(ran.paths(), ["d", "d/new"]);
    request.layers.truncate(390);
    assert_eq!(ground.run(&request).out, "388\n389\n");
}

#[test]
fn ownership_is_recorded() {
    let ground = Ground::new();
    let ran = ground.sh("echo x > /f && chown 1000:44 /f && mkdir /d && chown app /d");
    assert_eq!(ran.exit, 0, "{}", ran.err);
    let owner = |path: &str| (ran.entries[path].entry.uid, ran.entries[path].entry.gid);
    if isolation_mode() == IsolationMode::SingleId {
        assert_eq!(owner("f"), (0, 0));
    } else {
        assert_eq!((owner("f"), owner("d")), ((1000, 44), (1000, 0)));
    }
}

#[test]
fn directories_that_a_layer_merely_implies_keep_their_attributes() {
    let ground = Ground::new();
    let implying = ground.layer(&[(Entry::file("tmp/below", 0o644, 1), b"x")]);
    let mut request = ground.request("stat -c '%a %Y' /tmp; ls /tmp; echo y > /tmp/more");
    request.layers.push(implying);
    let ran = ground.run(&request);
    assert_eq!(ran.out, "1777 1600000000\nbelow\n");
    assert_eq!(ran.entries["tmp"].entry.mode, 0o1777);
}

#[test]
fn files_of_a_context_look_fresh_and_are_recorded_as_fixed() {
    let ground = Ground::new();
    let copied = ground.layer(&[(Entry::file("main.c", 0o644, 1), b"x")]);
    let mut request = ground.request("stat -c %Y /main.c; chmod 600 /main.c");
    request.layers.push(copied);
    let ran = ground.run(&request);
    let shown: i64 = ran.out.trim().parse().unwrap();
    assert!(shown > 1_700_000_000);
    assert_eq!(ran.entries["main.c"].entry.mtime, Timestamp::default());
}

#[test]
fn an_epoch_clamps_times() {
    let ground = Ground::new();
    let mut request = ground.request("touch /new; touch -d @1000 /old 2>/dev/null; true");
    request.epoch = Some(5000);
    let ran = ground.run(&request);
    assert_eq!(
        ran.entries["new"].entry.mtime,
        Timestamp::from_seconds(5000)
    );
}

#[test]
fn a_hard_link_into_a_lower_layer_keeps_both_names() {
    let ground = Ground::new();
    let linking = ground.layer(&[(Entry::hard_link("etc/pw", "etc/passwd", 0o644), b"")]);
    let mut request = ground.request("stat -c %h /etc/pw /etc/passwd; head -c 4 /etc/pw");
    request.layers.push(linking);
    let ran = ground.run(&request);
    assert_eq!(ran.out, "2\n2\nroot\n", "{}", ran.err);
}

#[test]
fn device_nodes_and_capabilities_of_a_layer_survive() {
    let ground = Ground::new();
    let mut capable = Entry::file("ping", 0o755, 1);
    // VFS_CAP_REVISION_2, cap_net_raw permitted and effective.
    let value = b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
        .to_vec();
    capable
        .xattrs
        .insert(b"security.capability".to_vec(), value.clone());
    capable
        .xattrs
        .insert(b"user.note".to_vec(), b"a\nb".to_vec());
    capable
        .xattrs
        .insert(b"trusted.overlay.opaque".to_vec(), b"y".to_vec());
    let layer = ground.layer(&[(capable, b"x")]);
    let mut request = ground.request("chmod 711 /ping");
    request.layers.push(layer);
    let ran = ground.run(&request);
    let xattrs = &ran.entries["ping"].entry.xattrs;
    assert_eq!(xattrs.keys().count(), 2, "{xattrs:?}");
    assert_eq!(xattrs[&b"security.capability"[..]], value);
    assert_eq!(xattrs[&b"user.note"[..]], b"a\nb");
}

#[test]
fn trees_belong_to_whoever_the_ids_say() {
    if isolation_mode() != IsolationMode::Root {
        return;
    }
    let ground = Ground::new();
    let owned = ground.layer(&[(Entry::file("f", 0o640, 1).owned_by(1234, 5678), b"x")]);
    let mut request = ground.request("stat -c '%u %g' /f");
    request.layers.push(owned.clone());
    assert_eq!(ground.run(&request).out, "1234 5678\n");
    let tree = ground.store.tree_path("root", &owned.diff_id).join("fs/f");
    let meta = fs::metadata(&tree).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (1234, 5678));
    // And the helper deletes what it made.
    ground
        .worker
        .delete(&[tree.parent().unwrap().parent().unwrap().to_path_buf()])
        .unwrap();
    assert!(!tree.exists());
    assert!(
        ground
            .worker
            .delete(&[PathBuf::from("/etc/passwd")])
            .is_err()
    );
}
