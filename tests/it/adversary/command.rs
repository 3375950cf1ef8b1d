//! A command that means harm: one program that tries everything a RUN could, in every
//! isolation mode, and what each mode answers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use imgmake_build::worker::{Network, RunRequest};
use imgmake_oci::layer::Entry;
use imgmake_sandbox::IsolationMode;

use crate::ground::docker::docker;
use crate::ground::images::{self, bases};
use crate::ground::imgmake::{Imgmake, User};
use crate::ground::{kept, run, temporary, write};
use crate::sandbox::{Ground, isolation_mode};

/// Names the probe to tests that run as another user.
pub const PROBE: &str = "IMGMAKE_TEST_PROBE";

/// Where a RUN is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting {
    Root,
    Rootless,
    SingleId,
    /// Root that may load a filter, and chooses chroot.
    ChrootWithFilter,
    /// Root without CAP_SYS_ADMIN, in no container.
    ChrootAlone,
}

/// What is done, all else being refused. Each is in the book's "How RUN is isolated".
fn allowed(setting: Setting) -> BTreeSet<&'static str> {
    use Setting::*;
    // The network is the host's.
    let network = ["abstract-socket", "loopback"];
    // Docker's set has NET_RAW, and in root isolation it holds for the host's network.
    let raw = ["packet-socket"];
    // Processes are the container's.
    let processes = ["signal"];
    // Without a filter whatever the kernel and its settings allow to root without CAP_SYS_ADMIN.
    let unfiltered = [
        "add-key",
        "bpf",
        "io-uring",
        "keyctl",
        "perf-event",
        "personality",
        "setns",
        "userfaultfd",
        "vsock",
    ];
    let lists: &[&[&str]] = match setting {
        Root => &[&network, &raw],
        Rootless | SingleId => &[&network],
        ChrootWithFilter => &[&network, &processes],
        ChrootAlone => &[&network, &processes, &unfiltered],
    };
    lists.concat().into_iter().collect()
}

fn setting() -> Setting {
    match isolation_mode() {
        IsolationMode::Root => Setting::Root,
        IsolationMode::Rootless => Setting::Rootless,
        IsolationMode::SingleId => Setting::SingleId,
        IsolationMode::Chroot => Setting::ChrootAlone,
    }
}

/// `probe.rs`, linked statically, made once a source.
pub fn probe_program() -> PathBuf {
    if let Some(made) = std::env::var_os(PROBE) {
        return made.into();
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/adversary/probe.rs");
    let hash = blake3::hash(&fs::read(&source).unwrap()).to_hex();
    let made = kept().join(format!("probe-{}", &hash.as_str()[..12]));
    let lock = fs::File::create(kept().join("probe.lock")).unwrap();
    lock.lock().unwrap();
    if !made.exists() {
        let making = kept().join("probe-making");
        let linked = [
            "--edition",
            "2024",
            "-O",
            "-C",
            "target-feature=+crt-static",
            "-o",
        ];
        let paths = [images::path(&making), images::path(&source)];
        run("rustc", &[&linked[..], &paths].concat());
        fs::rename(making, &made).unwrap();
    }
    made
}

/// Something to reach outside: a process, a file, a disk, and a listening socket.
struct Outside {
    file: PathBuf,
    local: TcpListener,
}

/// Abstract ones, for all tests of this process and for as long as it lives.
static SOCKETS: OnceLock<Vec<UnixListener>> = OnceLock::new();

impl Outside {
    fn new(directory: &Path) -> Outside {
        let file = directory.join("outside");
        fs::write(&file, "not for commands").unwrap();
        SOCKETS.get_or_init(|| {
            let listener = |process: u32| {
                let name = format!("imgmake-probe-{process}");
                UnixListener::bind_addr(&SocketAddr::from_abstract_name(name.as_bytes()).unwrap())
            };
            // In a container of the host's network imgmake is process 1; other processes of
            // tests may have that name already, which serves as well.
            let in_container = listener(1).ok();
            let own = listener(std::process::id()).unwrap();
            [own].into_iter().chain(in_container).collect()
        });
        Outside {
            file,
            local: TcpListener::bind("127.0.0.1:0").unwrap(),
        }
    }

    fn arguments(&self) -> Vec<String> {
        let (major, minor) = crate::sandbox::disk();
        vec![
            "attempts".to_string(),
            std::process::id().to_string(),
            self.file.to_str().unwrap().to_string(),
            format!("{major}:{minor}"),
            self.local.local_addr().unwrap().port().to_string(),
        ]
    }
}

/// The probe as a command of a step.
fn probe(ground: &Ground, arguments: &[String], user: &str, insecure: bool) -> String {
    let mut request = request(ground, arguments);
    request.insecure = insecure;
    request.user = user.to_string();
    answer(ground, &request)
}

fn answer(ground: &Ground, request: &RunRequest) -> String {
    let ran = ground.run(request);
    assert_eq!(ran.exit, 0, "{}", ran.err);
    ran.out
}

fn request(ground: &Ground, arguments: &[String]) -> RunRequest {
    let program = fs::read(probe_program()).unwrap();
    let entry = Entry::file("bin/probe", 0o755, program.len() as u64);
    let mut request = ground.request("");
    request.layers.push(ground.layer(&[(entry, &program)]));
    request.argv = vec!["/bin/probe".to_string()];
    request.argv.extend_from_slice(arguments);
    request
}

/// What was done, of an output that may have more in front of each line.
fn done(text: &str) -> BTreeSet<&str> {
    let mut count = 0;
    let mut done = BTreeSet::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [.., name, answer @ ("done" | "refused")] = words.as_slice() {
            count += 1;
            if *answer == "done" {
                done.insert(*name);
            }
        }
    }
    assert!(count > 50, "{text}");
    done
}

