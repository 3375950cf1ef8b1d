//! What layers and commands that mean harm cannot do.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use imgmake_oci::image::Descriptor;
use imgmake_oci::layer::{Entry, Layer};
use imgmake_sandbox::IsolationMode;

use super::{Ground, isolation_mode};
use crate::ground::imgmake::Imgmake;
use crate::ground::{temporary, write};

#[test]
fn a_hostile_layer_reaches_nothing_outside_its_tree() {
    let ground = Ground::new();
    let outside = ground.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "mine").unwrap();
    let out = outside.to_str().unwrap();
    let hostile = ground.layer(&[
        (Entry::symlink("up", "../../../../../../../../../.."), b""),
        (Entry::symlink("abs", out), b""),
        (Entry::file("abs/planted", 0o644, 1), b"x"),
        (Entry::directory("abs/dir", 0o777), b""),
        (Entry::file("up/planted", 0o644, 1), b"x"),
        (Entry::file(".wh.up", 0o644, 0), b""),
        (Entry::file("abs/.wh.file", 0o644, 0), b""),
    ]);
    let mut request = ground.request("ls /planted");
    request.layers.push(hostile);
    let ran = ground.run(&request);
    assert_eq!(ran.out, "/planted\n", "{}", ran.err);
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "mine");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    // A hard link to something outside is no link at all.
    let linking = ground.layer(&[(
        Entry::hard_link("stolen", format!("abs{out}/file"), 0o644),
        b"",
    )]);
    request.layers.push(linking);
    assert!(ground.try_run(&request).is_err());
}

#[test]
fn a_damaged_layer_is_refused_and_leaves_no_tree() {
    let ground = Ground::new();
    let mut layer = ground.layer(&[(Entry::file("f", 0o644, 1), b"x")]);
    layer.diff_id = imgmake_oci::image::Digest::of(b"something else");
    let mut request = ground.request("true");
    request.layers.push(layer);
    let error = format!("{:#}", ground.try_run(&request).unwrap_err());
    assert!(error.contains("the image says"), "{error}");
}

#[test]
fn names_that_lead_out_of_a_layer_reach_nothing() {
    let ground = Ground::new();
    let outside = ground.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "mine").unwrap();
    let path = outside.to_str().unwrap();
    let up = format!("../../../../../../../../../..{path}");
    let plant = |name: String| (name, tar::EntryType::Regular, String::new());
    let hostile = [
        plant(format!("{up}/planted")),
        plant(format!("{path}/planted")),
        plant(format!("a/../../{up}/planted")),
        plant(format!("{up}/.wh.file")),
        plant(format!("{up}/.wh..wh..opq")),
        plant("..".to_string()),
        plant("a/..".to_string()),
        (format!("{up}/node"), tar::EntryType::Char, String::new()),
        (
            format!("{up}/dir"),
            tar::EntryType::Directory,
            String::new(),
        ),
        (
            "link".to_string(),
            tar::EntryType::Link,
            format!("{up}/file"),
        ),
        (
            "link".to_string(),
            tar::EntryType::Link,
            format!("{path}/file"),
        ),
        ("self".to_string(), tar::EntryType::Link, "self".to_string()),
    ];
    for (name, kind, target) in hostile {
        let layer = raw_layer(&ground, &name, kind, &target);
        let mut request = ground.request("cat /link 2>/dev/null; true");
        request.layers.push(layer);
        // Refused, or taken as a name inside; never followed.
        if let Ok(ran) = ground.try_run(&request) {
            assert_eq!(ran.out, "", "{name} -> {target}");
        }
        assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "mine");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{name}");
        let links =
            std::os::unix::fs::MetadataExt::nlink(&fs::metadata(outside.join("file")).unwrap());
        assert_eq!(links, 1, "{name} -> {target}");
    }
}

/// A layer of one entry, with names as no builder would write them.
fn raw_layer(ground: &Ground, name: &str, kind: tar::EntryType, target: &str) -> Layer {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    if kind == tar::EntryType::Char {
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
    }
    header.set_cksum();
    let bytes = [header.as_bytes().as_slice(), &[0; 1024]].concat();
    let digest = ground.store.put_bytes(&bytes).unwrap();
    let media_type = "application/vnd.oci.image.layer.v1.tar";
    Layer::new(digest, Descriptor::of(media_type, &bytes))
}

#[test]
fn a_context_that_changes_under_the_copy_gives_nothing_from_outside() {
    if isolation_mode() != IsolationMode::Root {
        return;
    }
    const SECRET: &str = "the-content-of-a-file-outside";
    let project = temporary();
    let outside = temporary();
    write(outside.path(), "f", SECRET);
    write(project.path(), "context/d/f", "inside");
    write(project.path(), "context/file", "inside");
    for i in 0..40 {
        write(project.path(), &format!("context/a{i}/f"), "filler");
    }
    std::os::unix::fs::symlink(outside.path(), project.path().join("to-directory")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("f"), project.path().join("to-file")).unwrap();
    write(
        project.path(),
        "Dockerfile",
        "FROM scratch\nCOPY . /all\nCOPY d /d\nCOPY file d/f /files/\n",
    );
    write(
        project.path(),
        "imgmake.kdl",
        "build app { context \"context\"; dockerfile \"Dockerfile\"; compression \"none\"; tar \"out.tar\" }\n",
    );
    let stop = AtomicBool::new(false);
    // Ever longer between two changes: the first builds meet many, the last ones come through.
    let pause = AtomicU64::new(0);
    let swap = |a: &str, b: &str| {
        let (a, b) = (project.path().join(a), project.path().join(b));
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(rustix::fs::CWD, a, rustix::fs::CWD, b, flags).unwrap();
    };
    let imgmake = Imgmake::new();
    let mut built = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                swap("context/d", "to-directory");
                swap("context/file", "to-file");
                std::thread::sleep(Duration::from_millis(pause.load(Ordering::Relaxed)));
            }
        });
        for build in 0..30 {
            pause.store(build * build, Ordering::Relaxed);
            let ran = imgmake.run(project.path(), &["--force"]);
            assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
            let Ok(archive) = fs::read(project.path().join("out.tar")) else {
                continue;
            };
            built += 1;
            let found = memchr::memmem::find(&archive, SECRET.as_bytes());
            assert_eq!(found, None, "a file from outside is in the image");
            fs::remove_file(project.path().join("out.tar")).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(built > 0, "no build came through: the test says nothing");
}

#[test]
fn a_command_is_confined() {
    if isolation_mode() == IsolationMode::Chroot {
        return;
    }
    let ground = Ground::new();
    let ran = ground.sh(
        "mount -t tmpfs t /tmp 2>/dev/null && echo mounted; \
         unshare -U true 2>/dev/null && echo unshared; \
         echo 1 2>/dev/null > /proc/sys/kernel/hostname && echo wrote; \
         cat /proc/kcore | head -c 1 | wc -c; \
         ls /dev | sort; ps | wc -l; grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status",
    );
    let expected = "0\ncore\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\n\
                    stdout\ntty\nurandom\nzero\n";
    assert!(ran.out.starts_with(expected), "{}\n{}", ran.out, ran.err);
    assert!(ran.out.contains("CapEff:\t00000000a80425fb"), "{}", ran.out);
    assert!(ran.out.contains("NoNewPrivs:\t0"), "{}", ran.out);
}
