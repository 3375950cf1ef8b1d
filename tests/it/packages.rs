//! `RUN apt-get install` in every kind of isolation, on a real Debian: package
//! scripts make users, give files away and keep setuid bits, and the image is the same.

use std::path::Path;
use std::sync::OnceLock;

use crate::ground::docker::docker;
use crate::ground::images::bases;
use crate::ground::imgmake::{Imgmake, User};
use crate::ground::tree::{Tree, assert_same, unpack, without_owner};
use crate::ground::{deb, temporary, write};

fn project(directory: &Path) {
    let host = &bases().host;
    deb::write_packages(&directory.join("debs"));
    let install = deb::INSTALL;
    write(
        directory,
        "Dockerfile",
        format!(
            "FROM {host}/library/debian:bookworm AS installed\nCOPY debs /debs\nRUN {install}\n\
             RUN rm -r /usr/share/hello && mkdir /usr/share/hello && echo other > /usr/share/hello/greeting\n\
             USER hello\nRUN hello > /var/lib/hello/said\n\
             FROM {host}/library/busybox:latest\nCOPY --from=installed /var/lib/hello /hello\n\
             COPY --from=installed /usr/bin/hello-setuid /usr/bin/\n"
        ),
    );
    write(directory, ".dockerignore", "*\n!debs\n");
    write(
        directory,
        "imgmake.kdl",
        format!(
            "imgmake version=1 {{ epoch 1700000000 }}\nregistry base \"{host}\" {{ insecure #true }}\n\
             build installed {{ context \".\"; stage installed; tar \"installed.tar\" format=oci }}\n\
             build app {{ context \".\"; tar \"app.tar\" format=oci }}\n\
             group default installed app\n"
        ),
    );
}

struct Built {
    directory: tempfile::TempDir,
}

impl Built {
    fn by(imgmake: &Imgmake) -> Built {
        let directory = temporary();
        project(directory.path());
        imgmake.give(directory.path());
        imgmake.ok(directory.path(), &[]);
        Built { directory }
    }

    fn digests(&self) -> [String; 2] {
        ["installed.tar", "app.tar"].map(|name| {
            let bytes = std::fs::read(self.directory.path().join(name)).unwrap();
            blake3::hash(&bytes).to_hex().to_string()
        })
    }

    fn tree(&self) -> Tree {
        let archive = self.directory.path().join("installed.tar");
        unpack(&format!("oci-archive:{}", archive.display())).tree
    }
}

/// By root, with every namespace there is.
fn reference() -> &'static Built {
    static REFERENCE: OnceLock<Built> = OnceLock::new();
    REFERENCE.get_or_init(|| Built::by(&Imgmake::new().with("IMGMAKE_ISOLATION", "root")))
}

#[test]
fn root_installs_packages_with_their_owners_and_bits() {
    let tree = reference().tree();
    let said = |path: &str, of: &str| {
        let node = tree.get(path).unwrap_or_else(|| panic!("no {path}"));
        assert!(node.contains(of), "{path}: {node}");
    };
    said("usr/bin/hello-setuid", " 6755 5:8 ");
    said("var/lib/hello/private", "directory 2770 ");
    assert!(!tree["var/lib/hello/mine"].contains(" 0:0 "));
    assert!(!tree.contains_key("usr/share/hello/again"));
}

#[test]
fn an_ordinary_user_with_subordinate_ids_makes_the_same_image() {
    let built = Built::by(&Imgmake::run_by(User::WithSubordinateIds));
    assert_eq!(built.digests(), reference().digests());
}

#[test]
fn so_does_root_who_may_only_chroot() {
    let built = Built::by(&Imgmake::new().with("IMGMAKE_ISOLATION", "chroot"));
    assert_eq!(built.digests(), reference().digests());
}

#[test]
fn so_does_root_in_a_usual_container() {
    let directory = temporary();
    project(directory.path());
    let ran = docker().run(directory.path(), &[], &["imgmake"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let built = Built { directory };
    assert_eq!(built.digests(), reference().digests());
}

#[test]
fn with_a_single_id_all_is_the_same_but_the_owners() {
    let built = Built::by(&Imgmake::run_by(User::Plain));
    let without_owners = |tree: Tree| -> Tree {
        tree.into_iter()
            .map(|(path, node)| (path, without_owner(&node)))
            .collect()
    };
    let tree = built.tree();
    assert!(tree["usr/bin/hello-setuid"].contains(" 6755 0:0 "));
    assert_same(&without_owners(tree), &without_owners(reference().tree()));
}
