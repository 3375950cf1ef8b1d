//! Base images made from Debian packages, kept between runs, and one registry
//! that serves them to every test of the process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::registry::Registry;
use super::{kept, run};

/// A registry with `library/debian:bookworm` and `library/busybox:latest`.
pub fn bases() -> &'static Registry {
    static BASES: OnceLock<Registry> = OnceLock::new();
    BASES.get_or_init(|| {
        let registry = Registry::start();
        for (layout, name) in [(debian(), "debian:bookworm"), (busybox(), "busybox:latest")] {
            let from = format!("oci:{}:base", layout.display());
            let to = format!("docker://{}/library/{name}", registry.host);
            run(
                "skopeo",
                &["copy", "-q", "--dest-tls-verify=false", &from, &to],
            );
        }
        registry
    })
}

/// A registry with `library/sudo:latest`: a minimal Debian with sudo.
pub fn with_sudo() -> &'static Registry {
    static WITH_SUDO: OnceLock<Registry> = OnceLock::new();
    WITH_SUDO.get_or_init(|| {
        let registry = Registry::start();
        let layout = debian_of("sudo", &["--include=sudo"]);
        let from = format!("oci:{}:base", layout.display());
        let to = format!("docker://{}/library/sudo", registry.host);
        run(
            "skopeo",
            &["copy", "-q", "--dest-tls-verify=false", &from, &to],
        );
        registry
    })
}

/// A registry with `library/curl:latest`: busybox, and this machine's curl with what it is linked to.
pub fn with_curl() -> &'static Registry {
    static WITH_CURL: OnceLock<Registry> = OnceLock::new();
    WITH_CURL.get_or_init(|| {
        let registry = Registry::start();
        let from = format!("oci:{}:base", curl().display());
        let to = format!("docker://{}/library/curl", registry.host);
        run(
            "skopeo",
            &["copy", "-q", "--dest-tls-verify=false", &from, &to],
        );
        registry
    })
}

fn curl() -> PathBuf {
    made_once("curl", |directory| {
        let root = directory.join("root");
        busybox_tree(&root);
        fs::remove_file(root.join("bin/curl")).unwrap_or_default();
        let linked = run("ldd", &["/usr/bin/curl"]);
        let libraries = linked.split_whitespace().filter(|w| w.starts_with('/'));
        for file in libraries.chain(["/usr/bin/curl"]) {
            let to = root.join(&file[1..]);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(file, to).unwrap();
        }
        let tar = directory.join("curl.tar");
        let all = [
            "-C",
            path(&root),
            "--owner=0",
            "--group=0",
            "-cf",
            path(&tar),
            ".",
        ];
        run("tar", &all);
        layout(directory, &tar, "sh");
        fs::remove_file(tar).unwrap();
    })
}

/// An OCI layout with a minimal Debian.
pub fn debian() -> PathBuf {
    debian_of("debian", &[])
}

fn debian_of(name: &str, options: &[&str]) -> PathBuf {
    made_once(name, |directory| {
        let tar = directory.join("debian.tar");
        let always = ["--quiet", "--variant=minbase", "--mode=root"];
        let what = ["bookworm", path(&tar)];
        run("mmdebstrap", &[&always[..], options, &what].concat());
        layout(directory, &tar, "bash");
        fs::remove_file(tar).unwrap();
    })
}

/// An OCI layout with a static busybox, a few users, and the usual folders.
pub fn busybox() -> PathBuf {
    made_once("busybox", |directory| {
        let tar = directory.join("busybox.tar");
        busybox_tree(&directory.join("root"));
        let root = directory.join("root");
        run(
            "tar",
            &[
                "-C",
                path(&root),
                "--owner=0",
                "--group=0",
                "--sort=name",
                "--mtime=@0",
                "-cf",
                path(&tar),
                ".",
            ],
        );
        layout(directory, &tar, "sh");
        fs::remove_file(tar).unwrap();
    })
}

/// Writes the root file system of the busybox image.
pub fn busybox_tree(root: &Path) {
    for folder in [
        "bin",
        "tmp",
        "etc",
        "root",
        "usr/bin",
        "var/cache",
        "home/user",
        "opt",
    ] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let program = ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .find(|p| Path::new(p).exists());
    fs::copy(
        program.expect("tests/run installs busybox-static"),
        root.join("bin/busybox"),
    )
    .unwrap();
    for applet in run(path(&root.join("bin/busybox")), &["--list"])
        .lines()
        .filter(|a| *a != "busybox")
    {
        drop(std::os::unix::fs::symlink(
            "busybox",
            root.join("bin").join(applet),
        ));
    }
    let users = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n";
    fs::write(root.join("etc/passwd"), users).unwrap();
    fs::write(
        root.join("etc/group"),
        "root:x:0:\nuser:x:1000:\nstaff:x:50:user\nnogroup:x:65534:\n",
    )
    .unwrap();
    fs::write(root.join("etc/os-release"), "ID=busybox\nNAME=busybox\n").unwrap();
    run("chmod", &["1777", path(&root.join("tmp"))]);
}

/// A layout directory `<name>` that is there whole or not at all; processes that
/// come at the same time wait for the first.
fn made_once(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let lock = File::create(kept().join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let done = kept().join(name);
    if !done.is_dir() {
        let making = kept().join(format!("{name}.making"));
        drop(fs::remove_dir_all(&making));
        fs::create_dir_all(&making).unwrap();
        make(&making);
        fs::rename(making.join("layout"), &done).unwrap();
        drop(fs::remove_dir_all(&making));
    }
    done
}

fn layout(directory: &Path, tar: &Path, command: &str) {
    let layout = directory.join("layout");
    let image = format!("{}:base", layout.display());
    run("umoci", &["init", "--layout", path(&layout)]);
    run("umoci", &["new", "--image", &image]);
    run("umoci", &["raw", "add-layer", "--image", &image, path(tar)]);
    let env = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let platform = ["--os", "linux", "--architecture", "amd64"];
    run(
        "umoci",
        &[
            &[
                "config",
                "--image",
                &image,
                "--config.cmd",
                command,
                "--config.env",
                env,
            ],
            &platform[..],
        ]
        .concat(),
    );
}

/// The one layer of a layout made here, as a file.
pub fn layer_blob(layout: &Path) -> PathBuf {
    let image = format!("oci:{}:base", layout.display());
    let manifest: serde_json::Value =
        serde_json::from_str(&run("skopeo", &["inspect", "--raw", &image])).unwrap();
    let digest = manifest["layers"][0]["digest"].as_str().unwrap();
    layout.join("blobs").join(digest.replace(':', "/"))
}

/// A path of ours as text.
pub fn path(path: &Path) -> &str {
    path.to_str().expect("the tests' own paths are text")
}
