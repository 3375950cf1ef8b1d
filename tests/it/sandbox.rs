//! RUN in every kind of isolation that works here: what a command sees, what its
//! layer holds, what is left behind.
//!
//! The tests ask for the isolation that the variable `IMGMAKE_TEST_ISOLATION` names;
//! [`the_other_kinds_of_isolation_keep_the_same_promises`] runs them all again, as
//! an ordinary user and in the weaker kinds.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use imgmake::build::worker::{
    Network, RunMount, RunOutcome, RunRequest, Sharing, TreeSource, Worker,
};
use imgmake::event::{Cancel, Stream};
use imgmake::layer::{
    Compression, Entry, EntryKind, Index, IndexEntry, LayerBlob, LayerWriter, Timestamp,
};
use imgmake::sandbox::Tier;
use imgmake::store::Store;

const ISOLATION: &str = "IMGMAKE_TEST_ISOLATION";
const PROGRAM: &str = "IMGMAKE_TEST_PROGRAM";

struct Ground {
    dir: tempfile::TempDir,
    store: Store,
    worker: Worker,
    base: LayerBlob,
}

#[derive(Debug)]
struct Ran {
    exit: i32,
    out: String,
    err: String,
    layer: Option<LayerBlob>,
    entries: BTreeMap<String, IndexEntry>,
}

impl Ran {
    fn paths(&self) -> Vec<&str> {
        self.entries.keys().map(String::as_str).collect()
    }
}

/// imgmake, where the user of these tests can execute it.
fn program() -> PathBuf {
    let copied = std::env::var_os(PROGRAM).map(PathBuf::from);
    copied.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_imgmake")))
}

fn isolation() -> Option<Tier> {
    std::env::var(ISOLATION).ok().map(|t| t.parse().unwrap())
}

fn tier() -> Tier {
    isolation().unwrap_or(Tier::Root)
}

impl Ground {
    fn new() -> Ground {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let worker = Worker::new(store.clone(), isolation()).with_program(program());
        let base = busybox(&store);
        Ground {
            dir,
            store,
            worker,
            base,
        }
    }

    fn request(&self, script: &str) -> RunRequest {
        RunRequest {
            layers: vec![self.base.clone()],
            argv: ["/bin/sh", "-c", script].map(str::to_string).to_vec(),
            env: Vec::new(),
            workdir: "/".to_string(),
            user: String::new(),
            stdin: None,
            files: Vec::new(),
            mounts: Vec::new(),
            network: Network::Host,
            insecure: false,
            hostname: String::new(),
            add_hosts: Vec::new(),
            compression: Compression::Gzip { level: 1 },
            epoch: None,
        }
    }

    fn run(&self, request: &RunRequest) -> Ran {
        self.try_run(request).unwrap_or_else(|e| panic!("{e:#}"))
    }

    fn try_run(&self, request: &RunRequest) -> anyhow::Result<Ran> {
        let (mut out, mut err) = (String::new(), String::new());
        let RunOutcome { exit, layer } =
            self.worker
                .run(request, &Cancel::default(), &mut |stream, line| {
                    let text = match stream {
                        Stream::Stdout => &mut out,
                        Stream::Stderr => &mut err,
                    };
                    text.push_str(&String::from_utf8_lossy(line));
                    text.push('\n');
                })?;
        let entries = layer.as_ref().map(|l| self.entries(l)).unwrap_or_default();
        Ok(Ran {
            exit,
            out,
            err,
            layer,
            entries,
        })
    }

    fn sh(&self, script: &str) -> Ran {
        self.run(&self.request(script))
    }

    /// The layer as its blob has it, not as the index remembers.
    fn entries(&self, layer: &LayerBlob) -> BTreeMap<String, IndexEntry> {
        let blob = self.store.open_blob(&layer.digest).unwrap();
        let plain = imgmake::layer::decompress(blob).unwrap();
        let index = Index::read(plain).unwrap();
        assert_eq!(*self.store.index(layer).unwrap(), index);
        let named = |e: IndexEntry| (String::from_utf8_lossy(&e.entry.path).into_owned(), e);
        index.entries.into_iter().map(named).collect()
    }

