//! The image of imgmake, made by imgmake from `examples/self`. It is built around
//! the program under test, which may be linked dynamically: what runs in a
//! container gets its libraries from a target of the test's own.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use imgmake_compat::plugin::EntryPoint;

use crate::ground::docker::docker;
use crate::ground::images::{bases, path};
use crate::ground::imgmake::{Imgmake, Ran};
use crate::ground::registry::{Access, Registry};
use crate::ground::web::{Transport, Web};
use crate::ground::{own_files, run, temporary, tree, write};

/// Images of the program under test with the libraries that it needs.
const RUNNABLE: &str = r#"
build runnable {
    matrix { of imgmake executor executor-debug kaniko-docker drone-docker buildah-docker }
    name "runnable-${of}"
    from (target)"${of}"
    copy "libraries/" to="/"
}

push publish { images runnable; to own { tags "it" } }
"#;

/// A registry that has them, for Docker.
fn images() -> &'static Registry {
    static IMAGES: OnceLock<Registry> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let registry = Registry::start();
        let place = format!("REGISTRY={}/imgmake", registry.host);
        Checkout::new().make(&["--var", &place, "publish"]);
        registry
    })
}

/// `docker run` with one of them and the host's network.
fn docker_run(image: &str, options: &[&str], arguments: &[&str]) -> Ran {
    let image = format!("{}/imgmake/runnable-{image}:it", images().host);
    let start = ["run", "--rm", "--network", "host"];
    let all = [&start[..], options, &[&image], arguments].concat();
    let output = docker().command(&all).output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[track_caller]
fn succeeded(ran: &Ran) {
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
}

/// A context whose RUN needs a base image, and one without RUN.
fn context() -> tempfile::TempDir {
    let directory = temporary();
    let base = format!("{}/library/busybox:latest", bases().host);
    let dockerfile =
        format!("FROM {base}\nCOPY app.txt /app/\nRUN id -u > /user && cat /app/app.txt\n");
    write(directory.path(), "Dockerfile", dockerfile);
    write(directory.path(), "Plain", "FROM scratch\nCOPY app.txt /\n");
    write(directory.path(), "app.txt", "the application\n");
    directory
}

fn mounted(directory: &Path, at: &str) -> String {
    format!("{}:{at}", directory.display())
}

#[test]
fn docker_runs_it_as_kanikos_executor_with_kanikos_arguments() {
    let (context, registry) = (context(), Registry::start());
    let volume = mounted(context.path(), "/workspace");
    let destination = format!("--destination={}/team/app:1", registry.host);
    let arguments = [
        "--dockerfile",
        "Dockerfile",
        &destination,
        "--digest-file=digest",
    ];
    succeeded(&docker_run("executor", &["-v", &volume], &arguments));
    let digest = std::fs::read_to_string(context.path().join("digest")).unwrap();
    assert_eq!(registry.digest("team/app", "1"), Some(digest));
}

#[test]
fn docker_runs_it_as_each_plugin_with_the_plugins_variables() {
    let registry = Registry::start();
    for plugin in ["kaniko-docker", "drone-docker", "buildah-docker"] {
        let context = context();
        let volume = mounted(context.path(), "/drone/src");
        let repository = format!("PLUGIN_REPO={}/team/{plugin}", registry.host);
        let options = [
            "-v",
            &volume,
            "-w",
            "/drone/src",
            "-e",
            &repository,
            "-e",
            "PLUGIN_TAGS=1,2",
        ];
        succeeded(&docker_run(plugin, &options, &[]));
        for tag in ["1", "2"] {
            assert!(
                registry.digest(&format!("team/{plugin}"), tag).is_some(),
                "{plugin}"
            );
        }
        assert!(context.path().join(".imgmake/store").is_dir(), "{plugin}");
    }
}

#[test]
fn its_debug_variant_has_a_shell_that_finds_the_executor() {
    let script = "executor version && /kaniko/executor version && ls /busybox/sh";
    let ran = docker_run(
        "executor-debug",
        &["--entrypoint", ""],
        &["sh", "-ec", script],
    );
    succeeded(&ran);
    assert_eq!(
        ran.stdout.matches("compatible with kaniko").count(),
        2,
        "{}",
        ran.stdout
    );
}

#[test]
fn it_needs_no_writable_root_no_capability_and_no_root_user() {
    let (context, registry) = (context(), Registry::start());
    let volume = mounted(context.path(), "/workspace:ro");
    let destination = format!("--destination={}/app:1", registry.host);
    let bare = ["--user", "1000:1000", "--cap-drop", "ALL", "--read-only"];
    let security = ["--security-opt", "no-new-privileges", "-v", &volume];
    let store = ["--tmpfs", "/kaniko/.cache:uid=1000,mode=700"];
    let options = [&bare[..], &security, &store].concat();
    succeeded(&docker_run(
        "executor",
        &options,
        &["-f", "Plain", &destination],
    ));
    assert_eq!(registry.tags(), ["app:1"]);
    // Without a place for the store the message says which directory, and what to do.
    let options = [&bare[..], &security].concat();
    let ran = docker_run("executor", &options, &["-f", "Plain", &destination]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let said = [
        "/kaniko/.cache/imgmake",
        "IMGMAKE_STORE",
        "Read-only file system",
    ];
    assert!(
        said.iter().all(|piece| ran.stderr.contains(piece)),
        "{}",
        ran.stderr
    );
}

#[test]
fn an_authority_mounted_among_kanikos_certificates_is_trusted() {
    let (context, web) = (context(), Web::start(Transport::Tls, ""));
    let tls = Some((web.certificate(), web.certificate().with_extension("key")));
    let registry = Registry::with(&Access {
        tls,
        ..Access::default()
    });
    let volume = mounted(context.path(), "/workspace:ro");
    let destination = format!("--destination={}/app:1", registry.host);
    let arguments = ["-f", "Plain", destination.as_str()];
    let ran = docker_run("executor", &["-v", &volume], &arguments);
    assert!(
        ran.code == 1 && ran.stderr.contains("certificate"),
        "{}",
        ran.stderr
    );
    let own = mounted(&web.certificate(), "/kaniko/ssl/certs/own.crt:ro");
    succeeded(&docker_run(
        "executor",
        &["-v", &volume, "-v", &own],
        &arguments,
    ));
    assert_eq!(registry.tags(), ["app:1"]);
}

#[test]
fn a_git_context_is_cloned_where_there_is_no_program_but_this_one() {
    let (web, registry) = (Web::start(Transport::Tls, "ann:word"), Registry::start());
    let work = temporary();
    write(work.path(), "Dockerfile", "FROM scratch\nCOPY app.txt /\n");
    write(work.path(), "app.txt", "the application\n");
    let work = path(work.path());
    let bare = web.root().join("team/app.git");
    for arguments in [
        &["init", "-q", "-b", "main", work][..],
        &["-C", work, "add", "-A"],
        &[
            "-C",
            work,
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "commit",
            "-qm",
            "x",
        ],
        &["clone", "-q", "--bare", work, path(&bare)],
    ] {
        run("git", arguments);
    }
    let own = mounted(&web.certificate(), "/kaniko/ssl/certs/own.crt:ro");
    let login = ["-e", "GIT_USERNAME=ann", "-e", "GIT_PASSWORD=word"];
    let options = [&["-v", own.as_str()][..], &login].concat();
    let context = format!("--context=git://{}/team/app.git#main", web.host);
    let destination = format!("--destination={}/app:1", registry.host);
    succeeded(&docker_run("executor", &options, &[&context, &destination]));
    assert_eq!(registry.tags(), ["app:1"]);
}

#[test]
fn docker_stop_ends_it_and_publishes_nothing() {
    let (context, registry) = (context(), Registry::start());
    let base = format!("{}/library/busybox:latest", bases().host);
    write(
        context.path(),
        "Slow",
        format!("FROM {base}\nRUN echo begun; sleep 986\n"),
    );
    let image = format!("{}/imgmake/runnable-executor:it", images().host);
    let volume = mounted(context.path(), "/workspace");
    let destination = format!("--destination={}/app:1", registry.host);
    let start = [
        "run",
        "-d",
        "--network",
        "host",
        "-v",
        &volume,
        &image,
        "-f",
        "Slow",
        &destination,
    ];
    let id = docker().ok(&start).trim().to_string();
    let said = || {
        let output = docker().command(&["logs", &id]).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        text(&output.stdout) + &text(&output.stderr)
    };
    for _ in 0..400 {
        if said().contains("begun") {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        said().contains("begun"),
        "the step did not start:\n{}",
        said()
    );
    docker().ok(&["stop", "--time", "20", &id]);
    let code = docker().ok(&["inspect", "--format", "{{.State.ExitCode}}", &id]);
    assert_eq!(code.trim(), "143", "{}", said());
    assert!(registry.tags().is_empty());
    docker().ok(&["rm", &id]);
}

/// A checkout with as much of the repository as the image's manifest looks at.
struct Checkout {
    directory: tempfile::TempDir,
    imgmake: Imgmake,
}

impl Checkout {
    fn new() -> Checkout {
        let directory = temporary();
        let files = [
            "Cargo.toml",
            "Cargo.lock",
            "src/main.rs",
            "crates/imgmake-oci/src/lib.rs",
            "examples/self/imgmake.kdl",
            "examples/self/gather",
        ];
        own_files(directory.path(), &files);
        let checkout = Checkout {
            directory,
            imgmake: Imgmake::new(),
        };
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
