//! Small inputs that claim to be huge fill no disk, and whatever takes long ends when it is told to.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::ground::images::bases;
use crate::ground::imgmake::Imgmake;
use crate::ground::{run, temporary, write};

const GIB: u64 = 1 << 30;

/// `directory/name`: a hole, and one byte behind it.
fn sparse_file(directory: &Path, name: &str, length: u64) {
    let file = File::create(directory.join(name)).unwrap();
    file.write_all_at(b"x", length - 1).unwrap();
}

fn sparse_archive(directory: &Path, name: &str, length: u64) {
    sparse_file(directory, "big", length);
    let at = directory.to_str().unwrap();
    run(
        "tar",
        &[
            "-C",
            at,
            "--sparse",
            "-cf",
            directory.join(name).to_str().unwrap(),
            "big",
        ],
    );
    fs::remove_file(directory.join("big")).unwrap();
}

fn manifest(directory: &Path) {
    let host = &bases().host;
    write(
        directory,
        "imgmake.kdl",
        format!(
            "registry base \"{host}\" {{ insecure #true }}\nbuild app {{ context \".\"; tar \"out.tar\" }}\n"
        ),
    );
}

fn dockerfile(directory: &Path, rest: &str) {
    let host = &bases().host;
    let text = format!("FROM {host}/library/busybox:latest\n{rest}\n");
    write(directory, "Dockerfile", text);
}

/// Bytes on the disk below a directory.
fn occupied(directory: &Path) -> u64 {
    let mut sum = 0;
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let meta = entry.metadata().unwrap();
        sum += match meta.is_dir() {
            true => occupied(&entry.path()),
            false => meta.blocks() * 512,
        };
    }
    sum
}

#[test]
fn a_sparse_file_of_an_archive_takes_no_space_and_is_whole_in_a_run() {
    let directory = temporary();
    manifest(directory.path());
    sparse_archive(directory.path(), "big.tar", GIB / 4);
    // A stage copies from another: the file comes out of the layer, not out of a tree.
    let host = &bases().host;
    write(
        directory.path(),
        "Dockerfile",
        format!(
            "FROM {host}/library/busybox:latest AS from\nADD big.tar /\n\
             FROM {host}/library/busybox:latest\nCOPY --from=from /big /big\n\
             RUN stat -c %s /big | grep -qx 268435456 && tail -c 1 /big | grep -qx x\n"
        ),
    );
    let imgmake = Imgmake::new();
    imgmake.ok(directory.path(), &[]);
    let occupied = occupied(&imgmake.store());
    assert!(occupied < GIB / 16, "{occupied} bytes");
}

#[test]
fn an_archive_that_claims_too_much_is_refused_by_the_name_of_its_entry() {
    let directory = temporary();
    manifest(directory.path());
    sparse_archive(directory.path(), "big.tar", 100 * GIB);
    dockerfile(directory.path(), "ADD big.tar /");
    Imgmake::new().refused(
        directory.path(),
        &[],
        1,
        &["big.tar", "`big`", "64 GiB of holes"],
    );
}

#[test]
fn a_run_that_leaves_a_file_of_holes_is_told_which_and_how_many_it_may() {
    let directory = temporary();
    manifest(directory.path());
    dockerfile(directory.path(), "RUN truncate -s 1099511627776 /var/holes");
    let imgmake = Imgmake::new();
    let says = [
        "/var/holes",
        "1099511627776 bytes are holes",
        "64 GiB",
        "make it shorter",
    ];
    imgmake.refused(directory.path(), &[], 1, &says);
    let occupied = occupied(&imgmake.store());
    assert!(occupied < GIB / 4, "{occupied} bytes");
}

#[test]
fn a_context_with_a_file_larger_than_any_layer_may_hold_is_refused() {
    let directory = temporary();
    manifest(directory.path());
    dockerfile(directory.path(), "ADD big.tar /");
    sparse_archive(directory.path(), "big.tar", 2048 * GIB);
    Imgmake::new().refused(directory.path(), &[], 1, &["`big`", "1024 GiB"]);
}

