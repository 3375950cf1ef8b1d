//! Toolchains inside of images: compilers and package managers, installed and used by RUN,
//! with packages from their registries. Minutes each: `tests/run --long` runs them.

use std::path::Path;

use crate::ground::images::bases;
use crate::ground::imgmake::{Imgmake, User};
use crate::ground::machine::{self, CLEAN, INSTALL};
use crate::ground::tree::{Tree, assert_same, unpack};
use crate::ground::{peers, temporary, write};

struct Toolchain {
    packages: &'static str,
    /// Name and text of each file of the context.
    sources: &'static [(&'static str, &'static str)],
    /// Run in /work; leaves `/work/out`, which prints `hello` when it is run.
    command: &'static str,
}

const C: Toolchain = Toolchain {
    packages: "gcc libc6-dev make",
    sources: &[
        (
            "hello.c",
            "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n",
        ),
        (
            "Makefile",
            "out: hello.c\n\tcc -O2 -static -o out hello.c\n",
        ),
    ],
    command: "make && make -q",
};

const PYTHON: Toolchain = Toolchain {
    packages: "python3-venv",
    sources: &[
        ("requirements.txt", "six==1.16.0\n"),
        (
            "hello.py",
            "#!/work/venv/bin/python\nimport six\nsix.print_('hello')\n",
        ),
    ],
    command: "python3 -m venv venv && venv/bin/pip install -q --no-cache-dir -r requirements.txt \
              && cp hello.py out && chmod 755 out",
};

const NODE: Toolchain = Toolchain {
    packages: "nodejs npm",
    sources: &[
        (
            "package.json",
            r#"{"name":"hello","version":"1.0.0","dependencies":{"left-pad":"1.3.0"}}"#,
        ),
        (
            "hello.js",
            "#!/usr/bin/node\nconsole.log(require('/work/node_modules/left-pad')('hello', 5));\n",
        ),
    ],
    command: "npm install --no-audit --no-fund --cache /tmp/npm && rm -rf /tmp/npm \
              && cp hello.js out && chmod 755 out",
};

/// A dependency beside it: Debian's cargo looks for crates in an index that only git can fetch.
const RUST: Toolchain = Toolchain {
    packages: "cargo",
    sources: &[
        (
            "Cargo.toml",
            "[package]\nname = \"hello\"\nversion = \"1.0.0\"\nedition = \"2021\"\n\n[dependencies]\ngreeting = { path = \"greeting\" }\n",
        ),
        (
            "src/main.rs",
            "fn main() { println!(\"{}\", greeting::text()); }\n",
        ),
        (
            "greeting/Cargo.toml",
            "[package]\nname = \"greeting\"\nversion = \"1.0.0\"\nedition = \"2021\"\n",
        ),
        (
            "greeting/src/lib.rs",
            "pub fn text() -> &'static str { \"hello\" }\n",
        ),
    ],
    command: "cargo build --release --offline && cp target/release/hello out && rm -rf target",
};

fn project(directory: &Path, toolchain: &Toolchain) {
    machine::settings(&directory.join("machine"));
    for (name, text) in toolchain.sources {
        write(directory, &format!("work/{name}"), text);
    }
    let host = &bases().host;
    let Toolchain {
        packages, command, ..
    } = toolchain;
    write(
        directory,
        "Dockerfile",
        format!(
            "FROM {host}/library/debian:bookworm AS made\n\
             ENV PIP_CERT=/etc/trust.pem NODE_EXTRA_CA_CERTS=/etc/trust.pem DEBIAN_FRONTEND=noninteractive\n\
             COPY machine/trust.pem /etc/trust.pem\n\
             COPY machine/apt /etc/apt\n\
             RUN {INSTALL} {packages} && {CLEAN}\n\
             WORKDIR /work\n\
             COPY work .\n\
             RUN {command}\n\
             FROM made\n\
             RUN /work/out > /hello\n"
        ),
    );
    write(directory, ".dockerignore", "out.tar\ntheirs.tar\n");
    write(
        directory,
        "imgmake.kdl",
        format!(
            "registry base \"{host}\" {{ insecure #true }}\nbuild app {{ context \".\"; tar \"out.tar\" format=oci }}\n"
        ),
    );
}

