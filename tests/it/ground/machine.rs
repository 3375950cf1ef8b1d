//! The machine's own sources and settings of apt, and whom it trusts: in a context, so that
//! whoever reaches those registries outside of RUN reaches them inside.

use std::fs;
use std::path::Path;

/// Names of packages stand behind it.
pub const INSTALL: &str =
    "apt-get -q update && apt-get -q install -y --no-install-recommends -o APT::Sandbox::User=root";
/// What apt leaves behind differs between two runs: it is no part of what was installed.
pub const CLEAN: &str =
    "rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig/aux-cache /var/log/*";

/// Writes `apt/`, which goes to `/etc/apt`, and `trust.pem`.
pub fn settings(to: &Path) {
    for part in ["sources.list", "sources.list.d", "apt.conf.d"] {
        copy(
            &Path::new("/etc/apt").join(part),
            &to.join("apt").join(part),
        );
    }
    copy(
        Path::new("/etc/ssl/certs/ca-certificates.crt"),
        &to.join("trust.pem"),
    );
}

/// Follows links: a sources list may be one.
fn copy(from: &Path, to: &Path) {
    if !from.exists() {
        return;
    }
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}
