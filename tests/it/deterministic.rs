//! The same inputs give the same digest: for any user, in any directory, with
//! any number of threads, from any store.

use std::path::Path;

use crate::ground::images::bases;
use crate::ground::imgmake::{Imgmake, User};
use crate::ground::{temporary, write};

/// Files, links, modes, two stages, RUN with owners: everything that could show
/// who built it, and where.
fn project(directory: &Path) {
    let host = &bases().host;
    for i in 0..200 {
        write(
            directory,
            &format!("src/d{}/f{i}", i % 7),
            format!("{i}\n").repeat(i),
        );
    }
    std::os::unix::fs::symlink("d1/f1", directory.join("src/link")).unwrap();
    write(
        directory,
        "Dockerfile",
        format!(
            "FROM {host}/library/busybox:latest AS one\nRUN echo one > /one\n\
             FROM {host}/library/busybox:latest AS two\nRUN echo two > /two\n\
             FROM {host}/library/busybox:latest\nWORKDIR /w\nCOPY src /w/src\nCOPY --from=one /one /one\nCOPY --from=two /two /two\n\
             RUN ls -lR /w > /all; chown 5:6 /all; mkdir -m 1777 /sticky; ln /one /again\n"
        ),
    );
    write(
        directory,
        "imgmake.kdl",
        "imgmake version=1 { epoch 1700000000 }\nbuild app { context \".\"; tar \"out.tar\" format=oci }\n",
    );
}

fn archive(user: User, jobs: &str) -> [u8; 32] {
    let directory = temporary();
    project(directory.path());
    let imgmake = Imgmake::run_by(user);
    imgmake.give(directory.path());
    imgmake.ok(directory.path(), &["-j", jobs]);
    *blake3::hash(&std::fs::read(directory.path().join("out.tar")).unwrap()).as_bytes()
}

#[test]
fn the_archive_is_the_same_for_root_for_a_user_and_with_any_number_of_jobs() {
    let reference = archive(User::Own, "1");
    assert_eq!(archive(User::Own, "8"), reference);
    assert_eq!(archive(User::WithSubordinateIds, "4"), reference);
}
