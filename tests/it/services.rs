//! Packages with services and users of their own, from Debian itself: their scripts make users and
//! directories, link, register alternatives and services. Minutes: `tests/run --long` runs them.

use std::path::Path;

use crate::ground::images::bases;
use crate::ground::imgmake::{Imgmake, User};
use crate::ground::machine::{self, CLEAN, INSTALL};
use crate::ground::tree::{Tree, assert_same, unpack, without_owner};
use crate::ground::{temporary, write};

const PACKAGES: &str = "openssh-server postgresql-common";

/// Keys that are made anew by each installation, with the links to one of them.
const MADE: &str = "rm -f /etc/ssh/ssh_host_* /etc/ssl/private/ssl-cert-snakeoil.key \
    /etc/ssl/certs/ssl-cert-snakeoil.pem /var/cache/debconf/*-old && find -L /etc/ssl/certs -type l -delete";

/// What belongs to root alone where there is no other id.
const OWNED_BY_OTHERS: [&str; 9] = [
    "etc/gshadow",
    "etc/gshadow-",
    "etc/postgresql",
    "etc/shadow",
    "etc/shadow-",
    "etc/ssl/private",
    "run/postgresql",
    "usr/bin/ssh-agent",
    "var/lib/postgresql",
];

fn project(directory: &Path) {
    let host = &bases().host;
    machine::settings(&directory.join("machine"));
    write(
        directory,
        "Dockerfile",
        format!(
            "FROM {host}/library/debian:bookworm\n\
             COPY machine/trust.pem /etc/trust.pem\n\
             COPY machine/apt /etc/apt\n\
             RUN export DEBIAN_FRONTEND=noninteractive SOURCE_DATE_EPOCH=1700000000; \
             {INSTALL} {PACKAGES} && {CLEAN} && {MADE}\n"
        ),
    );
    write(directory, ".dockerignore", "out.tar\n");
    write(
        directory,
        "imgmake.kdl",
        format!(
            "registry base \"{host}\" {{ insecure #true }}\n\
             build app {{ context \".\"; tar \"out.tar\" format=oci }}\n"
        ),
    );
}

fn installed(user: User, isolation: &str) -> Tree {
    let directory = temporary();
    project(directory.path());
    let imgmake = Imgmake::run_by(user).with("IMGMAKE_ISOLATION", isolation);
    imgmake.give(directory.path());
    imgmake.ok(directory.path(), &["app"]);
    let archive = directory.path().join("out.tar");
    unpack(&format!("oci-archive:{}", archive.display())).tree
}

#[test]
#[ignore = "long: tests/run --long runs it"]
fn services_are_installed_alike_in_every_isolation() {
    let (by_root, chrooted, by_user, with_one_id) = std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            let root = installed(User::Own, "root");
            (root, installed(User::Own, "chroot"))
        });
        let second = scope.spawn(|| {
            let rootless = installed(User::WithSubordinateIds, "rootless");
            (rootless, installed(User::Plain, "single-id"))
        });
        let (root, chroot) = first.join().unwrap();
        let (rootless, single) = second.join().unwrap();
        (root, chroot, rootless, single)
    });
    assert_same(&by_root, &by_user);
    assert_same(&by_root, &chrooted);
    // Set-id bits are recorded even there.
    assert_same(&without_owners(&by_root), &without_owners(&with_one_id));
    let others: Vec<&str> = by_root
        .iter()
        .filter(|(path, node)| with_one_id[*path] != **node)
        .map(|(path, _)| path.as_str())
        .collect();
    assert_eq!(others, OWNED_BY_OTHERS);
}

fn without_owners(tree: &Tree) -> Tree {
    tree.iter()
        .map(|(path, node)| (path.clone(), without_owner(node)))
        .collect()
}