#[test]
fn a_run_is_refused_everything_that_its_isolation_mode_does_not_name() {
    let ground = Ground::new();
    let outside = Outside::new(ground.dir.path());
    let text = probe(&ground, &outside.arguments(), "", false);
    let expected = allowed(setting());
    match setting() {
        Setting::ChrootAlone => assert!(done(&text).is_subset(&expected), "{:?}", done(&text)),
        _ => assert_eq!(done(&text), expected),
    }
    // Nor has another user of the image any way that root has not.
    let text = probe(&ground, &outside.arguments(), "app", false);
    let more: Vec<_> = done(&text).difference(&expected).copied().collect();
    assert_eq!(more, Vec::<&str>::new());
}

#[test]
fn a_network_of_its_own_has_nothing_of_the_hosts() {
    if isolation_mode() == IsolationMode::Chroot {
        return;
    }
    let ground = Ground::new();
    let outside = Outside::new(ground.dir.path());
    for network in [Network::None, Network::Isolated] {
        let mut request = request(&ground, &outside.arguments());
        request.network = network;
        let text = answer(&ground, &request);
        // Packets of an empty network, which nobody else sees.
        let expected: &[&str] = match network {
            Network::None => &["packet-socket"],
            _ => &[],
        };
        let done: Vec<_> = done(&text).into_iter().collect();
        assert_eq!(done, expected, "{network:?}");
    }
}

#[test]
fn root_isolation_in_a_container_keeps_what_it_keeps_elsewhere() {
    if isolation_mode() != IsolationMode::Root {
        return;
    }
    let work = temporary();
    let outside = Outside::new(work.path());
    let arguments = outside.arguments().join(" ");
    let arguments = arguments.replace(images::path(&outside.file), "/work/outside");
    project(work.path(), &format!("RUN /bin/probe {arguments}\n"));
    let options = ["--cap-add", "SYS_ADMIN", "--env", "IMGMAKE_ISOLATION=root"];
    let ran = docker().run(work.path(), &options, &["imgmake"]);
    let text = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, 0, "{text}");
    let allowed = allowed(Setting::Root);
    let more: Vec<_> = done(&text).difference(&allowed).copied().collect();
    assert_eq!(more, Vec::<&str>::new());
}

#[test]
fn what_dockers_containers_refuse_is_refused() {
    if isolation_mode() != IsolationMode::Root {
        return;
    }
    let work = temporary();
    let ground = Ground::new();
    let outside = Outside::new(work.path());
    let volume = format!("{}:/probe:ro", probe_program().display());
    let arguments = outside.arguments();
    let mut command = vec!["/probe"];
    command.extend(arguments.iter().map(String::as_str));
    let ran = docker().run(work.path(), &["--volume", &volume], &command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let theirs = done(&ran.stdout);
    let ours = probe(&ground, &arguments, "", false);
    let more: Vec<_> = done(&ours).difference(&theirs).copied().collect();
    assert_eq!(more, Vec::<&str>::new(), "Docker refuses these");
    // The probe is able to tell: without confinement some of it is done.
    let insecure = probe(&ground, &arguments, "", true);
    for name in ["mount", "umount", "set-hostname"] {
        let insecure = done(&insecure);
        assert!(insecure.contains(name) && !theirs.contains(name), "{name}");
    }
}

/// The words of `probe status`.
fn status(text: &str) -> BTreeMap<&str, &str> {
    let pairs = text.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [.., name, value] = words.as_slice() else {
            return None;
        };
        Some((*name, *value))
    });
    pairs.collect()
}

