//! Commands that move what lies above a mount, and put a link to a host directory in its
//! place: what is undone after them is undone where it was done.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use imgmake_build::worker::{RunMount, RunRequest, Sharing, TreeSource};
use imgmake_oci::layer::{Entry, Layer};
use imgmake_sandbox::IsolationMode;

use super::{Ground, Ran, isolation_mode};

/// Everything below a directory: kind, mode, owner, size, time, content.
pub(super) fn listing(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.to_path_buf()];
    while let Some(path) = waiting.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let content = if meta.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
            String::new()
        } else {
            fs::read_to_string(&path).unwrap()
        };
        let said = format!(
            "{:o} {} {} {} {content}",
            meta.mode(),
            meta.uid(),
            meta.mtime(),
            meta.mtime_nsec()
        );
        found.insert(path, said);
    }
    found
}

/// A directory of the host with something at `b`, as the mounts have it at `/a/b`.
pub(super) fn victims(ground: &Ground) -> Vec<PathBuf> {
    let at = |name: &str| ground.dir.path().join(name);
    fs::create_dir_all(at("full/b/c")).unwrap();
    fs::write(at("full/b/precious"), "mine").unwrap();
    fs::create_dir_all(at("hollow/b")).unwrap();
    fs::create_dir_all(at("file")).unwrap();
    fs::write(at("file/b"), "").unwrap();
    fs::create_dir_all(at("bare")).unwrap();
    ["full", "hollow", "file", "bare"].map(at).into()
}

pub(super) fn cache(target: &str) -> RunMount {
    RunMount::Cache {
        id: "c".to_string(),
        target: target.to_string(),
        sharing: Sharing::Locked,
        readonly: false,
        mode: 0o755,
        uid: 0,
        gid: 0,
        seed: None,
    }
}

pub(super) fn tmpfs(target: &str) -> RunMount {
    RunMount::Tmpfs {
        target: target.to_string(),
        size: None,
    }
}

pub(super) fn secret(target: &str) -> RunMount {
    RunMount::Secret {
        target: target.to_string(),
        bytes: b"hush-hush".to_vec(),
        mode: 0o400,
        uid: 0,
        gid: 0,
    }
}

/// Layers of an image with and without the mount point; and so many that there is no
/// overlay, but one directory that is changed in place.
fn images(ground: &Ground) -> Vec<Vec<Layer>> {
    let point = ground.layer(&[
        (Entry::directory("a", 0o755), b""),
        (Entry::directory("a/b", 0o755), b""),
        (Entry::file("a/b/own", 0o644, 6), b"images"),
    ]);
    let bare = vec![ground.base.clone()];
    let with_point = vec![ground.base.clone(), point];
    let mut high = bare.clone();
    for n in 0..400 {
        high.push(ground.layer(&[(Entry::file(format!("n{n}"), 0o644, 1), b"x")]));
    }
    vec![bare, with_point, high]
}

/// A file cannot be mounted on the image's directory.
fn fits(mount: &RunMount, layers: &[Layer]) -> bool {
    layers.len() != 2 || !matches!(mount, RunMount::Secret { .. })
}

fn works_in_place(request: &RunRequest) -> bool {
    isolation_mode() == IsolationMode::Chroot || request.layers.len() > 400
}