/// The tree that `user` builds in `isolation`.
fn built(toolchain: &Toolchain, user: User, isolation: &str) -> Tree {
    let directory = temporary();
    project(directory.path(), toolchain);
    let imgmake = Imgmake::run_by(user).with("IMGMAKE_ISOLATION", isolation);
    imgmake.give(directory.path());
    imgmake.ok(directory.path(), &["app"]);
    let archive = directory.path().join("out.tar");
    let tree = unpack(&format!("oci-archive:{}", archive.display())).tree;
    let hello = blake3::hash(b"hello\n").to_hex();
    let node = &tree["hello"];
    assert!(node.contains(&hello[..16]), "{node}");
    tree
}

fn works_everywhere(toolchain: &Toolchain) {
    let by_root = works_with_proc(toolchain);
    let chrooted = built(toolchain, User::Own, "chroot");
    assert_same_shapes(&by_root, &chrooted);
}

/// The tree, where RUN has a `/proc`: in chroot isolation there is none.
fn works_with_proc(toolchain: &Toolchain) -> Tree {
    let by_root = built(toolchain, User::Own, "root");
    let by_user = built(toolchain, User::WithSubordinateIds, "rootless");
    // Compilers and caches write dates: which files there are, their modes and owners are equal.
    assert_same_shapes(&by_root, &by_user);
    by_root
}

/// Sizes and contents of files are left out.
fn assert_same_shapes(one: &Tree, other: &Tree) {
    let shapes = [one, other].map(|tree| {
        let shape = |node: &String| match node.strip_prefix("file ") {
            Some(rest) => rest.splitn(3, ' ').last().unwrap_or_default().to_owned(),
            None => node.clone(),
        };
        tree.iter()
            .map(|(path, node)| (path.clone(), shape(node)))
            .collect::<Tree>()
    });
    assert_same(&shapes[0], &shapes[1]);
}

#[test]
#[ignore = "long: tests/run --long runs it"]
fn a_c_compiler_from_debian_makes_a_program() {
    works_everywhere(&C);
}

#[test]
#[ignore = "long: tests/run --long runs it"]
fn pip_installs_into_an_environment() {
    works_everywhere(&PYTHON);
}

#[test]
#[ignore = "long: tests/run --long runs it"]
fn npm_installs_a_package() {
    works_everywhere(&NODE);
}

#[test]
#[ignore = "long: tests/run --long runs it"]
fn cargo_builds_a_program_and_its_library_where_there_is_a_proc() {
    works_with_proc(&RUST);
    // rustc asks /proc where it is itself.
    let directory = temporary();
    project(directory.path(), &RUST);
    let imgmake = Imgmake::new().with("IMGMAKE_ISOLATION", "chroot");
    let ran = imgmake.run(directory.path(), &["app"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let why = "no /proc/self/exe available";
    assert!(ran.stderr.contains(why), "{}", ran.stderr);
}

#[test]
#[ignore = "long: tests/run --long runs it"]
fn an_installed_compiler_is_buildahs_file_by_file() {
    let directory = temporary();
    project(directory.path(), &C);
    Imgmake::new().ok(directory.path(), &["app"]);
    let theirs_tar = directory.path().join("theirs.tar");
    peers::buildah(directory.path(), &theirs_tar);
    let ours = unpack(&format!(
        "oci-archive:{}",
        directory.path().join("out.tar").display()
    ));
    let theirs = unpack(&format!("oci-archive:{}", theirs_tar.display()));
    let sides = [&ours.tree, &theirs.tree].map(|tree| {
        let mut tree = tree.clone();
        // buildah's mount points.
        for path in ["run", "proc", "sys", "dev", "etc/hosts", "etc/resolv.conf"] {
            tree.remove(path);
        }
        tree.retain(|path, _| !path.starts_with("dev/") && !path.starts_with("run/"));
        tree
    });
    assert_same_shapes(&sides[0], &sides[1]);
}