    fn layer(&self, entries: &[(Entry, &[u8])]) -> LayerBlob {
        write_layer(&self.store, entries)
    }
}

fn write_layer(store: &Store, entries: &[(Entry, &[u8])]) -> LayerBlob {
    let (file, handle) = store.layer_file().unwrap();
    let mut writer = LayerWriter::new(handle, Compression::Gzip { level: 1 }).unwrap();
    for (entry, content) in entries {
        let mut content: &[u8] = content;
        writer.append(entry, &mut content).unwrap();
    }
    let (layer, index) = writer.finish().unwrap();
    store.adopt_layer(file, &layer, &index).unwrap();
    layer
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n";
const GROUP: &str = "root:x:0:\napp:x:1000:\nvideo:x:44:app\n";

fn busybox(store: &Store) -> LayerBlob {
    let mut program = Vec::new();
    fs::File::open("/usr/bin/busybox")
        .expect("busybox-static is installed")
        .read_to_end(&mut program)
        .unwrap();
    let time = Timestamp::from_seconds(1_600_000_000);
    let size = program.len() as u64;
    let mut entries: Vec<(Entry, &[u8])> = Vec::new();
    for (path, mode) in [
        ("bin", 0o755),
        ("etc", 0o751),
        ("tmp", 0o1777),
        ("root", 0o700),
        ("proc", 0o555),
        ("dev", 0o755),
    ] {
        entries.push((Entry::directory(path, mode).modified(time), b""));
    }
    entries.push((
        Entry::file("bin/busybox", 0o755, size).modified(time),
        &program,
    ));
    for applet in [
        "sh", "cat", "ls", "id", "echo", "mkdir", "rm", "touch", "ln", "chmod", "chown", "stat",
        "mount", "sleep", "test", "mv", "cp", "env", "grep", "head", "wc", "hostname", "mkfifo",
        "mknod", "ps", "true", "umount", "dd", "unshare", "readlink", "find", "sort", "seq",
    ] {
        let path = format!("bin/{applet}");
        entries.push((Entry::symlink(path, "busybox").modified(time), b""));
    }
    for (path, text) in [("etc/passwd", PASSWD), ("etc/group", GROUP)] {
        let entry = Entry::file(path, 0o644, text.len() as u64).modified(time);
        entries.push((entry, text.as_bytes()));
    }
    write_layer(store, &entries)
}

#[test]
fn a_command_runs_and_its_lines_arrive() {
    let ground = Ground::new();
    let ran = ground.sh("echo one; echo two; echo three >&2; printf four");
    assert_eq!(ran.exit, 0);
    assert_eq!(ran.out, "one\ntwo\nfour\n");
    assert_eq!(ran.err, "three\n");
}

#[test]
fn a_step_that_changes_nothing_gives_an_empty_layer() {
    let ground = Ground::new();
    let ran = ground.sh("true");
    assert_eq!(ran.paths(), Vec::<&str>::new());
}

#[test]
fn a_failing_command_is_an_exit_code_and_no_layer() {
    let ground = Ground::new();
    let ran = ground.sh("touch /x; exit 7");
    assert_eq!((ran.exit, ran.layer), (7, None));
    let mut request = ground.request("");
    request.argv = vec!["no-such-program".to_string()];
    let ran = ground.run(&request);
    assert_eq!(ran.exit, 127);
    assert!(ran.err.contains("no-such-program"), "{}", ran.err);
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
            ground.store.blob_path(&layer.digest),
            other.store.blob_path(&layer.digest),
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
fn mount_points_leave_no_trace() {
    let ground = Ground::new();
    let mut request = ground.request(
        "stat -c %Y /etc; cat /run/secrets/deep/token; ls /cache /scratch; echo x > /cache/y; \
         cat /etc/resolv.conf > /dev/null; ls -d /sys /proc/1 > /dev/null",
    );
    request.mounts = vec![
        RunMount::Secret {
            target: "/run/secrets/deep/token".to_string(),
            bytes: b"hush\n".to_vec(),
            mode: 0o400,
            uid: 0,
            gid: 0,
        },
        RunMount::Cache {
            id: "c".to_string(),
            target: "/cache".to_string(),
            sharing: Sharing::Shared,
            readonly: false,
            mode: 0o755,
            uid: 0,
            gid: 0,
            seed: None,
        },
        RunMount::Tmpfs {
            target: "/scratch".to_string(),
            size: Some(1 << 20),
        },
    ];
    let ran = ground.run(&request);
    assert_eq!(
        ran.out, "1600000000\nhush\n/cache:\n\n/scratch:\n",
        "{}",
        ran.err
    );
    assert_eq!(ran.paths(), Vec::<&str>::new());
    // What was written to the cache is there in the next step.
    request.argv[2] = "cat /cache/y".to_string();
    assert_eq!(ground.run(&request).out, "x\n");
}

#[test]
fn a_secret_belongs_to_whom_it_says_and_is_read_only() {
    let ground = Ground::new();
    let mut request = ground.request("stat -c '%a %u' /s; cat /s; ! echo x 2>/dev/null > /s");
    request.user = "app".to_string();
    request.mounts = vec![RunMount::Secret {
        target: "/s".to_string(),
        bytes: b"token".to_vec(),
        mode: 0o400,
        uid: 1000,
        gid: 1000,
    }];
    let ran = ground.run(&request);
    assert_eq!(ran.exit, 0, "{}", ran.err);
    assert_eq!(ran.out, "400 1000\ntoken\n");
}

#[test]
fn bind_mounts_read_layers_and_directories_and_lose_what_is_written() {
    let ground = Ground::new();
    let host = ground.dir.path().join("context");
    fs::create_dir_all(host.join("src")).unwrap();
    fs::set_permissions(ground.dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(host.join("src/a"), "A").unwrap();
    fs::write(host.join("src/b"), "B").unwrap();
    let bind = |from: TreeSource, source: &str, target: &str, writable: bool| RunMount::Bind {
        from,
        source: source.to_string(),
        target: target.to_string(),
        writable,
    };
    let whole = TreeSource::Host {
        dir: host.to_str().unwrap().to_string(),
        only: None,
    };
    let chosen = TreeSource::Host {
        dir: host.to_str().unwrap().to_string(),
        only: Some(vec!["src/a".to_string()]),
    };
    let mut request = ground.request(
        "cat /w/a /c/src/a /base/passwd | head -c 6; ls /c/src; \
         ! touch /w/x 2>/dev/null; echo y > /rw/a && cat /rw/a",
    );
    request.mounts = vec![
        bind(whole.clone(), "src", "/w", false),
        bind(chosen, "", "/c", false),
        bind(
            TreeSource::Layers(vec![ground.base.clone()]),
            "/etc",
            "/base",
            false,
        ),
        bind(whole, "src", "/rw", true),
    ];
    let ran = ground.run(&request);
    assert_eq!(ran.exit, 0, "{} {}", ran.out, ran.err);
    assert_eq!(ran.out, "AAroota\ny\n");
    assert_eq!(fs::read_to_string(host.join("src/a")).unwrap(), "A");
    assert_eq!(ran.paths(), Vec::<&str>::new());
}

#[test]
fn the_agents_socket_is_there_for_whom_the_step_says_and_leads_to_the_host() {
    if tier() == Tier::Chroot {
        return;
    }
    let ground = Ground::new();
    let agent = ground.dir.path().join("agent");
    let listener = std::os::unix::net::UnixListener::bind(&agent).unwrap();
    let mut request = ground.request("test -S /run/ssh/a && stat -c '%a %u' /run/ssh/a");
    request.user = "app".to_string();
    request.mounts = vec![RunMount::Ssh {
        socket: agent.to_str().unwrap().to_string(),
        target: "/run/ssh/a".to_string(),
        mode: 0o600,
        uid: 1000,
        gid: 1000,
    }];
    let ran = ground.run(&request);
    assert_eq!(ran.out, "600 1000\n", "{}", ran.err);
    assert_eq!(ran.paths(), Vec::<&str>::new());
    // The helper has tried the agent before it promised one.
    listener.accept().unwrap();
    drop(listener);
    let error = format!("{:#}", ground.try_run(&request).unwrap_err());
    assert!(error.contains("agent"), "{error}");
}

#[test]
fn a_locked_cache_has_one_user_at_a_time_and_a_private_one_is_each_ones_own() {
    let ground = Ground::new();
    let cache = |sharing: Sharing, script: &str| {
        let mut request = ground.request(script);
        request.mounts = vec![RunMount::Cache {
            id: "c".to_string(),
            target: "/c".to_string(),
            sharing,
            readonly: false,
            mode: 0o755,
            uid: 0,
            gid: 0,
            seed: None,
        }];
        request
    };
    let alone = "mkdir /c/busy && sleep 0.3 && rmdir /c/busy";
    let (a, b) = (cache(Sharing::Locked, alone), cache(Sharing::Locked, alone));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| ground.run(&a).exit);
        assert_eq!((ground.run(&b).exit, first.join().unwrap()), (0, 0));
    });
    if tier() == Tier::Chroot {
        // Caches are renamed in and out there: one user at a time, whatever was asked.
        return;
    }
    let (a, b) = (
        cache(Sharing::Private, alone),
        cache(Sharing::Private, alone),
    );
    std::thread::scope(|scope| {
        let first = scope.spawn(|| ground.run(&a).exit);
        assert_eq!((ground.run(&b).exit, first.join().unwrap()), (0, 0));
    });
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
fn users_groups_and_home_come_from_the_image() {
    let ground = Ground::new();
    let mut request = ground.request("id -u; id -g; id -G; echo $HOME");
    request.user = "app".to_string();
    let groups = if tier() == Tier::SingleId {
        "1000"
    } else {
        "1000 44"
    };
    let out = ground.run(&request).out;
    assert_eq!(
        out.replace("1000 65534", "1000"),
        format!("1000\n1000\n{groups}\n/home/app\n")
    );
    request.user = "app:video".to_string();
    assert!(ground.run(&request).out.starts_with("1000\n44\n44"));
    request.user = "nobody-here".to_string();
    let error = ground.try_run(&request).unwrap_err();
    assert!(format!("{error:#}").contains("nobody-here"));
}

#[test]
fn ownership_is_recorded() {
    let ground = Ground::new();
    let ran = ground.sh("echo x > /f && chown 1000:44 /f && mkdir /d && chown app /d");
    assert_eq!(ran.exit, 0, "{}", ran.err);
    let owner = |path: &str| (ran.entries[path].entry.uid, ran.entries[path].entry.gid);
    if tier() == Tier::SingleId {
        assert_eq!(owner("f"), (0, 0));
    } else {
        assert_eq!((owner("f"), owner("d")), ((1000, 44), (1000, 0)));
    }
}

#[test]
fn the_environment_is_exactly_what_was_asked_for() {
    let ground = Ground::new();
    let mut request = ground.request("env | sort; umask; hostname");
    request.env = vec![("A".to_string(), "1 2".to_string())];
    request.hostname = "box".to_string();
    let out = ground.run(&request).out;
    for line in ["A=1 2", "HOME=/root", "PATH=/usr/local/sbin:", "0022"] {
        assert!(out.contains(line), "{line}: {out}");
    }
    assert!(!out.contains("CARGO"), "{out}");
    if tier() != Tier::Chroot {
        assert!(out.ends_with("box\n"), "{out}");
    }
}

#[test]
fn input_and_scripts_are_for_one_step_alone() {
    let ground = Ground::new();
    let mut request = ground.request("cat; /run/script");
    request.stdin = Some(b"from stdin\n".to_vec());
    let script = b"#!/bin/sh\necho from script\n".to_vec();
    request.files = vec![("/run/script".to_string(), script, 0o755)];
    let ran = ground.run(&request);
    assert_eq!(ran.out, "from stdin\nfrom script\n", "{}", ran.err);
    assert_eq!(ran.paths(), Vec::<&str>::new());
}

#[test]
fn the_working_directory_is_made_and_recorded() {
    let ground = Ground::new();
    let mut request = ground.request("pwd");
    request.workdir = "/work/deep".to_string();
    let ran = ground.run(&request);
    assert_eq!(ran.out, "/work/deep\n");
    assert_eq!(ran.paths(), ["work", "work/deep"]);
}

#[test]
fn a_command_is_confined() {
    if tier() == Tier::Chroot {
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

#[test]
fn without_network_there_is_loopback_alone() {
    let ground = Ground::new();
    let mut request = ground.request("cat /proc/net/dev | wc -l");
    request.network = Network::None;
    if tier() == Tier::Chroot {
        assert!(ground.try_run(&request).is_err());
        return;
    }
    assert_eq!(ground.run(&request).out, "3\n");
}

#[test]
fn what_a_command_leaves_running_is_killed_and_does_not_hold_the_step() {
    let ground = Ground::new();
    let ran = ground.sh("sleep 1000 & echo started");
    assert_eq!((ran.exit, ran.out.as_str()), (0, "started\n"));
}

#[test]
fn cancelling_kills_the_step() {
    let ground = Arc::new(Ground::new());
    let cancel = Cancel::default();
    let (started, seen) = std::sync::mpsc::channel();
    let thread = {
        let (ground, cancel) = (ground.clone(), cancel.clone());
        std::thread::spawn(move || {
            let request = ground.request("echo up; sleep 1000");
            ground
                .worker
                .run(&request, &cancel, &mut |_, _| started.send(()).unwrap())
        })
    };
    seen.recv().unwrap();
    cancel.cancel();
    let error = thread.join().unwrap().unwrap_err();
    assert!(error.is::<imgmake::event::Cancelled>(), "{error:#}");
    // The helper goes on with other work.
    assert_eq!(ground.sh("echo still").out, "still\n");
}

#[test]
fn several_steps_run_at_the_same_time() {
    let ground = Ground::new();
    // Each waits for the other through a shared cache.
    let step = |own: &str, other: &str| {
        let mut request = ground.request(&format!(
            "touch /c/{own}; until test -e /c/{other}; do sleep 0.01; done; echo met"
        ));
        request.mounts = vec![RunMount::Cache {
            id: "meet".to_string(),
            target: "/c".to_string(),
            sharing: Sharing::Shared,
            readonly: false,
            mode: 0o755,
            uid: 0,
            gid: 0,
            seed: None,
        }];
        request
    };
    if tier() == Tier::Chroot {
        return;
    }
    let (a, b) = (step("a", "b"), step("b", "a"));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| ground.run(&a).out);
        assert_eq!(ground.run(&b).out, "met\n");
        assert_eq!(first.join().unwrap(), "met\n");
    });
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
fn a_hard_link_into_a_lower_layer_keeps_both_names() {
    let ground = Ground::new();
    let linking = ground.layer(&[(Entry::hard_link("etc/pw", "etc/passwd", 0o644), b"")]);
    let mut request = ground.request("stat -c %h /etc/pw /etc/passwd; head -c 4 /etc/pw");
    request.layers.push(linking);
    let ran = ground.run(&request);
    assert_eq!(ran.out, "2\n2\nroot\n", "{}", ran.err);
}

#[test]
fn a_damaged_layer_is_refused_and_leaves_no_tree() {
    let ground = Ground::new();
    let mut layer = ground.layer(&[(Entry::file("f", 0o644, 1), b"x")]);
    layer.diff_id = imgmake::image::Digest::of(b"something else");
    let mut request = ground.request("true");
    request.layers.push(layer);
    let error = format!("{:#}", ground.try_run(&request).unwrap_err());
    assert!(error.contains("the image says"), "{error}");
}

#[test]
fn nothing_is_left_in_the_store_but_what_is_finished() {
    let ground = Ground::new();
    ground.sh("touch /x");
    ground.sh("exit 1");
    let tmp = ground.store.root().join("tmp");
    let mut left = Vec::new();
    for process in fs::read_dir(tmp).unwrap() {
        let process = process.unwrap().path();
        for entry in fs::read_dir(&process).into_iter().flatten() {
            left.push(entry.unwrap().path());
        }
    }
    left.retain(|p| p.file_name().unwrap() != "lock");
    assert_eq!(left, Vec::<PathBuf>::new());
}

#[test]
fn a_killed_helper_takes_everything_with_it_and_is_replaced() {
    let ground = Arc::new(Ground::new());
    let (started, seen) = std::sync::mpsc::channel();
    let marker = format!("{}", 5_000_000 + std::process::id());
    let thread = {
        let (ground, marker) = (ground.clone(), marker.clone());
        std::thread::spawn(move || {
            let request = ground.request(&format!("echo up; sleep {marker}"));
            let cancel = Cancel::default();
            ground.worker.run(&request, &cancel, &mut |_, _| {
                let _ = started.send(());
            })
        })
    };
    seen.recv().unwrap();
    let helper = helper_of_this_test(ground.store.root());
    Command::new("kill").args(["-9", &helper]).status().unwrap();
    assert!(thread.join().unwrap().is_err());
    while anyone_runs(&marker) {
        std::thread::yield_now();
    }
    assert_eq!(ground.sh("echo again").out, "again\n");
    assert_eq!(mounts_below(ground.store.root()), 0);
}

/// The helper holds a lock file in its own directory of the store.
fn helper_of_this_test(store: &Path) -> String {
    let own = std::process::id().to_string();
    for process in fs::read_dir(store.join("tmp")).unwrap() {
        let name = process.unwrap().file_name().into_string().unwrap();
        let pid = name.split('-').next().unwrap().to_string();
        if pid != own {
            return pid;
        }
    }
    panic!("no helper is at work");
}

fn anyone_runs(argument: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|e| {
        let command = fs::read(e.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&command).into_owned())
    });
    processes
        .into_iter()
        .any(|c| c.starts_with("sleep\0") && c.contains(argument))
}