#[test]
fn a_mount_whose_parent_was_swapped_for_a_link_is_undone_where_it_was_made() {
    let ground = Ground::new();
    let victims = victims(&ground);
    let context = ground.dir.path().join("context");
    fs::create_dir_all(context.join("x")).unwrap();
    let bind = RunMount::Bind {
        from: TreeSource::Host {
            dir: context.to_str().unwrap().to_string(),
            only: None,
        },
        source: String::new(),
        target: "/a/b".to_string(),
        writable: false,
    };
    for layers in images(&ground) {
        let mounts = [tmpfs("/a/b"), cache("/a/b"), secret("/a/b"), bind.clone()];
        for mount in mounts.iter().filter(|mount| fits(mount, &layers)) {
            // Of many layers, the two that an empty mount point could be taken for.
            let some = if layers.len() > 400 { 1..3 } else { 0..4 };
            for victim in &victims[some] {
                let before = listing(victim);
                let link = victim.to_str().unwrap();
                let mut request = ground.request(&format!("mv /a /a2 && ln -s {link} /a; true"));
                request.layers = layers.clone();
                request.mounts = vec![mount.clone()];
                let ran = ground.run(&request);
                assert_eq!(listing(victim), before, "{mount:?} {link}");
                if works_in_place(&request) {
                    let own = ["a2/b", "a2/b/own"].iter();
                    let own = own.filter(|_| layers.len() == 2).copied();
                    let expected: Vec<&str> = ["a", "a2"].into_iter().chain(own).collect();
                    assert_eq!(ran.paths(), expected, "{mount:?}");
                }
                // What is in the cache now is not the host's.
                request.argv[2] = "ls -A /c".to_string();
                request.mounts = vec![cache("/c")];
                assert_eq!(ground.run(&request).out, "", "{mount:?} {link}");
            }
        }
    }
}

fn after(ground: &Ground, layers: &[Layer], mounts: &[RunMount], script: &str) -> Ran {
    let mut request = ground.request(script);
    request.layers = layers.to_vec();
    request.mounts = mounts.to_vec();
    ground.run(&request)
}

#[test]
fn what_a_command_puts_where_a_mount_was_is_taken_for_what_it_is() {
    let ground = Ground::new();
    let victims = victims(&ground);
    let images = images(&ground);
    for victim in &victims {
        let link = victim.to_str().unwrap();
        let before = listing(victim);
        for script in [
            format!("rm -rf /a/b; ln -s {link} /a/b"),
            format!("mv /a/b /moved; ln -s {link} /a/b"),
            "mv /a/b /moved; mkdir /a/b; echo planted > /a/b/x".to_string(),
            format!("mv /a/b /moved; mv /a /a2; ln -s {link} /a"),
            format!("rm -rf /a; ln -s {link} /a"),
        ] {
            for mount in [cache("/a/b"), tmpfs("/a/b"), secret("/a/b")] {
                for image in images[..2].iter().filter(|layers| fits(&mount, layers)) {
                    let script = format!("({script}) 2>/dev/null; true");
                    let ran = after(&ground, image, std::slice::from_ref(&mount), &script);
                    assert_eq!(ran.exit, 0, "{script}: {}", ran.err);
                    assert_eq!(listing(victim), before, "{script}");
                    if isolation_mode() != IsolationMode::Chroot && script.contains("mv /a /a2") {
                        continue;
                    }
                    let held = ran.entries.values().filter_map(|e| e.content);
                    let hush = *blake3::hash(b"hush-hush").as_bytes();
                    assert!(!held.into_iter().any(|c| c == hush), "{script}");
                }
            }
            // The next step has a directory of the store, whatever became of the last.
            let next = after(
                &ground,
                &images[0],
                &[cache("/c")],
                "ls -A /c; test ! -L /c",
            );
            assert_eq!(next.exit, 0, "{script}");
            // Elsewhere what stands there is the mount itself, and the link is in it.
            assert!(
                isolation_mode() != IsolationMode::Chroot || next.out.is_empty(),
                "{script}"
            );
        }
    }
}

#[test]
fn a_parent_that_was_moved_into_a_cache_is_found_there() {
    let ground = Ground::new();
    let (victims, images) = (victims(&ground), images(&ground));
    for victim in &victims {
        let before = listing(victim);
        let script = format!(
            "mv /a /cache/a && ln -s {} /a; true",
            victim.to_str().unwrap()
        );
        let mounts = [cache("/cache"), tmpfs("/a/b"), secret("/a/s")];
        for image in &images[..2] {
            after(&ground, image, &mounts, &script);
        }
        assert_eq!(listing(victim), before);
        if isolation_mode() == IsolationMode::Chroot {
            // Elsewhere the move is a copy, which the command was free to make.
            let found = after(
                &ground,
                &images[0],
                &[cache("/cache")],
                "find /cache -name s",
            );
            assert_eq!(found.out, "", "{}", found.err);
        }
    }
}

