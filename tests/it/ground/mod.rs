//! The ground that the tests stand on: real registries, real base images, real
//! users, peers to compare with. Nothing here is skipped: what is missing fails,
//! and `tests/run` installs it.

pub mod addresses;
pub mod agent;
pub mod cosign;
pub mod deb;
pub mod docker;
pub mod ecr;
pub mod expected;
pub mod fat;
pub mod images;
pub mod imgmake;
pub mod machine;
pub mod peers;
pub mod pipeline;
pub mod podman;
pub mod project;
pub mod registry;
pub mod terminal;
pub mod tree;
pub mod web;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where made-once things are kept: beside the build, so `cargo clean` removes them.
pub fn kept() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ground");
    std::fs::create_dir_all(&target).unwrap();
    target
}

/// A temporary directory that every user can enter.
pub fn temporary() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::Builder::new()
        .prefix("imgmake-it-")
        .tempdir()
        .unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

/// Runs a program that must succeed; its standard output.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| {
            panic!("cannot start `{program}` ({error}); `tests/run` installs what the tests need")
        });
    succeeded(&format!("{program} {}", arguments.join(" ")), &output)
}

/// The standard output of a program that must have succeeded.
pub fn succeeded(what: &str, output: &Output) -> String {
    assert!(
        output.status.success(),
        "{what} failed with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// git in a directory, as a user of its own.
pub fn git(directory: &Path, arguments: &[&str]) -> String {
    let done = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@b"])
        .args(["-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    succeeded(&format!("git {}", arguments.join(" ")), &done)
}

/// Copies files of this repository to the same places below `directory`, modes included.
pub fn own_files(directory: &Path, files: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in files {
        let to = directory.join(file);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(root.join(file), to).unwrap();
    }
}

/// Writes a file below `directory`, making its parents.
pub fn write(directory: &Path, path: &str, content: impl AsRef<[u8]>) {
    let path = directory.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}
