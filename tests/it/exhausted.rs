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