/// Seconds of processor time of all processes of this program.
fn spent(imgmake: &Imgmake) -> f64 {
    let program = imgmake.program();
    let mut ticks = 0;
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let path = process.path();
        let is_ours = fs::read_link(path.join("exe")).is_ok_and(|exe| exe == program)
            || fs::read(path.join("environ")).is_ok_and(|environment| {
                let home = imgmake.home();
                let home = home.to_str().unwrap().as_bytes();
                environment.windows(home.len()).any(|w| w == home)
            });
        let Ok(stat) = fs::read_to_string(path.join("stat")) else {
            continue;
        };
        if is_ours {
            let fields = stat.rsplit(')').next().unwrap().split_whitespace();
            let numbers: Vec<u64> = fields
                .skip(11)
                .take(2)
                .map(|n| n.parse().unwrap())
                .collect();
            ticks += numbers.iter().sum::<u64>();
        }
    }
    ticks as f64 / 100.0
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs until it is in the middle of minutes of work, then asks it to end.
fn ends_when_it_is_told_to(directory: &Path) {
    let imgmake = Imgmake::new();
    // What comes before the long part: the base is pulled once.
    let mut child: Child = imgmake
        .command(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("nothing is at work", || {
        assert!(
            child.try_wait().unwrap().is_none(),
            "it has ended by itself"
        );
        spent(&imgmake) > 4.0
    });
    run("kill", &["-TERM", &child.id().to_string()]);
    // The work itself would take many times as long.
    let told = Instant::now();
    let ended = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if told.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            panic!("it went on with its work");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(ended.code(), Some(143));
}

#[test]
fn hashing_a_context_ends_with_a_signal() {
    let directory = temporary();
    manifest(directory.path());
    sparse_file(directory.path(), "big", 900 * GIB);
    dockerfile(directory.path(), "COPY big /");
    ends_when_it_is_told_to(directory.path());
}

#[test]
fn packing_a_layer_of_an_archive_ends_with_a_signal() {
    let directory = temporary();
    manifest(directory.path());
    sparse_archive(directory.path(), "big.tar", 60 * GIB);
    dockerfile(directory.path(), "ADD big.tar /");
    ends_when_it_is_told_to(directory.path());
}

#[test]
fn recording_what_a_run_left_ends_with_a_signal() {
    let directory = temporary();
    manifest(directory.path());
    dockerfile(directory.path(), "RUN truncate -s 60G /big");
    ends_when_it_is_told_to(directory.path());
}

#[test]
fn unpacking_an_archive_of_little_that_becomes_much_ends_with_a_signal() {
    let directory = temporary();
    manifest(directory.path());
    // A file of 60 GiB, in frames of zstd that hold 64 MiB of zeros each.
    let mut header = tar::Header::new_gnu();
    header.set_path("big").unwrap();
    header.set_size(60 * GIB);
    header.set_mode(0o644);
    header.set_cksum();
    let pack = |bytes: &[u8]| zstd::bulk::compress(bytes, 1).unwrap();
    let mut packed = pack(header.as_bytes());
    packed.extend(pack(&vec![0; 64 << 20]).repeat(960));
    packed.extend(pack(&[0; 1024]));
    fs::write(directory.path().join("big.tar.zst"), packed).unwrap();
    dockerfile(directory.path(), "ADD big.tar.zst /");
    ends_when_it_is_told_to(directory.path());
}

/// Deep enough for any parser that recurses to leave its stack.
const DEEP: usize = 200_000;

fn refused_and_alive(what: &str, directory: &Path, arguments: &[&str]) {
    let ran = Imgmake::new().run(directory, arguments);
    let ended_itself = (0..=4).contains(&ran.code);
    assert!(ended_itself, "{what}: {} {:.2000}", ran.code, ran.stderr);
    assert!(
        ran.stderr.len() < 100_000,
        "{what}: {} bytes",
        ran.stderr.len()
    );
}

#[test]
fn nothing_that_is_nested_without_end_ends_the_process() {
    let directory = temporary();
    let at = directory.path();
    for (what, manifest) in [
        ("nodes", "a {".repeat(DEEP)),
        (
            "comments",
            format!("build app {{ context \".\" }} {}", "/*".repeat(DEEP)),
        ),
        ("slashdash", "/-".repeat(DEEP)),
        ("strings", format!("var A \"{}\"\n", "${A".repeat(DEEP / 2))),
        (
            "parentheses",
            format!("build app {{ context {}1 }}\n", "(".repeat(DEEP)),
        ),
    ] {
        write(at, "imgmake.kdl", &manifest);
        refused_and_alive(what, at, &["list"]);
    }
    for (what, bake) in [
        (
            "lists",
            format!("target \"default\" {{ tags = {} }}\n", "[".repeat(DEEP)),
        ),
        (
            "groups",
            format!("target \"default\" {{ tags = {}1 }}\n", "(".repeat(DEEP)),
        ),
        (
            "templates",
            format!(
                "target \"default\" {{ tags = [\"{}\"] }}\n",
                "${\"".repeat(DEEP)
            ),
        ),
        ("blocks", "a {\n".repeat(DEEP)),
        (
            "negations",
            format!("variable \"A\" {{ default = {}true }}\n", "!".repeat(DEEP)),
        ),
        (
            "minus",
            format!("variable \"A\" {{ default = {}1 }}\n", "- ".repeat(DEEP)),
        ),
        (
            "sums",
            format!("variable \"A\" {{ default = 1{} }}\n", " + 1".repeat(DEEP)),
        ),
        (
            "conditions",
            format!(
                "variable \"A\" {{ default = {}1 }}\n",
                "true ? 1 : ".repeat(DEEP)
            ),
        ),
        (
            "indexes",
            format!("variable \"A\" {{ default = a{} }}\n", "[0]".repeat(DEEP)),
        ),
        (
            "attributes",
            format!("variable \"A\" {{ default = a{} }}\n", ".b".repeat(DEEP)),
        ),
        (
            "calls",
            format!("variable \"A\" {{ default = {} }}\n", "upper(".repeat(DEEP)),
        ),
        ("comments", "/*".repeat(DEEP)),
    ] {
        write(at, "imgmake.kdl", "");
        std::fs::remove_file(at.join("imgmake.kdl")).unwrap();
        write(at, "docker-bake.hcl", &bake);
        refused_and_alive(what, at, &["import"]);
    }
    std::fs::remove_file(at.join("docker-bake.hcl")).unwrap();
    for (what, bake) in [
        ("JSON lists", "[".repeat(DEEP)),
        ("JSON objects", "{\"target\":".repeat(DEEP)),
        (
            "templates in JSON",
            format!(
                "{{\"target\":{{\"default\":{{\"tags\":[\"{}\"]}}}}}}",
                "${[".repeat(DEEP)
            ),
        ),
    ] {
        write(at, "docker-bake.json", &bake);
        refused_and_alive(what, at, &["import"]);
    }
    write(
        at,
        "imgmake.kdl",
        "build app { context \".\"; tar \"out.tar\" }\n",
    );
    for (what, dockerfile) in [
        (
            "words",
            format!("FROM scratch\nENV A={}\n", "${A:-".repeat(DEEP)),
        ),
        (
            "quotes",
            format!("FROM scratch\nENV A={}\n", "\"$A'".repeat(DEEP)),
        ),
        ("JSON", format!("FROM scratch\nCMD {}\n", "[".repeat(DEEP))),
        (
            "ONBUILD",
            format!("FROM scratch\n{}RUN x\n", "ONBUILD ".repeat(DEEP)),
        ),
        (
            "heredocs",
            format!("FROM scratch\nCOPY {} /\n", "<<A ".repeat(DEEP)),
        ),
        (
            "continuations",
            format!("FROM scratch\nENV A=1 {}\n", "\\\n".repeat(DEEP)),
        ),
        ("stages", "FROM scratch\n".repeat(20_000)),
        ("a chain of stages", {
            let stage = |n: usize| format!("FROM s{n} AS s{}\n", n + 1);
            format!(
                "FROM scratch AS s0\n{}COPY imgmake.kdl /\n",
                (0..20_000).map(stage).collect::<String>()
            )
        }),
        (
            "a pattern",
            format!("FROM scratch\nCOPY {}x /\n", "[a-".repeat(2000)),
        ),
    ] {
        write(at, "Dockerfile", &dockerfile);
        refused_and_alive(what, at, &[]);
    }
    write(at, "Dockerfile", "FROM scratch\nCOPY imgmake.kdl /\n");
    for (what, ignore) in [
        ("stars", "**/".repeat(DEEP)),
        ("a path", "a/".repeat(DEEP)),
        ("many stars", format!("{}b\n", "*a".repeat(50_000))),
    ] {
        write(at, ".dockerignore", &ignore);
        refused_and_alive(what, at, &[]);
    }
}

#[test]
fn documents_of_images_that_are_nested_without_end_are_refused() {
    let directory = temporary();
    let archive = directory.path().join("a.tar");
    for (name, content) in [
        ("manifest.json", "[".repeat(DEEP)),
        ("manifest.json", "[{\"Config\":".repeat(DEEP)),
        ("index.json", "{\"manifests\":[".repeat(DEEP)),
        (
            "index.json",
            format!(
                "{{\"schemaVersion\":2,\"manifests\":[],\"x\":{}",
                "[".repeat(DEEP)
            ),
        ),
    ] {
        let mut tar = tar::Builder::new(File::create(&archive).unwrap());
        for (name, content) in [
            (name, content.as_str()),
            ("oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}"),
        ] {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, content.as_bytes())
                .unwrap();
        }
        tar.finish().unwrap();
        let ran = Imgmake::new().run(directory.path(), &["inspect", "a.tar"]);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stderr.len() < 10_000);
    }
}

#[test]
fn texts_that_are_devices_or_holes_are_refused_before_they_fill_the_memory() {
    let directory = temporary();
    let at = directory.path();
    write(
        at,
        "imgmake.kdl",
        "build app { context \".\"; tar \"out.tar\" }\n",
    );
    File::create(at.join("Dockerfile"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    Imgmake::new().refused(at, &[], 1, &["Dockerfile", "16 MiB"]);
    write(at, "Dockerfile", "FROM scratch\nCOPY imgmake.kdl /\n");
    File::create(at.join(".dockerignore"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    Imgmake::new().refused(at, &[], 1, &[".dockerignore", "16 MiB"]);
    fs::remove_file(at.join("imgmake.kdl")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", at.join("imgmake.kdl")).unwrap();
    Imgmake::new().refused(at, &[], 2, &["imgmake.kdl", "larger"]);
    File::create(at.join("docker-bake.hcl"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    fs::remove_file(at.join("imgmake.kdl")).unwrap();
    Imgmake::new().refused(at, &["import"], 2, &["docker-bake.hcl", "16 MiB"]);
}
