//! Device nodes: nothing in a RUN opens a device of the host but the few that every
//! container has, whoever brought the node.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use imgmake_build::worker::{RunMount, RunRequest, Sharing, TreeSource};
use imgmake_event::Cancel;
use imgmake_oci::layer::{Entry, EntryKind, Layer, Timestamp};
use imgmake_sandbox::IsolationMode;

use super::{Ground, isolation_mode};
use crate::ground::images::{self, bases};
use crate::ground::imgmake::{Imgmake, User};
use crate::ground::{run, temporary, write};

/// A block device of this machine. Root can open it here, outside of any sandbox, or the
/// attacks below would prove nothing.
pub fn disk() -> (u32, u32) {
    for entry in fs::read_dir("/dev").unwrap() {
        let entry = entry.unwrap();
        let is_root = rustix::process::geteuid().is_root();
        let opens = || !is_root || fs::File::open(entry.path()).is_ok();
        if entry.file_type().unwrap().is_block_device() && opens() {
            let device = entry.metadata().unwrap().rdev();
            return (rustix::fs::major(device), rustix::fs::minor(device));
        }
    }
    panic!("this machine has no block device that can be opened: `losetup` makes one");
}

fn disk_node(path: &str) -> Entry {
    let (major, minor) = disk();
    Entry::new(path, EntryKind::BlockDevice { major, minor }, 0o666)
        .modified(Timestamp::from_seconds(1_600_000_000))
}

/// `/disk`, `/nodes/disk` and the kernel's log.
fn layer_of_nodes(ground: &Ground) -> Layer {
    let log = EntryKind::CharDevice {
        major: 1,
        minor: 11,
    };
    ground.layer(&[
        (Entry::directory("nodes", 0o755), b""),
        (disk_node("disk"), b""),
        (disk_node("nodes/disk"), b""),
        (Entry::new("nodes/log", log, 0o666), b""),
    ])
}

fn cache(id: &str, target: &str) -> RunMount {
    RunMount::Cache {
        id: id.to_string(),
        target: target.to_string(),
        sharing: Sharing::Shared,
        readonly: false,
        mode: 0o755,
        uid: 0,
        gid: 0,
        seed: None,
    }
}

/// One mount of every kind.
fn with_mounts(ground: &Ground, request: &mut RunRequest) {
    let host = ground.dir.path().join("context");
    fs::create_dir_all(host.join("d")).unwrap();
    fs::write(host.join("d/f"), "").unwrap();
    let bind = |from: TreeSource, source: &str, target: &str, writable| RunMount::Bind {
        from,
        source: source.to_string(),
        target: target.to_string(),
        writable,
    };
    let context = TreeSource::Host {
        dir: host.to_str().unwrap().to_string(),
        only: None,
    };
    let nodes = TreeSource::Layers(vec![ground.base.clone(), layer_of_nodes(ground)]);
    let agent = host.join("agent");
    drop(fs::remove_file(&agent));
    // It has to answer for as long as the request is used.
    std::mem::forget(std::os::unix::net::UnixListener::bind(&agent).unwrap());
    request.mounts = vec![
        RunMount::Ssh {
            socket: agent.to_str().unwrap().to_string(),
            target: "/run/ssh/a".to_string(),
            mode: 0o600,
            uid: 0,
            gid: 0,
        },
        cache("c", "/cache"),
        RunMount::Tmpfs {
            target: "/scratch".to_string(),
            size: None,
        },
        bind(context.clone(), "d", "/context", false),
        bind(context.clone(), "d", "/writable", true),
        bind(context, "d/f", "/file", false),
        bind(nodes.clone(), "/nodes", "/image", false),
        bind(nodes, "/nodes", "/image-writable", true),
        RunMount::Secret {
            target: "/run/secrets/s".to_string(),
            bytes: b"hush".to_vec(),
            mode: 0o400,
            uid: 0,
            gid: 0,
        },
    ];
}

/// One line of `/proc/self/mountinfo`.
#[derive(Debug)]
struct Mounted {
    root: String,
    at: String,
    options: Vec<String>,
    kind: String,
}

