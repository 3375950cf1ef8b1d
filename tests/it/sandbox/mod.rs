//! RUN in every kind of isolation that works here: what a command sees, what its
//! layer holds, what is left behind.
//!
//! The tests ask for the isolation that the variable `IMGMAKE_TEST_ISOLATION` names;
//! [`the_other_kinds_of_isolation_keep_the_same_promises`] runs them all again, as
//! an ordinary user and in the weaker kinds.

mod commands;
mod deep;
mod devices;
mod ending;
mod hostile;
mod layers;
mod limits;
mod mounts;
mod moved;
mod networks;
mod shell;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use imgmake_build::worker::{Network, RunOutcome, RunRequest, Worker};
use imgmake_event::{Cancel, Stream};
use imgmake_oci::layer::{Compression, Entry, Index, IndexEntry, Layer, LayerWriter, Timestamp};
use imgmake_oci::store::Store;
use imgmake_sandbox::IsolationMode;

use crate::adversary::command::{PROBE, probe_program};
use crate::ground::addresses::{Addresses, Held};
pub use devices::disk;

const ISOLATION: &str = "IMGMAKE_TEST_ISOLATION";
const PROGRAM: &str = "IMGMAKE_TEST_PROGRAM";

pub struct Ground {
    pub dir: tempfile::TempDir,
    store: Store,
    worker: Worker,
    base: Layer,
}

#[derive(Debug)]
pub struct Ran {
    pub exit: i32,
    pub out: String,
    pub err: String,
    layer: Option<Layer>,
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

fn isolation() -> Option<IsolationMode> {
    std::env::var(ISOLATION).ok().map(|t| t.parse().unwrap())
}

pub fn isolation_mode() -> IsolationMode {
    isolation().unwrap_or(IsolationMode::Root)
}

impl Ground {
    pub fn new() -> Ground {
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

    pub fn request(&self, script: &str) -> RunRequest {
        RunRequest {
            layers: vec![self.base.clone()],
            argv: ["/bin/sh", "-c", script].map(str::to_string).to_vec(),
            env: Vec::new(),
            workdir: "/".to_string(),
            user: String::new(),
            stdin: None,
            files: Vec::new(),
            mounts: Vec::new(),
            cache_scope: Default::default(),
            network: Network::Host,
            limits: Default::default(),
            insecure: false,
            hostname: String::new(),
            add_hosts: Vec::new(),
            resolver: Default::default(),
            authorities: Vec::new(),
            compression: Compression::Gzip { level: 1 },
            architecture: String::new(),
            epoch: None,
        }
    }

    pub fn run(&self, request: &RunRequest) -> Ran {
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
    fn entries(&self, layer: &Layer) -> BTreeMap<String, IndexEntry> {
        let blob = self.store.open_blob(layer.digest()).unwrap();
        let plain = imgmake_oci::layer::decompress(blob).unwrap();
        let index = Index::read(plain).unwrap();
        assert_eq!(*self.store.index(layer).unwrap(), index);
        let named = |e: IndexEntry| (String::from_utf8_lossy(&e.entry.path).into_owned(), e);
        index.entries.into_iter().map(named).collect()
    }

    pub fn layer(&self, entries: &[(Entry, &[u8])]) -> Layer {
        write_layer(&self.store, entries)
    }
}

fn write_layer(store: &Store, entries: &[(Entry, &[u8])]) -> Layer {
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

fn busybox(store: &Store) -> Layer {
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
        "mknod", "ps", "setsid", "kill", "tr", "true", "umount", "dd", "unshare", "readlink",
        "find", "sort", "seq",
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
    let probe = dir.path().join("probe");
    fs::copy(probe_program(), &probe).unwrap();
    let _tun = networks::OpenTun::new();
    let _held = Held(Addresses::of(254).added());
    for kind in ["rootless", "single-id", "chroot"] {
        let mut command = Command::new("setpriv");
        if kind == "chroot" {
            command.args(["--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]);
        } else {
            command.args(["--reuid", &id("-u"), "--regid", &id("-g"), "--clear-groups"]);
        }
        let output = command
            .arg(&tests)
            .args(["sandbox::", "adversary::command::", "--test-threads", "2"])
            .env(ISOLATION, kind)
            .env(PROGRAM, &imgmake)
            .env(PROBE, &probe)
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
