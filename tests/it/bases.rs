//! How often a base's layers are read: once where a step needs them, as they come, and not at all where none does.

use std::fs;
use std::process::Command;

use crate::ground::images::bases;
use crate::ground::project::Project;
use crate::ground::registry::Registry;

/// How often a layer was opened to be read.
struct Reads {
    in_place: usize,
    /// Under the name that a blob has until it is whole.
    while_it_came: usize,
}

/// A layer is opened by whoever writes it, and then by each who reads it.
fn reads_of_the_base(project: &Project, layer: &str) -> Reads {
    let log = project.file("log");
    let program = project.imgmake.command(project.path());
    let mut traced = Command::new("strace");
    traced
        .args(["-f", "-qq", "-e", "trace=open,openat,openat2", "-o"])
        .arg(&log)
        .arg(program.get_program())
        .current_dir(project.path());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => traced.env(name, value),
            None => traced.env_remove(name),
        };
    }
    let output = traced.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let calls = fs::read_to_string(&log).unwrap();
    let read = |call: &&str| call.contains("O_RDONLY") && !call.contains("ENOENT");
    let opened: Vec<&str> = calls.lines().filter(read).collect();
    let count = |name: &str| opened.iter().filter(|call| call.contains(name)).count();
    Reads {
        in_place: count(&format!("blobs/sha256/{layer}\"")),
        while_it_came: count("/.tmp"),
    }
}

fn project(dockerfile: &str) -> Project {
    let host = &bases().host;
    Project::new("build app { context \"ctx\"; tags \"app:1\" }\n")
        .with("ctx/Dockerfile", &dockerfile.replace("HOST", host))
        .with("ctx/file", "1")
}

fn base() -> String {
    let manifest = bases().manifest("library/debian", "bookworm");
    let digest = manifest["layers"][0]["digest"].as_str().unwrap();
    digest.trim_start_matches("sha256:").to_string()
}

#[test]
fn a_base_that_is_new_is_read_once_whatever_needs_it() {
    for dockerfile in [
        // Its files are looked at, then a command sees them.
        "FROM HOST/library/debian:bookworm\nWORKDIR /w\nCOPY file .\nRUN cat file\nCOPY file again\n",
        "FROM HOST/library/debian:bookworm\nRUN true\nCOPY file /w/\n",
        "FROM HOST/library/debian:bookworm\nCOPY file /w/\n",
        // Two stages, of which one looks and one runs.
        "FROM HOST/library/debian:bookworm AS one\nRUN echo 1 > /one\nFROM HOST/library/debian:bookworm\nCOPY --from=one /one /\n",
    ] {
        let project = project(dockerfile);
        let reads = reads_of_the_base(&project, &base());
        let all = reads.in_place + reads.while_it_came;
        assert_eq!(all, 1, "{dockerfile}");
    }
}

#[test]
fn a_base_that_no_step_looks_at_is_not_unpacked() {
    let project = project("FROM HOST/library/debian:bookworm\nENV A=1\nCMD [\"sh\"]\n");
    project.build().succeeded();
    for directory in ["trees", "indexes"] {
        let there = fs::read_dir(project.imgmake.store().join(directory));
        let count = there.map_or(0, Iterator::count);
        assert_eq!(count, 0, "{directory}");
    }
    assert!(
        !project
            .imgmake
            .store()
            .join("blobs/sha256")
            .join(base())
            .exists()
    );
}

#[test]
fn a_base_that_a_command_needs_is_unpacked_while_it_comes() {
    let project = project("FROM HOST/library/debian:bookworm\nRUN true\n");
    let reads = reads_of_the_base(&project, &base());
    assert_eq!((reads.in_place, reads.while_it_came), (0, 1));
}

/// An archive in which one byte of a file is another: only the digest tells.
#[test]
fn what_was_unpacked_of_a_base_that_turns_out_to_be_another_is_gone() {
    let registry = Registry::start();
    let host = &registry.host;
    let project = Project::new(&format!(
        "registry r \"{host}\" {{ insecure #true }}\n\
         build base {{ context \"base\"; compression \"none\" }}\n\
         push push {{ images base; to r {{ repository \"base\"; tags \"1\" }} }}\n\
         build app {{ context \"app\" }}\n"
    ))
    .with("base/Dockerfile", "FROM scratch\nCOPY large /\n")
    .with("base/large", &"x".repeat(4 << 20))
    .with(
        "app/Dockerfile",
        &format!("FROM {host}/base:1\nRUN [\"/large\"]\nCOPY Dockerfile /\n"),
    );
    project.imgmake.ok(project.path(), &["push"]);
    let size = |file: &std::path::PathBuf| fs::metadata(file).unwrap().len();
    let layer = registry.blob_files().into_iter().max_by_key(size).unwrap();
    let mut bytes = fs::read(&layer).unwrap();
    bytes[2 << 20] = b'y';
    fs::write(&layer, bytes).unwrap();
    let store = project.file("other-store");
    let flag = format!("--store={}", store.display());
    let ran = project.imgmake.run(project.path(), &[&flag, "app"]);
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("not the blob"), "{ran:?}");
    let large = ["-type", "f", "-size", "+100k"];
    let found = crate::ground::run("find", &[&[store.to_str().unwrap()], &large[..]].concat());
    assert_eq!(found, "");
    let indexes = fs::read_dir(store.join("indexes"));
    assert_eq!(indexes.map_or(0, Iterator::count), 0);
}
