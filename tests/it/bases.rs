//! How often a base's layers are read: once where a step needs them, and not at all where none does.

use std::fs;
use std::process::Command;

use crate::ground::images::bases;
use crate::ground::project::Project;

/// A layer is opened by whoever writes it, and then by each who reads it.
fn reads_of_the_base(project: &Project, layer: &str) -> usize {
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
    let name = format!("blobs/sha256/{layer}\"");
    let opened = calls
        .lines()
        .filter(|call| call.contains(&name) && call.contains("O_RDONLY"));
    opened.count()
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
        let layer = base();
        assert_eq!(reads_of_the_base(&project, &layer), 1, "{dockerfile}");
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