const DOCKERS: &str = "a80425fb";
/// Without MKNOD, SYS_CHROOT and NET_RAW; with SETFCAP.
const IN_CHROOT: &str = "a00005fb";

fn has_capabilities(status: &BTreeMap<&str, &str>, held: &str, bounding: &str) {
    for (set, expected) in [
        ("effective", held),
        ("permitted", held),
        ("bounding", bounding),
        ("inheritable", "0"),
        ("ambient", "0"),
        ("no-new-privileges", "0"),
    ] {
        assert_eq!(status[set], expected, "{set} in {status:?}");
    }
}

#[test]
fn a_run_has_the_capabilities_of_dockers_containers_at_most() {
    let ground = Ground::new();
    let all = match isolation_mode() {
        IsolationMode::Chroot => IN_CHROOT,
        _ => DOCKERS,
    };
    let asked = ["status".to_string()];
    let root = probe(&ground, &asked, "", false);
    has_capabilities(&status(&root), all, all);
    let user = probe(&ground, &asked, "app", false);
    has_capabilities(&status(&user), "0", all);
    let filtered = match setting() {
        Setting::ChrootAlone => "0",
        _ => "2",
    };
    assert_eq!(status(&root)["seccomp"], filtered);
    assert_eq!(status(&user)["seccomp"], filtered);
}

#[test]
fn keys_of_the_session_that_started_the_build_are_not_found() {
    // Run by the test below, in a session that has a key.
    if std::env::var_os(KEY).is_none() {
        let key = "imgmake-test-key";
        let mut command = Command::new(probe_program());
        command.args(["with-key", key]);
        command.arg(std::env::current_exe().unwrap());
        command.args(["keys_of_the_session_that", "--nocapture"]);
        let output = command.env(KEY, key).output().unwrap();
        crate::ground::succeeded("the tests, with a key", &output);
        return;
    }
    let key = std::env::var(KEY).unwrap();
    let asked = ["has-key".to_string(), key.clone()];
    // Outside it is found.
    assert_eq!(
        run(images::path(&probe_program()), &["has-key", &key]),
        "found\n"
    );
    assert_eq!(probe(&Ground::new(), &asked, "", false), "not found\n");
}

const KEY: &str = "IMGMAKE_TEST_KEY";

/// A project whose steps are the probe's; `{busybox}` is its base.
fn project(directory: &Path, steps: &str) {
    let host = &bases().host;
    fs::copy(probe_program(), directory.join("probe")).unwrap();
    write(
        directory,
        "Dockerfile",
        format!("FROM {host}/library/debian:bookworm\nCOPY probe /bin/probe\n{steps}"),
    );
    write(
        directory,
        "imgmake.kdl",
        format!(
            "registry base \"{host}\" {{ insecure #true }}\n\
             build app {{ context \".\"; tar \"out.tar\" }}\n"
        ),
    );
}

