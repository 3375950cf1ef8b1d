//! buildah, as a second opinion on what a Dockerfile means.

use std::path::Path;

use super::images::path;
use super::{run, temporary};

/// Builds a Dockerfile with buildah into an OCI archive.
pub fn buildah(context: &Path, archive: &Path) {
    let storage = temporary();
    let root = storage.path().join("root");
    let runroot = storage.path().join("run");
    let driver = [
        "--root",
        path(&root),
        "--runroot",
        path(&runroot),
        "--storage-driver",
        "overlay",
    ];
    let build = [
        "bud",
        "-q",
        "--layers",
        "--format",
        "oci",
        "--isolation",
        "chroot",
        "--tls-verify=false",
        "-t",
        "it",
    ];
    run(
        "buildah",
        &[&driver[..], &build[..], &[path(context)]].concat(),
    );
    let to = format!("oci-archive:{}", archive.display());
    run(
        "buildah",
        &[&driver[..], &["push", "-q", "it", &to]].concat(),
    );
    // Its mounts hold the directory.
    run("buildah", &[&driver[..], &["rmi", "-af"]].concat());
    drop(
        std::process::Command::new("umount")
            .arg(root.join("overlay"))
            .output(),
    );
}