fn mounts_below(path: &Path) -> usize {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts
        .lines()
        .filter(|l| l.contains(path.to_str().unwrap()))
        .count()
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
fn the_other_kinds_of_isolation_keep_the_same_promises() {
    // Only from the outermost run, which is root's.
    if isolation().is_some() || !rustix::process::geteuid().is_root() {
        return;
    }
    drop(
        Command::new("useradd")
            .args(["-m", "imgmake-test"])
            .status(),
    );
    let id = |flag: &str| {
        let output = Command::new("id")
            .args([flag, "imgmake-test"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    };
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let (tests, imgmake) = (dir.path().join("tests"), dir.path().join("imgmake"));
    fs::copy(std::env::current_exe().unwrap(), &tests).unwrap();
    fs::copy(program(), &imgmake).unwrap();
    for kind in ["rootless", "single-id", "chroot"] {
        let mut command = Command::new("setpriv");
        if kind == "chroot" {
            command.args(["--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]);
        } else {
            command.args(["--reuid", &id("-u"), "--regid", &id("-g"), "--clear-groups"]);
        }
        let output = command
            .arg(&tests)
            .args(["sandbox::", "--test-threads", "2"])
            .env(ISOLATION, kind)
            .env(PROGRAM, &imgmake)
            .env("TMPDIR", "/tmp")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{kind}:\n{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn trees_belong_to_whoever_the_ids_say() {
    if tier() != Tier::Root {
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
