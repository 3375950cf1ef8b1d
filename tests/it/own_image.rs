//! The image of imgmake, made by imgmake from `examples/self`. It is built around
//! the program under test, which may be linked dynamically: what runs in a
//! container gets its libraries from a target of the test's own.

use std::path::{Path, PathBuf};

use imgmake::plugin::EntryPoint;

use crate::ground::images::path;
use crate::ground::imgmake::Imgmake;
use crate::ground::{run, temporary, tree, write};

/// Images of the program under test with the libraries that it needs.
const RUNNABLE: &str = r#"
build runnable {
    matrix { of imgmake executor executor-debug kaniko-docker drone-docker buildah-docker }
    name "runnable-${of}"
    from (target)"${of}"
    copy "libraries/" to="/"
}
"#;

/// A checkout with as much of the repository as the image's manifest looks at.
struct Checkout {
    directory: tempfile::TempDir,
    imgmake: Imgmake,
}

impl Checkout {
    fn new() -> Checkout {
        let directory = temporary();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for file in [
            "Cargo.toml",
            "Cargo.lock",
            "src/main.rs",
            "examples/self/imgmake.kdl",
        ] {
            write(
                directory.path(),
                file,
                std::fs::read(root.join(file)).unwrap(),
            );
        }
        let checkout = Checkout {
            directory,
            imgmake: Imgmake::new(),
        };
        let gather = root.join("examples/self/gather");
        run("cp", &["-p", path(&gather), path(&checkout.place())]);
        let manifest = checkout.place().join("imgmake.kdl");
        let text = std::fs::read_to_string(&manifest).unwrap();
        std::fs::write(manifest, text + RUNNABLE).unwrap();
        libraries(&checkout.place().join("libraries"));
        checkout
    }

    fn place(&self) -> PathBuf {
        self.directory.path().join("examples/self")
    }

    fn make(&self, arguments: &[&str]) {
        let program = format!("PROGRAM={}", env!("CARGO_BIN_EXE_imgmake"));
        let busybox = ["/bin/busybox", "/usr/bin/busybox"];
        let busybox = busybox.into_iter().find(|file| Path::new(file).exists());
        let busybox = format!(
            "BUSYBOX={}",
            busybox.expect("tests/run installs busybox-static")
        );
        let given = ["--var", &program, "--var", &busybox];
        self.imgmake
            .ok(&self.place(), &[&given, arguments].concat());
    }

    fn digests(&self) -> Vec<String> {
        let index = |archive: &str| {
            let archive = self.place().join("out").join(archive);
            run("tar", &["-xOf", path(&archive), "index.json"])
        };
        ["imgmake.tar", "debug.tar"].map(index).into()
    }
}

/// What `ldd` names, under the same paths; nothing for a static program.
fn libraries(to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let program = env!("CARGO_BIN_EXE_imgmake");
    let output = std::process::Command::new("ldd")
        .arg(program)
        .output()
        .unwrap();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some(library) = line.split_whitespace().find(|word| word.starts_with('/')) {
            let copy = to.join(library.trim_start_matches('/'));
            std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
            run("cp", &["-L", library, path(&copy)]);
        }
    }
}

#[test]
fn two_checkouts_give_one_digest() {
    let (one, two) = (Checkout::new(), Checkout::new());
    one.make(&[]);
    two.make(&[]);
    assert_eq!(one.digests(), two.digests());
}

#[test]
fn the_image_has_every_name_that_pipelines_call_and_what_kanikos_image_has() {
    let checkout = Checkout::new();
    checkout.make(&["debug"]);
    let archive = checkout.place().join("out/debug.tar");
    let image = tree::unpack(&format!("docker-archive:{}", archive.display()));
    let names = EntryPoint::names().chain(["executor", "dockerd-entrypoint.sh"]);
    for name in names {
        let folder = match name {
            name if name.starts_with("kaniko-") || name == "executor" => "kaniko",
            "dockerd-entrypoint.sh" => "usr/local/bin",
            _ => "bin",
        };
        let link = &image.tree[&format!("{folder}/{name}")];
        assert!(
            link.starts_with("link /usr/local/bin/imgmake "),
            "{name}: {link}"
        );
    }
    for (place, is) in [
        ("kaniko", "directory 777 0:0"),
        ("kaniko/.docker", "directory 777 0:0"),
        ("kaniko/ssl/certs", "directory 755 0:0"),
        (
            "etc/ssl/certs/ca-certificates.crt",
            "link /kaniko/ssl/certs/ca-certificates.crt ",
        ),
        ("workspace", "directory 777 0:0"),
        ("tmp", "directory 1777 0:0"),
        ("busybox/sh", "link busybox "),
        ("bin/sh", "link /busybox/sh "),
    ] {
        assert!(
            image.tree[place].starts_with(is),
            "{place}: {}",
            image.tree[place]
        );
    }
    let roots = &image.tree["kaniko/ssl/certs/ca-certificates.crt"];
    assert!(
        roots.starts_with("file ") && roots.contains(" 644 0:0"),
        "{roots}"
    );
}