#[test]
fn a_secret_leaves_no_bytes_under_another_name() {
    let ground = Ground::new();
    let base = [ground.base.clone()];
    // On an overlay the last one is a copy, which the command is free to make.
    let in_place = (isolation_mode() == IsolationMode::Chroot).then_some("mv /run /run2");
    for script in ["mv /run/s /x", "ln /run/s /x"].into_iter().chain(in_place) {
        let script = format!("({script}) 2>/dev/null; true");
        let ran = after(&ground, &base, &[secret("/run/s")], &script);
        let hush = *blake3::hash(b"hush-hush").as_bytes();
        assert!(
            ran.entries.values().all(|e| e.content != Some(hush)),
            "{script}"
        );
    }
}

#[test]
fn what_a_killed_run_left_behind_swapped_names_is_cleaned_up_inside_alone() {
    use super::ending::{anyone_runs, files_with, helper_of_this_test, keepers_of, kill, soon};
    let victim_of = |ground: &Ground| {
        let victim = victims(ground).remove(0);
        fs::create_dir(victim.join("t")).unwrap();
        fs::write(victim.join("t/precious"), "mine").unwrap();
        fs::write(victim.join("s"), "").unwrap();
        victim
    };
    for (number, which) in ["helper", "keeper", "both"].into_iter().enumerate() {
        let ground = Arc::new(Ground::new());
        let victim = victim_of(&ground);
        let before = listing(&victim);
        let marker =
            (8_000_000 + number as u32 * 100_000 + std::process::id() % 100_000).to_string();
        let hush = format!("hush-{marker}");
        let link = victim.to_str().unwrap();
        let mut request = ground.request(&format!(
            "echo kept > /a/b/x; mv /a /a2 2>/dev/null; ln -s {link} /a; \
             (trap '' TERM HUP; setsid sleep {marker}) & sleep 0.2; echo up; exec sleep {marker}"
        ));
        request.mounts = vec![cache("/a/b"), tmpfs("/a/t"), secret("/a/s")];
        if let RunMount::Secret { bytes, .. } = &mut request.mounts[2] {
            *bytes = hush.clone().into_bytes();
        }
        super::ending::while_it_runs(&ground, request, || {
            let helper = helper_of_this_test(ground.store.root());
            let keepers = keepers_of(&helper);
            let killed = match which {
                "helper" => vec![helper],
                "keeper" => keepers,
                _ => [keepers, vec![helper]].concat(),
            };
            kill("-STOP", &killed);
            kill("-9", &killed);
        });
        assert_eq!(ground.sh("echo again").out, "again\n", "{which}");
        soon("processes are left", || !anyone_runs(&marker));
        soon("the secret is on the disk", || {
            files_with(ground.store.root(), &hush).is_empty()
        });
        assert_eq!(listing(&victim), before, "{which}");
        // Whoever is left to clean up puts the cache back where it was; what nobody could
        // put back starts empty. Elsewhere `mv` has copied what was in it.
        let next = after(
            &ground,
            std::slice::from_ref(&ground.base),
            &[cache("/c")],
            "ls -A /c",
        );
        match (which, isolation_mode()) {
            ("helper", IsolationMode::Chroot) => assert_eq!(next.out, "x\n"),
            _ => assert!(["x\n", ""].contains(&&*next.out), "{which}: {next:?}"),
        }
        assert_eq!(listing(&victim), before, "{which}");
    }
}

#[test]
fn a_base_whose_dev_is_a_link_reaches_no_device_of_the_host() {
    let ground = Ground::new();
    let victim = ground.dir.path().join("devices");
    fs::create_dir(&victim).unwrap();
    for name in ["null", "zero", "full", "random", "urandom"] {
        fs::write(victim.join(name), "mine").unwrap();
    }
    let before = listing(&victim);
    let hostile = ground.layer(&[
        (Entry::file(".wh.dev", 0o644, 0), b""),
        (Entry::symlink("dev", victim.to_str().unwrap()), b""),
    ]);
    let mut request = ground.request("true");
    request.layers.push(hostile);
    // Whether it runs differs between the modes; that it reaches nothing does not.
    let _ = ground.try_run(&request);
    assert_eq!(listing(&victim), before);
}