#[test]
fn under_dockers_profile_a_run_has_that_profile_and_is_refused_the_same() {
    if isolation_mode() != IsolationMode::Root {
        return;
    }
    let work = temporary();
    let outside = Outside::new(work.path());
    let arguments = outside.arguments().join(" ");
    // In the container imgmake itself is process 1, and the file lies in its volume.
    let arguments = arguments.replacen(&std::process::id().to_string(), "1", 1);
    let arguments = arguments.replace(images::path(&outside.file), "/work/outside");
    project(
        work.path(),
        &format!("RUN /bin/probe status\nRUN /bin/probe {arguments}\n"),
    );
    let ran = docker().run(work.path(), &[], &["imgmake"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let text = format!("{}{}", ran.stdout, ran.stderr);
    let status = status(&text);
    assert_eq!(status["seccomp"], "2");
    has_capabilities(&status, IN_CHROOT, IN_CHROOT);
    // Processes of the container are seen; the rest is as in the container itself.
    let probed = format!("/work/probe {arguments}");
    let theirs = docker()
        .run(work.path(), &[], &["sh", "-c", &probed])
        .stdout;
    let mut expected = done(&theirs);
    expected.insert("signal");
    let more: Vec<_> = done(&text).difference(&expected).copied().collect();
    assert_eq!(more, Vec::<&str>::new());
    assert!(!text.contains("no system call filter"), "{text}");
    let doctor = docker()
        .run(work.path(), &[], &["imgmake", "doctor"])
        .stdout;
    for piece in [
        "capabilities: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE AUDIT_WRITE SETFCAP\n",
        "system calls: filtered by the container's own profile",
    ] {
        assert!(doctor.contains(piece), "{piece} is not in:\n{doctor}");
    }
}

#[test]
fn in_chroot_isolation_imgmakes_own_filter_is_loaded_where_it_may_be_and_missed_where_not() {
    if isolation_mode() != IsolationMode::Root {
        return;
    }
    let work = temporary();
    let outside = Outside::new(work.path());
    let arguments = outside.arguments().join(" ");
    project(
        work.path(),
        &format!("RUN /bin/probe status\nRUN /bin/probe {arguments}\n"),
    );
    let imgmake = Imgmake::new().with("IMGMAKE_ISOLATION", "chroot");
    let ran = imgmake.ok(work.path(), &[]);
    let text = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(status(&text)["seccomp"], "2");
    has_capabilities(&status(&text), IN_CHROOT, IN_CHROOT);
    assert_eq!(done(&text), allowed(Setting::ChrootWithFilter));
    assert!(!text.contains("no system call filter"), "{text}");
    let options = [
        "--security-opt",
        "seccomp=unconfined",
        "--env",
        "IMGMAKE_ISOLATION=chroot",
    ];
    let ran = docker().run(work.path(), &options, &["imgmake", "--force"]);
    let text = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, 0, "{text}");
    assert_eq!(status(&text)["seccomp"], "0");
    assert_eq!(
        text.matches("warning: no system call filter").count(),
        1,
        "{text}"
    );
    let doctor = docker()
        .run(work.path(), &options, &["imgmake", "doctor"])
        .stdout;
    assert!(doctor.contains("system calls: not filtered"), "{doctor}");
}

/// A user who becomes root by `su`, and a program with a capability of its own.
const PRIVILEGED: &str = "RUN useradd app && echo root:password | chpasswd\n\
     RUN cp /bin/probe /bin/capable && /bin/probe give-capability /bin/capable && \
     cp /bin/probe /bin/setuid && chmod 4755 /bin/setuid\n\
     USER app\n\
     RUN test $(id -u) != 0 && echo password | su root -c 'echo became $(id -u)'\n\
     RUN /bin/setuid status | grep -e user -e effective\n\
     RUN echo capable $(/bin/capable status | grep effective)\n";

#[track_caller]
fn privileges_were_gained(text: &str, effective: &str) {
    for piece in [
        "became 0",
        "user 0",
        &format!("effective {effective}"),
        "capable effective 400",
    ] {
        assert!(text.contains(piece), "`{piece}` is not in:\n{text}");
    }
}

#[test]
fn su_setuid_programs_and_file_capabilities_work() {
    if isolation_mode() != IsolationMode::Root {
        return;
    }
    let work = temporary();
    project(work.path(), PRIVILEGED);
    let own = [
        (User::Own, "root", DOCKERS),
        (User::Own, "chroot", IN_CHROOT),
        (User::WithSubordinateIds, "rootless", DOCKERS),
    ];
    for (user, isolation, effective) in own {
        let imgmake = Imgmake::run_by(user).with("IMGMAKE_ISOLATION", isolation);
        imgmake.give(work.path());
        let ran = imgmake.ok(work.path(), &["--force"]);
        privileges_were_gained(&format!("{}{}", ran.stdout, ran.stderr), effective);
    }
    let ran = docker().run(work.path(), &[], &["imgmake", "--force"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    privileges_were_gained(&format!("{}{}", ran.stdout, ran.stderr), IN_CHROOT);
}

#[test]
fn sudo_works() {
    if isolation_mode() != IsolationMode::Root {
        return;
    }
    let host = &images::with_sudo().host;
    let work = temporary();
    let dockerfile = |defaults: &str| {
        let text = format!(
            "FROM {host}/library/sudo\n\
             RUN useradd app && echo '{defaults}' > /etc/sudoers.d/app && \
             echo 'app ALL=(ALL) NOPASSWD: ALL' >> /etc/sudoers.d/app\n\
             USER app\n\
             RUN test $(id -u) != 0 && sudo sh -c 'echo became $(id -u) > /root/made'\n\
             RUN sudo cat /root/made && echo then $(sudo -u nobody id -un)\n"
        );
        write(work.path(), "Dockerfile", text);
    };
    // There are no terminals in a chroot.
    const WITHOUT_TERMINAL: &str = "Defaults !use_pty";
    write(
        work.path(),
        "imgmake.kdl",
        format!(
            "registry base \"{host}\" {{ insecure #true }}\n\
             build app {{ context \".\"; tar \"out.tar\" }}\n"
        ),
    );
    let sudo_worked = |text: &str| {
        assert!(text.contains("became 0"), "{text}");
        assert!(text.contains("then nobody"), "{text}");
    };
    for (user, isolation, defaults) in [
        (User::Own, "root", ""),
        (User::Own, "chroot", WITHOUT_TERMINAL),
        (User::WithSubordinateIds, "rootless", ""),
    ] {
        dockerfile(defaults);
        let imgmake = Imgmake::run_by(user).with("IMGMAKE_ISOLATION", isolation);
        imgmake.give(work.path());
        let ran = imgmake.ok(work.path(), &["--force"]);
        sudo_worked(&format!("{}{}", ran.stdout, ran.stderr));
    }
    dockerfile(WITHOUT_TERMINAL);
    let ran = docker().run(work.path(), &[], &["imgmake", "--force"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    sudo_worked(&format!("{}{}", ran.stdout, ran.stderr));
}

#[test]
fn credentials_of_the_container_cannot_be_reached_from_a_run() {
    if isolation_mode() != IsolationMode::Root {
        return;
    }
    let work = temporary();
    let places = [
        "/kaniko/.docker/config.json",
        "/credentials/config.json",
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
        "/work/home/.docker/config.json",
        "/work/store/key",
    ];
    let marker = r#"{"auths":{}}"#;
    write(work.path(), "home/.docker/config.json", marker);
    write(work.path(), "store/key", marker);
    let secrets = temporary();
    for name in ["config.json", "token"] {
        write(secrets.path(), name, marker);
    }
    let volumes = [
        "/kaniko/.docker",
        "/credentials",
        "/var/run/secrets/kubernetes.io/serviceaccount",
    ]
    .map(|at| format!("{}:{at}:ro", secrets.path().display()));
    let mut options = vec!["--env", "DOCKER_CONFIG=/credentials"];
    for volume in &volumes {
        options.extend(["--volume", volume]);
    }
    let hunt = places.join(" ");
    project(
        work.path(),
        &format!(
            "RUN /bin/probe hunt {hunt}\nUSER 65534\nWORKDIR /tmp\n\
             RUN --mount=type=cache,target=/c --mount=type=bind,target=/b --mount=type=tmpfs,target=/t \
             --mount=type=secret,id=none /bin/probe hunt {hunt}\n"
        ),
    );
    write(work.path(), ".dockerignore", "*\n!probe\n");
    // The hunt is able to find: it does in the container itself.
    let seen = docker().run(
        work.path(),
        &options,
        &[&["/work/probe", "hunt"], &places[..]].concat(),
    );
    for place in places {
        assert!(
            seen.stdout.contains(&format!("{place} by ")),
            "{place}: {}",
            seen.stdout
        );
    }
    assert!(seen.stdout.contains("DOCKER_CONFIG"), "{}", seen.stdout);
    let ran = docker().run(work.path(), &options, &["imgmake"]);
    let text = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, 0, "{text}");
    assert_eq!(text.matches(" hunted").count(), 2, "{text}");
    for found in [
        " by /",
        " by ../",
        " by descriptor",
        "is a directory",
        " by a second",
        "names it",
    ] {
        assert!(!text.contains(found), "{text}");
    }
}

#[test]
fn a_dockerfile_gets_every_right_only_where_the_manifest_allows_it() {
    if isolation_mode() != IsolationMode::Root {
        return;
    }
    let work = temporary();
    project(work.path(), "RUN --security=insecure /bin/probe status\n");
    let imgmake = Imgmake::new();
    let refused = imgmake.refused(
        work.path(),
        &[],
        1,
        &[
            "Dockerfile:3",
            "--security=insecure",
            "`allow \"security.insecure\"`",
        ],
    );
    assert!(!refused.stdout.contains("effective"), "{}", refused.stdout);
    let manifest = work.path().join("imgmake.kdl");
    let allowed = fs::read_to_string(&manifest).unwrap();
    let allowed = allowed.replace("context", "allow \"security.insecure\"; context");
    fs::write(&manifest, &allowed).unwrap();
    let ran = imgmake.ok(work.path(), &[]);
    let text = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(status(&text)["seccomp"], "0");
    let own = run(images::path(&probe_program()), &["status"]);
    assert_eq!(status(&text)["effective"], status(&own)["effective"]);
    let chroot = Imgmake::new().with("IMGMAKE_ISOLATION", "chroot");
    chroot.refused(
        work.path(),
        &[],
        1,
        &["needs real root, and this is chroot isolation"],
    );
    fs::write(
        &manifest,
        allowed.replace("security.insecure", "security.insecur"),
    )
    .unwrap();
    imgmake.refused(work.path(), &[], 2, &["did you mean `security.insecure`?"]);
}