impl Mounted {
    fn all(text: &str) -> Vec<Mounted> {
        let one = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let separator = words.iter().position(|word| *word == "-").unwrap();
            Mounted {
                root: words[3].to_string(),
                at: words[4].to_string(),
                options: words[5].split(',').map(str::to_string).collect(),
                kind: words[separator + 1].to_string(),
            }
        };
        text.lines().map(one).collect()
    }

    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|o| o == option)
    }

    /// One of the devices that every container has, bound as a single file: nobody can
    /// make another node in it. `/dev/null` also hides files of `/proc` and `/sys`.
    fn is_single_node(&self) -> bool {
        let hidden = self.at.starts_with("/proc/") || self.at.starts_with("/sys/");
        match self.at.strip_prefix("/dev/") {
            Some(name) => {
                ["null", "zero", "full", "random", "urandom", "tty"].contains(&name)
                    && self.root.ends_with(&format!("/{name}"))
            }
            None => hidden && self.root.ends_with("/null"),
        }
    }
}

#[track_caller]
fn every_mount_is_nodev(text: &str) {
    let mounts = Mounted::all(text);
    assert!(mounts.len() > 20, "{text}");
    for mount in &mounts {
        let opens_devices = mount.kind == "devpts" || mount.is_single_node();
        assert!(mount.has("nodev") || opens_devices, "{mount:?}");
        // As Docker and BuildKit have it: everything but the image and what a step mounts from
        // images, contexts and caches.
        let of_images = mount.at == "/"
            || [
                "/cache",
                "/context",
                "/writable",
                "/file",
                "/image",
                "/image-writable",
                // A socket.
                "/run/ssh/a",
            ]
            .contains(&mount.at.as_str());
        assert!(
            mount.has("nosuid") || of_images || mount.is_single_node(),
            "{mount:?}"
        );
        let of_the_kernel = ["proc", "sysfs", "devpts", "mqueue"].contains(&mount.kind.as_str());
        assert!(mount.has("noexec") || !of_the_kernel, "{mount:?}");
    }
    for at in [
        "/",
        "/dev",
        "/proc",
        "/sys",
        "/cache",
        "/scratch",
        "/image",
        "/run/secrets/s",
        "/run/ssh/a",
    ] {
        assert!(mounts.iter().any(|m| m.at == at), "{at} is not in:\n{text}");
    }
}

#[test]
fn every_mount_of_a_run_is_nodev_but_single_nodes_and_terminals() {
    let ground = Ground::new();
    let mut request = ground.request("cat /proc/self/mountinfo");
    with_mounts(&ground, &mut request);
    if isolation_mode() == IsolationMode::Chroot {
        // Nothing is mounted, and nothing may be: there is not even a `/proc` to look at.
        request.argv[2] = "ls /proc; mount -t tmpfs t /tmp".to_string();
        let ran = ground.run(&request);
        assert!(ran.exit != 0 && ran.out.is_empty(), "{ran:?}");
        return;
    }
    every_mount_is_nodev(&ground.run(&request).out);
    request.network = imgmake_build::worker::Network::None;
    every_mount_is_nodev(&ground.run(&request).out);
    if isolation_mode() == IsolationMode::Root {
        request.insecure = true;
        every_mount_is_nodev(&ground.run(&request).out);
    }
}

#[test]
fn a_directory_in_place_of_an_overlay_is_nodev_too() {
    let ground = Ground::new();
    let mut request = ground.request("cat /proc/self/mountinfo");
    // More than can be stacked.
    for i in 0..401 {
        let entry = Entry::directory(format!("d{i}"), 0o755);
        request.layers.push(ground.layer(&[(entry, b"")]));
    }
    with_mounts(&ground, &mut request);
    if isolation_mode() == IsolationMode::Chroot {
        return;
    }
    let ran = ground.run(&request);
    let root = &Mounted::all(&ran.out)[0];
    assert!(root.at == "/" && root.kind != "overlay", "{root:?}");
    every_mount_is_nodev(&ran.out);
}

/// Makes a node of the disk at every place that a command can write and opens all that are there.
const ATTACK: &str = r#"
for at in / /dev /dev/shm /dev/mqueue /tmp /root /cache /scratch /writable /image-writable /run /proc /sys; do
    mknod "$at/x" b $1 $2 2>/dev/null && test -b "$at/x" && echo "made $at/x" >&2
done
for node in /x /*/x /*/*/x /disk /nodes/* /image/* /image-writable/* /context/*; do
    test -b "$node" -o -c "$node" || continue
    (: < "$node") 2>/dev/null && echo "opened $node"
    (: >> "$node") 2>/dev/null && echo "opened $node to write"
done
echo ended
"#;

fn attack(ground: &Ground) -> RunRequest {
    let (major, minor) = disk();
    let mut request = ground.request("");
    request.layers.push(layer_of_nodes(ground));
    request.argv = [
        "/bin/sh",
        "-c",
        ATTACK,
        "sh",
        &major.to_string(),
        &minor.to_string(),
    ]
    .map(str::to_string)
    .to_vec();
    with_mounts(ground, &mut request);
    request
}

#[test]
fn no_node_opens_a_disk_of_the_host() {
    let ground = Ground::new();
    let ran = ground.run(&attack(&ground));
    assert_eq!(ran.out, "ended\n", "{}", ran.err);
    // Real root may make nodes, as in a container of Docker's: the test has tried something.
    let made = ran.err.lines().filter(|l| l.starts_with("made ")).count();
    match isolation_mode() {
        IsolationMode::Root => assert!(made >= 8, "{}", ran.err),
        _ => assert_eq!(made, 0, "{}", ran.err),
    }
    // The next step finds what the first left in a cache.
    let again = ground.run(&attack(&ground));
    assert_eq!(again.out, "ended\n", "{}", again.err);
}

/// Goes into a group, makes a node of a disk there, and opens it.
const FROM_INSIDE: &str = r#"
cd "$4" && echo $$ > "$1" && mknod node b $2 $3 && echo made
(: < node) && echo opened the disk
(: < /dev/null) && (: > /dev/zero) && (: < /dev/urandom) && echo opened the rest
"#;

#[test]
fn a_commands_control_group_opens_no_disk_even_where_a_mount_would() {
    use imgmake_sandbox::device_controller;
    // Where the system has no device controller for this process there is no such layer.
    if isolation_mode() != IsolationMode::Root || device_controller(IsolationMode::Root).is_err() {
        return;
    }
    let ground = Ground::new();
    let request = ground.request("cat /proc/self/cgroup; echo up; sleep 1000");
    let cancel = Cancel::default();
    let (mut told, mut group, mut answer) = (String::new(), None, String::new());
    let ended = ground.worker.run(&request, &cancel, &mut |_, line| {
        let line = String::from_utf8_lossy(line);
        if line != "up" {
            told.push_str(&line);
            told.push('\n');
            return;
        }
        let found = group_of(&told).expect(&told);
        let list = ["tasks", "cgroup.procs"].map(|name| found.join(name));
        let list = list.iter().find(|list| list.exists()).unwrap();
        let (directory, (major, minor)) = (temporary(), disk());
        let output = std::process::Command::new("sh")
            .args(["-c", FROM_INSIDE, "sh", images::path(list)])
            .args([major.to_string(), minor.to_string()])
            .arg(directory.path())
            .output();
        answer = String::from_utf8(output.unwrap().stdout).unwrap();
        group = Some(found);
        cancel.cancel();
    });
    assert!(ended.is_err());
    assert_eq!(answer, "made\nopened the rest\n");
    assert!(!group.unwrap().exists());
    // All of the machine's devices, as BuildKit has it.
    let mut request = ground.request("cat /proc/self/cgroup");
    request.insecure = true;
    let told = ground.run(&request).out;
    assert!(told.contains(":/") && group_of(&told).is_none(), "{told}");
    // The names of keys of whoever runs imgmake are nobody's business.
    let mut request = ground.request("cat /proc/keys | wc -l; cat /proc/key-users");
    request.insecure = true;
    let text = ground.run(&request).out;
    assert!(
        text.starts_with("0\n") && text.lines().count() > 1,
        "{text}"
    );
}

#[test]
fn with_version_2_alone_a_command_begins_in_a_group_that_has_a_program() {
    const VERSION_1: &str = "/sys/fs/cgroup/devices";
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    // Where both are there the first is used; a mount namespace of this test's own loses it.
    if isolation_mode() != IsolationMode::Root
        || !Path::new(VERSION_1).exists()
        || !mounts.contains(" - cgroup2 ")
    {
        return;
    }
    let host = &bases().host;
    let project = temporary();
    write(
        project.path(),
        "Dockerfile",
        format!(
            "FROM {host}/library/busybox:latest\nRUN cat /proc/self/cgroup && true > /dev/null\n"
        ),
    );
    write(
        project.path(),
        "imgmake.kdl",
        format!(
            "registry base \"{host}\" {{ insecure #true }}\n\
             build app {{ context \".\"; tar \"out.tar\" }}\n"
        ),
    );
    let imgmake = Imgmake::new();
    let command = imgmake.command(project.path());
    let script = format!("umount {VERSION_1} && \"$0\" doctor && exec \"$0\" 2>&1");
    let output = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .arg(imgmake.program())
        .current_dir(project.path())
        .envs(command.get_envs().filter_map(|(n, v)| Some((n, v?))))
        .output()
        .unwrap();
    let text = crate::ground::succeeded("imgmake", &output);
    let doctors = "every mount is nodev; the device controller of control groups (version 2) too";
    assert!(text.contains(doctors), "{text}");
    let group = text.lines().find(|line| line.contains("imgmake-run-"));
    assert!(group.expect(&text).contains("0::/"), "{text}");
    assert!(!group_of(group.unwrap()).unwrap().exists(), "{text}");
}

/// Of the lines of `/proc/self/cgroup`.
fn group_of(lines: &str) -> Option<PathBuf> {
    let mut words = lines.split(['/', '\n']);
    let name = words.find(|word| word.starts_with("imgmake-run-"))?;
    let found = run("find", &["/sys/fs/cgroup", "-name", name]);
    Some(PathBuf::from(found.trim()))
}

#[test]
fn a_node_in_a_context_opens_nothing() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let ground = Ground::new();
    let mut request = attack(&ground);
    let node = ground.dir.path().join("context/d/disk");
    let (major, minor) = disk();
    let numbers = [major.to_string(), minor.to_string()];
    run(
        "mknod",
        &[node.to_str().unwrap(), "b", &numbers[0], &numbers[1]],
    );
    // It would be one, outside.
    fs::File::open(&node).unwrap();
    assert_eq!(ground.run(&request).out, "ended\n");
    request.mounts = vec![RunMount::Bind {
        from: TreeSource::Host {
            dir: ground.dir.path().join("context/d").display().to_string(),
            only: None,
        },
        source: "disk".to_string(),
        target: "/x".to_string(),
        writable: false,
    }];
    match ground.try_run(&request) {
        Ok(ran) => assert_eq!(ran.out, "ended\n"),
        Err(error) => assert!(format!("{error:#}").contains("is not a file"), "{error:#}"),
    }
}

#[test]
fn only_root_isolation_unpacks_real_nodes() {
    let ground = Ground::new();
    let mut request = ground.request("test -b /disk && echo real; test -f /disk && echo file");
    request.layers.push(layer_of_nodes(&ground));
    let expected = match isolation_mode() {
        IsolationMode::Root => "real\n",
        _ => "file\n",
    };
    assert_eq!(ground.run(&request).out, expected);
    if isolation_mode() != IsolationMode::Root && rustix::process::geteuid().is_root() {
        assert_eq!(nodes_below(&ground.dir.path().join("store")), 0);
    }
}

/// Overlay's whiteouts, 0:0, open nothing.
fn nodes_below(directory: &Path) -> usize {
    let mut found = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found += nodes_below(&entry.path());
        } else if kind.is_block_device() || kind.is_char_device() {
            found += usize::from(entry.metadata().unwrap().rdev() != 0);
        }
    }
    found
}

#[test]
fn what_a_command_does_to_a_node_is_recorded_of_the_node() {
    let ground = Ground::new();
    let (major, minor) = disk();
    let device = EntryKind::BlockDevice { major, minor };
    let run = |script: &str| {
        let mut request = ground.request(script);
        request.layers.push(layer_of_nodes(&ground));
        ground.run(&request)
    };
    let looked = run("ls -l /disk /nodes; cat /disk > /dev/null 2>&1; true");
    assert_eq!(looked.paths(), Vec::<&str>::new());
    let opened = run("(: >> /nodes/disk) 2> /dev/null; true");
    assert_eq!(opened.paths(), Vec::<&str>::new());
    let changed = run("chmod 600 /disk && mv /nodes/disk /nodes/moved && ln /disk /second");
    assert_eq!(
        changed.paths(),
        ["disk", "nodes", "nodes/.wh.disk", "nodes/moved", "second"]
            .into_iter()
            .filter(|path| changed.entries.contains_key(*path))
            .collect::<Vec<_>>()
    );
    assert_eq!(changed.entries["disk"].entry.kind, device);
    assert_eq!(changed.entries["disk"].entry.mode, 0o600);
    assert_eq!(changed.entries["nodes/moved"].entry.kind, device);
    assert_eq!(
        changed.entries["second"].entry.kind,
        EntryKind::HardLink {
            target: b"disk".to_vec()
        }
    );
    let replaced = run("rm /disk && touch /disk");
    assert_eq!(
        replaced.entries["disk"].entry.kind,
        EntryKind::File { size: 0 }
    );
}

#[test]
fn an_image_with_device_nodes_is_the_same_in_every_isolation_mode() {
    if isolation_mode() != IsolationMode::Root {
        return;
    }
    let host = &bases().host;
    let dockerfile = format!(
        "FROM {host}/library/busybox:latest AS nodes\nADD nodes.tar /\n\
         RUN chmod 640 /nodes/disk && mv /nodes/log /nodes/moved && ls -l /nodes > /dev/null\n\
         FROM {host}/library/busybox:latest\nCOPY --from=nodes /nodes /copied\n\
         RUN --mount=type=bind,from=nodes,source=/nodes,target=/from ls /from > /list; touch -d @5 /copied/disk\n"
    );
    let manifest = format!(
        "imgmake version=1 {{ epoch 1700000000 }}\nregistry base \"{host}\" {{ insecure #true }}\n\
         build made {{ context \".\"; stage nodes; tar \"made.tar\" format=oci }}\n\
         build app {{ context \".\"; tar \"out.tar\" format=oci }}\ngroup default made app\n"
    );
    let nodes = temporary();
    fs::create_dir(nodes.path().join("nodes")).unwrap();
    let (major, minor) = disk();
    for (name, kind, major, minor) in [("disk", "b", major, minor), ("log", "c", 1, 11)] {
        let path = nodes.path().join("nodes").join(name);
        run(
            "mknod",
            &[
                images::path(&path),
                kind,
                &major.to_string(),
                &minor.to_string(),
            ],
        );
    }
    let tar = nodes.path().join("nodes.tar");
    let directory = images::path(nodes.path()).to_string();
    run(
        "tar",
        &[
            "-C",
            &directory,
            "--mtime=@9",
            "--owner=0",
            "--group=0",
            "-cf",
            images::path(&tar),
            "nodes",
        ],
    );
    let built = |user: User, isolation: &str| {
        let project = temporary();
        write(project.path(), "Dockerfile", &dockerfile);
        write(project.path(), "imgmake.kdl", &manifest);
        fs::copy(&tar, project.path().join("nodes.tar")).unwrap();
        let imgmake = Imgmake::run_by(user).with("IMGMAKE_ISOLATION", isolation);
        imgmake.give(project.path());
        imgmake.ok(project.path(), &[]);
        ["made.tar", "out.tar"].map(|name| {
            let listed = listed_nodes(&project.path().join(name));
            let bytes = fs::read(project.path().join(name)).unwrap();
            (blake3::hash(&bytes).to_hex().to_string(), listed)
        })
    };
    let root = built(User::Own, "root");
    // The test has something to compare: nodes of a layer, changed ones, and copied ones.
    assert_eq!(root.each_ref().map(|(_, nodes)| *nodes), [4, 3]);
    for (user, isolation) in [
        (User::Own, "chroot"),
        (User::WithSubordinateIds, "rootless"),
        (User::Plain, "single-id"),
    ] {
        assert_eq!(built(user, isolation), root, "{isolation}");
    }
}

/// How many device nodes the layers of an archive hold.
fn listed_nodes(archive: &Path) -> usize {
    let script = "cd $(mktemp -d) && tar -xf \"$0\" && for blob in blobs/sha256/*; do \
                  tar -tvzf $blob 2>/dev/null || tar -tvf $blob 2>/dev/null; done | grep -c '^[bc]'";
    run("sh", &["-c", script, images::path(archive)])
        .trim()
        .parse()
        .unwrap()
}
